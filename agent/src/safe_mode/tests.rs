//! The page of safe mode as a phone meets it: forms in, pages out, actions watched.

mod actions;
mod bundles;
mod phone;
mod watched;

use axum::http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;

use super::install::InstallState;
use super::{Gate, network, pages, pin::Pin, usb};
use crate::core::Monotonic;
use crate::page::tests::{assert_light_and_without_script, keep_for_a_person};
use phone::phone;
use watched::{BUNDLE, envelope};

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
async fn the_page_stays_light_whatever_is_in_the_log_and_on_a_stick() {
    let mut facts = watched::facts();
    let last = "the last line".to_owned();
    facts.log = vec!["<".repeat(220); 39];
    facts.log.push(last.clone());
    let folder = tempfile::tempdir().unwrap();
    for number in 0..usb::MAX_BUNDLES {
        let rest = "&".repeat(usb::MAX_NAME_BYTES - "0.raucb".len());
        let name = format!("{number}{rest}.raucb");
        std::fs::write(folder.path().join(name), "").unwrap();
    }
    let bundles = usb::list("sdb1", folder.path());
    assert_eq!(bundles.len(), usb::MAX_BUNDLES);
    let token = "0".repeat(64);
    let answer = pages::home(&facts, &token, &bundles, &InstallState::None, None, &[]);
    let page = answer.into_body().collect().await.unwrap().to_bytes();
    let page = String::from_utf8(page.to_vec()).unwrap();
    assert!(page.contains(&last));
    assert_light_and_without_script(&page);
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
