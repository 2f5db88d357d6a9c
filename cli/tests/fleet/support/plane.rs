//! A real control plane on a free port, with its folder at `fleet-data`, and `fleet` logged in.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use fleet_control::app::Settings;
use fleet_control::clock::Clock;
use fleet_control::media::Looker;
use fleet_control::server::{Config, Running, start};

use super::{Bench, Ran};

pub(crate) struct Plane {
    running: Option<Running>,
    runtime: tokio::runtime::Runtime,
    /// How far its clock is ahead.
    ahead_s: Arc<AtomicI64>,
    pub(crate) bench: Bench,
}

impl Plane {
    pub(crate) fn new() -> Self {
        let bench = Bench::new();
        let ahead_s = Arc::new(AtomicI64::new(0));
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let config = Config {
            data: bench.path("fleet-data"),
            listen: "127.0.0.1:0".parse().unwrap(),
            public_url: None,
            database: None,
            names: Vec::new(),
            settings: Settings {
                looker: Looker::Here,
                ..Settings::default()
            },
            clock: ahead_of_the_system(Arc::clone(&ahead_s)),
        };
        let running = runtime.block_on(start(config)).unwrap();
        Self {
            running: Some(running),
            runtime,
            ahead_s,
            bench,
        }
    }

    pub(crate) fn logged_in() -> Self {
        let plane = Self::new();
        plane.fleet(&["login", "--data", "fleet-data"]).ok();
        plane
    }

    /// So much later, for the control plane alone.
    pub(crate) fn wait_minutes(&self, minutes: i64) {
        self.ahead_s.fetch_add(minutes * 60, Ordering::SeqCst);
    }

    pub(crate) fn now(&self) -> jiff::Timestamp {
        ahead_of_the_system(Arc::clone(&self.ahead_s)).now()
    }

    /// Looks for alerts at once, as one that has always listened.
    pub(crate) fn look_for_trouble(&self) {
        let app = &self.running.as_ref().unwrap().app;
        let look = app.look_for_trouble(jiff::Timestamp::UNIX_EPOCH);
        self.runtime.block_on(look).unwrap();
    }

    /// Where the first administrator makes an account.
    pub(crate) fn first_link(&self) -> String {
        self.running.as_ref().unwrap().first_link.clone().unwrap()
    }

    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.running.as_ref().unwrap().address
    }

    pub(crate) fn fleet(&self, args: &[&str]) -> Ran {
        self.bench.fleet(args)
    }

    pub(crate) fn fleet_with_rauc(&self, args: &[&str]) -> Ran {
        self.bench.fleet_with_rauc(args)
    }

    pub(crate) fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            self.runtime.block_on(running.stop());
        }
    }
}

fn ahead_of_the_system(ahead_s: Arc<AtomicI64>) -> Clock {
    let system = Clock::system();
    Clock::from_fn(move || {
        system.now() + jiff::SignedDuration::from_secs(ahead_s.load(Ordering::SeqCst))
    })
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.stop();
    }
}
