//! The player against a control plane that does what the contract says, and then what it does not.

#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use fleet_player::conversation::{Happening, Wish};
use fleet_player::core::sync::Phase;
use fleet_protocol::command::CommandOutcome;
use fleet_protocol::player::{PlayOutcome, PlayerEventKind, ProofOfPlay};
use fleet_tests::fake_control_plane::{FakeControlPlane, Fault, TOKEN};
use serde_json::{Value, json};

use support::{MANIFEST, Player, at, events, manifest, server};

#[test]
fn a_player_fetches_its_manifest_once_and_then_asks_whether_it_changed() {
    let (server, folder) = server();
    let mut player = Player::start(&server, &folder.path().join("journal.db"));
    player.go_on_until("two heartbeats", |_| server.heartbeats().len() == 2);
    assert_eq!(player.received(), 1);
    let asked: Vec<(String, Option<String>)> = server
        .requests()
        .into_iter()
        .map(|r| (r.path, r.headers.get("if-none-match").cloned()))
        .collect();
    let path = |path: &str| (format!("/v1/player/{path}"), None);
    let again = (MANIFEST.to_owned(), Some("\"one\"".to_owned()));
    let expected = [
        path("manifest"),
        path("commands"),
        path("heartbeat"),
        again,
        path("commands"),
        path("heartbeat"),
    ];
    assert_eq!(asked, expected);
    server.set_manifest(manifest("two"));
    player.go_on_until("the other manifest", |p| p.received() == 2);
    let request = &server.requests()[0];
    assert_eq!(request.headers["authorization"], format!("Bearer {TOKEN}"));
}

#[test]
fn whatever_goes_wrong_with_the_manifest_passes_and_is_told() {
    let check = |fault: Fault, kind: &str, status: Value| {
        let (server, folder) = server();
        for _ in 0..3 {
            server.fail_next(MANIFEST, fault.clone());
        }
        let mut player = Player::start(&server, &folder.path().join("journal.db"));
        player.go_on_until("a manifest", |p| p.received() == 1);
        player.go_on_until("the events", |_| !events(&server, kind).is_empty());
        let told = events(&server, kind);
        assert_eq!(told[0]["payload"]["httpStatus"], status, "{fault:?}");
        assert_ne!(player.conversation.sync().phase(), Phase::Unregistered);
    };
    let fetch = "MANIFEST_FETCH_FAILED";
    check(Fault::Status(403), fetch, json!(403));
    check(Fault::Status(503), fetch, json!(503));
    check(Fault::Redirect("/login".to_owned()), fetch, json!(302));
    check(Fault::Close, fetch, Value::Null);
    check(Fault::CutAfter(30), fetch, Value::Null);
    check(
        Fault::ContentType("text/html".to_owned()),
        fetch,
        json!(200),
    );
    check(
        Fault::Body(b"{\"manifestEtag\":".to_vec()),
        "MANIFEST_REJECTED",
        Value::Null,
    );
}

#[test]
fn a_player_waits_as_long_as_it_is_told_to() {
    let (server, folder) = server();
    server.fail_next(MANIFEST, Fault::RetryAfter(429, "900".to_owned()));
    let mut player = Player::start(&server, &folder.path().join("journal.db"));
    player.go_on_until("a manifest", |p| p.received() == 1);
    assert!(
        (900_000..=1_000_000).contains(&player.now_ms),
        "{}",
        player.now_ms
    );
}

#[test]
fn an_outage_is_told_with_its_length_when_it_is_over() {
    let (server, folder) = server();
    let mut player = Player::start(&server, &folder.path().join("journal.db"));
    player.go_on_until("a heartbeat", |_| server.heartbeats().len() == 1);
    for _ in 0..12 {
        server.fail_next("/", Fault::Close);
    }
    player.go_on_until("the outage", |p| !p.conversation.sync().is_online());
    assert_eq!(player.conversation.sync().phase(), Phase::OfflineBackoff);
    player.go_on_until("its end", |p| p.conversation.sync().is_online());
    player.go_on_until("the events", |_| {
        !events(&server, "ONLINE_RESTORED").is_empty()
    });
    let entered = events(&server, "OFFLINE_ENTERED");
    assert_eq!(entered.len(), 1);
    assert!(entered[0]["payload"]["lastOnlineAtUtc"].is_string());
    let restored = events(&server, "ONLINE_RESTORED");
    assert!(
        restored[0]["payload"]["offlineDurationSeconds"]
            .as_u64()
            .unwrap()
            > 0
    );
}

#[test]
fn a_token_that_is_refused_is_invalid_until_it_is_accepted_again() {
    let (server, folder) = server();
    server.set_token("another");
    let mut player = Player::start(&server, &folder.path().join("journal.db"));
    player.go_on_until("the pairing card", |p| p.has(&Wish::TokenInvalid));
    assert_eq!(player.conversation.sync().phase(), Phase::Unregistered);
    let before = server.requests().len();
    for _ in 0..10 {
        player.go_on();
    }
    let asked = server.requests().split_off(before);
    assert!(asked.iter().all(|request| request.path == MANIFEST));
    assert!(player.now_ms > 60 * 60_000, "asks seldom");
    server.set_token(TOKEN);
    player.go_on_until("the manifest", |p| {
        p.has(&Wish::Registered) && p.received() == 1
    });
    player.go_on_until("the event", |_| {
        !events(&server, "DEVICE_TOKEN_INVALID").is_empty()
    });
}

fn command(number: u32, kind: &str) -> Value {
    json!({"commandId": format!("cmd_{number}"), "type": kind, "payload": {"level": "debug"}})
}

fn ran(player: &Player) -> Vec<String> {
    let ran = player.wishes.iter().filter_map(|wish| match wish {
        Wish::Run(command) => Some(command.command_id.to_string()),
        _ => None,
    });
    ran.collect()
}

fn end(player: &mut Player, number: u32) {
    player.take(Happening::CommandEnded {
        id: format!("cmd_{number}").parse().unwrap(),
        outcome: CommandOutcome::Succeeded,
        detail: "done".to_owned(),
        output: None,
    });
}

#[test]
fn commands_take_effect_once_and_are_answered_whatever_is_lost() {
    let (server, folder) = server();
    let journal = folder.path().join("journal.db");
    server.set_commands(vec![
        command(1, "SET_LOG_LEVEL"),
        command(2, "REBOOT_APP"),
        command(3, "DANCE"),
        command(4, "REQUEST_MANIFEST_REFRESH"),
    ]);
    for number in [1, 3] {
        let path = format!("/v1/player/commands/cmd_{number}/result");
        server.fail_next(&path, Fault::LoseAnswer);
        server.fail_next(&path, Fault::Status(503));
    }
    let mut player = Player::start(&server, &journal);
    player.go_on_until("the first command", |p| ran(p) == ["cmd_1"]);
    end(&mut player, 1);
    player.go_on_until("two results", |_| {
        !server.results("cmd_1").is_empty() && !server.results("cmd_3").is_empty()
    });
    assert_eq!(
        ran(&player),
        ["cmd_1"],
        "a restart waits for the end of an item"
    );
    player.take(Happening::Boundary);
    assert_eq!(ran(&player), ["cmd_1", "cmd_2"]);
    let now_ms = player.now_ms;
    drop(player);

    let mut player = Player::start_at(&server, &journal, now_ms, None);
    player.go_on_until("all results", |_| {
        ["cmd_1", "cmd_2", "cmd_3", "cmd_4"]
            .iter()
            .all(|id| !server.results(id).is_empty())
    });
    assert_eq!(ran(&player), Vec::<String>::new(), "nothing runs again");
    for (number, outcome) in [
        (1, "SUCCEEDED"),
        (2, "SUCCEEDED"),
        (3, "FAILED"),
        (4, "SUCCEEDED"),
    ] {
        for result in server.results(&format!("cmd_{number}")) {
            assert_eq!(result["outcome"], outcome, "{result}");
        }
    }
    player.go_on_until("the events", |_| {
        events(&server, "COMMAND_EXECUTED").len() == 3
    });
    let failed = events(&server, "COMMAND_FAILED");
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0]["payload"]["commandType"], "DANCE");
}

#[test]
fn a_refresh_brings_the_manifest_at_once() {
    let (server, folder) = server();
    let mut slow = manifest("one");
    slow["nextCheckSeconds"] = json!(3_600);
    server.set_manifest(slow);
    let mut player = Player::start(&server, &folder.path().join("journal.db"));
    server.set_commands(vec![command(1, "REQUEST_MANIFEST_REFRESH")]);
    player.go_on_until("the manifest", |p| p.received() == 1);
    server.set_manifest(manifest("two"));
    player.go_on_until("the other manifest", |p| p.received() == 2);
    assert!(player.now_ms < 1_000, "{}", player.now_ms);
}

fn played(second: i64) -> ProofOfPlay {
    ProofOfPlay {
        asset_id: format!("ast_{second}").parse().unwrap(),
        playlist_id: "pl_1".parse().unwrap(),
        published_version: 1,
        started_at_utc: at(second),
        ended_at_utc: at(second + 1),
        duration_ms: 1_000,
        outcome: PlayOutcome::Completed,
    }
}

#[test]
fn plays_and_events_arrive_exactly_once_over_lost_answers_and_a_restart() {
    let (server, folder) = server();
    let journal = folder.path().join("journal.db");
    let mut player = Player::start(&server, &journal);
    for second in 0..250 {
        player.take(Happening::Played(played(second)));
        player.take(Happening::Event(PlayerEventKind::ManifestStaged {
            manifest_etag: second.to_string(),
        }));
    }
    for path in ["/v1/player/proof-of-play", "/v1/player/events"] {
        for fault in [
            Fault::LoseAnswer,
            Fault::Status(500),
            Fault::Close,
            Fault::LoseAnswer,
        ] {
            server.fail_next(path, fault);
        }
    }
    player.go_on_until("some plays", |_| !server.proofs().is_empty());
    let now_ms = player.now_ms;
    drop(player);
    let mut player = Player::start_at(&server, &journal, now_ms, None);
    player.go_on_until("everything", |_| {
        server.proofs().len() >= 250 && events(&server, "MANIFEST_STAGED").len() >= 250
    });
    for _ in 0..20 {
        player.go_on();
    }
    let plays: Vec<String> = server
        .proofs()
        .iter()
        .map(|p| p["assetId"].to_string())
        .collect();
    let expected: Vec<String> = (0..250).map(|s| format!("\"ast_{s}\"")).collect();
    assert_eq!(plays, expected);
    assert_eq!(events(&server, "MANIFEST_STAGED").len(), 250);
}

#[test]
fn a_batch_that_will_never_be_taken_holds_up_nothing() {
    let (server, folder) = server();
    let mut player = Player::start(&server, &folder.path().join("journal.db"));
    server.fail_next("/v1/player/proof-of-play", Fault::Status(422));
    player.take(Happening::Played(played(1)));
    let tried = |server: &FakeControlPlane| {
        let requests = server.requests();
        requests
            .iter()
            .filter(|r| r.path.ends_with("proof-of-play"))
            .count()
    };
    player.go_on_until("the refusal", |_| tried(&server) == 1);
    player.go_on();
    player.take(Happening::Played(played(2)));
    player.go_on_until("the next", |_| server.proofs().len() == 1);
    assert_eq!(server.proofs()[0]["assetId"], "ast_2");
}
