//! What becomes of the conversation when the disk takes nothing. Everything else is tested with real
//! requests, in `tests/sync.rs`.

use std::sync::mpsc::{Receiver, channel};

use fleet_protocol::heartbeat::Network;
use fleet_protocol::instant::Monotonic;
use fleet_protocol::player::{CacheStatus, Playback, PlayerCommandKind, PlayerErrors, PlayerState};
use jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::control_plane::{
    ControlPlane, Deadlines, DeviceToken, Given, Identity, PlainHttp, Report,
};
use crate::core::sync::{Lane, Phase};
use crate::journal::Limits;

fn now() -> Now {
    Now {
        wall: Timestamp::from_second(1_800_000_000).unwrap(),
        mono: Monotonic(1),
    }
}

fn heartbeat(_: &Sync) -> PlayerHeartbeat {
    PlayerHeartbeat {
        device_time: now().wall,
        app_version: "1.0.0".parse().unwrap(),
        state: PlayerState::Booting,
        manifest_etag: None,
        playback: Playback::default(),
        cache: CacheStatus::default(),
        network: Network::default(),
        errors: PlayerErrors::default(),
        frames: None,
        screen_power: None,
    }
}

/// Nobody listens at port 1.
fn conversation(journal: Journal) -> (Conversation, Receiver<Report>) {
    let token = DeviceToken::parse("token").unwrap();
    let identity = Identity::plain("http://127.0.0.1:1", token);
    let control_plane =
        ControlPlane::new(&identity, PlainHttp::LoopbackOnly, Deadlines::default()).unwrap();
    let (sender, reports) = channel();
    let worker = Worker::spawn(control_plane, sender).unwrap();
    (Conversation::new(journal, worker), reports)
}

fn listed(kind: &str) -> Happening {
    let item = json!({"commandId": "cmd_1", "type": kind});
    Happening::Report(Report {
        lane: Lane::Commands,
        result: Ok(Given::Commands(vec![item])),
        dice: 0,
    })
}

#[test]
fn a_command_that_cannot_be_kept_is_answered_and_not_run() {
    let journal = Journal::in_memory(Limits::default());
    journal.take_nothing();
    let (mut conversation, _reports) = conversation(journal);
    let wishes = conversation.take(listed("CLEAR_CACHE_UNUSED"), &heartbeat, now());
    assert_eq!(wishes, []);
    let (_, result) = conversation.commands.next_result().unwrap();
    assert_eq!(result.outcome, CommandOutcome::Failed);
    assert!(
        result.detail.contains("check the data partition"),
        "{}",
        result.detail
    );
}

#[test]
fn with_a_disk_that_takes_it_the_same_command_is_run() {
    let (mut conversation, _reports) = conversation(Journal::in_memory(Limits::default()));
    let wishes = conversation.take(listed("CLEAR_CACHE_UNUSED"), &heartbeat, now());
    let kind = PlayerCommandKind::ClearCacheUnused;
    assert!(matches!(&wishes[..], [Wish::Run(command)] if command.kind == kind));
}

#[test]
fn a_disk_that_takes_nothing_does_not_end_the_conversation() {
    let journal = Journal::in_memory(Limits::default());
    journal.take_nothing();
    let (mut conversation, reports) = conversation(journal);
    let started = Happening::Started {
        known: None,
        dice: 0,
    };
    conversation.take(started, &heartbeat, now());
    assert_eq!(conversation.sync().phase(), Phase::SyncManifest);
    let report = reports.recv().unwrap();
    assert!(report.result.is_err());
    conversation.take(Happening::Report(report), &heartbeat, now());
    assert_eq!(conversation.sync().phase(), Phase::OfflineBackoff);
}
