use std::fs;

use fleet_protocol::Sha256;
use jiff::SignedDuration;
use serde_json::json;

use crate::world::World;

fn content() -> Vec<u8> {
    (0..1_000_000_u32).flat_map(u32::to_le_bytes).collect()
}

#[test]
fn a_bundle_is_served_whole_and_in_ranges() {
    let world = World::new();
    let device = world.device("lobby");
    let bundle = content();
    let digest = Sha256::of(&bundle);
    world
        .operator_raw("PUT", &format!("/v1/bundles/{digest}"), &bundle)
        .ok();
    let path = format!("/v1/device/bundles/{digest}");
    let etag = format!("\"{digest}\"");
    let check = |headers: &[(&str, &str)], status: u16, expected: Option<&[u8]>| {
        let response = device.raw(&world, "GET", &path, headers, b"");
        assert_eq!(response.status().as_u16(), status, "{headers:?}");
        if let Some(expected) = expected {
            let range = response.headers().get("content-range").cloned();
            let body = response
                .into_body()
                .with_config()
                .limit(1 << 30)
                .read_to_vec()
                .unwrap();
            assert!(
                body == expected,
                "{headers:?}: {} bytes, {range:?}",
                body.len()
            );
        }
    };
    check(&[], 200, Some(&bundle));
    check(&[("range", "bytes=0-0")], 206, Some(&bundle[..1]));
    check(
        &[("range", "bytes=300000-999999")],
        206,
        Some(&bundle[300_000..1_000_000]),
    );
    check(
        &[("range", "bytes=3999990-")],
        206,
        Some(&bundle[3_999_990..]),
    );
    check(&[("range", "bytes=-7")], 206, Some(&bundle[3_999_993..]));
    check(&[("range", "bytes=4000000-")], 416, None);
    check(
        &[("range", "bytes=5-9"), ("if-range", &etag)],
        206,
        Some(&bundle[5..10]),
    );
    check(
        &[("range", "bytes=5-9"), ("if-range", "\"other\"")],
        200,
        Some(&bundle),
    );
    check(&[("if-none-match", &etag)], 304, None);
    let head = device.raw(&world, "HEAD", &path, &[], b"");
    assert_eq!(head.headers()["content-length"], "4000000");
    assert_eq!(head.headers()["accept-ranges"], "bytes");
    let beyond = device.raw(&world, "GET", &path, &[("range", "bytes=9999999-")], b"");
    assert_eq!(beyond.headers()["content-range"], "bytes */4000000");
}

#[test]
fn a_bundle_that_is_not_what_its_name_says_leaves_nothing_behind() {
    let world = World::new();
    let path = format!("/v1/bundles/{}", Sha256::of("another"));
    world
        .operator_raw("PUT", &path, b"this")
        .refused(422, "DIGEST_MISMATCH");
    world.get(&path).refused(404, "NOT_FOUND");
    let folder = world.data.path().join("bundles/ten_default");
    assert_eq!(fs::read_dir(folder).unwrap().count(), 0);
}

#[test]
fn an_upload_goes_on_where_it_broke_off_even_after_a_restart() {
    let mut world = World::new();
    let bundle = content();
    let digest = Sha256::of(&bundle);
    let path = format!("/v1/bundles/{digest}");
    let put = |world: &World, first: usize, last: usize| {
        let token = format!("Bearer {}", world.running().admin_token);
        let range = format!("bytes {first}-{}/{}", last - 1, bundle.len());
        let headers = [("authorization", token.as_str()), ("content-range", &range)];
        world.anyone("PUT", &path, &headers, &bundle[first..last])
    };
    let progress = |world: &World| world.get(&format!("{path}/upload")).ok();
    assert_eq!(progress(&world)["receivedBytes"], 0);
    assert_eq!(put(&world, 0, 1_000_000).status, 202);
    let offset = put(&world, 999_999, 2_000_000).refused(409, "UPLOAD_OFFSET");
    assert_eq!(offset["context"], json!({"receivedBytes": 1_000_000}));
    world.restart();
    assert_eq!(
        progress(&world),
        json!({"receivedBytes": 1_000_000, "complete": false})
    );
    world.get(&path).refused(404, "NOT_FOUND");
    assert_eq!(put(&world, 1_000_000, bundle.len()).status, 201);
    assert_eq!(
        progress(&world),
        json!({"receivedBytes": bundle.len(), "complete": true})
    );
    assert_eq!(put(&world, 0, 10).status, 204);
    let folder = world.data.path().join("bundles/ten_default");
    assert_eq!(fs::read_dir(folder).unwrap().count(), 1);
}

/// Until this much of a bundle has arrived.
#[track_caller]
fn wait_for(world: &World, path: &str, bytes: u64) {
    let upload = format!("{path}/upload");
    let received = || world.get(&upload).ok()["receivedBytes"].as_u64().unwrap();
    let begun = std::time::Instant::now();
    while received() < bytes {
        assert!(begun.elapsed().as_secs() < 30, "{} of {bytes}", received());
    }
}

#[test]
fn what_a_cut_connection_brought_is_kept() {
    let world = World::new();
    let bundle = content();
    let path = format!("/v1/bundles/{}", Sha256::of(&bundle));
    let token = format!("Bearer {}", world.running().admin_token);
    let half = bundle.len() / 2;
    let body = format!("content-length: {}", bundle.len());
    let connection = world.begin(&path, &token, &body, &bundle[..half]);
    wait_for(&world, &path, half as u64);
    drop(connection);
    let range = format!("bytes {half}-{}/{}", bundle.len() - 1, bundle.len());
    let headers = [("authorization", token.as_str()), ("content-range", &range)];
    let rest = world.anyone("PUT", &path, &headers, &bundle[half..]);
    assert_eq!(rest.status, 201, "{rest:?}");
}

#[test]
fn a_later_upload_takes_over_from_one_that_hangs() {
    let world = World::new();
    let bundle = content();
    let path = format!("/v1/bundles/{}", Sha256::of(&bundle));
    let token = format!("Bearer {}", world.running().admin_token);
    let length = format!("content-length: {}", bundle.len());
    let hanging = world.begin(&path, &token, &length, &bundle[..100_000]);
    // Else it might come later than the later one.
    wait_for(&world, &path, 100_000);
    let whole = world.operator_raw("PUT", &path, &bundle);
    assert_eq!(whole.status, 201, "{whole:?}");
    drop(hanging);
}

#[test]
fn uploading_a_bundle_again_changes_nothing() {
    let world = World::new();
    let path = format!("/v1/bundles/{}", Sha256::of("this"));
    assert_eq!(world.operator_raw("PUT", &path, b"this").status, 201);
    assert_eq!(world.operator_raw("PUT", &path, b"this").status, 204);
}

/// Digests of the bundles that are listed, and those of which there is a file.
fn shelf(world: &World) -> (Vec<String>, usize) {
    let listed = world.get("/v1/bundles").ok();
    let items = listed["items"].as_array().unwrap().iter();
    let digests = items.map(|b| b["sha256"].as_str().unwrap().to_owned());
    let folder = world.data.path().join("bundles/ten_default");
    (digests.collect(), fs::read_dir(folder).unwrap().count())
}

#[test]
fn a_bundle_can_be_deleted_until_a_release_refers_to_it() {
    let world = World::new();
    let release = world.publish_alone("1.0.0");
    let used = release.bundle.sha256.to_string();
    let spare = Sha256::of("spare").to_string();
    let path = format!("/v1/bundles/{spare}");
    world.operator_raw("PUT", &path, b"spare").ok();
    assert_eq!(shelf(&world).1, 2);
    let kept = world.operator_raw("DELETE", &format!("/v1/bundles/{used}"), b"");
    let kept = kept.refused(409, "BUNDLE_IN_USE");
    assert!(kept["detail"].as_str().unwrap().contains("1.0.0"), "{kept}");
    assert_eq!(world.operator_raw("DELETE", &path, b"").status, 204);
    world
        .operator_raw("DELETE", &path, b"")
        .refused(404, "NOT_FOUND");
    assert_eq!(shelf(&world), (vec![used], 1));
    assert_eq!(world.operator_raw("PUT", &path, b"spare").status, 201);
}

#[test]
fn pruning_takes_old_bundles_without_a_release_and_nothing_else() {
    let world = World::new();
    let release = world.publish_alone("1.0.0");
    let used = release.bundle.sha256.to_string();
    let put = |content: &str| {
        let path = format!("/v1/bundles/{}", Sha256::of(content));
        world.operator_raw("PUT", &path, content.as_bytes()).ok();
        Sha256::of(content).to_string()
    };
    let old = put("old");
    world.pass(SignedDuration::from_hours(49));
    let new = put("new");
    let dry = world
        .post("/v1/bundles/prune", &json!({"dryRun": true}))
        .ok();
    assert_eq!(dry["items"][0]["sha256"], old.as_str());
    assert_eq!(shelf(&world).1, 3, "nothing is gone yet");
    let done = world.post("/v1/bundles/prune", &json!({})).ok();
    assert_eq!(
        (&done["items"], &done["freedBytes"]),
        (&dry["items"], &json!(3))
    );
    let (mut left, files) = shelf(&world);
    left.sort();
    let mut expected = vec![used.clone(), new];
    expected.sort();
    assert_eq!((left, files), (expected, 2));
    let all = json!({"olderThanSeconds": 0});
    world.post("/v1/bundles/prune", &all).ok();
    assert_eq!(shelf(&world), (vec![used], 1));
}

#[test]
fn what_a_publication_left_behind_is_cleared_away_by_itself() {
    let world = World::new();
    let release = world.publish_alone("1.0.0");
    let folder = world.data.path().join("bundles/ten_default");
    world
        .operator_raw("PUT", &format!("/v1/bundles/{}", Sha256::of("a")), b"a")
        .ok();
    let token = format!("Bearer {}", world.running().admin_token);
    let part = [
        ("authorization", token.as_str()),
        ("content-range", "bytes 0-1/9"),
    ];
    let begun = world.anyone(
        "PUT",
        &format!("/v1/bundles/{}", Sha256::of("b")),
        &part,
        b"bb",
    );
    assert_eq!(begun.status, 202);
    let stray = folder.join(format!("{}.raucb", Sha256::of("c")));
    fs::write(&stray, "c").unwrap();
    world.keep_house();
    assert_eq!(
        fs::read_dir(&folder).unwrap().count(),
        3,
        "but the stray one"
    );
    world.pass(SignedDuration::from_hours(49));
    world.keep_house();
    assert_eq!(
        fs::read_dir(&folder).unwrap().count(),
        2,
        "but the broken off one"
    );
    world.pass(SignedDuration::from_hours(6 * 24));
    world.keep_house();
    assert_eq!(shelf(&world), (vec![release.bundle.sha256.to_string()], 1));
}

#[test]
fn support_bundles_are_kept_up_to_a_number_and_a_size() {
    let world = World::new();
    let device = world.device("lobby");
    let put = |name: &str, body: &[u8]| {
        let path = format!("/v1/device/support-bundles/{name}");
        device
            .raw(&world, "PUT", &path, &[], body)
            .status()
            .as_u16()
    };
    for name in ["a.tar.zst", "b.tar.zst", "c.tar.zst"] {
        world.pass(jiff::SignedDuration::from_secs(1));
        assert_eq!(put(name, name.as_bytes()), 201);
    }
    assert_eq!(put("..%2Fescape", b"x"), 422);
    assert_eq!(put("large", &vec![0; 100_001]), 413);
    let list = format!("/v1/devices/{}/support-bundles", device.id);
    let listed = world.get(&list).ok();
    let names: Vec<_> = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|b| &b["name"])
        .collect();
    assert_eq!(names, [&json!("c.tar.zst"), &json!("b.tar.zst")]);
    assert_eq!(
        world.get(&format!("{list}/c.tar.zst")).ok(),
        json!("c.tar.zst")
    );
    world
        .get(&format!("{list}/a.tar.zst"))
        .refused(404, "NOT_FOUND");
}
