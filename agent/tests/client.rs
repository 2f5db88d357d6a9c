//! The client and the bundle proxy against a real TLS server that misbehaves.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use fleet_agent::client::bundle_proxy::{BundleProxy, BundleSource, Place, SourceError};
use fleet_agent::client::{
    ClientIdentity, ControlPlane, DeviceToken, Endpoint, TargetAnswer, TimeFloor,
};
use fleet_device::limit::Limiter;
use fleet_device::request::RequestError;
use fleet_protocol::event::EventBatch;
use fleet_protocol::target::Target;
use jiff::Timestamp;
use support::https::{self, Response, Server};
use support::pki::Pki;

fn endpoint(server: &Server, pki: &Pki) -> Endpoint {
    Endpoint {
        server_url: server.url(),
        ca_pem: pki.ca_pem.clone(),
        floor: TimeFloor::default(),
        request_timeout: Duration::from_secs(10),
    }
}

fn device(server: &Server, pki: &Pki) -> ControlPlane {
    device_at(&endpoint(server, pki), pki)
}

fn device_at(endpoint: &Endpoint, pki: &Pki) -> ControlPlane {
    let (certificate_pem, key_pem) = pki.client();
    let identity = ClientIdentity {
        certificate_pem,
        key_pem,
    };
    let token = DeviceToken::new("t".repeat(64));
    ControlPlane::as_device(endpoint, &identity, token).unwrap()
}

fn batch() -> EventBatch {
    EventBatch {
        device_time: Timestamp::UNIX_EPOCH,
        events: Vec::new(),
    }
}

#[test]
fn a_device_shows_its_certificate_and_its_token() {
    let pki = Pki::new();
    let server = Server::start(&pki, |request| {
        assert!(request.has_certificate);
        assert_eq!(request.headers["x-device-token"].len(), 64);
        Response::new(204)
    });
    device(&server, &pki).events(&batch()).unwrap();
}

#[test]
fn a_problem_document_becomes_an_error_with_its_hint() {
    let pki = Pki::new();
    let server = Server::start(&pki, |_| {
        let problem = serde_json::json!({
            "type": "https://fleet.invalid/errors/NOT_FOUND", "title": "Not found", "status": 404,
            "code": "NOT_FOUND", "detail": "no such device", "hint": "enrol again",
            "instance": "/", "requestId": "r1"
        });
        let body = serde_json::to_vec(&problem).unwrap();
        Response::new(404)
            .header("content-type", "application/problem+json")
            .body(body)
    });
    let error = device(&server, &pki).events(&batch()).unwrap_err();
    assert_eq!(error.hint(), "enrol again");
    assert_eq!(error.status(), Some(404));
    assert!(!error.is_refused_content());
}

#[test]
fn a_target_that_has_not_changed_is_not_sent_again() {
    let pki = Pki::new();
    let server = Server::start(&pki, |request| {
        if request
            .headers
            .get("if-none-match")
            .is_some_and(|e| e == "\"7\"")
        {
            return Response::new(304);
        }
        Response::json(200, &Target::default()).header("etag", "\"7\"")
    });
    let client = device(&server, &pki);
    let TargetAnswer::New { etag, .. } = client.target(None).unwrap() else {
        panic!("the first answer is new")
    };
    assert_eq!(
        client.target(etag.as_deref()).unwrap(),
        TargetAnswer::NotModified
    );
}

/// Whether a device that knows for certain that it is `certain` speaks to a server whose certificate
/// is valid between two years; the clock of the machine is in neither.
fn speaks(certain: &str, from_year: i32, to_year: i32) -> Result<(), RequestError> {
    let pki = Pki::with_server_valid(from_year, to_year);
    let server = Server::start(&pki, |_| Response::new(204));
    let endpoint = endpoint(&server, &pki);
    endpoint.floor.raise(certain.parse().unwrap());
    let answer = device_at(&endpoint, &pki).events(&batch());
    let end = jiff::civil::date(to_year.try_into().unwrap(), 1, 1);
    let end = end.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp();
    let met = endpoint.floor.peer_not_after();
    assert_eq!(met == Some(end), answer.is_ok(), "{met:?}");
    answer
}

#[test]
fn a_clock_that_runs_ahead_or_behind_does_not_cut_the_server_off() {
    // To this certificate the machine's clock is decades ahead, to the other decades behind.
    speaks("2001-06-01T00:00:00Z", 2000, 2002).unwrap();
    speaks("2001-06-01T00:00:00Z", 2090, 2091).unwrap();
}

#[test]
fn a_server_whose_certificate_has_certainly_ended_is_not_believed() {
    let error = speaks("2002-06-01T00:00:00Z", 2000, 2002).unwrap_err();
    assert!(matches!(error, RequestError::Tls { .. }), "{error}");
}

#[test]
fn a_server_of_another_ca_is_not_believed() {
    let server = Server::start(&Pki::new(), |_| Response::new(204));
    let error = device(&server, &Pki::new()).events(&batch()).unwrap_err();
    assert!(matches!(error, RequestError::Tls { .. }), "{error}");
    assert_eq!(server.requests.load(Ordering::Relaxed), 0);
}

#[test]
fn a_server_without_tls_1_3_is_not_spoken_to() {
    let pki = Pki::new();
    let config = https::config(&pki, &[&rustls::version::TLS12]);
    let server = Server::start_with(config, |_| Response::new(204));
    let error = device(&server, &pki).events(&batch()).unwrap_err();
    assert!(matches!(error, RequestError::Tls { .. }), "{error}");
}

#[test]
fn an_endless_answer_is_cut() {
    let pki = Pki::new();
    let server = Server::start(&pki, |_| {
        Response::new(200).body(vec![b' '; 3 * 1024 * 1024])
    });
    assert!(device(&server, &pki).commands().is_err());
}

#[test]
fn wakeups_arrive_as_they_are_sent() {
    let pki = Pki::new();
    let (wakeups, events) = mpsc::channel();
    let events = Mutex::new(Some(events));
    let server = Server::start(&pki, move |_| {
        let mut response = Response::new(200)
            .header("content-type", "text/event-stream")
            .body(b": hi\n\n".to_vec());
        response.stream = events.lock().unwrap().take();
        response
    });
    let mut stream = device(&server, &pki).wakeup().unwrap();
    let event = "event: wakeup\ndata: {\"reason\":\"target\"}\n\n";
    wakeups.send(event.to_owned()).unwrap();
    let wakeup = stream.next_wakeup().unwrap();
    assert_eq!(wakeup.as_deref(), Some("{\"reason\":\"target\"}"));
}

/// Bytes in which every position can be told from every other.
#[allow(clippy::cast_possible_truncation, reason = "the low byte is meant")]
fn bundle(size: usize) -> Vec<u8> {
    (0..size)
        .map(|i| (i ^ (i >> 8) ^ (i >> 16)) as u8)
        .collect()
}

struct Bench {
    file: Arc<Vec<u8>>,
    server: Server,
    proxy: BundleProxy,
}

fn bench(size: usize, claimed: u64, limiter: Limiter) -> Bench {
    let pki = Pki::new();
    let file = Arc::new(bundle(size));
    let content = file.clone();
    let server = Server::start(&pki, move |request| https::range_of(&content, &request));
    let source = BundleSource {
        size_bytes: claimed,
        place: Place::ControlPlane {
            client: device(&server, &pki),
            path: "/v1/device/bundles/00".to_owned(),
        },
    };
    let proxy = BundleProxy::start(source, limiter).unwrap();
    Bench {
        file,
        server,
        proxy,
    }
}

/// One request on a connection of its own; status and body.
fn get(url: &str, range: Option<(u64, u64)>) -> (u16, Vec<u8>) {
    let (address, path) = url
        .strip_prefix("http://")
        .unwrap()
        .split_once('/')
        .unwrap();
    let mut connection = TcpStream::connect(address).unwrap();
    let range = range.map_or(String::new(), |(a, b)| format!("Range: bytes={a}-{b}\r\n"));
    let request = format!("GET /{path} HTTP/1.1\r\nHost: x\r\n{range}Connection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    let status = std::str::from_utf8(&answer[9..12])
        .unwrap()
        .parse()
        .unwrap();
    (status, answer[end..].to_vec())
}

#[test]
fn rauc_gets_the_ranges_that_it_asks_for() {
    let bench = bench(300_000, 300_000, Limiter::default());
    let url = bench.proxy.url();
    assert_eq!(get(&url, Some((0, 3))), (206, bench.file[..4].to_vec()));
    assert_eq!(
        get(&url, Some((299_990, 299_999))),
        (206, bench.file[299_990..].to_vec())
    );
    assert_eq!(get(&url, None), (200, bench.file.to_vec()));
    assert_eq!(get(&url, Some((300_000, 300_001))).0, 416);
    assert_eq!(get(&format!("{url}x"), None).0, 404);
}

#[test]
fn a_connection_cut_in_mid_body_goes_on_where_it_broke_off() {
    let size = 3_000_000;
    let bench = bench(size, size as u64, Limiter::default());
    *bench.server.faults.cut_after.lock().unwrap() = Some(1_234_567);
    let (status, body) = get(&bench.proxy.url(), Some((0, size as u64 - 1)));
    assert_eq!(status, 206);
    assert!(body == *bench.file, "the bytes differ");
    let downloaded = bench.proxy.downloaded_bytes();
    assert_eq!(downloaded, size as u64, "nothing is downloaded twice");
    // The tail, the range, and the range again from where it broke off.
    assert_eq!(bench.server.requests.load(Ordering::Relaxed), 3);
}

#[test]
fn a_server_that_gives_less_than_was_asked_for_is_asked_for_the_rest() {
    let pki = Pki::new();
    let (size, most) = (500_000, 60_000);
    let file = bundle(size);
    let content = file.clone();
    let server = Server::start(&pki, move |mut request| {
        let range = request.headers.get("range").cloned().unwrap();
        let (from, to) = range["bytes=".len()..].split_once('-').unwrap();
        let from: usize = from.parse().unwrap();
        let to = to.parse::<usize>().unwrap().min(from + most - 1);
        let shorter = format!("bytes={from}-{to}");
        request.headers.insert("range".to_owned(), shorter);
        https::range_of(&content, &request)
    });
    let source = BundleSource {
        size_bytes: size as u64,
        place: Place::ControlPlane {
            client: device(&server, &pki),
            path: "/b".to_owned(),
        },
    };
    let proxy = BundleProxy::start(source, Limiter::default()).unwrap();
    let (status, body) = get(&proxy.url(), Some((0, size as u64 - 1)));
    assert_eq!(status, 206);
    assert!(body == file, "the bytes differ");
    assert_eq!(proxy.trouble(), None);
    assert_eq!(proxy.downloaded_bytes(), size as u64);
}

#[test]
fn a_server_that_is_away_for_a_while_is_waited_for() {
    let bench = bench(500_000, 500_000, Limiter::default());
    bench.server.faults.refuse.store(3, Ordering::Relaxed);
    let (status, body) = get(&bench.proxy.url(), Some((0, 499_999)));
    assert_eq!(status, 206);
    assert!(body == *bench.file, "the bytes differ");
}

#[test]
fn a_sequential_reader_needs_few_requests_and_no_byte_twice() {
    let size = 8 * 1024 * 1024;
    let bench = bench(size, size as u64, Limiter::default());
    let step = 64 * 1024;
    for from in (0..size).step_by(step) {
        let (_, body) = get(
            &bench.proxy.url(),
            Some((from as u64, (from + step - 1) as u64)),
        );
        assert!(body == bench.file[from..from + step], "at {from}");
    }
    assert_eq!(bench.proxy.downloaded_bytes(), size as u64);
    let requests = bench.server.requests.load(Ordering::Relaxed);
    assert!(requests <= 20, "{requests} requests for 128 ranges");
}

#[test]
fn a_jumping_reader_downloads_only_what_it_asks_for() {
    let size = 8 * 1024 * 1024;
    let bench = bench(size, size as u64, Limiter::default());
    let jumps: Vec<u64> = (0..40).map(|i| (i * 37 % 40) * 200_000).collect();
    for from in &jumps {
        let (_, body) = get(&bench.proxy.url(), Some((*from, from + 4095)));
        assert_eq!(body.len(), 4096);
    }
    assert_eq!(bench.proxy.downloaded_bytes(), 40 * 4096);
}

#[test]
fn neighbouring_ranges_asked_at_once_are_all_right() {
    let size = 4 * 1024 * 1024;
    let bench = bench(size, size as u64, Limiter::default());
    let url = bench.proxy.url();
    let step = 128 * 1024;
    std::thread::scope(|scope| {
        for lane in 0..4 {
            let (url, file) = (&url, &bench.file);
            scope.spawn(move || {
                for from in (lane * step..size).step_by(4 * step) {
                    let (_, body) = get(url, Some((from as u64, (from + step - 1) as u64)));
                    assert!(body == file[from..from + step], "at {from}");
                }
            });
        }
    });
    let downloaded = bench.proxy.downloaded_bytes();
    assert!(
        downloaded < 2 * size as u64,
        "{downloaded} bytes for {size}"
    );
}

#[test]
fn a_bundle_of_another_size_than_the_release_says_is_wrong() {
    let bench = bench(100_000, 200_000, Limiter::default());
    assert_eq!(get(&bench.proxy.url(), Some((0, 3))).0, 404);
    assert!(matches!(bench.proxy.trouble(), Some(SourceError::Wrong(_))));
}

#[test]
fn the_bandwidth_limit_is_kept() {
    let bench = bench(600_000, 600_000, Limiter::new(400_000));
    let began = Instant::now();
    let (_, body) = get(&bench.proxy.url(), Some((0, 599_999)));
    assert_eq!(body.len(), 600_000);
    assert!(
        began.elapsed() >= Duration::from_millis(1_200),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn a_server_that_changes_the_signature_between_two_looks_is_not_listened_to() {
    let pki = Pki::new();
    let swapped = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (swap, file) = (swapped.clone(), bundle(400_000));
    let first = file.clone();
    let server = Server::start(&pki, move |request| {
        let mut file = file.clone();
        if swap.load(Ordering::Relaxed) {
            file.fill(0);
        }
        https::range_of(&file, &request)
    });
    let source = BundleSource {
        size_bytes: 400_000,
        place: Place::ControlPlane {
            client: device(&server, &pki),
            path: "/b".to_owned(),
        },
    };
    let proxy = BundleProxy::start(source, Limiter::default()).unwrap();
    let signature = Some((399_000, 399_999));
    assert_eq!(
        get(&proxy.url(), signature),
        (206, first[399_000..].to_vec())
    );
    swapped.store(true, Ordering::Relaxed);
    assert_eq!(
        get(&proxy.url(), signature),
        (206, first[399_000..].to_vec())
    );
    assert_eq!(get(&proxy.url(), Some((0, 9))), (206, vec![0; 10]));
}
