use std::sync::Mutex;

use jiff::SignedDuration;
use rustls::time_provider::TimeProvider;
use rustls_pki_types::{ServerName, UnixTime};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio_rustls::{TlsConnector, client, server};

use super::*;
use crate::server::tls::acceptor;

const DAY: SignedDuration = SignedDuration::from_hours(24);

/// A server that only shakes hands, and a client that believes the same clock.
struct World {
    _folder: TempDir,
    now: Arc<Mutex<Timestamp>>,
    authority: Arc<Authority>,
    live: Arc<LiveCertificate>,
}

#[derive(Debug)]
struct ItsTime(Arc<Mutex<Timestamp>>);

impl TimeProvider for ItsTime {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.lock().unwrap().as_second()).unwrap();
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

type Link = (
    client::TlsStream<DuplexStream>,
    server::TlsStream<DuplexStream>,
);

impl World {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let start: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
        let authority = Arc::new(Authority::open(folder.path(), start).unwrap());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let (names, path) = (vec!["localhost".to_owned()], folder.path().to_owned());
        let opened = LiveCertificate::open(Arc::clone(&authority), path, names, provider, start);
        Self {
            _folder: folder,
            now: Arc::new(Mutex::new(start)),
            authority,
            live: opened.unwrap(),
        }
    }

    fn pass(&self, time: SignedDuration) {
        *self.now.lock().unwrap() += time;
    }

    fn clock(&self) -> Clock {
        let now = Arc::clone(&self.now);
        Clock::from_fn(move || *now.lock().unwrap())
    }

    async fn connect(&self) -> std::io::Result<Link> {
        let mut roots = rustls::RootCertStore::empty();
        let ca = CertificateDer::from(self.authority.certificate_der().to_vec());
        roots.add(ca).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let time = Arc::new(ItsTime(Arc::clone(&self.now)));
        let config = rustls::ClientConfig::builder_with_details(provider, time)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let acceptor = acceptor(&self.authority, &self.live).unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        tokio::try_join!(connector.connect(name, ours), acceptor.accept(theirs))
    }
}

fn presented(link: &Link) -> CertificateDer<'static> {
    link.0.get_ref().1.peer_certificates().unwrap()[0].clone()
}

async fn echo(link: &mut Link) {
    link.0.write_all(b"still here").await.unwrap();
    link.0.flush().await.unwrap();
    let mut heard = [0; 10];
    link.1.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"still here");
}

#[tokio::test]
async fn a_certificate_that_nobody_renewed_is_refused_at_its_end() {
    let world = World::new();
    world.pass(DAY * 396);
    world.connect().await.unwrap();
    world.pass(DAY * 2);
    assert!(world.connect().await.is_err());
}

#[tokio::test]
async fn a_renewed_certificate_serves_new_connections_and_old_ones_go_on() {
    let world = World::new();
    let mut old = world.connect().await.unwrap();
    world.pass(DAY * 366);
    assert_eq!(world.live.renew(*world.now.lock().unwrap()).unwrap(), None);
    world.pass(DAY * 2);
    let now = *world.now.lock().unwrap();
    assert_eq!(world.live.renew(now).unwrap(), Some(now + DAY * 397));
    let new = world.connect().await.unwrap();
    assert_ne!(presented(&old), presented(&new));
    echo(&mut old).await;
    world.pass(DAY * 300);
    world.connect().await.unwrap();
}

#[tokio::test]
async fn a_certificate_from_a_clock_that_ran_ahead_is_replaced() {
    let world = World::new();
    world.pass(DAY * -3);
    assert!(world.connect().await.is_err());
    let now = *world.now.lock().unwrap();
    world.live.renew(now).unwrap().unwrap();
    world.connect().await.unwrap();
}

#[tokio::test]
async fn a_renewal_that_fails_leaves_the_certificate_in_force() {
    let world = World::new();
    let before = world.connect().await.unwrap();
    world.pass(DAY * 370);
    let key = world.live.folder.join("server.key.new");
    std::fs::create_dir(&key).unwrap();
    let now = *world.now.lock().unwrap();
    world.live.renew(now).unwrap_err();
    assert_eq!(
        presented(&world.connect().await.unwrap()),
        presented(&before)
    );
    std::fs::remove_dir(&key).unwrap();
    world.live.renew(now).unwrap().unwrap();
}

/// Time passes by itself here: the runtime skips to the next timer.
#[tokio::test(start_paused = true)]
async fn a_server_that_runs_for_two_years_never_presents_an_expired_certificate() {
    let world = World::new();
    let (_end, shutdown) = watch::channel(false);
    let keeper = tokio::spawn(Arc::clone(&world.live).keep(world.clock(), shutdown));
    for _ in 0..73 {
        world.pass(DAY * 10);
        tokio::time::sleep(2 * LOOK_EVERY).await;
        world.connect().await.unwrap();
    }
    assert!(!keeper.is_finished());
}

#[tokio::test(start_paused = true)]
async fn the_keeper_ends_with_the_control_plane() {
    let world = World::new();
    let (end, shutdown) = watch::channel(false);
    let keeper = tokio::spawn(Arc::clone(&world.live).keep(world.clock(), shutdown));
    end.send_replace(true);
    keeper.await.unwrap();
}
