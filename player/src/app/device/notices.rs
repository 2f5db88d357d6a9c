//! What the agent wants on the screen.

use std::path::PathBuf;
use std::time::SystemTime;

use fleet_cards::{Card, Notice};
use fleet_device::files;
use fleet_protocol::instant::Monotonic;

use crate::app::Cover;
use crate::app::card::{self, Canvas};

const LOOKED_AT_EVERY_MS: u64 = 500;
const MAX_BYTES: u64 = 64 * 1024;

/// The agent's file, as it was last seen.
#[derive(Debug)]
pub(super) struct Notices {
    path: PathBuf,
    looked: Option<Monotonic>,
    written: Option<SystemTime>,
    notice: Option<Notice>,
    /// Somebody said so and it was not passed on yet.
    woken: bool,
    /// What covers the screen, and what it was drawn on.
    covering: Option<(Card, Canvas)>,
}

impl Notices {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self {
            path,
            looked: None,
            written: None,
            notice: None,
            woken: false,
            covering: None,
        }
    }

    /// Whether the agent says something else than before. Looks now and then.
    pub(super) fn look(&mut self, now: Monotonic) -> bool {
        let lately = |looked: Monotonic| now.since(looked) < LOOKED_AT_EVERY_MS;
        if self.looked.is_some_and(lately) {
            return false;
        }
        self.looked = Some(now);
        let written = std::fs::metadata(&self.path)
            .and_then(|file| file.modified())
            .ok();
        if written == self.written {
            return false;
        }
        self.written = written;
        // A file that can't be read or understood says nothing.
        let notice = self.read();
        let shown = |notice: &Option<Notice>| {
            let notice = notice.as_ref();
            notice.map(|notice| (notice.card.clone(), notice.over_content))
        };
        let wakes = |notice: &Option<Notice>| notice.as_ref().map(|notice| notice.content_wakes);
        let changed = shown(&notice) != shown(&self.notice);
        // The first one is no news: whoever has just started asks by himself.
        self.woken |=
            self.notice.is_some() && notice.is_some() && wakes(&notice) != wakes(&self.notice);
        self.notice = notice;
        changed
    }

    /// Whether there may be something to fetch, once for each time that somebody said so.
    pub(super) fn take_wake(&mut self) -> bool {
        std::mem::take(&mut self.woken)
    }

    fn read(&self) -> Option<Notice> {
        let text = files::read_limited(&self.path, MAX_BYTES).ok()??;
        serde_json::from_slice(&text).ok()
    }

    /// For when there is no content.
    pub(super) fn card(&self) -> Option<&Card> {
        self.notice.as_ref().map(|notice| &notice.card)
    }

    /// Whether it is to be seen whatever else there is.
    pub(super) fn is_urgent(&self) -> bool {
        let notice = self.notice.as_ref();
        notice.is_some_and(|notice| notice.over_content)
    }

    /// What is to cover the screen, if that has changed since it was last asked.
    pub(super) fn cover(&mut self, canvas: Canvas) -> Option<Cover> {
        let notice = self.notice.as_ref().filter(|notice| notice.over_content);
        let wanted = notice.map(|notice| (notice.card.clone(), canvas));
        if wanted == self.covering {
            return None;
        }
        self.covering = wanted;
        Some(match &self.covering {
            Some((card, canvas)) => Cover::Over(card::picture(card, *canvas)),
            None => Cover::Nothing,
        })
    }
}

#[cfg(test)]
mod tests {
    use fleet_protocol::player::Orientation;

    use super::*;
    use crate::media::frame::Size;

    #[test]
    fn a_notice_is_taken_when_it_changes_and_covers_only_when_it_is_to() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("card.json");
        let mut notices = Notices::new(path.clone());
        let canvas = Canvas {
            size: Size::new(64, 64).unwrap(),
            orientation: Orientation::Landscape,
        };
        let mut at = 0;
        let mut look = |notices: &mut Notices| {
            at += LOOKED_AT_EVERY_MS;
            notices.look(Monotonic(at))
        };
        assert!(!look(&mut notices));
        let card = Card::Boot {
            version: "1.2.3".to_owned(),
        };
        for (over_content, covers) in [(false, None), (true, Some(true)), (false, Some(false))] {
            let notice = Notice {
                card: card.clone(),
                over_content,
                content_wakes: 0,
            };
            std::fs::write(&path, serde_json::to_vec(&notice).unwrap()).unwrap();
            assert!(look(&mut notices));
            assert!(!notices.take_wake());
            assert_eq!(notices.card(), Some(&card));
            let cover = notices.cover(canvas);
            let covered = cover.map(|cover| matches!(cover, Cover::Over(_)));
            assert_eq!(covered, covers);
            assert_eq!(notices.is_urgent(), over_content);
            assert!(notices.cover(canvas).is_none());
            // On a screen that is mounted in another way it is drawn anew.
            let turned = Canvas {
                orientation: Orientation::Portrait,
                ..canvas
            };
            assert_eq!(notices.cover(turned).is_some(), over_content);
            assert_eq!(notices.cover(canvas).is_some(), over_content);
        }
        // Woken, with the same on the screen.
        let notice = Notice {
            card,
            over_content: false,
            content_wakes: 1,
        };
        std::fs::write(&path, serde_json::to_vec(&notice).unwrap()).unwrap();
        assert!(!look(&mut notices));
        assert!(notices.take_wake() && !notices.take_wake());
        std::fs::write(&path, b"{").unwrap();
        assert!(look(&mut notices));
        assert!(notices.card().is_none() && !notices.take_wake());
    }
}
