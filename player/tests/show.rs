//! A screen that is changed for another one under a running show.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod cinema;

use std::sync::mpsc;
use std::time::{Duration, Instant};

use cinema::{DEADLINE, HEIGHT, WIDTH, glass, program, size};
use fleet_player::app::Show;
use fleet_player::app::folder::{Folder, Manner};
use fleet_player::core::screen::Event;
use fleet_player::media::engine::{Engine, Report};
use fleet_player::media::output::Glass;
use fleet_protocol::player::{Fit, FrameCounts, Settings, Transition};
use fleet_tests::media;

const MANNER: Manner = Manner {
    seconds_an_image: 60,
    fit: Fit::Letterbox,
    transition: Transition {
        kind: fleet_protocol::player::TransitionKind::Cut,
        duration_ms: 0,
    },
    volume_percent: 100,
    settings: Settings::KIOSK,
};

fn engine(glass: Glass) -> (Engine, mpsc::Receiver<Report>) {
    let (tell, reports) = mpsc::channel();
    let engine = Engine::start(glass, size(), program(), move |report| {
        let _ = tell.send(report);
    });
    (engine.unwrap(), reports)
}

/// Until the first item of the engine is on the glass, and the next one prepared.
fn play(show: &mut Show<Folder>, reports: &mpsc::Receiver<Report>) {
    for _ in 0..2 {
        match reports.recv_timeout(DEADLINE).unwrap() {
            Report::Prepared(ticket) => show.take(Event::Prepared { ticket }),
            other => panic!("{other:?}"),
        }
    }
}

/// Nothing is reported meanwhile.
fn wait_for(
    show: &Show<Folder>,
    reports: &mpsc::Receiver<Report>,
    enough: impl Fn(FrameCounts) -> bool,
) -> FrameCounts {
    let until = Instant::now() + DEADLINE;
    loop {
        let counts = show.counts().unwrap();
        if enough(counts) {
            return counts;
        }
        assert!(Instant::now() < until, "{counts:?}");
        let report = reports.recv_timeout(Duration::from_millis(50));
        assert_eq!(report, Err(mpsc::RecvTimeoutError::Timeout));
    }
}

#[test]
fn counts_go_on_over_a_change_of_the_screen() {
    let dir = tempfile::tempdir().unwrap();
    for item in [1, 2] {
        let path = dir.path().join(format!("{item}.png"));
        media::write_picture(&path, item, WIDTH, HEIGHT).unwrap();
    }
    let (folder, loaded) = Folder::open(dir.path(), MANNER).unwrap();
    let (sink, eyes) = glass();
    let (first, reports) = engine(sink);
    let mut show = Show::new(first, folder);
    show.take(loaded);
    play(&mut show, &reports);
    eyes.watch_for(1);
    // The screen was blank until the first picture came.
    let before = wait_for(&show, &reports, |counts| counts.presented >= 2);
    assert!(before.blank_ms > 0 && before.unseen == 0, "{before:?}");

    let (none, reports) = engine(Glass::Dark);
    show.replace_engine(|| Ok::<_, std::convert::Infallible>(none))
        .unwrap();
    play(&mut show, &reports);
    let unplugged = wait_for(&show, &reports, |counts| counts.unseen >= 2);
    assert_eq!(unplugged.blank_ms, before.blank_ms);
    assert!(unplugged.presented >= before.presented);

    let (sink, eyes) = glass();
    let (second, reports) = engine(sink);
    show.replace_engine(|| Ok::<_, std::convert::Infallible>(second))
        .unwrap();
    play(&mut show, &reports);
    eyes.watch_for(1);
    let after = wait_for(&show, &reports, |counts| {
        counts.presented > unplugged.presented
    });
    assert!(after.blank_ms > unplugged.blank_ms, "{after:?}");
    assert!(after.unseen >= unplugged.unseen);
}
