//! A stand-in for the control plane, for tests of the player: keeps to the signage contract's player
//! endpoints (seed 003, §27.8), and misbehaves when it is told to.
//!
//! It listens on a free port of the loopback, serves one manifest, a list of commands and the files of a
//! folder (`GET /assets/NAME`, with ranges), and remembers what it was sent. Faults are queued: each is used
//! for one request to its path, in order; afterwards everything is as the contract says. Threads end with their
//! connections; dropping the server cuts these.

mod answers;
mod assets;
mod http;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fleet_protocol::Sha256;
use jiff::Timestamp;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

pub use http::Request;

/// Settings of a manifest by which a screen is off at `now`, and for hours before and after it.
pub fn screen_off_at(now: Timestamp) -> Value {
    let minute = (now.as_second() / 60 + 12 * 60).rem_euclid(24 * 60);
    let window = json!({"daysOfWeekMask": 127, "startMinutes": minute, "endMinutes": (minute + 1) % (24 * 60)});
    json!({"screenPower": {"timezone": "UTC", "on": [window]}})
}

/// How one request goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// This status with a problem document.
    Status(u16),
    /// This status with a problem document and `Retry-After`.
    RetryAfter(u16, String),
    /// A redirect to this place.
    Redirect(String),
    /// Nothing is ever answered.
    Hang,
    /// The connection is closed without an answer.
    Close,
    /// The answer is cut off after so many bytes of its body.
    CutAfter(usize),
    /// The first so many bytes of the body, as if that were all.
    TruncatedTo(usize),
    /// One bit of the body is wrong.
    FlippedBit,
    /// The body says that it is of this type.
    ContentType(String),
    /// This body in the place of the right one.
    Body(Vec<u8>),
    /// As if the device had asked without a tag.
    IgnoreTag,
    /// Done as it should be, and then the connection is closed without an answer.
    LoseAnswer,
}

/// What the server knows and was sent.
#[derive(Debug, Default)]
struct State {
    token: String,
    manifest: Value,
    commands: Vec<Value>,
    faults: VecDeque<(String, Fault)>,
    requests: Vec<Request>,
    heartbeats: Vec<Value>,
    events: Vec<Value>,
    results: BTreeMap<String, Vec<Value>>,
    proofs: Vec<Value>,
    /// Of batches, so that each counts once.
    batches: BTreeSet<String>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// A request has come.
    changed: Condvar,
    folder: PathBuf,
    tls: Option<Arc<ServerConfig>>,
    open: Mutex<Vec<TcpStream>>,
    stopped: AtomicBool,
}

/// The server.
#[derive(Debug)]
pub struct FakeControlPlane {
    shared: Arc<Shared>,
    address: SocketAddr,
}

/// The token that is accepted until another one is set.
pub const TOKEN: &str = "token-of-the-fake";

impl FakeControlPlane {
    /// `folder`: where the files of `/assets/` are.
    pub fn start(folder: &Path) -> io::Result<Self> {
        Self::listen(folder, None)
    }

    /// The same over TLS, as the caller would have it.
    pub fn start_tls(folder: &Path, tls: ServerConfig) -> io::Result<Self> {
        Self::listen(folder, Some(Arc::new(tls)))
    }

    fn listen(folder: &Path, tls: Option<Arc<ServerConfig>>) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let state = State {
            token: TOKEN.to_owned(),
            ..State::default()
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            changed: Condvar::new(),
            folder: folder.to_owned(),
            tls,
            open: Mutex::default(),
            stopped: AtomicBool::new(false),
        });
        let accepting = shared.clone();
        std::thread::Builder::new()
            .name("fake-control-plane".to_owned())
            .spawn(move || accepting.accept(&listener))?;
        Ok(Self { shared, address })
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn url(&self) -> String {
        let scheme = self.shared.tls.as_ref().map_or("http", |_| "https");
        format!("{scheme}://{}", self.address)
    }

    /// Where a file of the folder is found.
    pub fn asset_url(&self, name: &str) -> String {
        format!("{}/assets/{name}", self.url())
    }

    /// Any JSON; its `manifestEtag` is the tag.
    pub fn set_manifest(&self, manifest: Value) {
        self.shared.state().manifest = manifest;
    }

    /// A manifest of these items that never ends, to be asked for again after so many seconds.
    pub fn publish(&self, etag: &str, next_check_s: u32, items: &[Value]) {
        self.publish_with(&json!({}), etag, next_check_s, items);
    }

    /// The same with `settings`.
    pub fn publish_with(&self, settings: &Value, etag: &str, next_check_s: u32, items: &[Value]) {
        self.set_manifest(json!({
            "manifestEtag": etag, "validToUtc": "2099-01-01T00:00:00Z", "nextCheckSeconds": next_check_s,
            "settings": settings,
            "playlist": {"playlistId": "pl_1", "publishedVersion": 1, "items": items},
        }));
    }

    /// A file of the folder as an item of a manifest, such as the file is now. `server` is this one's address as the
    /// player has it, `size` in pixels.
    pub fn item(
        &self,
        server: &str,
        name: &str,
        kind: &str,
        seconds: u32,
        size: (u32, u32),
    ) -> io::Result<Value> {
        let bytes = std::fs::read(self.shared.folder.join(name))?;
        Ok(json!({
            "assetId": format!("ast_{}", name.replace('.', "_")),
            "type": kind,
            "url": format!("{server}/assets/{name}"),
            "checksumSha256": Sha256::of(&bytes).to_string(),
            "durationSeconds": seconds, "widthPx": size.0, "heightPx": size.1,
            "fileSizeBytes": bytes.len(),
        }))
    }

    /// Listed until they have a result.
    pub fn set_commands(&self, commands: Vec<Value>) {
        self.shared.state().commands = commands;
    }

    /// Every other token gets 401.
    pub fn set_token(&self, token: &str) {
        token.clone_into(&mut self.shared.state().token);
    }

    /// The next request to a path that begins with this one goes wrong.
    pub fn fail_next(&self, path: &str, fault: Fault) {
        let mut state = self.shared.state();
        state.faults.push_back((path.to_owned(), fault));
    }

    /// All requests so far, in the order in which they came.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.state().requests.clone()
    }

    pub fn heartbeats(&self) -> Vec<Value> {
        self.shared.state().heartbeats.clone()
    }

    /// Those of a batch that came twice are here once.
    pub fn events(&self) -> Vec<Value> {
        self.shared.state().events.clone()
    }

    /// Those of a batch that came twice are here once.
    pub fn proofs(&self) -> Vec<Value> {
        self.shared.state().proofs.clone()
    }

    /// Every result that came for this command.
    pub fn results(&self, command_id: &str) -> Vec<Value> {
        let state = self.shared.state();
        state.results.get(command_id).cloned().unwrap_or_default()
    }

    /// Waits until so many requests have come; false if they did not within the time.
    pub fn wait_for_requests(&self, count: usize, within: Duration) -> bool {
        let until = Instant::now() + within;
        let mut state = self.shared.state();
        while state.requests.len() < count {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

impl Drop for FakeControlPlane {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        for connection in self.shared.open().drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> MutexGuard<'_, Vec<TcpStream>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        for connection in listener.incoming() {
            if self.stopped.load(Ordering::SeqCst) {
                return;
            }
            let Ok(connection) = connection else { continue };
            let Ok(held) = connection.try_clone() else {
                continue;
            };
            self.open().push(held);
            let shared = self.clone();
            std::thread::spawn(move || {
                // A device that goes away is no news.
                let _ = shared.welcome(&connection);
                let _ = connection.shutdown(Shutdown::Both);
            });
        }
    }
    fn welcome(&self, connection: &TcpStream) -> io::Result<()> {
        connection.set_nodelay(true)?;
        let Some(tls) = &self.tls else {
            return self.serve(connection, connection);
        };
        let session = ServerConnection::new(tls.clone()).map_err(io::Error::other)?;
        self.serve(StreamOwned::new(session, connection), connection)
    }
}
