//! Media that fail, and power that goes.

use std::os::unix::fs::symlink;

use super::*;

fn asset_file(folder: &Path, item: &Item) -> PathBuf {
    folder.join("assets").join(item.checksum_sha256.to_string())
}

#[test]
fn what_was_fetched_is_present_after_a_restart() {
    let bench = Bench::new();
    let item = bench.stock("a", 1_000);
    let (bench, present) = bench.restart(settings(), |_| ());
    assert_eq!(present, [AssetRef::from(&item)]);
    assert_eq!(bench.read(&item), Some(content("a", 1_000)));
}

#[test]
fn a_damaged_file_is_found_and_fetched_again() {
    let bench = Bench::new();
    let item = bench.stock("a", 100_000);
    let spoil = |folder: &Path| {
        let mut bytes = content("a", 100_000);
        bytes[77_777] ^= 1;
        fs::write(asset_file(folder, &item), bytes).unwrap();
    };
    let (bench, present) = bench.restart(settings(), spoil);
    assert_eq!(present.len(), 1, "nothing is read before the start");
    bench.until("lost a");
    bench.want(&[&item]);
    assert_eq!(bench.until("ready a"), ["evicted a", "ready a"]);
    assert_eq!(bench.read(&item), Some(content("a", 100_000)));
    assert_eq!(bench.server.requests().len(), 2);
}

#[test]
fn a_file_of_another_size_or_no_file_is_not_present() {
    let bench = Bench::new();
    let short = bench.stock("short", 1_000);
    let gone = bench.stock("gone", 1_000);
    let spoil = |folder: &Path| {
        fs::write(asset_file(folder, &short), "short").unwrap();
        fs::remove_file(asset_file(folder, &gone)).unwrap();
        fs::write(folder.join("assets/stranger"), "not ours").unwrap();
    };
    let (bench, present) = bench.restart(settings(), spoil);
    assert_eq!(present, []);
    assert_eq!(bench.files("assets"), 0);
}

#[test]
fn a_file_that_goes_or_shrinks_while_the_player_runs_is_fetched_again() {
    let check = |spoil: fn(&Path)| {
        let bench = Bench::new();
        let item = bench.stock("a", 1_000);
        spoil(&asset_file(bench.folder.path(), &item));
        assert_eq!(bench.read(&item), None);
        assert_eq!(bench.until("ready a"), ["lost a", "evicted a", "ready a"]);
        assert_eq!(bench.read(&item), Some(content("a", 1_000)));
    };
    check(|path| fs::remove_file(path).unwrap());
    check(|path| fs::write(path, "short").unwrap());
}

#[test]
fn without_its_index_the_files_are_still_there() {
    let bench = Bench::new();
    let item = bench.stock("a", 1_000);
    let spoil = |folder: &Path| fs::write(folder.join(INDEX_FILE), vec![7; 9_000]).unwrap();
    let (bench, present) = bench.restart(settings(), spoil);
    assert_eq!(present, [], "nobody knows its name");
    bench.want(&[&item]);
    assert_eq!(bench.until("ready a"), ["ready a"]);
    assert_eq!(bench.server.requests().len(), 1);
    let (_, present) = bench.restart(settings(), |_| ());
    assert_eq!(present.len(), 1);
}

#[test]
fn a_power_cut_before_the_rename_costs_no_second_download() {
    let bench = Bench::new();
    let bytes = content("a", 1_000);
    let item = bench.item("a", &bytes);
    let name = format!("partial/{}", item.checksum_sha256);
    let (bench, _) = bench.restart(settings(), |folder| {
        fs::write(folder.join(name), &bytes).unwrap();
    });
    assert_eq!(bench.cache.status().used_bytes, 1_000);
    bench.want(&[&item]);
    assert_eq!(bench.until("ready a"), ["ready a"]);
    assert_eq!(bench.server.requests().len(), 0);
}

#[test]
fn a_partial_file_goes_on_after_a_restart_and_goes_if_nobody_wants_it() {
    let bench = Bench::new();
    let bytes = content("a", 1_000);
    let item = bench.item("a", &bytes);
    let unwanted = Sha256::of("unwanted");
    let names = [item.checksum_sha256, unwanted].map(|sha256| format!("partial/{sha256}"));
    let (bench, _) = bench.restart(settings(), |folder| {
        for name in names {
            fs::write(folder.join(name), &bytes[..600]).unwrap();
        }
    });
    bench.server.answer("/a", [Answer::Whole(bytes)]);
    bench.want(&[&item]);
    bench.until("ready a");
    let requests = bench.server.requests();
    assert_eq!(requests[0].header("range"), Some("bytes=600-"));
    assert_eq!(bench.files("partial"), 0);
}

#[test]
fn a_partial_file_longer_than_the_content_is_begun_anew() {
    let bench = Bench::new();
    let bytes = content("a", 500);
    let item = Item {
        // The manifest is wrong about it; the digest counts.
        file_size_bytes: 1_000,
        ..bench.item("a", &bytes)
    };
    let name = format!("partial/{}", item.checksum_sha256);
    let (bench, _) = bench.restart(settings(), |folder| {
        fs::write(folder.join(name), [7; 600]).unwrap();
    });
    bench.server.answer("/a", [Answer::Whole(bytes.clone())]);
    bench.want(&[&item]);
    assert_eq!(bench.until("ready a"), ["failed a 416", "ready a"]);
    assert_eq!(bench.read(&item), Some(bytes));
    assert_eq!(bench.cache.status().used_bytes, 500);
}

/// The kernel's full device stands in for a full partition.
#[test]
fn a_full_medium_pauses_downloads_and_leaves_what_is_here() {
    let bench = Bench::new();
    let here = bench.stock("here", 1_000);
    let (a, b) = (content("a", 1_000), content("b", 1_000));
    let (first, second) = (bench.item("a", &a), bench.item("b", &b));
    let partial = format!("partial/{}", first.checksum_sha256);
    symlink("/dev/full", bench.folder.path().join(partial)).unwrap();
    bench.server.answer("/a", [Answer::Whole(a)]);
    bench.server.answer("/b", [Answer::Whole(b)]);
    bench
        .cache
        .want(vec![first.clone()], [AssetRef::from(&here)]);
    assert_eq!(bench.until("failed a"), ["failed a"]);
    bench.want(&[&here, &first, &second]);
    assert_eq!(bench.until("ready here"), ["ready here"]);
    assert_eq!(bench.read(&here), Some(content("here", 1_000)));
    assert_eq!(bench.cache.status().pending_downloads, 2);
    let more = bench.events.recv_timeout(Duration::from_millis(300));
    assert!(more.is_err(), "the medium has its rest: {more:?}");
    assert_eq!(bench.server.requests().len(), 2);
}

#[test]
fn the_least_recently_played_makes_room_also_after_a_restart() {
    let bench = Bench::new();
    let (a, b) = (bench.stock("a", 400), bench.stock("b", 400));
    bench.cache.played(&AssetRef::from(&a));
    let mut small = settings();
    small.limits.budget_bytes = 1_000;
    let (bench, present) = bench.restart(small, |_| ());
    assert_eq!(present.len(), 2);
    let new = content("new", 400);
    let item = bench.item("new", &new);
    bench.server.answer("/new", [Answer::Whole(new)]);
    bench.want(&[&item]);
    let expected = ["lost b", "evicted b", "ready new"];
    assert_eq!(bench.until("ready new"), expected);
    assert_eq!(bench.read(&b), None);
    assert!(bench.read(&a).is_some());
    assert_eq!(bench.files("assets"), 2);
    bench.cache.set_budget(800);
    assert_eq!(bench.until("evicted a"), ["lost a", "evicted a"]);
}

#[test]
fn what_does_not_fit_is_told_and_not_asked_for() {
    let mut small = settings();
    small.limits.budget_bytes = 1_000;
    let bench = Bench::with(small);
    let item = bench.item("a", &content("a", 1_001));
    bench.want(&[&item]);
    assert_eq!(bench.until("failed a"), ["failed a"]);
    assert_eq!(bench.server.requests().len(), 0);
}

#[test]
fn an_operator_clears_the_cache_and_the_picture_stays() {
    let bench = Bench::new();
    let (shown, other) = (bench.stock("shown", 100), bench.stock("other", 100));
    bench.stock("unused", 100);
    bench
        .cache
        .want(Vec::new(), [&shown, &other].map(AssetRef::from));
    bench.cache.played(&AssetRef::from(&shown));
    bench.cache.clear_unused();
    assert_eq!(bench.until("lost unused"), ["lost unused"]);
    bench.cache.clear_all();
    assert_eq!(bench.until("lost other"), ["lost other"]);
    assert_eq!(bench.files("assets"), 1);
    let (_, present) = bench.restart(settings(), |_| ());
    assert_eq!(present, [AssetRef::from(&shown)]);
}
