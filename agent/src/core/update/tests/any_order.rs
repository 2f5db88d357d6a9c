//! Any event in any order.

use fleet_protocol::heartbeat::ResetReason;
use fleet_protocol::update::Slot;
use proptest::prelude::*;

use super::super::*;
use super::{Bench, reboots};
use crate::core::fixtures::{booted, candidate, release, version};

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Any event in any order: no panic, effects in order, a record that survives its JSON.
    #[test]
    fn no_order_of_events_breaks_it(steps in prop::collection::vec((0u8..14, 1u64..4), 0..60)) {
        let mut bench = Bench::new();
        for (step, number) in steps {
            let transaction_id = match &bench.engine.record().state {
                State::Installing(installing) => installing.transaction_id.clone(),
                _ => "stale".to_owned(),
            };
            let slot = if number % 2 == 0 { Slot::A } else { Slot::B };
            let event = match step {
                0 => Event::TargetReceived { generation: number, release: Some(candidate(&release(number))) },
                1 => Event::TargetReceived { generation: number, release: None },
                2 => Event::Tick,
                3 => Event::InstallFinished { transaction_id, result: Ok(()) },
                4 => Event::InstallFinished {
                    transaction_id,
                    result: Err(InstallError::Transient { detail: String::new() }),
                },
                5 => Event::SlotSwitched { slot, result: Ok(()) },
                6 => Event::SlotSwitched { slot, result: Err(String::new()) },
                7 => Event::MarkedGood { slot },
                8 => Event::MarkFailed { slot, detail: String::new() },
                9 => Event::Operator(OperatorCommand::Update { force: true }),
                10 => Event::Operator(OperatorCommand::RollBack),
                11 => Event::HealthSample(crate::core::gate::Sample::default()),
                12 => Event::InstallProgress {
                    transaction_id, percent: 255, downloaded_bytes: u64::MAX, message: String::new(),
                },
                _ => Event::Booted(Boot {
                    booted: booted(slot, &version(number), number),
                    env: (number != 3).then(|| BootEnv::committed_to(slot.other())),
                    reset: ResetReason::Unknown,
                    safe_mode: number == 2,
                }),
            };
            bench.wait(40);
            bench.step(event);
            let persist = bench.effects.iter().position(|e| matches!(e, Effect::Persist(_)));
            prop_assert!(persist.is_none_or(|at| at == 0));
            let reboot = bench.effects.iter().position(reboots);
            prop_assert!(reboot.is_none_or(|at| at + 1 == bench.effects.len()));
            let json = serde_json::to_string(bench.engine.record()).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Record>(&json).unwrap(), bench.engine.record());
            let _ = bench.engine.why(&bench.situation);
        }
    }
}
