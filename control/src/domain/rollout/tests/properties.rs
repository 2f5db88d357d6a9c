//! Whatever happens: random devices, random order, executors that come late.

use proptest::prelude::*;

use super::super::*;
use super::simulation::{NEW, Nature, world};

fn any_nature() -> impl Strategy<Value = Nature> {
    prop_oneof![
        20 => Just(Nature::Good),
        1 => Just(Nature::Unhealthy),
        1 => Just(Nature::Refuses),
        1 => Just(Nature::Bricks),
        1 => Just(Nature::WrongHash),
        2 => Just(Nature::Off),
        1 => Just(Nature::Deferred),
    ]
}

/// What happens next in a simulated rollout.
#[derive(Debug, Clone)]
enum Happening {
    Step(prop::sample::Index),
    Plan,
    /// An executor reads now and applies later: after whatever comes before its turn.
    Dawdle,
    LateApply,
    Wait(u8),
    Pause,
    Resume,
    Revoke(prop::sample::Index),
}

fn any_happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        20 => any::<prop::sample::Index>().prop_map(Happening::Step),
        8 => Just(Happening::Plan),
        2 => Just(Happening::Dawdle),
        2 => Just(Happening::LateApply),
        3 => any::<u8>().prop_map(Happening::Wait),
        1 => Just(Happening::Pause),
        2 => Just(Happening::Resume),
        1 => any::<prop::sample::Index>().prop_map(Happening::Revoke),
    ]
}

fn any_phases() -> impl Strategy<Value = Vec<u16>> {
    prop::collection::btree_set(1u16..100, 0..4)
        .prop_map(|set| set.into_iter().chain([100]).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_happens_no_more_devices_are_at_risk_than_the_phase_allows(
        natures in prop::collection::vec(any_nature(), 1..60),
        phases in any_phases(),
        threshold in 0u16..40,
        rollback in any::<bool>(),
        happenings in prop::collection::vec(any_happening(), 0..200),
    ) {
        let mut world = world(natures, &phases, threshold, rollback);
        let mut late: Option<Plan> = None;
        for happening in happenings {
            match happening {
                Happening::Step(index) => {
                    let index = index.index(world.facts.len());
                    world.step(index);
                }
                Happening::Plan => {
                    let plan = world.plan();
                    world.apply(&plan);
                }
                Happening::Dawdle => late = Some(world.plan()),
                Happening::LateApply => {
                    if let Some(plan) = late.take() {
                        world.apply(&plan);
                    }
                }
                Happening::Wait(minutes) => {
                    world.now += SignedDuration::from_mins(i64::from(minutes) * 10);
                }
                Happening::Pause | Happening::Resume => {
                    let act = if matches!(happening, Happening::Pause) { Act::Pause } else { Act::Resume };
                    if let Ok(status) = operate(world.state.status, act) {
                        world.state.status = status;
                        world.state.generation += 1;
                    }
                }
                Happening::Revoke(index) => {
                    let index = index.index(world.facts.len());
                    world.facts[index].revoked = true;
                }
            }
        }
        if world.state.status == RolloutStatus::Paused {
            world.state.status = RolloutStatus::Running;
        }
        world.settle();
        if world.state.status == RolloutStatus::RolledBack {
            for facts in &world.facts {
                let stranded = facts.booted_version == NEW && facts.status != MemberStatus::RollingBack;
                prop_assert!(!stranded, "{facts:?} was forgotten on the bad version");
            }
        }
    }

    #[test]
    fn the_same_facts_in_any_order_give_the_same_plan(
        natures in prop::collection::vec(any_nature(), 1..40),
        rounds in 0usize..6,
        seed in any::<u64>(),
    ) {
        let mut world = world(natures, &[10, 50, 100], 10, true);
        for _ in 0..rounds {
            let plan = world.plan();
            world.apply(&plan);
            (0..world.facts.len()).for_each(|i| world.step(i));
            world.now += SignedDuration::from_mins(2);
        }
        let expected = world.plan();
        world.facts.sort_by_key(|f| Sha256::of(format!("{seed}{}", f.device_id)));
        prop_assert_eq!(world.plan(), expected);
    }
}
