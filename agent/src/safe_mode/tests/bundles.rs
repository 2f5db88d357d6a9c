//! Bundles by hand: from a stick and by upload.

use super::*;

#[tokio::test]
async fn a_bundle_from_a_stick_needs_signed_metadata_beside_it() {
    let mut phone = phone();
    let token = phone.log_in().await;
    let page = phone.get("/").await.page;
    let path = |name: &str| {
        let end = page.find(&format!("{name}.raucb\"")).unwrap() + name.len() + 6;
        let start = page[..end].rfind("value=\"").unwrap() + 7;
        page[start..end].replace('/', "%2F")
    };
    for (name, status) in [
        ("lonely", StatusCode::UNPROCESSABLE_ENTITY),
        ("unsigned", StatusCode::UNPROCESSABLE_ENTITY),
        ("good", StatusCode::OK),
    ] {
        let answer = phone
            .post("/usb", &format!("token={token}&bundle={}", path(name)))
            .await;
        assert_eq!(answer.status, status, "{name} {}", answer.page);
    }
    let other = phone
        .post("/usb", &format!("token={token}&bundle=%2Fetc%2Fshadow"))
        .await;
    assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY);
    phone.ended.wait_for(|count| *count == 1).await.unwrap();
    assert_eq!(
        phone.calls(),
        [format!("install 2.0.0 of {} bytes", BUNDLE.len())]
    );
}

#[tokio::test]
async fn an_upload_is_admitted_before_it_is_received_and_checked_while_it_is() {
    let mut phone = phone();
    let token = phone.log_in().await;
    let longer = [BUNDLE, b"!"].concat();
    let other = vec![b'x'; BUNDLE.len()];
    for (metadata, bundle, expected) in [
        (Vec::new(), BUNDLE, "without signed release metadata"),
        (envelope(false), BUNDLE, "not signed"),
        (vec![b' '; 200_000], BUNDLE, "too large"),
        (
            envelope(true),
            longer.as_slice(),
            "larger than the release says",
        ),
        (
            envelope(true),
            &BUNDLE[1..],
            "shorter than the release says",
        ),
        (
            envelope(true),
            other.as_slice(),
            "not the one that the release names",
        ),
    ] {
        let answer = phone.upload(&token, &metadata, bundle).await;
        assert_eq!(
            answer.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{expected}"
        );
        assert!(answer.page.contains(expected), "{expected} {}", answer.page);
        assert!(!phone.paths.run.join("upload.raucb").exists());
    }
    let answer = phone.upload(&token, &envelope(true), BUNDLE).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.page);
    phone.ended.wait_for(|count| *count == 1).await.unwrap();
    assert_eq!(
        phone.calls(),
        [format!("install 2.0.0 of {} bytes", BUNDLE.len())]
    );
}

#[tokio::test]
async fn one_upload_at_a_time_until_its_browser_goes_away() {
    let mut phone = phone();
    let token = phone.log_in().await;
    let metadata = envelope(true);
    let place = phone.paths.run.join("upload.raucb");
    {
        let first = phone.upload_without_end(&token, &metadata);
        let under_way = async {
            while !place.exists() {
                tokio::task::yield_now().await;
            }
        };
        tokio::pin!(first);
        tokio::select! {
            answer = &mut first => panic!("{}", answer.page),
            () = under_way => {}
        }
        let second = phone.upload(&token, &metadata, BUNDLE);
        let answer = tokio::select! {
            answer = &mut first => panic!("{}", answer.page),
            answer = second => answer,
        };
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(answer.page.contains("being uploaded"), "{}", answer.page);
        assert!(place.exists());
    }
    assert!(!place.exists());
    let answer = phone.upload(&token, &metadata, BUNDLE).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.page);
    phone.ended.wait_for(|count| *count == 1).await.unwrap();
}
