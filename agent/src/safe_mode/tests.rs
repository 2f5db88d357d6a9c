//! The page of safe mode as a phone meets it: forms in, pages out, actions watched.

mod actions;
mod bundles;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use fleet_protocol::trust::{
    BundleRef, Envelope, KeySet, PublicKey, ReleaseMetadata, SigningKey, TrustedKeys,
    VerifiedRelease,
};
use fleet_protocol::update::Slot;
use fleet_protocol::{Sha256, Version};
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tower::ServiceExt as _;

use super::actions::{ActionError, Actions, Repair, SshOpened, UsbBundle};
use super::ssh_key::SshKey;
use super::{App, DataState, Facts, Gate, SlotLine, network, pin::Pin, router};
use crate::core::Monotonic;
use crate::page::tests::{assert_light_and_without_script, keep_for_a_person};
use crate::platform::paths::Paths;
use crate::platform::rauc::Progress;

const BUNDLE: &[u8] = b"a bundle of a few bytes";

/// Writes down what it is asked to do.
struct Watched {
    calls: Arc<Mutex<Vec<String>>>,
    ended: watch::Sender<u32>,
    usb: Vec<UsbBundle>,
}

fn key() -> SigningKey {
    SigningKey::from_secret(&[5; 32])
}

fn release() -> ReleaseMetadata {
    ReleaseMetadata {
        version: Version::new(2, 0, 0),
        compatible: "fleet-test".parse().unwrap(),
        bundle: BundleRef {
            file_name: "fleet-2.0.0.raucb".to_owned(),
            sha256: Sha256::of(BUNDLE),
            size_bytes: BUNDLE.len() as u64,
            manifest_sha256: Sha256::of("manifest"),
        },
        root_hash: Sha256::of("root"),
        issued_at: Timestamp::UNIX_EPOCH,
        not_after: Timestamp::MAX,
        min_version: None,
        rollback_floor: None,
        allow_downgrade: false,
        hardware: Vec::new(),
        notes: String::new(),
    }
}

fn envelope(signed: bool) -> Vec<u8> {
    let payload = serde_json::to_vec(&release()).unwrap();
    let mut envelope = Envelope::unsigned(fleet_protocol::trust::RELEASE_PAYLOAD_TYPE, payload);
    if signed {
        envelope.sign(&key());
    }
    serde_json::to_vec(&envelope).unwrap()
}

fn trusted() -> TrustedKeys {
    let set = KeySet {
        version: 1,
        threshold: 1,
        keys: vec![PublicKey::new("test", key().verifying_key())],
        issued_at: Timestamp::UNIX_EPOCH,
    };
    let payload = serde_json::to_vec(&set).unwrap();
    let mut envelope = Envelope::unsigned(fleet_protocol::trust::KEY_SET_PAYLOAD_TYPE, payload);
    envelope.sign(&key());
    TrustedKeys::from_image(&envelope).unwrap()
}

pub(super) fn facts() -> Facts {
    Facts {
        device: "dev_4f2a9c0d11e07b3a".to_owned(),
        cause: "fleet-player.service failed 5 times in a short time.".to_owned(),
        version: "1.4.0".to_owned(),
        slot: Some(Slot::B),
        slots: vec![
            SlotLine {
                slot: Slot::A,
                booted: false,
                version: "1.3.2".to_owned(),
                good: true,
            },
            SlotLine {
                slot: Slot::B,
                booted: true,
                version: "1.4.0".to_owned(),
                good: false,
            },
        ],
        slots_problem: None,
        update: Some("Version 1.5.0 failed and was rolled back.".to_owned()),
        data: DataState::ReadOnly,
        addresses: vec!["192.168.178.120".to_owned()],
        board: "QEMU Standard PC".to_owned(),
        serial_number: Some("10000000a1b2c3d4".to_owned()),
        temperature_c: Some(48.0),
        uptime_seconds: 95,
        log: (0..40)
            .map(|n| {
                format!(
                    "Mar 01 09:30:{n:02} fleet-player[812]: pipeline <error> {}",
                    "x".repeat(150)
                )
            })
            .collect(),
    }
}

impl Watched {
    fn note(&self, call: impl Into<String>) {
        self.calls.lock().unwrap().push(call.into());
    }
}

impl Actions for Watched {
    async fn facts(&self) -> Facts {
        facts()
    }

    async fn retry(&self) -> Result<(), ActionError> {
        self.note("retry");
        Ok(())
    }

    async fn roll_back(&self) -> Result<Slot, ActionError> {
        self.note("roll back");
        Err(ActionError::new("slot A is empty", "install a bundle"))
    }

    async fn reboot(&self) -> Result<(), ActionError> {
        self.note("reboot");
        Ok(())
    }

    async fn reload_network(&self, interface: &str) -> Result<(), ActionError> {
        self.note(format!("network {interface}"));
        Ok(())
    }

    async fn usb_bundles(&self) -> Vec<UsbBundle> {
        self.usb.clone()
    }

    async fn admit(&self, envelope: Vec<u8>) -> Result<VerifiedRelease, ActionError> {
        let envelope: Envelope =
            serde_json::from_slice(&envelope).map_err(|e| ActionError::new(e, "hint"))?;
        VerifiedRelease::verify(&envelope, &trusted())
            .map_err(|e| ActionError::new(e, "take a signed one"))
    }

    async fn install(
        &self,
        bundle: PathBuf,
        release: VerifiedRelease,
        _: mpsc::Sender<Progress>,
    ) -> Result<Slot, ActionError> {
        let content = std::fs::read(&bundle).unwrap();
        self.note(format!(
            "install {} of {} bytes",
            release.metadata().version,
            content.len()
        ));
        self.ended.send_modify(|count| *count += 1);
        Ok(Slot::A)
    }

    async fn open_ssh(&self, key: SshKey) -> Result<SshOpened, ActionError> {
        self.note(format!("ssh {}", key.authorized_line().trim()));
        Ok(SshOpened {
            minutes: 60,
            host_fingerprint: "SHA256:abc".to_owned(),
        })
    }

    async fn close_ssh(&self) -> Result<(), ActionError> {
        self.note("close ssh");
        Ok(())
    }

    async fn repair_data(&self, repair: Repair) -> Result<(), ActionError> {
        self.note(format!("{repair:?}"));
        Ok(())
    }
}

struct Phone {
    router: Router,
    calls: Arc<Mutex<Vec<String>>>,
    ended: watch::Receiver<u32>,
    paths: Paths,
    cookie: Option<String>,
    _root: tempfile::TempDir,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    page: String,
}

fn phone() -> Phone {
    let root = tempfile::tempdir().unwrap();
    let paths = Paths::under(root.path());
    for folder in ["eth0", "wlan0/wireless"] {
        std::fs::create_dir_all(paths.sys.join("class/net").join(folder)).unwrap();
    }
    std::fs::create_dir_all(&paths.proc).unwrap();
    std::fs::create_dir_all(&paths.run).unwrap();
    std::fs::write(paths.proc.join("meminfo"), "MemAvailable:  2621440 kB\n").unwrap();
    let stick = root.path().join("stick");
    std::fs::create_dir_all(&stick).unwrap();
    std::fs::write(stick.join("good.raucb"), BUNDLE).unwrap();
    std::fs::write(stick.join("good.release.json"), envelope(true)).unwrap();
    std::fs::write(stick.join("lonely.raucb"), BUNDLE).unwrap();
    std::fs::write(stick.join("unsigned.raucb"), BUNDLE).unwrap();
    std::fs::write(stick.join("unsigned.release.json"), envelope(false)).unwrap();
    let calls = Arc::new(Mutex::new(Vec::new()));
    let (ended, receiver) = watch::channel(0);
    let actions = Watched {
        calls: Arc::clone(&calls),
        ended,
        usb: super::usb::list("sdb1", &stick),
    };
    let gate = Gate::new(&paths, Pin::parse("48219037").unwrap(), Monotonic(0));
    let app = App::new(actions, paths.clone(), gate);
    Phone {
        router: router(Arc::new(app)),
        calls,
        ended: receiver,
        paths,
        cookie: None,
        _root: root,
    }
}

impl Phone {
    async fn send(&self, request: axum::http::request::Builder, body: impl Into<Body>) -> Answer {
        let mut request = request.header(header::HOST, "192.168.178.120");
        if let Some(cookie) = &self.cookie {
            request = request.header(header::COOKIE, cookie);
        }
        let response = self
            .router
            .clone()
            .oneshot(request.body(body.into()).unwrap())
            .await
            .unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        Answer {
            status,
            headers,
            page: String::from_utf8_lossy(&bytes).into_owned(),
        }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path), Body::empty()).await
    }

    async fn post(&self, path: &str, form: &str) -> Answer {
        let request =
            Request::post(path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(request, form.to_owned()).await
    }

    /// Gives the PIN; returns the form token.
    async fn log_in(&mut self) -> String {
        let answer = self.post("/login", "pin=4821+9037").await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.page);
        let cookie = answer.headers[header::SET_COOKIE].to_str().unwrap();
        assert!(
            cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"),
            "{cookie}"
        );
        self.cookie = Some(cookie.split(';').next().unwrap().to_owned());
        let page = self.get("/").await.page;
        let start = page.find("name=\"token\" value=\"").unwrap() + 20;
        page[start..start + 64].to_owned()
    }

    fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }

    async fn upload(&self, token: &str, metadata: &[u8], bundle: &[u8]) -> Answer {
        let mut body = Vec::new();
        for (name, content) in [
            ("token", token.as_bytes()),
            ("metadata", metadata),
            ("bundle", bundle),
        ] {
            body.extend_from_slice(
                format!("--limit\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"f\"\r\n\r\n").as_bytes(),
            );
            body.extend_from_slice(content);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"--limit--\r\n");
        let request = Request::post("/upload")
            .header(header::CONTENT_TYPE, "multipart/form-data; boundary=limit");
        self.send(request, body).await
    }
}

#[tokio::test]
async fn a_guest_sees_what_happened_and_neither_log_nor_actions() {
    let phone = phone();
    let answer = phone.get("/").await;
    keep_for_a_person("door.html", &answer.page);
    assert_eq!(answer.status, StatusCode::OK);
    assert!(answer.page.contains("fleet-player.service failed 5 times"));
    assert!(!answer.page.contains("pipeline") && !answer.page.contains("/reboot"));
    assert!(!answer.page.contains("4821"), "the PIN is not on the page");
    assert_light_and_without_script(&answer.page);
    assert_eq!(
        phone.get("/support-bundle").await.status,
        StatusCode::FORBIDDEN
    );
}

#[tokio::test]
async fn after_the_pin_everything_is_on_one_light_page() {
    let mut phone = phone();
    phone.log_in().await;
    let answer = phone.get("/").await;
    keep_for_a_person("safe-mode.html", &answer.page);
    for expected in [
        "pipeline &#60;error&#62;",
        "slot A, version 1.3.2",
        "wlan0 (Wi-Fi)",
        "read-only",
        "good.raucb (sdb1)",
    ] {
        assert!(answer.page.contains(expected), "{expected}");
    }
    assert_light_and_without_script(&answer.page);
    assert!(
        answer.headers[header::CONTENT_SECURITY_POLICY]
            .to_str()
            .unwrap()
            .contains("frame-ancestors 'none'")
    );
}

#[tokio::test]
async fn wrong_pins_lock_the_page_and_a_restart_does_not_open_it() {
    let phone = phone();
    for _ in 0..5 {
        let answer = phone.post("/login", "pin=00000000").await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN);
        assert!(!answer.headers.contains_key(header::SET_COOKIE));
    }
    let locked = phone.post("/login", "pin=48219037").await;
    keep_for_a_person("locked.html", &locked.page);
    assert_eq!(locked.status, StatusCode::FORBIDDEN);
    assert!(
        locked.page.contains("Too many wrong PINs"),
        "{}",
        locked.page
    );
    let restarted = Gate::new(&phone.paths, Pin::parse("48219037").unwrap(), Monotonic(0));
    assert!(restarted.log_in("48219037", Monotonic(0)).is_err());
    restarted.presence();
    assert!(
        restarted.log_in("48219037", Monotonic(0)).is_ok(),
        "somebody is at the device"
    );
}

#[tokio::test]
async fn no_form_acts_without_its_session_and_its_token() {
    let mut phone = phone();
    let forms = [
        "/retry",
        "/rollback",
        "/reboot",
        "/network/keep",
        "/network/undo",
        "/ssh/close",
        "/logout",
    ];
    let more = [
        ("/network", "interface=eth0&mode=dhcp"),
        ("/usb", "bundle=x"),
        ("/ssh", "key=x"),
        ("/data", "repair=format&confirm=FORMAT"),
    ];
    let all: Vec<(&str, &str)> = forms.iter().map(|path| (*path, "")).chain(more).collect();
    for (path, fields) in &all {
        let answer = phone
            .post(path, &format!("token={}&{fields}", "0".repeat(64)))
            .await;
        assert_eq!(
            answer.status,
            StatusCode::FORBIDDEN,
            "{path} without a session"
        );
    }
    let token = phone.log_in().await;
    for (path, fields) in &all {
        let answer = phone
            .post(path, &format!("token={}&{fields}", "0".repeat(64)))
            .await;
        assert_eq!(
            answer.status,
            StatusCode::FORBIDDEN,
            "{path} with a guessed token"
        );
        let request = Request::post(*path)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ORIGIN, "http://evil.example");
        let answer = phone.send(request, format!("token={token}&{fields}")).await;
        assert_eq!(
            answer.status,
            StatusCode::FORBIDDEN,
            "{path} from another site"
        );
    }
    assert_eq!(
        phone
            .upload(&"0".repeat(64), &envelope(true), BUNDLE)
            .await
            .status,
        StatusCode::FORBIDDEN
    );
    assert_eq!(phone.calls(), [""; 0]);
}
