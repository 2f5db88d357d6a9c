//! A control plane on a free port with its data in a temporary folder, and devices to go with it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fleet_control::app::Settings;
use fleet_control::clock::Clock;
use fleet_control::server::{Config, Running, start};
use fleet_protocol::enrolment::EnrollResponse;
use fleet_protocol::trust::Envelope;
use fleet_protocol::trust::{
    BundleRef, KEY_SET_PAYLOAD_TYPE, KeySet, PublicKey, ReleaseMetadata, SigningKey,
};
use fleet_protocol::{Sha256, Version};
use jiff::{SignedDuration, Timestamp};
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use ureq::http::{Request, Response};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};
use ureq::{Agent, Body};

/// What a device runs when it enrols.
pub(crate) const FACTORY_VERSION: &str = "1.0.0";
pub(crate) const OTHER_TENANT_TOKEN: &str = "the-other-tenants-operator-token";

/// A control plane; its clock stands until it is moved.
pub(crate) struct World {
    pub(crate) data: TempDir,
    pub(crate) now: Arc<Mutex<Timestamp>>,
    runtime: Runtime,
    running: Option<Running>,
    agent: Agent,
    settings: Settings,
}

/// A status and a JSON body (null if there is none).
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
    pub(crate) etag: Option<String>,
}

impl Answer {
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert!((200..300).contains(&self.status), "{self:?}");
        self.body
    }

    /// A problem with this status and code, and a hint.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, code: &str) -> Value {
        assert_eq!(
            (self.status, self.body["code"].as_str()),
            (status, Some(code)),
            "{self:?}"
        );
        assert!(
            self.body["hint"].as_str().is_some_and(|h| !h.is_empty()),
            "{self:?}"
        );
        assert!(self.body["requestId"].is_string());
        self.body
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let settings = Settings {
            max_failures: 1_000,
            max_support_bundle_bytes: 100_000,
            support_bundles_kept: 2,
            ..Settings::default()
        };
        Self::with(settings)
    }

    pub(crate) fn with(settings: Settings) -> Self {
        let runtime = Runtime::new().unwrap();
        // Certificates are judged by the system's clock, so the server's begins there.
        let now = Clock::system()
            .now()
            .round(jiff::Unit::Millisecond)
            .unwrap();
        let mut world = Self {
            data: TempDir::new().unwrap(),
            now: Arc::new(Mutex::new(now)),
            runtime,
            running: None,
            agent: Agent::new_with_defaults(),
            settings,
        };
        world.start();
        world
    }

    fn start(&mut self) {
        let now = Arc::clone(&self.now);
        let config = Config {
            data: self.data.path().to_owned(),
            listen: "127.0.0.1:0".parse().unwrap(),
            public_url: None,
            names: Vec::new(),
            settings: self.settings.clone(),
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
    }
}

pub(crate) fn release(version: &str, bundle: &[u8]) -> ReleaseMetadata {
    ReleaseMetadata {
        version: version.parse().unwrap(),
        compatible: "fleet-qemux86-64".parse().unwrap(),
        bundle: BundleRef {
            file_name: format!("fleet-{version}.raucb"),
            sha256: Sha256::of(bundle),
            size_bytes: bundle.len() as u64,
            manifest_sha256: Sha256::of("manifest"),
        },
        root_hash: root_hash(version),
        issued_at: Timestamp::UNIX_EPOCH,
        not_after: Timestamp::MAX,
        min_version: None,
        rollback_floor: None,
        allow_downgrade: false,
        hardware: Vec::new(),
        notes: String::new(),
    }
}

pub(crate) fn root_hash(version: &str) -> Sha256 {
    Sha256::of(format!("root-{version}"))
}

pub(crate) fn signing_key(seed: u8) -> SigningKey {
    SigningKey::from_secret(&[seed; 32])
}

pub(crate) fn signed(mut envelope: Envelope) -> Envelope {
    envelope.sign(&signing_key(1));
    envelope
}

pub(crate) fn key_set(version: u32, signers: &[u8]) -> Envelope {
    key_set_of(version, 1, signers)
}

/// A key set of one key.
pub(crate) fn key_set_of(version: u32, key: u8, signers: &[u8]) -> Envelope {
    let set = KeySet {
        version,
        threshold: 1,
        keys: vec![PublicKey::new("one", signing_key(key).verifying_key())],
        issued_at: Timestamp::UNIX_EPOCH,
    };
    let payload = serde_json::to_vec(&set).unwrap();
    let mut envelope = Envelope::unsigned(KEY_SET_PAYLOAD_TYPE, payload);
    for signer in signers {
        envelope.sign(&signing_key(*signer));
    }
    envelope
}

/// An enrolled device.
pub(crate) struct Device {
    pub(crate) id: String,
    pub(crate) token: String,
    pub(crate) key: KeyPair,
    agent: Agent,
    sequence: u64,
}

impl Device {
    pub(crate) fn raw(
        &self,
        world: &World,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response<Body> {
        let mut all = vec![("x-device-token", self.token.as_str())];
        all.extend(headers);
        send(&self.agent, method, &world.url(path), &all, body)
    }

    pub(crate) fn send(&self, world: &World, method: &str, path: &str, body: &Value) -> Answer {
        answer(self.raw(world, method, path, &[], body.to_string().as_bytes()))
    }

    pub(crate) fn get(&self, world: &World, path: &str) -> Answer {
        answer(self.raw(world, "GET", path, &[], b""))
    }

    pub(crate) fn without_token(&self, world: &World, path: &str, token: Option<&str>) -> Answer {
        let headers: Vec<_> = token.map(|t| ("x-device-token", t)).into_iter().collect();
        answer(send(&self.agent, "GET", &world.url(path), &headers, b""))
    }

    pub(crate) fn target_version(&self, world: &World) -> Option<(String, String)> {
        let target = self.get(world, "/v1/device/target").ok();
        let release = target["release"].as_object()?;
        let text = |name: &str| release[name].as_str().unwrap().to_owned();
        Some((text("kind"), text("version")))
    }

    fn booted(version: &str) -> Value {
        let version: Version = version.parse().unwrap();
        json!({
            "slot": "B", "version": version, "rootHash": root_hash(&version.to_string()), "bootId": "x",
        })
    }

    pub(crate) fn heartbeat(&self, world: &World, version: &str, update: &Value) -> Answer {
        let body = json!({
            "deviceTime": world.now(), "agentVersion": "0.1.0", "compatible": "fleet-qemux86-64",
            "hardware": "QEMU", "role": "signage", "mode": "normal",
            "booted": Self::booted(version), "uptimeSeconds": 4_000, "resetReason": "orderly",
            "update": update,
            "health": [{"name": "units", "ok": true, "detail": "all active"}],
            "metrics": {"cpuPercent": 3.0, "memPercent": 20.0, "diskFreeBytes": 1_000_000_000_u64},
            "network": {"connected": true, "type": "ETHERNET", "addresses": ["10.0.2.15"]},
            "errors": {"controlPlane": 0, "install": 0, "command": 0, "droppedEvents": 0},
            "configVersion": 0, "keySetVersion": 1,
        });
        self.send(world, "POST", "/v1/device/heartbeat", &body)
    }

    pub(crate) fn report(&mut self, world: &World, booted: &str, state: &Value) {
        self.sequence += 1;
        let mut body = json!({
            "sequence": self.sequence, "at": world.now(), "booted": Self::booted(booted),
        });
        let fields = body.as_object_mut().unwrap();
        fields.extend(state.as_object().unwrap().clone());
        self.send(world, "POST", "/v1/device/update-report", &body)
            .ok();
    }

    /// Goes through a whole update, as a healthy device does.
    pub(crate) fn update(&mut self, world: &World, from: &str, to: &str) {
        self.report(
            world,
            from,
            &json!({"state": "rebootPending", "version": to, "slot": "B"}),
        );
        self.commit(world, to);
    }

    pub(crate) fn commit(&mut self, world: &World, version: &str) {
        self.report(
            world,
            version,
            &json!({"state": "committed", "version": version, "slot": "B"}),
        );
    }

    /// The wake-up stream, line by line.
    pub(crate) fn wakeups(&self, world: &World) -> impl Iterator<Item = String> + use<> {
        let response = self.raw(world, "GET", "/v1/device/wakeup", &[], b"");
        assert_eq!(response.status().as_u16(), 200);
        let lines = BufReader::new(response.into_body().into_reader()).lines();
        lines
            .map_while(Result::ok)
            .filter_map(|l| l.strip_prefix("data: ").map(str::to_owned))
    }
}

pub(crate) fn agent(ca: &str, identity: Option<&(String, String)>) -> Agent {
    let certificate = |pem: &str| Certificate::from_pem(pem.as_bytes()).unwrap().to_owned();
    let client = identity.map(|(cert, key)| {
        let key = PrivateKey::from_pem(key.as_bytes()).unwrap();
        ClientCert::new_with_certs(&[certificate(cert)], key)
    });
    let tls = TlsConfig::builder()
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .root_certs(RootCerts::new_with_certs(&[certificate(ca)]))
        .client_cert(client)
        .build();
    Agent::config_builder()
        .tls_config(tls)
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(Duration::from_mins(1)))
        .build()
        .new_agent()
}

fn send(
    agent: &Agent,
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Response<Body> {
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if matches!(method, "GET" | "HEAD" | "DELETE") {
        agent.run(request.body(()).unwrap()).unwrap()
    } else {
        agent.run(request.body(body.to_vec()).unwrap()).unwrap()
    }
}

fn answer(response: Response<Body>) -> Answer {
    let status = response.status().as_u16();
    let etag = response
        .headers()
        .get("etag")
        .map(|v| v.to_str().unwrap().to_owned());
    let text = response.into_body().read_to_string().unwrap();
    Answer {
        status,
        etag,
        body: serde_json::from_str(&text).unwrap_or(Value::String(text)),
    }
}
