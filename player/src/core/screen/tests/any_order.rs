//! Whatever comes, in whatever order.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// What may happen to a screen.
#[derive(Debug, Clone)]
enum Happening {
    Pass(u64),
    Engine,
    FailNext,
    FailShown,
    End,
    Ready(usize),
    Lost(usize),
    Receive(u8, Vec<usize>, bool),
    /// With all its files, of which none can be decoded.
    ReceiveBroken(u8, usize),
    Token(bool),
    Restart,
    ReplaceEngine,
    ChangeCard,
}

const NAMES: [&str; 5] = ["a", "b", "c", "v1", "v2"];
const BROKEN: [&str; 3] = ["bad1", "bad2", "bad3"];

fn happening() -> impl Strategy<Value = Happening> {
    let name = 0..NAMES.len();
    prop_oneof![
        4 => (0u64..40).prop_map(Happening::Pass),
        4 => Just(Happening::Engine),
        2 => Just(Happening::FailNext),
        1 => Just(Happening::FailShown),
        3 => Just(Happening::End),
        2 => name.clone().prop_map(Happening::Ready),
        1 => name.clone().prop_map(Happening::Lost),
        2 => (any::<u8>(), prop::collection::vec(name, 0..4), any::<bool>())
            .prop_map(|(etag, names, urgent)| Happening::Receive(etag, names, urgent)),
        2 => (any::<u8>(), 1..=BROKEN.len())
            .prop_map(|(etag, count)| Happening::ReceiveBroken(etag, count)),
        1 => any::<bool>().prop_map(Happening::Token),
        1 => Just(Happening::Restart),
        1 => Just(Happening::ReplaceEngine),
        1 => Just(Happening::ChangeCard),
    ]
}

fn happens(bench: &mut Bench, what: Happening) {
    match what {
        Happening::Pass(seconds) => {
            bench.now_s += seconds;
            bench.step(Event::Tick);
        }
        Happening::Engine => bench.engine(),
        Happening::FailNext => {
            if !bench.pending.is_empty() {
                bench.fail_next(DecodeFailure::DecodeError);
            }
        }
        Happening::FailShown => {
            if let Some((ticket, ..)) = bench.on_glass() {
                bench.step(Event::Failed {
                    ticket,
                    reason: DecodeFailure::Stalled,
                    message: String::new(),
                });
            }
        }
        Happening::End => {
            if let Some((ticket, ItemKind::Video, _)) = bench.on_glass() {
                bench.step(Event::Ended { ticket });
            }
        }
        Happening::Ready(name) => bench.step(Event::AssetReady(asset(NAMES[name]))),
        Happening::Lost(name) => bench.step(Event::AssetLost(asset(NAMES[name]))),
        Happening::Receive(etag, names, urgent) => {
            let names: Vec<&str> = names.into_iter().map(|name| NAMES[name]).collect();
            let mut received = manifest(&etag.to_string(), &names);
            received.settings.urgent = urgent;
            bench.step(Event::Received(received));
        }
        Happening::ReceiveBroken(etag, count) => {
            let names = &BROKEN[..count];
            for asset in names.iter().map(|name| asset(name)) {
                if !bench.screen.library().has(&asset) {
                    bench.step(Event::AssetReady(asset));
                }
            }
            bench.step(Event::Received(manifest(&format!("broken {etag}"), names)));
        }
        Happening::Token(true) => bench.step(Event::Registered),
        Happening::Token(false) => bench.step(Event::TokenInvalid),
        Happening::Restart => bench.step(Event::RestartPlayback),
        Happening::ReplaceEngine => bench.replace_engine(),
        Happening::ChangeCard => bench.step(Event::CardChanged),
    }
}

fn anything_playable(bench: &Bench) -> bool {
    let manifests = bench.screen.manifests();
    let mut items = manifests.wanted();
    items.any(|item| bench.screen.library().can_play(item, bench.now().mono))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// The engine itself asserts that only what is prepared is shown.
    #[test]
    fn whatever_happens_something_plays_if_one_item_can(
        present in prop::collection::vec(0..NAMES.len(), 0..5),
        happenings in prop::collection::vec(happening(), 0..60),
    ) {
        let present: Vec<&str> = present.into_iter().map(|name| NAMES[name]).collect();
        let mut bench = Bench::new(&["a", "v1"], &["b"], &present);
        let mut over = BTreeSet::new();
        for what in happenings {
            let before = bench.on_glass();
            let item = bench.screen.on_glass().map(|shown| shown.item.clone());
            let ends = matches!(
                what,
                Happening::End | Happening::FailShown | Happening::ReplaceEngine
            );
            over.extend(before.iter().filter(|_| ends).map(|(ticket, ..)| *ticket));
            happens(&mut bench, what);
            let after = bench.on_glass();
            // Nothing takes a video's place before its own end, but an urgent manifest.
            if let (Some((old, ItemKind::Video, _)), Some((new, ..))) = (&before, &after) {
                let current = bench.screen.manifests().current();
                let urgent = current.is_some_and(|m| m.settings.urgent);
                prop_assert!(old == new || over.contains(old) || urgent);
            }
            // A picture goes for a card only when nothing is left that could be played, be it itself, which the
            // manifests may have forgotten: for one that has something to show, or on purpose for an empty one.
            if let (Some(item), None) = (&item, &after)
                && bench.screen.state() != PlayerState::Pairing
            {
                prop_assert!(!anything_playable(&bench));
                let current = bench.screen.manifests().current();
                let emptied = current.is_some_and(|manifest| manifest.items().is_empty());
                let can_play = bench.screen.library().can_play(item, bench.now().mono);
                prop_assert!(emptied || !can_play);
            }
        }
        bench.step(Event::Registered);
        for _ in 0..4 {
            bench.item();
        }
        let playing = bench.screen.state() == PlayerState::Playing && bench.on_glass().is_some();
        prop_assert_eq!(playing, anything_playable(&bench), "{:?}", bench.log);
        prop_assert!(bench.prepared.len() <= 1, "nothing is left in the engine's hands");
    }
}
