//! What the buttons do.

use super::*;

#[tokio::test]
async fn each_action_does_what_its_button_says() {
    let mut phone = phone();
    let token = phone.log_in().await;
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH";
    let encoded = key
        .replace(' ', "+")
        .replace("+A", " A")
        .replace(' ', "%20");
    for (path, fields, status) in [
        ("/retry", String::new(), StatusCode::OK),
        ("/rollback", String::new(), StatusCode::UNPROCESSABLE_ENTITY),
        ("/reboot", String::new(), StatusCode::OK),
        ("/ssh", format!("key={encoded}"), StatusCode::OK),
        ("/ssh/close", String::new(), StatusCode::OK),
        ("/data", "repair=check".to_owned(), StatusCode::OK),
        (
            "/data",
            "repair=format&confirm=yes".to_owned(),
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        (
            "/data",
            "repair=format&confirm=FORMAT".to_owned(),
            StatusCode::OK,
        ),
    ] {
        let answer = phone.post(path, &format!("token={token}&{fields}")).await;
        keep_for_a_person("outcome.html", &answer.page);
        assert_eq!(answer.status, status, "{path} {}", answer.page);
    }
    assert_eq!(
        phone.calls(),
        [
            "retry",
            "roll back",
            "reboot",
            &format!("ssh restrict,pty {key}"),
            "close ssh",
            "Check",
            "Format"
        ]
    );
}

#[tokio::test]
async fn network_settings_are_tried_then_kept_or_undone() {
    let mut phone = phone();
    let token = phone.log_in().await;
    let bad = phone
        .post(
            "/network",
            &format!("token={token}&interface=eth0&mode=static&address=1.2.3"),
        )
        .await;
    assert_eq!(bad.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(bad.page.contains("192.168.1.20/24"), "{}", bad.page);
    let good = format!(
        "token={token}&interface=eth0&mode=static&address=10.0.0.5%2F24&gateway=&dns=&ssid=&passphrase="
    );
    assert_eq!(phone.post("/network", &good).await.status, StatusCode::OK);
    assert!(network::trial(&phone.paths).is_some());
    assert!(phone.get("/").await.page.contains("on trial for"));
    assert_eq!(
        phone
            .post("/network/undo", &format!("token={token}"))
            .await
            .status,
        StatusCode::OK
    );
    assert!(network::trial(&phone.paths).is_none());
    phone.post("/network", &good).await;
    assert_eq!(
        phone
            .post("/network/keep", &format!("token={token}"))
            .await
            .status,
        StatusCode::OK
    );
    assert_eq!(
        phone.calls(),
        ["network eth0", "network eth0", "network eth0"]
    );
}

#[tokio::test]
async fn ipv6_goes_beside_ipv4_into_the_same_fields() {
    let mut phone = phone();
    let token = phone.log_in().await;
    let fields = "interface=eth0&mode=static&address=10.0.0.5%2F24%2C+2001%3Adb8%3A%3A5%2F64\
        &gateway=10.0.0.1+fe80%3A%3A1&dns=2001%3Adb8%3A%3A53";
    let answer = phone
        .post("/network", &format!("token={token}&{fields}"))
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.page);
    let file = network::active_folder(&phone.paths).join("05-fleet-eth0.network");
    let content = std::fs::read_to_string(file).unwrap();
    for line in [
        "Address=10.0.0.5/24",
        "Address=2001:db8::5/64",
        "Gateway=fe80::1",
    ] {
        assert!(content.lines().any(|l| l == line), "{line} {content}");
    }
    let wrong = fields.replace("fe80%3A%3A1", "fd00%3A%3A1");
    let answer = phone
        .post("/network", &format!("token={token}&{wrong}"))
        .await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        answer.page.contains("gateway: fd00::1 is not within"),
        "{}",
        answer.page
    );
}

#[tokio::test]
async fn a_form_beyond_its_limit_is_refused() {
    let mut phone = phone();
    let token = phone.log_in().await;
    let answer = phone
        .post("/ssh", &format!("token={token}&key={}", "x".repeat(40_000)))
        .await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn the_support_bundle_is_a_download_without_the_pin() {
    let mut phone = phone();
    crate::safe_mode::pin::ensure(&phone.paths).unwrap();
    phone.log_in().await;
    let answer = phone.get("/support-bundle").await;
    assert_eq!(answer.status, StatusCode::OK);
    let name = answer.headers[header::CONTENT_DISPOSITION]
        .to_str()
        .unwrap();
    assert!(
        name.contains("support-dev_4f2a9c0d11e07b3a-") && name.contains(".tar.zst"),
        "{name}"
    );
    assert!(!answer.page.is_empty());
}
