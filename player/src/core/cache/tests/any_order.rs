//! Whatever happens, in whatever order. The world itself asserts the policy's promises at each step.

use proptest::prelude::*;

use super::world::World;
use super::*;

const FILES: [(&str, u64); 8] = [
    ("a", 90),
    ("b", 150),
    ("c", 200),
    ("d", 260),
    ("e", 330),
    ("f", 410),
    ("g", 600),
    ("h", 1_100),
];

#[derive(Debug, Clone)]
enum Happening {
    Want(Vec<usize>, Vec<usize>),
    Finish(usize),
    Fail(usize, Fault, u64, u64),
    Pass(u64),
    Play(usize),
    Check(Verdict),
    Damage(usize),
    Sticky(bool),
    ClearUnused,
    ClearAll,
    Budget(u64),
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        Just(Fault::Http(503)),
        Just(Fault::Network),
        Just(Fault::WrongContent),
        Just(Fault::Medium),
        Just(Fault::Full),
        Just(Fault::ReadOnly),
    ]
}

fn happening() -> impl Strategy<Value = Happening> {
    let some = || prop::collection::vec(0..FILES.len(), 0..6);
    let file = 0..FILES.len();
    let verdict = prop_oneof![3 => Just(Verdict::Whole), 1 => Just(Verdict::Damaged)];
    prop_oneof![
        4 => (some(), some()).prop_map(|(wanted, kept)| Happening::Want(wanted, kept)),
        6 => (0usize..4).prop_map(Happening::Finish),
        4 => (0usize..4, fault(), 0u64..500, any::<u64>())
            .prop_map(|(which, fault, kept, dice)| Happening::Fail(which, fault, kept, dice)),
        3 => (0u64..200).prop_map(Happening::Pass),
        2 => file.clone().prop_map(Happening::Play),
        2 => verdict.prop_map(Happening::Check),
        1 => file.prop_map(Happening::Damage),
        1 => any::<bool>().prop_map(Happening::Sticky),
        1 => Just(Happening::ClearUnused),
        1 => Just(Happening::ClearAll),
        1 => (200u64..1_500).prop_map(Happening::Budget),
    ]
}

fn happens(world: &mut World, what: Happening) {
    let name = |index: usize| FILES[index].0;
    match what {
        Happening::Want(wanted, kept) => {
            let wanted: Vec<_> = wanted.into_iter().map(|index| FILES[index]).collect();
            let kept: Vec<_> = kept.into_iter().map(name).collect();
            world.want(&wanted, &kept);
        }
        Happening::Finish(which) => {
            if let Some(sha256) = world.under_way.keys().nth(which).copied() {
                world.finish(sha256);
            }
        }
        Happening::Fail(which, fault, kept, dice) => {
            if let Some(sha256) = world.under_way.keys().nth(which).copied() {
                let cancelled = world.cancelled.contains(&sha256);
                let fault = if cancelled { Fault::Cancelled } else { fault };
                world.fail(sha256, kept, fault, dice);
            }
        }
        Happening::Pass(seconds) => world.pass(seconds),
        Happening::Play(index) => world.step(Event::Played(asset(name(index)))),
        Happening::Check(verdict) => {
            if let Some(sha256) = world.checking.take() {
                world.step(Event::Checked { sha256, verdict });
            }
        }
        Happening::Damage(index) => world.step(Event::FoundDamaged(sha(name(index)))),
        Happening::Sticky(sticky) => world.sticky = sticky,
        Happening::ClearUnused => world.step(Event::ClearUnused),
        Happening::ClearAll => world.step(Event::ClearAll),
        Happening::Budget(budget_bytes) => world.step(Event::BudgetChanged { budget_bytes }),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_promises_hold_and_what_is_possible_is_fetched(
        before in prop::sample::subsequence(&FILES[..5], 0..5),
        happenings in prop::collection::vec(happening(), 0..80),
        last in prop::collection::vec(0..FILES.len(), 0..6),
    ) {
        let mut world = World::with(&before);
        for what in happenings {
            happens(&mut world, what);
        }
        let wanted: Vec<_> = last.into_iter().map(|index| FILES[index]).collect();
        world.want(&wanted, &[]);
        world.calm_down();
        let needed: u64 = {
            let names: BTreeSet<Sha256> = wanted.iter().map(|(name, _)| sha(name)).collect();
            let here = world.files.iter().filter(|(sha256, _)| names.contains(sha256));
            here.map(|(_, size)| size).sum()
        };
        let budget = world.policy.status().total_bytes;
        for (name, size) in wanted {
            let here = world.files.contains_key(&sha(name));
            prop_assert!(here || needed + size > budget, "{} is missing", name);
        }
    }
}
