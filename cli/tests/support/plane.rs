//! A real control plane on a free port, with its folder at `fleet-data`, and `fleet` logged in.
#![allow(dead_code, reason = "each test program uses a part of it")]

use fleet_control::app::Settings;
use fleet_control::clock::Clock;
use fleet_control::server::{Config, Running, start};

use crate::support::{Bench, Ran};

pub(crate) struct Plane {
    running: Option<Running>,
    runtime: tokio::runtime::Runtime,
    pub(crate) bench: Bench,
}

impl Plane {
    pub(crate) fn new() -> Self {
        let bench = Bench::new();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let config = Config {
            data: bench.path("fleet-data"),
            listen: "127.0.0.1:0".parse().unwrap(),
            public_url: None,
            names: Vec::new(),
            settings: Settings::default(),
            clock: Clock::system(),
        };
        let running = runtime.block_on(start(config)).unwrap();
        Self {
            running: Some(running),
            runtime,
            bench,
        }
    }

    pub(crate) fn logged_in() -> Self {
        let plane = Self::new();
        plane.fleet(&["login", "--data", "fleet-data"]).ok();
        plane
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

impl Drop for Plane {
    fn drop(&mut self) {
        self.stop();
    }
}
