//! A control plane on a free port with its data in a temporary folder, and devices to go with it.

mod contract;
mod database;
mod device;
mod http;
mod line;
mod people;
pub(crate) mod program;
mod signing;
pub(crate) mod smtp;

use std::io::Write as _;
use std::sync::{Arc, Mutex};

use fleet_control::app::Settings;
use fleet_control::clock::Clock;
use fleet_control::media::Looker;
use fleet_control::server::{Config, Running, start};
use fleet_protocol::Sha256;
use fleet_protocol::enrolment::EnrollResponse;
use fleet_protocol::trust::ReleaseMetadata;
use jiff::{SignedDuration, Timestamp};
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use ureq::http::Response;
use ureq::{Agent, Body};

use database::TestDatabase;
use http::{answer, send};
use line::Line;

pub(crate) use contract::assert_fits;
pub(crate) use device::Device;
pub(crate) use http::{Answer, agent};
pub(crate) use people::PASSWORD;
pub(crate) use signing::{key_set, key_set_of, release, root_hash, signed, signing_key};

/// What a device runs when it enrols.
pub(crate) const FACTORY_VERSION: &str = "1.0.0";
pub(crate) const OTHER_TENANT_TOKEN: &str = "the-other-tenants-operator-token";

/// A control plane; its clock stands until it is moved.
pub(crate) struct World {
    pub(crate) data: Arc<TempDir>,
    pub(crate) now: Arc<Mutex<Timestamp>>,
    runtime: Runtime,
    running: Option<Running>,
    agent: Agent,
    settings: Settings,
    /// `None`: SQLite in the data folder.
    database: Option<Arc<TestDatabase>>,
}

impl World {
    pub(crate) fn new() -> Self {
        let settings = Settings {
            max_failures: 1_000,
            rates: false,
            max_support_bundle_bytes: 100_000,
            support_bundles_kept: 2,
            ..Settings::default()
        };
        Self::with(settings)
    }

    pub(crate) fn with(settings: Settings) -> Self {
        let runtime = Runtime::new().unwrap();
        let database = runtime.block_on(TestDatabase::new());
        Self::over(database, runtime, settings)
    }

    /// One whose database can be taken away. `None` with SQLite, which is a file.
    pub(crate) fn on_a_line() -> Option<(Self, Arc<Line>)> {
        let runtime = Runtime::new().unwrap();
        let mut database = runtime.block_on(TestDatabase::new())?;
        let line = database.lay_line()?;
        let world = Self::over(Some(database), runtime, Settings::default());
        Some((world, line))
    }

    /// With SQLite whatever else is tested with: what is about the data folder's own database.
    pub(crate) fn embedded() -> Self {
        Self::over(None, Runtime::new().unwrap(), Settings::default())
    }

    fn over(database: Option<TestDatabase>, runtime: Runtime, settings: Settings) -> Self {
        // Certificates are judged by the system's clock, so the server's begins there.
        let now = Clock::system()
            .now()
            .round(jiff::Unit::Millisecond)
            .unwrap();
        let mut world = Self {
            database: database.map(Arc::new),
            data: Arc::new(TempDir::new().unwrap()),
            now: Arc::new(Mutex::new(now)),
            runtime,
            running: None,
            agent: Agent::new_with_defaults(),
            settings,
        };
        world.start();
        world
    }

    /// Another control plane on the same database and data. `None` with SQLite, which has one.
    pub(crate) fn replica(&self) -> Option<Self> {
        let mut replica = Self {
            data: Arc::clone(&self.data),
            now: Arc::clone(&self.now),
            runtime: Runtime::new().unwrap(),
            running: None,
            agent: Agent::new_with_defaults(),
            settings: self.settings.clone(),
            database: Some(Arc::clone(self.database.as_ref()?)),
        };
        replica.start();
        Some(replica)
    }

    /// What to start another one with.
    pub(crate) fn database_url(&self) -> Option<String> {
        Some(self.database.as_deref()?.address())
    }

    /// Runs it to its end.
    pub(crate) fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    fn start(&mut self) {
        let now = Arc::clone(&self.now);
        let config = Config {
            data: self.data.path().to_owned(),
            database: self.database.as_deref().map(TestDatabase::url),
            listen: "127.0.0.1:0".parse().unwrap(),
            public_url: None,
            names: Vec::new(),
            settings: Settings {
                looker: Looker::Process(env!("CARGO_BIN_EXE_fleet-control").into()),
                ..self.settings.clone()
            },
            clock: Clock::from_fn(move || *now.lock().unwrap()),
        };
        let running = self.runtime.block_on(start(config)).unwrap();
        let tenant = "ten_other".parse().unwrap();
        let token = Sha256::of(OTHER_TENANT_TOKEN);
        let store = &running.app.store;
        self.runtime
            .block_on(store.put_operator(&tenant, "admin", &token, self.now()))
            .unwrap();
        self.agent = agent(running.app.authority().certificate_pem(), None);
        self.running = Some(running);
    }

    /// Ends the server and starts it again on the same data.
    pub(crate) fn restart(&mut self) {
        let running = self.running.take().unwrap();
        self.runtime.block_on(running.stop());
        self.start();
    }

    pub(crate) fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    pub(crate) fn now(&self) -> Timestamp {
        *self.now.lock().unwrap()
    }

    pub(crate) fn pass(&self, time: SignedDuration) {
        *self.now.lock().unwrap() += time;
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.running().address)
    }

    pub(crate) fn ca(&self) -> String {
        self.running().app.authority().certificate_pem().to_owned()
    }

    /// Plans at once instead of when the background gets to it.
    pub(crate) fn plan(&self) {
        self.runtime
            .block_on(self.running().app.plan_all())
            .unwrap();
    }

    /// Looks for alerts at once, as a control plane does that hears devices since then.
    pub(crate) fn look(&self, listening_since: Timestamp) {
        let look = self.running().app.look_for_trouble(listening_since);
        self.runtime.block_on(look).unwrap();
    }

    /// Sends at once what is due for webhooks.
    pub(crate) fn deliver(&self) {
        self.runtime
            .block_on(self.running().app.deliver_all())
            .unwrap();
    }

    /// Sends at once what mail is due.
    pub(crate) fn send_mail(&self) {
        self.runtime
            .block_on(self.running().app.send_due_mail())
            .unwrap();
    }

    /// What the background does every hour.
    pub(crate) fn keep_house(&self) {
        self.runtime
            .block_on(self.running().app.keep_house())
            .unwrap();
    }

    pub(crate) fn anyone(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        answer(send(&self.agent, method, &self.url(path), headers, body))
    }

    pub(crate) fn raw(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response<Body> {
        send(&self.agent, method, &self.url(path), headers, body)
    }

    pub(crate) fn operator_raw(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        let token = format!("Bearer {}", self.running().admin_token);
        self.anyone(method, path, &[("authorization", &token)], body)
    }

    /// Sends a PUT with this much of its body, and leaves the connection open.
    pub(crate) fn begin(&self, path: &str, token: &str, header: &str, body: &[u8]) -> impl Sized {
        let mut roots = rustls::RootCertStore::empty();
        let ca = rustls_pki_types::pem::PemObject::from_pem_slice(self.ca().as_bytes()).unwrap();
        roots.add(ca).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let address = self.running().address;
        let name = address.ip().into();
        let session = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        let tcp = std::net::TcpStream::connect(address).unwrap();
        let mut stream = rustls::StreamOwned::new(session, tcp);
        let head = format!(
            "PUT {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: {token}\r\n{header}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        stream.flush().unwrap();
        stream
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.operator_raw("GET", path, b"")
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.operator_raw("POST", path, body.to_string().as_bytes())
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> Answer {
        self.operator_raw("PUT", path, body.to_string().as_bytes())
    }

    /// A change of what is at this version.
    pub(crate) fn change(&self, method: &str, path: &str, version: u64, body: &Value) -> Answer {
        let token = format!("Bearer {}", self.running().admin_token);
        let version = format!("\"{version}\"");
        let headers = [("authorization", token.as_str()), ("if-match", &version)];
        self.anyone(method, path, &headers, body.to_string().as_bytes())
    }

    pub(crate) fn enrolment_token(&self, request: &Value) -> String {
        let created = self.post("/v1/enrolment-tokens", request).ok();
        created["provision"]["enrolmentToken"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    pub(crate) fn enrol_request(token: &str, key: &KeyPair) -> Value {
        let csr = CertificateParams::default().serialize_request(key).unwrap();
        json!({
            "enrolmentToken": token, "csrPem": csr.pem().unwrap(), "version": "1.0.0",
            "compatible": "fleet-qemux86-64", "hardware": "QEMU",
        })
    }

    pub(crate) fn enrol_with(&self, token: &str, key: &KeyPair) -> Answer {
        let request = Self::enrol_request(token, key).to_string();
        self.anyone("POST", "/v1/enroll", &[], request.as_bytes())
    }

    pub(crate) fn device(&self, name: &str) -> Device {
        let key = KeyPair::generate().unwrap();
        let token = self.enrolment_token(&json!({"deviceName": name}));
        let enrolled = self.enrol_with(&token, &key).ok();
        self.device_of(key, serde_json::from_value(enrolled).unwrap())
    }

    pub(crate) fn device_of(&self, key: KeyPair, enrolled: EnrollResponse) -> Device {
        let identity = (enrolled.certificate_pem.clone(), key.serialize_pem());
        Device {
            agent: agent(&self.ca(), Some(&identity)),
            id: enrolled.device_id.to_string(),
            token: enrolled.device_token,
            key,
            sequence: 0,
        }
    }

    /// A published release with its bundle; the root hash is that of `root-VERSION`. The release
    /// that new devices run is published with it, or there would be no way back.
    pub(crate) fn publish(&self, version: &str) -> ReleaseMetadata {
        if version != FACTORY_VERSION {
            self.publish_alone(FACTORY_VERSION);
        }
        self.publish_alone(version)
    }

    pub(crate) fn publish_alone(&self, version: &str) -> ReleaseMetadata {
        let bundle = format!("bundle of {version}").into_bytes();
        let digest = Sha256::of(&bundle);
        self.operator_raw("PUT", &format!("/v1/bundles/{digest}"), &bundle)
            .ok();
        let release = release(version, &bundle);
        let envelope = signed(release.to_envelope());
        self.post(
            "/v1/releases",
            &json!({"metadata": envelope, "status": "stable"}),
        )
        .ok();
        release
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            self.runtime.block_on(running.stop());
        }
        if let Some(database) = self.database.take().and_then(Arc::into_inner) {
            self.runtime.block_on(database.drop());
        }
    }
}
