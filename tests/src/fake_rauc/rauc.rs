//! `de.pengutronix.rauc.Installer`.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fleet_protocol::update::Slot;
use fleet_protocol::{Sha256, Version};
use zbus::object_server::SignalEmitter;
use zbus::{Connection, OwnedVariant, Variant, fdo, interface};

use super::bundle::FakeBundle;
use super::grubenv::Variables;
use super::installation::{Failure, finish, install, set_primary};

/// What a slot holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    pub version: Version,
    pub root_hash: Sha256,
}

/// The two slots; a half-written one holds nothing.
pub type Slots = BTreeMap<Slot, Content>;

/// How the next installations go wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Trouble {
    #[default]
    None,
    /// Ends with this as RAUC's last error, before the slot is touched.
    Error(String),
    /// Ends with this in the middle of writing.
    WriteError(String),
    /// RAUC dies in the middle: its name leaves the bus, and comes back.
    Crash,
    /// Stands still in the middle until the trouble is taken away.
    Pause,
    /// The end is not signalled; only `Operation` tells.
    NoSignal,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) grubenv: PathBuf,
    pub(super) compatible: String,
    pub(super) booted: Slot,
    pub(super) slots: Slots,
    pub(super) trouble: Trouble,
    pub(super) refuses_marks: bool,
    pub(super) operation: &'static str,
    pub(super) last_error: String,
    pub(super) progress: (i32, String, i32),
    pub(super) installations: u32,
}

pub(super) type Shared = Arc<(Mutex<State>, Condvar)>;

/// RAUC on a private bus, until it is dropped.
#[derive(Debug)]
pub struct FakeRauc {
    shared: Shared,
    /// Whether to be away; closed to end.
    orders: Option<tokio::sync::mpsc::UnboundedSender<bool>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

pub(super) const NAME: &str = "de.pengutronix.rauc";

impl FakeRauc {
    /// Starts on the bus at `address`. `grubenv` is read and written as RAUC does it.
    ///
    /// # Panics
    /// When the bus cannot be reached.
    pub fn start(address: &str, grubenv: PathBuf, compatible: &str, slots: Slots) -> Self {
        let state = State {
            grubenv,
            compatible: compatible.to_owned(),
            booted: Slot::A,
            slots,
            trouble: Trouble::None,
            refuses_marks: false,
            operation: "idle",
            last_error: String::new(),
            progress: (0, String::new(), 0),
            installations: 0,
        };
        let shared: Shared = Arc::new((Mutex::new(state), Condvar::new()));
        let (orders_in, orders_out) = tokio::sync::mpsc::unbounded_channel();
        let (ready_in, ready_out) = std::sync::mpsc::channel();
        let (address, serving) = (address.to_owned(), shared.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime can be made");
            runtime.block_on(async move {
                let installer = Installer { shared: serving };
                let connection = zbus::connection::Builder::address(address.as_str())
                    .serve_at("/", installer)
                    .name(NAME)
                    .build()
                    .await
                    .expect("the private bus takes the fake");
                let _ = ready_in.send(());
                serve(&connection, orders_out).await;
            });
        });
        ready_out.recv().expect("the fake comes up");
        Self {
            shared,
            orders: Some(orders_in),
            thread: Some(thread),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.shared)
    }

    pub fn trouble(&self, trouble: Trouble) {
        self.state().trouble = trouble;
        self.shared.1.notify_all();
    }

    /// Leaves the bus, as when its service is broken, or comes back.
    pub fn set_away(&self, away: bool) {
        if let Some(orders) = &self.orders {
            let _ = orders.send(away);
        }
    }

    /// `mark good`, `bad` and `active` are refused from now on, or not.
    pub fn refuse_marks(&self, refuse: bool) {
        self.state().refuses_marks = refuse;
    }

    /// The machine was booted into `slot`.
    pub fn booted(&self, slot: Slot) {
        self.state().booted = slot;
    }

    pub fn slots(&self) -> Slots {
        self.state().slots.clone()
    }

    /// How many were begun.
    pub fn installations(&self) -> u32 {
        self.state().installations
    }

    pub fn is_installing(&self) -> bool {
        self.state().operation == "installing"
    }

    /// Waits until `done` says so of the installation's percentage, or gives up after `limit`.
    pub fn wait_for_progress(&self, limit: Duration, done: impl Fn(i32) -> bool) -> bool {
        let guard = self.state();
        let waited = self.shared.1.wait_timeout_while(guard, limit, |state| {
            !(state.operation == "installing" && done(state.progress.0))
        });
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

impl Drop for FakeRauc {
    fn drop(&mut self) {
        self.trouble(Trouble::Error("the fake ends".to_owned()));
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(connection: &Connection, mut orders: tokio::sync::mpsc::UnboundedReceiver<bool>) {
    while let Some(away) = orders.recv().await {
        let _ = if away {
            connection.release_name(NAME).await.map(drop)
        } else {
            connection.request_name(NAME).await.map(drop)
        };
    }
}

pub(super) fn lock(shared: &Shared) -> MutexGuard<'_, State> {
    shared.0.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) struct Installer {
    shared: Shared,
}

fn slot_name(slot: Slot) -> &'static str {
    match slot {
        Slot::A => "rootfs.0",
        Slot::B => "rootfs.1",
    }
}

fn text(value: &str) -> OwnedVariant {
    OwnedVariant::try_from(Variant::from(value)).expect("text is a variant")
}

#[interface(name = "de.pengutronix.rauc.Installer")]
impl Installer {
    #[allow(
        clippy::unused_async,
        reason = "it starts a task, for which it has to be on the runtime"
    )]
    async fn install_bundle(
        &self,
        source: String,
        args: HashMap<String, OwnedVariant>,
        #[zbus(connection)] connection: &Connection,
    ) -> fdo::Result<()> {
        {
            let mut state = lock(&self.shared);
            if state.operation == "installing" {
                let busy = "Already processing a different method";
                return Err(fdo::Error::Failed(busy.to_owned()));
            }
            state.operation = "installing";
            state.last_error = String::new();
            state.progress = (0, "Installing".to_owned(), 1);
            state.installations += 1;
        }
        self.shared.1.notify_all();
        let hash = args.get("require-manifest-hash");
        let hash = hash
            .and_then(|v| <&str>::try_from(v).ok())
            .map(str::to_owned);
        let (shared, connection) = (self.shared.clone(), connection.clone());
        tokio::spawn(async move {
            let working = shared.clone();
            let work = tokio::task::spawn_blocking(move || install(&working, &source, hash));
            let result = work
                .await
                .unwrap_or_else(|e| Err(Failure::Error(e.to_string())));
            finish(&shared, &connection, result).await;
        });
        Ok(())
    }

    fn inspect_bundle(
        &self,
        source: &str,
        _args: HashMap<String, OwnedVariant>,
    ) -> fdo::Result<HashMap<String, OwnedVariant>> {
        let bundle = FakeBundle::fetch(source, |_, _| true).map_err(fdo::Error::Failed)?;
        let hash = bundle.manifest_hash().to_string();
        Ok(HashMap::from([("manifest-hash".to_owned(), text(&hash))]))
    }

    fn mark(&self, mark: &str, slot_identifier: &str) -> fdo::Result<(String, String)> {
        let state = lock(&self.shared);
        if state.refuses_marks {
            return Err(fdo::Error::Failed("the fake was told to refuse".to_owned()));
        }
        let slot = match slot_identifier {
            "booted" => state.booted,
            "other" => state.booted.other(),
            "rootfs.0" => Slot::A,
            "rootfs.1" => Slot::B,
            other => {
                return Err(fdo::Error::Failed(format!(
                    "No slot with name {other} found"
                )));
            }
        };
        let set = |pairs: &[(&str, &str)]| Variables::set(&state.grubenv, pairs);
        let (ok, tries) = (format!("{slot}_OK"), format!("{slot}_TRY"));
        match mark {
            "good" => set(&[(&ok, "1"), (&tries, "0")]),
            "bad" => set(&[(&ok, "0"), (&tries, "0")]),
            "active" => set_primary(&state.grubenv, slot),
            other => return Err(fdo::Error::Failed(format!("unknown subcommand {other}"))),
        }
        let name = slot_name(slot).to_owned();
        Ok((name.clone(), format!("marked slot {name} as {mark}")))
    }

    fn get_slot_status(&self) -> Vec<(String, HashMap<String, OwnedVariant>)> {
        let state = lock(&self.shared);
        let variables = Variables::read(&state.grubenv);
        let status = |slot: Slot| {
            let booted = if state.booted == slot {
                "booted"
            } else {
                "inactive"
            };
            let good = variables.get(&format!("{slot}_OK")) == "1";
            let mut fields = HashMap::from([
                ("class".to_owned(), text("rootfs")),
                ("bootname".to_owned(), text(slot.name())),
                ("state".to_owned(), text(booted)),
                (
                    "boot-status".to_owned(),
                    text(if good { "good" } else { "bad" }),
                ),
            ]);
            if let Some(content) = state.slots.get(&slot) {
                fields.insert(
                    "bundle.version".to_owned(),
                    text(&content.version.to_string()),
                );
                fields.insert("status".to_owned(), text("ok"));
            }
            (slot_name(slot).to_owned(), fields)
        };
        vec![status(Slot::A), status(Slot::B)]
    }

    fn get_primary(&self) -> fdo::Result<String> {
        let state = lock(&self.shared);
        let variables = Variables::read(&state.grubenv);
        let order = variables
            .get("ORDER")
            .split(' ')
            .filter_map(|s| s.parse::<Slot>().ok());
        let mut bootable = order.filter(|slot| variables.get(&format!("{slot}_OK")) == "1");
        let primary = bootable.next().map(|slot| slot_name(slot).to_owned());
        primary.ok_or_else(|| fdo::Error::Failed("No bootable slot found".to_owned()))
    }

    #[zbus(property)]
    fn operation(&self) -> String {
        lock(&self.shared).operation.to_owned()
    }

    #[zbus(property)]
    fn last_error(&self) -> String {
        lock(&self.shared).last_error.clone()
    }

    #[zbus(property)]
    fn progress(&self) -> (i32, String, i32) {
        lock(&self.shared).progress.clone()
    }

    #[zbus(property)]
    fn compatible(&self) -> String {
        lock(&self.shared).compatible.clone()
    }

    #[zbus(property)]
    fn boot_slot(&self) -> String {
        slot_name(lock(&self.shared).booted).to_owned()
    }

    #[zbus(signal)]
    pub(super) async fn completed(emitter: &SignalEmitter<'_>, result: i32) -> zbus::Result<()>;
}
