//! What each answer, right or wrong, comes to at the other end of the line.

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use std::time::Duration;

use fleet_device::request::RequestError;
use fleet_player::control_plane::Deadlines;
use fleet_player::core::sync::{Failure, Success};
use fleet_tests::fake_control_plane::{Fault, TOKEN};

use support::{MANIFEST, control_plane, server};

#[test]
fn what_a_call_comes_to_is_told_by_its_kind() {
    let (server, _folder) = server();
    let control_plane = control_plane(&server, Deadlines::default());
    let check = |fault: Fault, expected: &dyn Fn(&RequestError) -> bool| {
        server.fail_next(MANIFEST, fault.clone());
        let error = control_plane.manifest(None).unwrap_err();
        assert!(expected(&error), "{fault:?}: {error:?}");
        assert!(!error.hint().is_empty());
        assert!(!format!("{error} {error:?}").contains(TOKEN));
    };
    for status in [401, 403, 404, 429, 500, 503] {
        check(Fault::Status(status), &|e| e.status() == Some(status));
    }
    let retry_after = |expected| move |e: &RequestError| Failure::from(e).retry_after_s == expected;
    check(
        Fault::RetryAfter(429, "17".to_owned()),
        &retry_after(Some(17)),
    );
    check(
        Fault::RetryAfter(503, "soon".to_owned()),
        &retry_after(None),
    );
    check(Fault::Redirect("http://127.0.0.1:1/".to_owned()), &|e| {
        e.status() == Some(302)
    });
    check(Fault::Close, &|e| {
        matches!(e, RequestError::Unreachable { .. })
    });
    check(Fault::CutAfter(10), &|e| e.status().is_none());
    check(Fault::ContentType("text/html".to_owned()), &|e| {
        e.status() == Some(200) && e.to_string().contains("text/html")
    });
    let large = vec![b' '; 5 * 1024 * 1024];
    check(Fault::Body(large), &|e| {
        matches!(e, RequestError::Unexpected { .. })
    });

    let unreadable = |fault: Fault, expected: &str| {
        server.fail_next(MANIFEST, fault);
        match control_plane.manifest(None).unwrap() {
            Success::Unreadable { etag, reason } => {
                assert_eq!(etag.as_deref(), Some("\"one\""));
                assert!(reason.contains(expected), "{reason}");
            }
            other => panic!("{other:?}"),
        }
    };
    unreadable(Fault::TruncatedTo(20), "EOF");
    unreadable(Fault::Body(b"{}".to_vec()), "manifestEtag");
    let known = Some("\"one\"");
    assert_eq!(control_plane.manifest(known).unwrap(), Success::NotModified);
    server.fail_next(MANIFEST, Fault::IgnoreTag);
    let again = control_plane.manifest(known).unwrap();
    assert!(matches!(again, Success::Manifest { .. }));
}

#[test]
fn a_server_that_says_nothing_is_not_waited_for_beyond_the_deadline() {
    let (server, _folder) = server();
    let request = Duration::from_millis(200);
    let deadlines = Deadlines {
        request,
        ..Deadlines::default()
    };
    server.fail_next(MANIFEST, Fault::Hang);
    let error = control_plane(&server, deadlines)
        .manifest(None)
        .unwrap_err();
    assert!(matches!(error, RequestError::TimedOut { .. }), "{error:?}");
    assert_eq!(error.status(), None);
}

#[test]
fn a_refusal_says_what_the_control_plane_said_and_what_to_do() {
    let (server, _folder) = server();
    server.set_token("another");
    let error = control_plane(&server, Deadlines::default())
        .commands()
        .unwrap_err();
    assert!(error.to_string().contains("UNAUTHORIZED"), "{error}");
    assert_eq!(error.hint(), "pair the device again");
}

#[test]
fn the_fake_serves_files_with_ranges_and_spoils_them_on_demand() {
    let (server, folder) = server();
    let file: Vec<u8> = (0..=255).collect();
    std::fs::write(folder.path().join("a.jpg"), &file).unwrap();
    let get = |range: Option<&str>| {
        let mut request = ureq::get(server.asset_url("a.jpg"));
        if let Some(range) = range {
            request = request.header("range", range);
        }
        let mut response = request.call().unwrap();
        let body = response.body_mut().read_to_vec();
        (response.status().as_u16(), body)
    };
    assert_eq!(get(None).1.unwrap(), file);
    let (status, body) = get(Some("bytes=250-"));
    assert_eq!((status, body.unwrap()), (206, file[250..].to_vec()));
    server.fail_next("/assets/", Fault::FlippedBit);
    assert_ne!(get(None).1.unwrap(), file);
    server.fail_next("/assets/", Fault::TruncatedTo(9));
    assert_eq!(get(None).1.unwrap(), file[..9]);
    server.fail_next("/assets/", Fault::CutAfter(9));
    assert!(get(None).1.is_err());
    let missing = ureq::get(server.asset_url("..%2fsecret")).call();
    assert!(missing.is_err());
}
