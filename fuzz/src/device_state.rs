//! What a device remembers, as a bad disk may give it back.

use std::sync::LazyLock;

use jiff::Timestamp;

/// The agent's memory as a bad disk may give it back: every machine goes on from it, whatever comes.
pub fn device_state(data: &[u8]) {
    if let Ok(record) = serde_json::from_slice(data) {
        update_record(&record);
    }
    if let Ok(queue) = serde_json::from_slice(data) {
        command_queue(queue, data);
    }
    if let Ok(configuration) = serde_json::from_slice(data) {
        configuration_state(&configuration);
    }
    if let Ok(watch) = serde_json::from_slice(data) {
        safe_mode_watch(&watch);
    }
    if let Ok(evidence) = serde_json::from_slice(data) {
        time_evidence(evidence);
    }
    if let Ok(tries) = serde_json::from_slice(data) {
        let now = fleet_agent::core::Monotonic(u64::MAX - 1);
        let mut lockout = fleet_agent::safe_mode::lockout::Lockout::resume(tries, now);
        let _ = lockout.begin(now);
    }
    if let Ok(kept) = serde_json::from_slice::<Vec<fleet_protocol::trust::Envelope>>(data) {
        let mut chain = fleet_agent::platform::key_chain::KeyChain::new(super::trusted().1);
        assert!(!chain.follow(&kept), "followed what nobody signed");
    }
    event_journal(data);
}

/// As if the disk had lost all but this record: the engine starts from it in either slot, with and without a
/// boot environment, and takes every event.
fn update_record(record: &fleet_agent::core::update::Record) {
    use fleet_agent::core::boot::BootEnv;
    use fleet_agent::core::update::{Effect, Engine, Record};
    use fleet_protocol::update::Slot;
    let situation = situation();
    for slot in [Slot::A, Slot::B] {
        for env in [
            None,
            Some(BootEnv::committed_to(slot)),
            Some(BootEnv::committed_to(slot.other())),
        ] {
            let mut engine = Engine::new(record.clone());
            for event in update_events(record, slot, env) {
                let (next, effects) = engine.step(event, &situation);
                let persist = effects.iter().position(|e| matches!(e, Effect::Persist(_)));
                assert!(persist.is_none_or(|at| at == 0), "persisted too late");
                engine = next;
                let _ = (engine.view(&situation), engine.why(&situation));
            }
            let json = serde_json::to_vec(engine.record()).expect("plain data");
            let read = serde_json::from_slice::<Record>(&json).expect("just written");
            assert_eq!(&read, engine.record());
        }
    }
}

fn situation() -> fleet_agent::core::update::Situation {
    use fleet_agent::core::gate::{ReachedBefore, Settings};
    use fleet_agent::core::update::Situation;
    use fleet_agent::core::{Monotonic, Now, admission::Facts};
    let wall = Timestamp::from_second(1_767_225_600).expect("within the calendar");
    Situation {
        now: Now {
            wall,
            mono: Monotonic(30_000),
        },
        facts: Facts {
            now: wall,
            clock_floor: Timestamp::UNIX_EPOCH,
            compatible: "fleet-test".parse().expect("a compatible"),
            hardware: "qemu".to_owned(),
            window: None,
            free_bytes: u64::MAX,
            min_free_bytes: 0,
            paused: false,
            power_trouble: None,
        },
        gate: Settings {
            window_ms: 60_000,
            deadline_ms: 600_000,
            max_restarts: 3,
            control_plane: fleet_protocol::config::ControlPlaneCheck::Required,
        },
        reboot_delay_s: 5,
        control_plane: ReachedBefore::Yes,
        dice: u64::MAX,
    }
}

fn update_events(
    record: &fleet_agent::core::update::Record,
    slot: fleet_protocol::update::Slot,
    env: Option<fleet_agent::core::boot::BootEnv>,
) -> Vec<fleet_agent::core::update::Event> {
    use fleet_agent::core::update::{Boot, Event, InstallError, OperatorCommand, State};
    use fleet_protocol::heartbeat::ResetReason;
    use fleet_protocol::update::BootedSystem;
    let transaction_id = match &record.state {
        State::Installing(installing) => installing.transaction_id.clone(),
        _ => String::new(),
    };
    let planned = match &record.state {
        State::RebootPending(pending) => Some(&pending.plan),
        State::Trial(trial) => trial.plan.as_ref(),
        _ => None,
    };
    let committed = record.committed.as_ref().map(|c| &c.content);
    let version = planned
        .map(|plan| &plan.version)
        .or(committed.map(|c| &c.version));
    let root_hash = planned
        .map(|plan| plan.root_hash)
        .or(committed.map(|c| c.root_hash));
    let booted = Event::Booted(Boot {
        booted: BootedSystem {
            slot,
            version: version
                .cloned()
                .unwrap_or(fleet_protocol::Version::new(1, 0, 0)),
            root_hash: root_hash.unwrap_or(fleet_protocol::Sha256::from_bytes([0; 32])),
            boot_id: "this boot".to_owned(),
        },
        env,
        reset: ResetReason::Power,
        safe_mode: false,
    });
    let failed = InstallError::Transient {
        detail: String::new(),
    };
    let sequence = record.sequence;
    vec![
        booted.clone(),
        Event::Tick,
        Event::HealthSample(fleet_agent::core::gate::Sample::default()),
        Event::SlotSwitched {
            slot,
            result: Ok(()),
        },
        Event::MarkedGood { slot },
        Event::InstallProgress {
            transaction_id: transaction_id.clone(),
            percent: u8::MAX,
            downloaded_bytes: u64::MAX,
            message: String::new(),
        },
        Event::InstallFinished {
            transaction_id,
            result: Err(failed),
        },
        Event::TargetReceived {
            generation: u64::MAX,
            release: Some(wanted()),
        },
        Event::Operator(OperatorCommand::Update { force: true }),
        Event::Tick,
        Event::Operator(OperatorCommand::RollBack),
        Event::ReportAcknowledged { sequence },
        Event::TargetReceived {
            generation: 1,
            release: None,
        },
        Event::MarkFailed {
            slot,
            detail: String::new(),
        },
        booted,
    ]
}

/// Release 2.0.0, signed and verified.
fn wanted() -> fleet_agent::core::update::Candidate {
    use fleet_agent::core::update::{Candidate, Wanted};
    use fleet_protocol::Sha256;
    use fleet_protocol::trust::{BundleRef, ReleaseMetadata, VerifiedRelease};
    static WANTED: LazyLock<Candidate> = LazyLock::new(|| {
        let (key, keys) = super::trusted();
        let metadata = ReleaseMetadata {
            version: fleet_protocol::Version::new(2, 0, 0),
            compatible: "fleet-test".parse().expect("a compatible"),
            bundle: BundleRef {
                file_name: "f.raucb".to_owned(),
                sha256: Sha256::of("bundle"),
                size_bytes: 100,
                manifest_sha256: Sha256::of("manifest"),
            },
            root_hash: Sha256::of("root"),
            issued_at: Timestamp::UNIX_EPOCH,
            not_after: Timestamp::MAX,
            min_version: None,
            rollback_floor: None,
            allow_downgrade: true,
            hardware: Vec::new(),
            notes: String::new(),
        };
        let mut envelope = metadata.to_envelope();
        envelope.sign(&key);
        Candidate::Verified(Box::new(Wanted {
            kind: fleet_protocol::target::TargetKind::Install,
            rollout_id: None,
            release: VerifiedRelease::verify(&envelope, &keys).expect("signed by its key"),
            bundle_path: "/v1/device/bundles/f".to_owned(),
            attempt: 1,
        }))
    });
    WANTED.clone()
}

/// The queue goes on, whatever is listed next, and never holds more than it may.
fn command_queue(queue: fleet_agent::core::command_queue::Queue, listed: &[u8]) {
    use fleet_agent::core::command_queue::{Effect, Event};
    let now = Timestamp::UNIX_EPOCH;
    let boot_id = "this boot";
    let mut events = vec![
        Event::Started {
            boot_id: boot_id.to_owned(),
        },
        Event::Tick,
    ];
    if let Ok(list) = serde_json::from_slice::<fleet_protocol::command::CommandList>(listed) {
        events.push(Event::Fetched(list.items));
    }
    let ids = queue.entries().iter().map(|entry| entry.id.clone());
    events.extend(ids.map(|id| Event::Acknowledged { id }));
    let mut queue = queue;
    for event in events {
        let (next, effects) = queue.step(event, boot_id, now);
        let persist = effects.iter().position(|e| matches!(e, Effect::Persist(_)));
        assert!(persist.is_none_or(|at| at == 0), "persisted too late");
        queue = next;
    }
}

fn configuration_state(kept: &fleet_agent::core::config::Configuration) {
    use fleet_agent::core::config::{Base, Effect, Event};
    use fleet_protocol::config::{IMAGE_DEFAULTS, Layer};
    let base = Base {
        layers: vec![Layer::parse("defaults", IMAGE_DEFAULTS).expect("the image's own")],
        ..Base::default()
    };
    let started = |boot_id: &str| Event::Started {
        boot_id: boot_id.to_owned(),
    };
    for end in [
        Event::GatePassed,
        Event::GateFailed { checks: Vec::new() },
        Event::OwnChanges(kept.good.own.clone()),
    ] {
        let (mut state, mut version) = (kept.clone(), None);
        let boot_id = kept.starts.boot_id.as_str();
        for event in [
            started(boot_id),
            started("another"),
            end,
            Event::LayersChanged,
        ] {
            let (next, effects) = state.step(event, &base);
            version = effects.iter().fold(version, |before, effect| match effect {
                Effect::Apply { version, .. } => Some(*version),
                _ => before,
            });
            state = next;
        }
        assert!(
            version.is_some_and(|v| v == 0 || v == state.version()),
            "none in force"
        );
    }
}

fn safe_mode_watch(kept: &fleet_agent::core::safe_mode::Watch) {
    use fleet_agent::core::safe_mode::{Event, Limits};
    let booted = Event::Booted {
        forced_by_bootloader: false,
        data_trouble: None,
    };
    for now in [Timestamp::MIN, Timestamp::UNIX_EPOCH, Timestamp::MAX] {
        let mut watch = kept.clone();
        for event in [
            booted.clone(),
            Event::RetryDue,
            booted.clone(),
            Event::LeaveAsked,
        ] {
            (watch, _) = watch.step(event, now, &Limits::default());
            assert!(watch.pause_s(now) <= 24 * 3_600, "it would wait for ever");
        }
    }
}

fn time_evidence(evidence: fleet_agent::core::clock::Evidence) {
    use fleet_agent::core::Monotonic;
    use fleet_agent::core::clock::{Discipline, Knowledge, Word};
    let mut known = Knowledge::new(evidence);
    let certain = evidence.certain();
    for (time, at) in [
        (Timestamp::MIN, 0),
        (Timestamp::MAX, u64::MAX),
        (Timestamp::MAX, u64::MAX),
    ] {
        let word = Word {
            time,
            at: Monotonic(at),
            not_after: None,
        };
        let _ = evidence.at_start(time);
        (known, _) = known.hear(word, Timestamp::UNIX_EPOCH, Discipline::None);
        assert!(known.evidence().certain() >= certain, "certainty was lost");
        let _ = (
            known.told(Monotonic(at)),
            known.floor(Discipline::TimeService),
        );
    }
}

/// Whatever lines there are: what is left is bounded, has each event once, and can be written and read again.
fn event_journal(journal: &[u8]) {
    use fleet_agent::core::spool::{Limits, Line, replay};
    let (spool, damaged) = replay(journal);
    assert!(damaged + spool.len() <= journal.split(|b| *b == b'\n').count());
    let written: Vec<u8> = spool
        .iter()
        .flat_map(|event| {
            let line = Line::Add(Box::new(event.clone()));
            let mut bytes = serde_json::to_vec(&line).expect("plain data");
            bytes.push(b'\n');
            bytes
        })
        .collect();
    let (again, damaged) = replay(&written);
    assert_eq!((&again, damaged), (&spool, 0));
    let limits = Limits {
        max_events: 2,
        max_age_s: 3_600,
    };
    for now in [Timestamp::MIN, Timestamp::UNIX_EPOCH, Timestamp::MAX] {
        let (trimmed, _) = spool.clone().trim(now, limits);
        assert!(trimmed.len() <= limits.max_events);
        assert_eq!(trimmed.batch().is_empty(), trimmed.is_empty());
    }
}
