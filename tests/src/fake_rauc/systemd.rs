//! As much of systemd's manager as the agent speaks to.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use zbus::{Connection, ObjectServer, OwnedObjectPath, fdo, interface};

/// One unit's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    pub active: String,
    pub restarts: u32,
}

impl Default for Unit {
    fn default() -> Self {
        Self {
            active: "active".to_owned(),
            restarts: 0,
        }
    }
}

#[derive(Debug, Default)]
struct State {
    units: BTreeMap<String, Unit>,
    /// `start reboot.target`, in their order.
    jobs: Vec<String>,
}

type Shared = Arc<(Mutex<State>, Condvar)>;

/// systemd on a private bus, until it is dropped. A unit that nobody has set is active.
#[derive(Debug)]
pub struct FakeSystemd {
    shared: Shared,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl FakeSystemd {
    /// # Panics
    /// When the bus cannot be reached.
    pub fn start(address: &str) -> Self {
        let shared = Shared::default();
        let (stop_in, stop_out) = tokio::sync::oneshot::channel();
        let (ready_in, ready_out) = std::sync::mpsc::channel();
        let (address, serving) = (address.to_owned(), shared.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime can be made");
            runtime.block_on(async move {
                let connection: Connection = zbus::connection::Builder::address(address.as_str())
                    .serve_at("/org/freedesktop/systemd1", Manager { shared: serving })
                    .name("org.freedesktop.systemd1")
                    .build()
                    .await
                    .expect("the private bus takes the fake");
                let _ = ready_in.send(());
                let _ = stop_out.await;
                drop(connection);
            });
        });
        ready_out.recv().expect("the fake comes up");
        Self {
            shared,
            stop: Some(stop_in),
            thread: Some(thread),
        }
    }

    pub fn set_unit(&self, name: &str, unit: Unit) {
        lock(&self.shared).units.insert(name.to_owned(), unit);
    }

    pub fn jobs(&self) -> Vec<String> {
        lock(&self.shared).jobs.clone()
    }

    pub fn forget_jobs(&self) {
        lock(&self.shared).jobs.clear();
    }

    /// Waits until `job`, such as `start reboot.target`, was asked for.
    pub fn wait_for_job(&self, job: &str, limit: Duration) -> bool {
        let guard = lock(&self.shared);
        let waited = self
            .shared
            .1
            .wait_timeout_while(guard, limit, |state| !state.jobs.iter().any(|j| j == job));
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

impl Drop for FakeSystemd {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lock(shared: &Shared) -> MutexGuard<'_, State> {
    shared.0.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Manager {
    shared: Shared,
}

impl Manager {
    fn job(&self, verb: &str, name: &str) -> fdo::Result<OwnedObjectPath> {
        lock(&self.shared).jobs.push(format!("{verb} {name}"));
        self.shared.1.notify_all();
        path("/org/freedesktop/systemd1/job/1")
    }
}

fn path(text: &str) -> fdo::Result<OwnedObjectPath> {
    OwnedObjectPath::try_from(text.to_owned()).map_err(|e| fdo::Error::Failed(e.to_string()))
}

#[interface(name = "org.freedesktop.systemd1.Manager")]
impl Manager {
    async fn load_unit(
        &self,
        name: &str,
        #[zbus(object_server)] server: &ObjectServer,
    ) -> fdo::Result<OwnedObjectPath> {
        let escaped: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .collect();
        let path = path(&format!("/org/freedesktop/systemd1/unit/{escaped}"))?;
        let entry = Entry {
            name: name.to_owned(),
            shared: self.shared.clone(),
        };
        let service = Service {
            name: name.to_owned(),
            shared: self.shared.clone(),
        };
        // It is there already from the second time on.
        let _ = server.at(&path, entry).await;
        let _ = server.at(&path, service).await;
        Ok(path)
    }

    fn start_unit(&self, name: &str, _mode: &str) -> fdo::Result<OwnedObjectPath> {
        self.job("start", name)
    }

    fn stop_unit(&self, name: &str, _mode: &str) -> fdo::Result<OwnedObjectPath> {
        self.job("stop", name)
    }

    fn restart_unit(&self, name: &str, _mode: &str) -> fdo::Result<OwnedObjectPath> {
        self.job("restart", name)
    }
}

struct Entry {
    name: String,
    shared: Shared,
}

impl Entry {
    fn unit(&self) -> Unit {
        lock(&self.shared)
            .units
            .get(&self.name)
            .cloned()
            .unwrap_or_default()
    }
}

#[interface(name = "org.freedesktop.systemd1.Unit")]
impl Entry {
    #[zbus(property)]
    fn load_state(&self) -> String {
        "loaded".to_owned()
    }

    #[zbus(property)]
    fn active_state(&self) -> String {
        self.unit().active
    }

    #[zbus(property)]
    fn sub_state(&self) -> String {
        "running".to_owned()
    }
}

struct Service {
    name: String,
    shared: Shared,
}

#[interface(name = "org.freedesktop.systemd1.Service")]
impl Service {
    #[zbus(property, name = "NRestarts")]
    fn restarts(&self) -> u32 {
        let state = lock(&self.shared);
        state.units.get(&self.name).map_or(0, |unit| unit.restarts)
    }
}
