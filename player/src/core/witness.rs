//! What was on the glass, for how long, and how it ended: watches the screen's machine from outside.
//!
//! Invariant: every item that was shown gives one proof, when something else takes its place or when the
//! player ends, and none before.

use fleet_protocol::instant::Now;
use fleet_protocol::player::{ItemKind, PlayOutcome, ProofOfPlay};
use fleet_protocol::{AssetId, PlaylistId};

use super::screen::{Event, Screen, Ticket};

/// An image that left less than this before its time was shown for its time.
const SLACK_MS: u64 = 500;

#[derive(Debug, Clone, PartialEq)]
struct Playing {
    ticket: Ticket,
    asset_id: AssetId,
    playlist: Option<(PlaylistId, u64)>,
    /// 0 for a film, which says itself when it is over.
    wanted_ms: u64,
    since: Now,
    heard: Option<PlayOutcome>,
}

/// Beside the screen's machine: hears what it hears, and sees what it shows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Witness {
    playing: Option<Playing>,
}

impl Witness {
    /// Before the machine takes `event`.
    pub fn hear(&mut self, event: &Event) {
        let (ticket, outcome) = match event {
            Event::Ended { ticket } => (*ticket, PlayOutcome::Completed),
            Event::Failed { ticket, .. } => (*ticket, PlayOutcome::Failed),
            _ => return,
        };
        if let Some(playing) = self.playing.as_mut().filter(|p| p.ticket == ticket) {
            playing.heard.get_or_insert(outcome);
        }
    }

    /// After it. Gives the proof of what is no longer seen.
    pub fn see(&mut self, screen: &Screen, now: Now) -> Option<ProofOfPlay> {
        let shown = screen.on_glass();
        let same = |playing: &Playing| shown.is_some_and(|shown| shown.ticket == playing.ticket);
        if self.playing.as_ref().is_some_and(same) {
            return None;
        }
        let proof = self.stop(now);
        self.playing = shown.map(|shown| {
            let manifest = screen.manifests().of(shown.position.source);
            let playlist = manifest.and_then(|manifest| manifest.playlist.as_ref());
            let is_film = shown.item.kind == ItemKind::Video;
            Playing {
                ticket: shown.ticket,
                asset_id: shown.item.asset_id.clone(),
                playlist: playlist.map(|p| (p.playlist_id.clone(), p.published_version)),
                wanted_ms: u64::from(shown.item.duration_seconds) * 1_000 * u64::from(!is_film),
                since: now,
                heard: None,
            }
        });
        proof
    }

    /// The player ends.
    pub fn stop(&mut self, now: Now) -> Option<ProofOfPlay> {
        let playing = self.playing.take()?;
        let duration_ms = now.mono.since(playing.since.mono);
        let long_enough = playing.wanted_ms > 0 && duration_ms + SLACK_MS >= playing.wanted_ms;
        let outcome = match playing.heard {
            Some(outcome) => outcome,
            None if long_enough => PlayOutcome::Completed,
            None => PlayOutcome::Interrupted,
        };
        let (playlist_id, published_version) = playing.playlist?;
        Some(ProofOfPlay {
            asset_id: playing.asset_id,
            playlist_id,
            published_version,
            started_at_utc: playing.since.wall,
            ended_at_utc: now.wall,
            duration_ms,
            outcome,
        })
    }
}

#[cfg(test)]
mod tests {
    use fleet_protocol::instant::Monotonic;
    use fleet_protocol::player::{DecodeFailure, Manifest};
    use jiff::Timestamp;

    use super::super::screen::{AssetRef, Effect};
    use super::*;

    struct Stand {
        screen: Screen,
        witness: Witness,
        now: Now,
        proofs: Vec<ProofOfPlay>,
        prepared: Vec<Ticket>,
    }

    impl Stand {
        /// An image of 10 s and a film, both there.
        fn new() -> Self {
            let item = |id: &str, kind: &str, seconds: u32| {
                serde_json::json!({
                    "assetId": id, "type": kind, "url": "https://cdn.example/a",
                    "checksumSha256": "a1".repeat(32), "durationSeconds": seconds,
                    "widthPx": 10, "heightPx": 10, "fileSizeBytes": 10
                })
            };
            let manifest = serde_json::json!({
                "manifestEtag": "e:1", "validToUtc": "2030-01-01T00:00:00Z", "nextCheckSeconds": 60,
                "playlist": {"playlistId": "pl_1", "publishedVersion": 3,
                    "items": [item("ast_1", "IMAGE", 10), item("ast_2", "VIDEO", 0)]}
            });
            let manifest = Manifest::parse(manifest.to_string().as_bytes()).unwrap();
            let present = manifest.items().iter().map(AssetRef::from).collect();
            let mut stand = Self {
                screen: Screen::default(),
                witness: Witness::default(),
                now: Now {
                    wall: Timestamp::UNIX_EPOCH,
                    mono: Monotonic(0),
                },
                proofs: Vec::new(),
                prepared: Vec::new(),
            };
            stand.take(Event::Loaded {
                current: Some(Box::new(manifest)),
                previous: None,
                present,
                left_at: None,
            });
            stand
        }

        fn take(&mut self, event: Event) {
            self.witness.hear(&event);
            let (screen, effects) = std::mem::take(&mut self.screen).step(event, self.now);
            self.screen = screen;
            self.proofs.extend(self.witness.see(&self.screen, self.now));
            for effect in effects {
                if let Effect::Prepare { ticket, .. } = effect {
                    self.prepared.push(ticket);
                }
            }
        }

        /// What waits to be shown is ready.
        fn prepare(&mut self) -> Ticket {
            let ticket = self.prepared.pop().unwrap();
            self.take(Event::Prepared { ticket });
            ticket
        }

        fn pass(&mut self, ms: u64) {
            self.now.mono = self.now.mono.plus_ms(ms);
            self.take(Event::Tick);
        }

        fn outcomes(&self) -> Vec<(&str, u64, PlayOutcome)> {
            let seen = |p: &'_ ProofOfPlay| (p.duration_ms, p.outcome);
            let of = |p: &ProofOfPlay| {
                if p.asset_id.as_str() == "ast_1" {
                    "image"
                } else {
                    "film"
                }
            };
            let proofs = self.proofs.iter();
            proofs.map(|p| (of(p), seen(p).0, seen(p).1)).collect()
        }
    }

    #[test]
    fn an_item_is_proven_once_it_has_gone() {
        let mut stand = Stand::new();
        stand.prepare();
        let film = stand.prepare();
        assert_eq!(stand.outcomes(), []);
        stand.pass(10_000);
        stand.prepare();
        stand.pass(4_000);
        stand.take(Event::Ended { ticket: film });
        let expected = [
            ("image", 10_000, PlayOutcome::Completed),
            ("film", 4_000, PlayOutcome::Completed),
        ];
        assert_eq!(stand.outcomes(), expected);
        assert_eq!(stand.proofs[0].published_version, 3);
    }

    #[test]
    fn a_failure_and_an_interruption_are_told_apart() {
        let mut stand = Stand::new();
        stand.prepare();
        let film = stand.prepare();
        stand.pass(10_000);
        stand.prepare();
        stand.pass(1_000);
        stand.take(Event::Failed {
            ticket: film,
            reason: DecodeFailure::Stalled,
            message: String::new(),
        });
        stand.pass(2_000);
        stand.take(Event::TokenInvalid);
        let expected = [
            ("image", 10_000, PlayOutcome::Completed),
            ("film", 1_000, PlayOutcome::Failed),
            ("image", 2_000, PlayOutcome::Interrupted),
        ];
        assert_eq!(stand.outcomes(), expected);
    }

    #[test]
    fn the_end_of_the_player_is_an_interruption() {
        let mut stand = Stand::new();
        stand.prepare();
        stand.pass(3_000);
        let proof = stand.witness.stop(stand.now).unwrap();
        assert_eq!(proof.outcome, PlayOutcome::Interrupted);
        assert_eq!(stand.witness.stop(stand.now), None);
    }
}
