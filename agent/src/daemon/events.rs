//! Events on their way to the control plane: raised anywhere, kept on disk until delivered.
//!
//! The spool's file is a journal of JSON lines, so that an event costs one small append and not the
//! whole file; it is written anew when most of it is history. A torn last line is what a power cut
//! leaves, and is dropped.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fleet_device::clock;
use fleet_device::files::{self, Access, FileError};
use fleet_protocol::EventId;
use fleet_protocol::backoff::Backoff;
use fleet_protocol::event::{Event, EventBatch, EventKind, Severity};
use tokio::sync::mpsc;

use super::context::{CallError, Ctx, dice};
use super::enrol::linked;
use super::status::MAX_RECENT_EVENTS;
use crate::core::spool::{Change, Limits, Line, Spool, replay};
use crate::platform::paths::Paths;

/// Events between raising and the spool; more at once are counted as dropped.
const CHANNEL: usize = 256;
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;
/// Lines of history beyond the waiting events before the file is written anew.
const MAX_HISTORY: usize = if cfg!(test) { 16 } else { 512 };
const DEADLINE: Duration = Duration::from_mins(5);

/// Where events are raised. Cheap to clone; never blocks.
#[derive(Debug, Clone)]
pub(super) struct EventSink {
    sender: mpsc::Sender<Event>,
    recent: Arc<Mutex<VecDeque<Event>>>,
    /// Found no room in the channel.
    lost: Arc<AtomicU32>,
}

impl EventSink {
    pub(super) fn new() -> (Self, mpsc::Receiver<Event>) {
        let (sender, receiver) = mpsc::channel(CHANNEL);
        let sink = Self {
            sender,
            recent: Arc::default(),
            lost: Arc::default(),
        };
        (sink, receiver)
    }

    pub(super) fn raise(&self, kind: EventKind, severity: Severity, payload: serde_json::Value) {
        let event = Event {
            event_id: new_id(),
            event_type: kind,
            event_time_utc: clock::wall(),
            severity,
            payload,
        };
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.push_front(event.clone());
        recent.truncate(MAX_RECENT_EVENTS);
        drop(recent);
        if self.sender.try_send(event).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Newest first.
    pub(super) fn recent(&self) -> Vec<Event> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.iter().cloned().collect()
    }
}

fn new_id() -> EventId {
    let text = format!("evt_{:016x}{:016x}", dice(), dice());
    text.parse().expect("hex digits are allowed in an id")
}

/// The spool with its file. When the file can't be written, events are still held in memory.
struct Store {
    path: PathBuf,
    spool: Spool,
    lines: usize,
    file: Option<File>,
    failed: bool,
}

impl Store {
    fn open(paths: &Paths, limits: Limits) -> Self {
        let path = paths.spool().join("events.jsonl");
        let mut store = Self {
            spool: Spool::default(),
            lines: 0,
            file: None,
            failed: false,
            path,
        };
        store.spool = read(&store.path, limits);
        if let Err(error) = store.compact() {
            store.complain(&error);
        }
        store
    }

    fn apply(&mut self, changes: Vec<Change>) {
        for change in changes {
            let line = match change {
                Change::Added(event) => Line::Add(event),
                Change::Removed(ids) => Line::Remove(ids),
            };
            if let Err(error) = self.append(&line) {
                self.complain(&error);
                return;
            }
        }
        self.failed = false;
        if self.lines > 2 * self.spool.len() + MAX_HISTORY
            && let Err(error) = self.compact()
        {
            self.complain(&error);
        }
    }

    fn append(&mut self, line: &Line) -> Result<(), FileError> {
        if self.file.is_none() {
            // The last append failed, perhaps in the middle of a line: begin anew.
            self.compact()?;
            return Ok(());
        }
        let mut bytes = serde_json::to_vec(line).expect("an event is plain data");
        bytes.push(b'\n');
        let file = self.file.as_mut().expect("it was just looked at");
        let written = file.write_all(&bytes).and_then(|()| file.sync_data());
        if let Err(source) = written {
            self.file = None;
            return Err(self.error("append to", source));
        }
        self.lines += 1;
        Ok(())
    }

    /// Writes the waiting events alone.
    fn compact(&mut self) -> Result<(), FileError> {
        self.file = None;
        let mut bytes = Vec::new();
        for event in self.spool.iter() {
            serde_json::to_writer(&mut bytes, &Line::Add(Box::new(event.clone())))
                .expect("an event is plain data");
            bytes.push(b'\n');
        }
        files::write_atomic(&self.path, &bytes, Access::Secret)?;
        let file = OpenOptions::new().append(true).open(&self.path);
        self.file = Some(file.map_err(|source| self.error("open", source))?);
        self.lines = self.spool.len();
        Ok(())
    }

    fn error(&self, operation: &'static str, source: std::io::Error) -> FileError {
        files::at(operation, &self.path)(source)
    }

    /// Once until it works again.
    fn complain(&mut self, error: &FileError) {
        if !std::mem::replace(&mut self.failed, true) {
            log::warn!(error:%, hint = error.hint(); "events are held in memory only");
        }
    }
}

fn read(path: &Path, limits: Limits) -> Spool {
    let bytes = match files::read_limited(path, MAX_FILE_BYTES) {
        Ok(bytes) => bytes.unwrap_or_default(),
        Err(error) => {
            log::warn!(error:%; "the spool of events cannot be read");
            files::move_aside(path);
            return Spool::default();
        }
    };
    let (spool, damaged) = replay(&bytes);
    if damaged > 0 {
        log::warn!("spool.damaged_lines" = damaged; "part of the spool of events is lost");
    }
    spool.trim(clock::wall(), limits).0
}

/// Takes events in and delivers them, one batch at a time.
pub(super) async fn run(ctx: Ctx, mut raised: mpsc::Receiver<Event>) {
    let stamp = ctx.liveness.register("events", DEADLINE);
    let limits = || Limits::from(&ctx.config().config.spool);
    let mut store = Store::open(&ctx.device.paths, limits());
    let mut failures = 0u32;
    let mut next_try = tokio::time::Instant::now();
    loop {
        ctx.events_waiting
            .send_replace(u32::try_from(store.spool.len()).unwrap_or(u32::MAX));
        let is_waiting = !store.spool.is_empty();
        let action = async {
            tokio::select! {
                event = raised.recv() => event,
                () = due(&ctx, next_try), if is_waiting => None,
            }
        };
        if let Some(event) = stamp.idle(action).await {
            let lost = ctx.events.lost.swap(0, Ordering::Relaxed);
            store.spool.count_dropped(lost, clock::wall());
            let mut dropped = take(&mut store, event, limits());
            // What comes together is delivered together.
            while let Ok(event) = raised.try_recv() {
                dropped += take(&mut store, event, limits());
            }
            ctx.count(|c| c.dropped_events = c.dropped_events.saturating_add(dropped));
            continue;
        }
        match deliver(&ctx, &mut store).await {
            Ok(()) => failures = 0,
            Err(error) => {
                failures += 1;
                log::debug!(error:%; "events could not be delivered");
            }
        }
        let pause_ms = match failures {
            0 => 1_000,
            failures => backoff(&ctx).pause_ms(failures, dice()),
        };
        next_try = tokio::time::Instant::now() + Duration::from_millis(pause_ms);
    }
}

/// When the next batch may go: there is a link, and the pause is over or the line was just seen to be
/// good.
async fn due(ctx: &Ctx, next_try: tokio::time::Instant) {
    linked(ctx).await;
    tokio::select! {
        () = tokio::time::sleep_until(next_try) => {}
        () = ctx.bells.events.notified() => {}
    }
}

fn backoff(ctx: &Ctx) -> Backoff {
    Backoff {
        base_ms: 5_000,
        max_ms: u64::from(ctx.config().config.control.max_backoff_s) * 1_000,
    }
}

/// How many events had to go for it.
fn take(store: &mut Store, event: Event, limits: Limits) -> u32 {
    let now = clock::wall();
    let (spool, changes) = std::mem::take(&mut store.spool).push(event, now, limits);
    store.spool = spool;
    store.apply(changes);
    let dropped = store.spool.dropped();
    let (spool, told) = std::mem::take(&mut store.spool).take_dropped(new_id(), now);
    store.spool = spool;
    if let Some(told) = told {
        let (spool, changes) = std::mem::take(&mut store.spool).push(told, now, limits);
        store.spool = spool;
        store.apply(changes);
    }
    dropped
}

async fn deliver(ctx: &Ctx, store: &mut Store) -> Result<(), CallError> {
    let batch = EventBatch {
        device_time: clock::wall(),
        events: store.spool.batch(),
    };
    let ids: Vec<EventId> = batch.events.iter().map(|e| e.event_id.clone()).collect();
    let sent = ctx.call(move |client| client.events(&batch)).await;
    match sent {
        Err(CallError::Client(error)) if error.is_refused_content() => {
            // This batch will never be taken: better a gap than a stop.
            log::warn!(error:%; "the control plane refuses events: they are dropped");
        }
        other => other?,
    }
    let (spool, changes) = std::mem::take(&mut store.spool).acknowledge(&ids);
    store.spool = spool;
    store.apply(changes);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        max_events: 5,
        max_age_s: 1_000_000,
    };

    fn event(name: &str) -> Event {
        Event {
            event_id: format!("evt_{name}").parse().unwrap(),
            event_type: EventKind::AgentStarted,
            event_time_utc: clock::wall(),
            severity: Severity::Info,
            payload: serde_json::Value::Null,
        }
    }

    fn ids(store: &Store) -> Vec<String> {
        store.spool.iter().map(|e| e.event_id.to_string()).collect()
    }

    #[test]
    fn waiting_events_survive_a_restart_and_delivered_ones_do_not_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::under(folder.path());
        let mut store = Store::open(&paths, LIMITS);
        for name in ["a", "b", "c"] {
            take(&mut store, event(name), LIMITS);
        }
        let delivered = [event("a").event_id];
        let (spool, changes) = std::mem::take(&mut store.spool).acknowledge(&delivered);
        store.spool = spool;
        store.apply(changes);
        drop(store);
        assert_eq!(ids(&Store::open(&paths, LIMITS)), ["evt_b", "evt_c"]);
    }

    #[test]
    fn a_torn_last_line_costs_that_event_alone() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::under(folder.path());
        let mut store = Store::open(&paths, LIMITS);
        take(&mut store, event("a"), LIMITS);
        take(&mut store, event("b"), LIMITS);
        let path = store.path.clone();
        drop(store);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 10]).unwrap();
        assert_eq!(ids(&Store::open(&paths, LIMITS)), ["evt_a"]);
    }

    #[test]
    fn without_a_data_partition_events_are_held_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("data"), "not a folder").unwrap();
        let mut store = Store::open(&Paths::under(folder.path()), LIMITS);
        take(&mut store, event("a"), LIMITS);
        assert_eq!(ids(&store), ["evt_a"]);
    }

    #[test]
    fn the_file_does_not_grow_without_bound() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(&Paths::under(folder.path()), LIMITS);
        for number in 0..60 {
            take(&mut store, event(&number.to_string()), LIMITS);
        }
        assert!(store.lines <= 2 * store.spool.len() + MAX_HISTORY);
    }
}
