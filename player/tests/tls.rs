//! Whom the player speaks to: servers under its own CA, over TLS 1.3, as itself.

#![allow(clippy::unwrap_used, reason = "a test")]

mod cinema;

use std::path::Path;
use std::sync::Arc;

use cinema::player::Player;
use cinema::{HEIGHT, WIDTH};

use fleet_device::request::RequestError;
use fleet_player::control_plane::{ControlPlane, Deadlines, EndpointError, Identity, PlainHttp};
use fleet_player::core::sync::Success;
use fleet_tests::fake_control_plane::{FakeControlPlane, TOKEN};
use fleet_tests::media;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use serde_json::json;

/// A throw-away CA.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            pem,
            issuer: Issuer::new(params, key),
        }
    }

    /// A certificate and its key, both PEM.
    fn sign(&self, usage: ExtendedKeyUsagePurpose) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let names = vec!["127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = vec![usage];
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// Insists on a client's certificate.
    fn server(&self, version: &'static SupportedProtocolVersion) -> ServerConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap();
        roots.add(ca).unwrap();
        let clients = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
        let (certificate, key) = self.sign(ExtendedKeyUsagePurpose::ServerAuth);
        ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_client_cert_verifier(clients.build().unwrap())
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            )
            .unwrap()
    }
}

/// The agent's folder.
fn enrol(folder: &Path, server: &FakeControlPlane, ca: &Authority) {
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    let (certificate, key) = ca.sign(ExtendedKeyUsagePurpose::ClientAuth);
    write("device.cert.pem", &certificate);
    write("device.key.pem", &key);
    write("ca.pem", &ca.pem);
    write("token", TOKEN);
    let identity = json!({"deviceId": "dev_1", "tenantId": "ten_1", "serverUrl": server.url()});
    write("identity.json", &identity.to_string());
}

fn ask(folder: &Path) -> Result<Success, RequestError> {
    let identity = Identity::read(folder).unwrap();
    let control_plane =
        ControlPlane::new(&identity, PlainHttp::LoopbackOnly, Deadlines::default()).unwrap();
    control_plane.manifest(None)
}

#[test]
fn the_player_speaks_tls_1_3_to_servers_under_its_own_ca_and_shows_its_certificate() {
    let (own, foreign) = (Authority::new(), Authority::new());
    let tls13 = &rustls::version::TLS13;
    let folder = tempfile::tempdir().unwrap();
    let serve = |config: ServerConfig| {
        let server = FakeControlPlane::start_tls(folder.path(), config).unwrap();
        server.set_manifest(json!({
            "manifestEtag": "one", "validToUtc": "2030-01-01T00:00:00Z",
            "nextCheckSeconds": 60, "playlist": null,
        }));
        server
    };
    let refused = |server: &FakeControlPlane, what: &str| {
        let error = ask(folder.path()).unwrap_err();
        assert!(
            matches!(error, RequestError::Tls { .. }),
            "{what}: {error:?}"
        );
        assert!(
            server.requests().is_empty(),
            "{what}: the token has left the device"
        );
    };

    let server = serve(own.server(tls13));
    enrol(folder.path(), &server, &own);
    assert!(matches!(ask(folder.path()), Ok(Success::Manifest { .. })));
    assert_eq!(server.requests().len(), 1);

    std::fs::remove_file(folder.path().join("device.cert.pem")).unwrap();
    let server = serve(own.server(tls13));
    let url = json!({"serverUrl": server.url()}).to_string();
    std::fs::write(folder.path().join("identity.json"), url).unwrap();
    refused(&server, "without a certificate");

    let server = serve(foreign.server(tls13));
    enrol(folder.path(), &server, &own);
    refused(&server, "another CA");

    let server = serve(own.server(&rustls::version::TLS12));
    enrol(folder.path(), &server, &own);
    refused(&server, "TLS 1.2");
}

#[test]
fn without_its_ca_the_player_speaks_to_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let own = Authority::new();
    let server =
        FakeControlPlane::start_tls(folder.path(), own.server(&rustls::version::TLS13)).unwrap();
    enrol(folder.path(), &server, &own);
    std::fs::remove_file(folder.path().join("ca.pem")).unwrap();
    let identity = Identity::read(folder.path()).unwrap();
    let refused = ControlPlane::new(&identity, PlainHttp::Anywhere, Deadlines::default());
    assert!(matches!(refused, Err(EndpointError::Identity(_))));
}

/// A control plane over TLS with one picture, and a device that belongs to nobody yet.
fn venue(own: &Authority) -> (FakeControlPlane, tempfile::TempDir, tempfile::TempDir) {
    let (files, device) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let config = own.server(&rustls::version::TLS13);
    let server = FakeControlPlane::start_tls(files.path(), config).unwrap();
    let path = files.path().join("1.png");
    media::write_picture(&path, 1, WIDTH, HEIGHT).unwrap();
    let item = server.item(&server.url(), "1.png", "IMAGE", 1, (WIDTH, HEIGHT));
    server.publish("one", 5, &[item.unwrap()]);
    std::fs::create_dir(device.path().join("identity")).unwrap();
    (server, files, device)
}

#[test]
fn a_player_that_is_paired_while_it_runs_fetches_its_media_over_https() {
    let own = Authority::new();
    let (server, _files, device) = venue(&own);
    let player = Player::start(device.path());
    player.eyes.watch(|_| true);
    enrol(&device.path().join("identity"), &server, &own);
    player.eyes.watch_for(1);
}

#[test]
fn a_renewed_certificate_is_used_without_a_restart() {
    let (own, foreign) = (Authority::new(), Authority::new());
    let (server, _files, device) = venue(&own);
    let identity = device.path().join("identity");
    enrol(&identity, &server, &own);
    let write = |name: &str, text: &str| std::fs::write(identity.join(name), text).unwrap();
    let (refused, refused_key) = foreign.sign(ExtendedKeyUsagePurpose::ClientAuth);
    let (renewed, key) = own.sign(ExtendedKeyUsagePurpose::ClientAuth);
    write("device.cert.pem", &refused);
    write("device.key.pem", &refused_key);
    let player = Player::start(device.path());
    player.eyes.watch(|_| true);
    assert!(server.requests().is_empty());
    // As the agent does it: the certificate alone changes. The key here is another one's.
    write("device.key.pem", &key);
    write("device.cert.pem", &renewed);
    player.eyes.watch_for(1);
}
