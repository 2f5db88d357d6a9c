//! Servers and networks that fail in their ways.

use super::*;

const LENGTH: usize = 200_000;

/// One item is wanted and the server answers like this in turn. It must be there in the end, with this
/// said before.
fn check(name: &str, answers: &[Answer], expected: &[&str]) -> Bench {
    let bench = Bench::new();
    let content = content(name, LENGTH);
    let item = bench.item(name, &content);
    bench
        .server
        .answer(&format!("/{name}"), answers.iter().cloned());
    bench.want(&[&item]);
    let mut said = bench.until(&format!("ready {name}"));
    said.pop();
    assert_eq!(said, expected);
    assert_eq!(bench.read(&item), Some(content));
    assert_eq!(bench.files("partial"), 0);
    bench
}

fn whole(name: &str) -> Answer {
    Answer::Whole(content(name, LENGTH))
}

#[test]
fn a_file_is_fetched_checked_and_kept_under_its_digest() {
    let bench = check("a", &[whole("a")], &[]);
    let status = bench.cache.status();
    assert_eq!(status.used_bytes, LENGTH as u64);
    assert_eq!((status.asset_count, status.pending_downloads), (1, 0));
    let path = bench.folder.path().join("assets");
    let path = path.join(Sha256::of(content("a", LENGTH)).to_string());
    assert!(path.exists());
}

#[test]
fn a_download_that_broke_off_goes_on_where_it_was() {
    let cut = Answer::Cut(content("a", LENGTH), 150_000);
    let bench = check("a", &[cut, whole("a")], &["failed a"]);
    let requests = bench.server.requests();
    assert_eq!(requests[0].header("range"), None);
    assert_eq!(requests[1].header("range"), Some("bytes=150000-"));
    assert_eq!(requests[1].header("if-range"), Some(server::ETAG));
    assert_eq!(requests.len(), 2);
    assert_eq!(bench.cache.download_failures(), 1);
}

#[test]
fn a_server_that_ignores_ranges_sends_it_all_again() {
    let cut = Answer::Cut(content("a", LENGTH), 150_000);
    let ignore = Answer::IgnoreRange(content("a", LENGTH));
    check("a", &[cut, ignore], &["failed a"]);
}

#[test]
fn the_rest_of_another_content_is_not_patched_to_it() {
    let other = Answer::CutOther(content("other", LENGTH), 150_000);
    check("a", &[other, whole("a")], &["failed a"]);
}

#[test]
fn another_range_than_asked_for_is_not_taken() {
    let cut = Answer::Cut(content("a", LENGTH), 150_000);
    let other = Answer::OtherRange(content("a", LENGTH));
    let expected = ["failed a", "failed a"];
    let bench = check("a", &[cut, other, whole("a")], &expected);
    assert_eq!(bench.server.requests()[2].header("range"), None);
}

#[test]
fn wrong_bytes_are_thrown_away_at_once() {
    let mut settings = settings();
    settings.limits.retry.base_ms = 3_600_000;
    settings.limits.retry.max_ms = 3_600_000;
    let bench = Bench::with(settings);
    let item = bench.item("a", &content("a", LENGTH));
    let wrong = content("wrong", LENGTH);
    bench.server.answer("/a", [Answer::Whole(wrong)]);
    bench.want(&[&item]);
    assert_eq!(bench.until("failed a"), ["failed a"]);
    assert_eq!(bench.files("partial"), 0);
    assert_eq!(bench.files("assets"), 0);
}

#[test]
fn after_wrong_bytes_it_begins_anew() {
    let wrong = Answer::Whole(content("wrong", LENGTH));
    let bench = check("a", &[wrong, whole("a")], &["failed a"]);
    assert_eq!(bench.server.requests()[1].header("range"), None);
}

#[test]
fn more_than_the_manifest_says_is_refused() {
    let more = content("a", 4 * LENGTH);
    let answers = [
        Answer::Whole(more.clone()),
        Answer::Chunked(content("b", 4 * LENGTH)),
        whole("a"),
    ];
    check("a", &answers, &["failed a", "failed a"]);
}

#[test]
fn a_shorter_content_is_no_start_to_go_on_from() {
    let short = Answer::Chunked(content("b", 1_000));
    // The range that is asked for next patches something together, which is not taken either.
    let expected = ["failed a", "failed a"];
    check("a", &[short, whole("a"), whole("a")], &expected);
}

#[test]
fn a_file_without_a_length_is_taken_too() {
    check("a", &[Answer::Chunked(content("a", LENGTH))], &[]);
}

#[test]
fn a_server_that_says_nothing_more_is_given_up_and_asked_again() {
    let bench = Bench::impatient();
    let item = bench.item("a", &content("a", LENGTH));
    let hang = Answer::Hang(content("a", LENGTH), 100_000);
    bench.server.answer("/a", [hang, whole("a")]);
    bench.want(&[&item]);
    assert_eq!(bench.until("ready a")[0], "failed a");
    assert_eq!(bench.read(&item), Some(content("a", LENGTH)));
}

#[test]
fn an_error_of_the_server_is_told_and_tried_again() {
    let answers = [Answer::Status(404), Answer::Status(503), whole("a")];
    check("a", &answers, &["failed a 404", "failed a 503"]);
}

#[test]
fn a_redirect_is_followed() {
    let bench = Bench::new();
    let item = bench.item("a", &content("a", LENGTH));
    bench.server.answer("/a", [Answer::Redirect("/b")]);
    bench.server.answer("/b", [whole("a")]);
    bench.want(&[&item]);
    assert_eq!(bench.until("ready a"), ["ready a"]);
}

#[test]
fn nobody_there_costs_a_pause_and_an_address_that_is_none_harms_nobody() {
    let bench = Bench::new();
    let good = bench.item("a", &content("a", LENGTH));
    bench.server.answer("/a", [whole("a")]);
    let nobody = Server::start().url("/x");
    let gone = Item {
        url: nobody,
        ..bench.item("gone", b"x")
    };
    let odd = Item {
        url: "http://[not an address/?token=secret".to_owned(),
        ..bench.item("odd", b"y")
    };
    bench.want(&[&gone, &odd, &good]);
    let said = bench.until("ready a");
    assert!(said.contains(&"failed gone".to_owned()), "{said:?}");
    assert!(said.contains(&"failed odd".to_owned()), "{said:?}");
}

#[test]
fn what_nobody_wants_any_more_makes_way() {
    let bench = Bench::impatient();
    let (a, b) = (content("a", LENGTH), content("b", LENGTH));
    let (old, new) = (bench.item("a", &a), bench.item("b", &b));
    bench.server.answer("/a", [Answer::Hang(a, 100_000)]);
    bench.server.answer("/b", [Answer::Whole(b)]);
    bench.want(&[&old]);
    bench.want(&[&new]);
    bench.until("ready b");
    assert_eq!(bench.read(&old), None);
    assert_eq!(bench.files("partial"), 0);
}

#[test]
fn the_end_of_the_player_does_not_wait_for_a_server() {
    let mut settings = settings();
    settings.timeouts.stall = PATIENCE * 4;
    let bench = Bench::with(settings);
    let (a, b) = (content("a", LENGTH), content("b", LENGTH));
    let items = [bench.item("a", &a), bench.item("b", &b)];
    bench.server.answer("/a", [Answer::Hang(a, 100_000)]);
    bench.server.answer("/b", [Answer::Whole(b)]);
    bench.want(&[&items[0], &items[1]]);
    bench.until("ready b");
    let (ended, end) = channel();
    std::thread::spawn(move || {
        drop(bench.cache);
        ended.send(()).unwrap();
        drop(bench.server);
    });
    end.recv_timeout(PATIENCE).expect("it waits");
}
