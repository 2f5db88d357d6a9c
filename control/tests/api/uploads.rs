//! Files on their way into the library.

use fleet_protocol::Sha256;
use jiff::SignedDuration;
use serde_json::json;

use crate::content::{announce, complete, looked_at, picture, upload};
use crate::world::World;

#[test]
fn a_picture_is_uploaded_in_parts_and_looked_at() {
    let world = World::new();
    let bytes = picture(7);
    let session = announce(&world, "spring.png", &bytes);
    let content = session["uploadUrl"].as_str().unwrap();
    let token = format!("Bearer {}", world.running().admin_token);
    let part = |first: usize, last: usize| {
        let range = format!("bytes {first}-{last}/{}", bytes.len());
        let headers = [("authorization", token.as_str()), ("content-range", &range)];
        world.anyone("PUT", content, &headers, &bytes[first..=last])
    };
    assert_eq!(part(0, 9).status, 202);
    let asset = session["assetId"].as_str().unwrap();
    let upload = session["uploadId"].as_str().unwrap();
    let completed = format!("/v1/library/assets/uploads/{upload}/complete");
    let early = world.post(&completed, &json!({}));
    let early = early.refused(409, "UPLOAD_INCOMPLETE");
    assert_eq!(early["context"]["receivedBytes"], 10);
    part(20, 29).refused(409, "UPLOAD_OFFSET");
    assert_eq!(part(10, bytes.len() - 1).status, 201);
    let view = looked_at(&world, &complete(&world, &session));
    assert_eq!(view["status"], "READY", "{view}");
    assert_eq!(
        (&view["widthPx"], &view["heightPx"]),
        (&json!(64), &json!(36))
    );
    assert_eq!(view["type"], "IMAGE");

    let thumbnail = world.raw(
        "GET",
        view["thumbnailUrl"].as_str().unwrap(),
        &[("authorization", &token)],
        b"",
    );
    let jpeg = thumbnail.into_body().read_to_vec().unwrap();
    assert!(image::load_from_memory(&jpeg).is_ok());
    let file = world.raw(
        "GET",
        &format!("/v1/library/assets/{asset}/content"),
        &[("authorization", &token)],
        b"",
    );
    assert_eq!(file.into_body().read_to_vec().unwrap(), bytes);
    // Saying it again changes nothing; sending it again is too late.
    assert_eq!(world.post(&completed, &json!({})).ok()["status"], "READY");
    world
        .operator_raw("PUT", content, &bytes)
        .refused(409, "UPLOAD_CLOSED");
}

#[test]
fn a_file_that_cannot_be_played_says_why() {
    let world = World::new();
    let check = |name: &str, bytes: &[u8], reason: &str| {
        let view = upload(&world, name, bytes);
        assert_eq!(
            (&view["status"], &view["failureReason"]),
            (&json!("FAILED"), &json!(reason))
        );
        assert!(
            view["failureDetail"]
                .as_str()
                .is_some_and(|d| !d.is_empty()),
            "{view}"
        );
    };
    let whole = picture(3);
    check("text.png", b"this is no picture at all", "INVALID_FORMAT");
    check("half.png", &whole[..whole.len() / 2], "FILE_CORRUPT");
    check(
        "film.mp4",
        b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom",
        "FILE_CORRUPT",
    );

    // What arrives is not what was announced.
    let session = announce(&world, "a.png", &picture(4));
    let content = session["uploadUrl"].as_str().unwrap();
    let other = picture(5);
    let length = picture(4).len();
    let wrong: Vec<u8> = other.into_iter().chain([0; 100]).take(length).collect();
    world
        .operator_raw("PUT", content, &wrong)
        .refused(422, "DIGEST_MISMATCH");
    let view = looked_at(&world, session["assetId"].as_str().unwrap());
    assert_eq!(view["failureReason"], "CHECKSUM_MISMATCH");

    let huge = json!({"fileName": "a.mp4", "fileSizeBytes": 1_u64 << 40, "checksumSha256": "a1".repeat(32)});
    let refused = world.post("/v1/library/assets/uploads", &huge);
    let refused = refused.refused(422, "VALIDATION_FAILED");
    assert_eq!(refused["errors"][0]["field"], "fileSizeBytes");
}

#[test]
fn what_is_announced_has_to_be_what_is_here_already() {
    let world = World::new();
    let bytes = picture(1);
    upload(&world, "a.png", &bytes);
    let short = json!({
        "fileName": "b.png", "fileSizeBytes": 5, "checksumSha256": Sha256::of(&bytes).to_string(),
    });
    let session = world.post("/v1/library/assets/uploads", &short).ok();
    let content = session["uploadUrl"].as_str().unwrap();
    let refused = world.operator_raw("PUT", content, &bytes[..5]);
    assert_eq!(
        refused.refused(422, "VALIDATION_FAILED")["errors"][0]["field"],
        "fileSizeBytes"
    );
    let view = looked_at(&world, session["assetId"].as_str().unwrap());
    assert_eq!(view["failureReason"], "CHECKSUM_MISMATCH");
    let again = upload(&world, "c.png", &bytes);
    assert_eq!(
        again["status"], "READY",
        "the file that others have is still there"
    );
}

#[test]
fn whoever_does_not_know_that_all_arrived_sends_the_last_byte_again() {
    let world = World::new();
    let bytes = picture(9);
    let session = announce(&world, "a.png", &bytes);
    // As a connection that breaks at the very end leaves it.
    let upload = session["uploadId"].as_str().unwrap();
    let folder = world.data.path().join("assets/ten_default");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(format!(".partial-{upload}")), &bytes).unwrap();
    let completed = format!("/v1/library/assets/uploads/{upload}/complete");
    let early = world
        .post(&completed, &json!({}))
        .refused(409, "UPLOAD_INCOMPLETE");
    assert_eq!(early["context"]["receivedBytes"], json!(bytes.len()));
    let token = format!("Bearer {}", world.running().admin_token);
    let last = bytes.len() - 1;
    let range = format!("bytes {last}-{last}/{}", bytes.len());
    let headers = [("authorization", token.as_str()), ("content-range", &range)];
    let content = session["uploadUrl"].as_str().unwrap();
    assert_eq!(
        world
            .anyone("PUT", content, &headers, &bytes[last..])
            .status,
        201
    );
    assert_eq!(
        looked_at(&world, &complete(&world, &session))["status"],
        "READY"
    );
}

#[test]
fn an_upload_that_nobody_completes_fails_and_is_forgotten() {
    let world = World::new();
    let session = announce(&world, "a.png", &picture(1));
    let asset = session["assetId"].as_str().unwrap();
    world.pass(SignedDuration::from_mins(61));
    let content = session["uploadUrl"].as_str().unwrap();
    world
        .operator_raw("PUT", content, &picture(1))
        .refused(409, "UPLOAD_CLOSED");
    world.keep_house();
    assert_eq!(
        looked_at(&world, asset)["failureReason"],
        "PROCESSING_TIMEOUT"
    );
    world.pass(SignedDuration::from_hours(31 * 24));
    world.keep_house();
    world
        .get(&format!("/v1/library/assets/{asset}"))
        .refused(404, "NOT_FOUND");
}

#[test]
fn what_was_uploaded_survives_a_restart_and_is_looked_at_then() {
    let mut world = World::new();
    let ready = upload(&world, "a.png", &picture(1));
    // Its file is shared with one that has not been looked at when the server ends.
    let session = announce(&world, "same.png", &picture(1));
    world
        .operator_raw("PUT", session["uploadUrl"].as_str().unwrap(), &picture(1))
        .ok();
    let asset = complete(&world, &session);
    world.restart();
    assert_eq!(looked_at(&world, &asset)["status"], "READY");
    let first = ready["assetId"].as_str().unwrap();
    assert_eq!(
        world
            .operator_raw("DELETE", &format!("/v1/library/assets/{first}"), b"")
            .status,
        204
    );
    let token = format!("Bearer {}", world.running().admin_token);
    let path = format!("/v1/library/assets/{asset}/content");
    let file = world.raw("GET", &path, &[("authorization", &token)], b"");
    assert_eq!(
        file.into_body().read_to_vec().unwrap(),
        picture(1),
        "its file is still there"
    );
}
