//! An engine with real decoder processes before a glass that reads codes.

use std::path::{Path, PathBuf};
use std::sync::mpsc;

use fleet_player::core::screen::Ticket;
use fleet_player::media::decoder::Program;
use fleet_player::media::engine::{Engine, Job, Report, Speaker};
use fleet_protocol::player::{DecodeFailure, Fit, Item, ItemKind, Orientation, Transition};
use fleet_protocol::{AssetId, Sha256};
use fleet_tests::media::{self, Film};

use super::{DEADLINE, Eyes, HEIGHT, WIDTH, glass, program, size};

pub struct Cinema {
    pub engine: Engine,
    reports: mpsc::Receiver<Report>,
    pub eyes: Eyes,
    dir: tempfile::TempDir,
    tickets: u64,
    /// Reports that came before they were asked for.
    early: Vec<Report>,
    /// What was seen last.
    last: Vec<u8>,
}

impl Cinema {
    pub fn open() -> Self {
        Self::with(program())
    }

    pub fn with(program: Program) -> Self {
        Self::with_speaker(program, Speaker::Found)
    }

    pub fn with_speaker(program: Program, speaker: Speaker) -> Self {
        let (glass, eyes) = glass();
        let (tell, reports) = mpsc::channel();
        let engine = Engine::start_with(glass, speaker, size(), program, move |report| {
            let _ = tell.send(report);
        })
        .unwrap();
        Self {
            engine,
            reports,
            eyes,
            dir: tempfile::tempdir().unwrap(),
            tickets: 0,
            early: Vec::new(),
            last: Vec::new(),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn film(&self, item: u16, frames: u16) -> Job {
        self.film_with(item, frames, false)
    }

    pub fn film_with(&self, item: u16, frames: u16, sound: bool) -> Job {
        let path = self.path(&format!("{item}.mp4"));
        let film = Film {
            item,
            frames,
            frames_a_second: 25,
            width: WIDTH,
            height: HEIGHT,
            sound,
        };
        media::write_film(&path, &film).unwrap();
        job(&path, ItemKind::Video)
    }

    pub fn picture(&self, item: u16, width: u32, height: u32) -> Job {
        let path = self.path(&format!("{item}.png"));
        media::write_picture(&path, item, width, height).unwrap();
        job(&path, ItemKind::Image)
    }

    pub fn prepare(&mut self, job: Job) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.engine.prepare(ticket, job);
        ticket
    }

    pub fn prepared(&mut self, job: Job) -> Ticket {
        let ticket = self.prepare(job);
        self.expect(&Report::Prepared(ticket));
        ticket
    }

    /// Shows an item that looks otherwise than what was seen last. What is there is handed on again now and then.
    pub fn show_another(&mut self, ticket: Ticket) -> Vec<u8> {
        self.engine.show(ticket);
        let last = &self.last;
        let seen = self.eyes.watch(|seen| seen.screen != *last);
        self.last = seen.into_iter().last().unwrap().screen;
        self.last.clone()
    }

    /// Waits for this one; others may come before it.
    pub fn expect(&mut self, expected: &Report) {
        while !self.early.contains(expected) {
            let report = self.report();
            let failed = matches!(report, Report::Failed { .. } | Report::OutputFailed(_));
            assert!(!failed, "{report:?}");
            self.early.push(report);
        }
        self.early.retain(|report| report != expected);
    }

    pub fn report(&self) -> Report {
        self.reports.recv_timeout(DEADLINE).expect("a report")
    }

    pub fn failure(&self) -> (DecodeFailure, String) {
        match self.report() {
            Report::Failed {
                reason, message, ..
            } => (reason, message),
            other => panic!("{other:?}"),
        }
    }
}

pub fn job(path: &Path, kind: ItemKind) -> Job {
    Job {
        item: Item {
            asset_id: "ast_1".parse::<AssetId>().unwrap(),
            kind,
            url: "https://cdn.example/a".to_owned(),
            checksum_sha256: Sha256::of("a"),
            duration_seconds: 10,
            width_px: WIDTH,
            height_px: HEIGHT,
            file_size_bytes: 1,
            fit: Fit::Letterbox,
            transition: Transition::default(),
            volume_percent: 100,
        },
        path: path.to_owned(),
        orientation: Orientation::Landscape,
    }
}
