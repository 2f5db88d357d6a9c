//! One thread that keeps pictures coming: it holds the decoders of the item on the glass and of the next
//! one, and hands frames to the output when they are due.
//!
//! The engine decides nothing about what is played. It is told to prepare an item, to show it and to drop
//! it, and tells when the first picture of one is there, when a film is over and when one fails. While
//! there is nothing new it hands the last picture on again once a second: so a screen that was overwritten
//! by somebody else heals, and whoever counts frames sees that the engine lives.
//!
//! One decoder is always started ahead and waits ([`ahead`]).

mod ahead;
mod hand;
mod pace;
mod sound;
mod trust;
mod turn;

use std::io;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use fleet_protocol::player::{DecodeFailure, FrameCounts, Item, Orientation, Power};
use nix::sys::eventfd::EventFd;

use super::counts::Counts;
use super::decoder::Program;
use super::frame::{SharedFrame, Size};
use super::output::{Glass, Output, OutputError};
use super::switch::Switch;
use crate::core::screen::Ticket;

pub use sound::Speaker;

use ahead::Ahead;
use turn::Turn;

/// What the engine is told.
#[derive(Debug)]
enum Command {
    Prepare { ticket: Ticket, job: Box<Job> },
    Discard(Ticket),
    Show(Ticket),
    Picture(SharedFrame),
    Cover(Option<SharedFrame>),
    Snapshot(mpsc::SyncSender<Option<SharedFrame>>),
    Counts(mpsc::SyncSender<FrameCounts>),
    Stop,
}

/// An item and its file.
#[derive(Debug, Clone)]
pub struct Job {
    pub item: Item,
    pub path: PathBuf,
    pub orientation: Orientation,
}

/// What the engine tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// The first picture is there.
    Prepared(Ticket),
    Failed {
        ticket: Ticket,
        reason: DecodeFailure,
        message: String,
    },
    /// A film is over; its last picture stays.
    Ended(Ticket),
    /// There is no way to the glass any more; nothing can be shown by this engine.
    OutputFailed(String),
}

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error("starting the engine's thread")]
    Thread(#[source] io::Error),
}

/// The handle; the thread ends with it.
#[derive(Debug)]
pub struct Engine {
    commands: mpsc::Sender<Command>,
    wake: Arc<EventFd>,
    switch: Arc<Switch>,
    counts: Arc<Counts>,
    thread: Option<JoinHandle<()>>,
    size: Size,
}

/// How long an answer of the engine's thread may take.
const ANSWERED_WITHIN: std::time::Duration = std::time::Duration::from_secs(2);

impl Engine {
    /// Opens the output and starts the thread. Reports go to `tell`, which must not wait.
    pub fn start(
        glass: Glass,
        size: Size,
        program: Program,
        tell: impl FnMut(Report) + Send + 'static,
    ) -> Result<Self, EngineError> {
        Self::start_with(glass, Speaker::Found, size, program, tell)
    }

    /// As [`Self::start`], with a loudspeaker of one's own.
    pub fn start_with(
        glass: Glass,
        speaker: Speaker,
        size: Size,
        program: Program,
        tell: impl FnMut(Report) + Send + 'static,
    ) -> Result<Self, EngineError> {
        // The first decoder loads its libraries while the output is opened.
        let ahead = Ahead::new(program, size);
        let output = Output::open(glass, size)?;
        let wake = EventFd::new()
            .map(Arc::new)
            .map_err(|error| EngineError::Thread(error.into()))?;
        let (commands, orders) = mpsc::channel();
        let switch = output.switch();
        let counts = output.shared_counts();
        let turn = Turn::new(output, speaker, size, ahead, Box::new(tell));
        let listening = Arc::clone(&wake);
        let thread = std::thread::Builder::new()
            .name("engine".to_owned())
            .spawn(move || run(turn, &orders, &listening))
            .map_err(EngineError::Thread)?;
        Ok(Self {
            commands,
            wake,
            switch,
            counts,
            thread: Some(thread),
            size,
        })
    }

    /// Of every picture.
    pub const fn size(&self) -> Size {
        self.size
    }

    /// Whether the thread is still there.
    pub fn is_running(&self) -> bool {
        let thread = self.thread.as_ref();
        thread.is_some_and(|thread| !thread.is_finished())
    }

    /// Ends in [`Report::Prepared`] or [`Report::Failed`].
    pub fn prepare(&self, ticket: Ticket, job: Job) {
        let job = Box::new(job);
        self.tell(Command::Prepare { ticket, job });
    }

    /// It will not be shown, or not any longer than until the next picture.
    pub fn discard(&self, ticket: Ticket) {
        self.tell(Command::Discard(ticket));
    }

    /// In the place of whatever is there, at once if it is prepared.
    pub fn show(&self, ticket: Ticket) {
        self.tell(Command::Show(ticket));
    }

    /// A finished picture of [`Self::size`] in the place of whatever is there.
    pub fn show_picture(&self, picture: SharedFrame) {
        self.tell(Command::Picture(picture));
    }

    /// A finished picture of [`Self::size`] over whatever is there, which goes on underneath; `None` takes it away.
    pub fn cover(&self, picture: Option<SharedFrame>) {
        self.tell(Command::Cover(picture));
    }

    /// Off or on; pictures go on meanwhile, and the one that is due comes with the light. A glass that is no display
    /// of the kernel stays on.
    pub fn switch(&self, wanted: Power) {
        self.switch.set(wanted);
    }

    /// Why the screen is not off although it was to be; said once.
    pub fn switch_failure(&self) -> Option<String> {
        self.switch.failure()
    }

    /// What is on the glass; `None` while nothing is.
    pub fn snapshot(&self) -> Option<SharedFrame> {
        self.ask(Command::Snapshot).flatten()
    }

    /// How many pictures were seen so far. Answered at once, however busy the engine is.
    pub fn presented(&self) -> u64 {
        self.counts.presented()
    }

    /// What was counted so far, by an engine that may have nothing more to say.
    pub fn last_counts(&self) -> FrameCounts {
        self.counts.read(std::time::Instant::now())
    }

    /// `None` when the engine does not answer.
    pub fn counts(&self) -> Option<FrameCounts> {
        self.ask(Command::Counts)
    }

    fn ask<T>(&self, command: impl FnOnce(mpsc::SyncSender<T>) -> Command) -> Option<T> {
        let (answer, answered) = mpsc::sync_channel(1);
        self.tell(command(answer));
        answered.recv_timeout(ANSWERED_WITHIN).ok()
    }

    fn tell(&self, command: Command) {
        // A thread that has ended has said why.
        let _ = self.commands.send(command);
        let _ = self.wake.write(1);
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.tell(Command::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(mut turn: Turn, orders: &mpsc::Receiver<Command>, wake: &EventFd) {
    loop {
        let wait = turn.until_next();
        let mut ready = vec![nix::poll::PollFd::new(
            wake.as_fd(),
            nix::poll::PollFlags::POLLIN,
        )];
        ready.extend(turn.listening());
        match nix::poll::poll(&mut ready, wait) {
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(error) => {
                turn.give_up(&format!("waiting for decoders: {error}"));
                return;
            }
        }
        let woken = ready[0].any().unwrap_or(false);
        drop(ready);
        if woken {
            // Its count says nothing that the queue does not.
            let _ = wake.read();
        }
        loop {
            match orders.try_recv() {
                Ok(Command::Stop) | Err(mpsc::TryRecvError::Disconnected) => return,
                Ok(command) => turn.obey(command),
                Err(mpsc::TryRecvError::Empty) => break,
            }
        }
        if !turn.go_on() {
            return;
        }
    }
}
