//! The decoder process itself.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;
use std::process::ExitCode;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use fleet_protocol::player::DecodeFailure;

use super::super::wire::{FromDecoder, Link, Order, SLOTS, ToDecoder};
use super::super::with_causes;
use super::pipeline;
use super::sandbox::{self, Fences, SandboxError};

/// Why there is no picture (more).
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub(super) reason: DecodeFailure,
    pub(super) message: String,
}

/// What the player gave leave for and was not used yet.
#[derive(Debug, Default)]
struct Leave {
    slots: Vec<usize>,
    pieces: usize,
}

/// The way back to the player, shared by the threads that decode.
#[derive(Debug, Clone)]
pub(super) struct Outlet(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    link: Link,
    frames: File,
    frame_bytes: u64,
    leave: Mutex<Leave>,
    given: Condvar,
}

impl Outlet {
    /// Hands a frame over; waits until there is room for it.
    ///
    /// # Errors
    /// When the player is gone.
    pub(super) fn frame(&self, bytes: &[u8], pts_ns: u64, duration_ns: u64) -> io::Result<()> {
        let slot = self.wait_for(|leave| leave.slots.pop());
        let offset = self.0.frame_bytes * slot as u64;
        self.0.frames.write_all_at(bytes, offset)?;
        let message = FromDecoder::Frame {
            slot,
            pts_ns,
            duration_ns,
        };
        self.0.link.send(&message, &[])
    }

    /// Hands at most [`super::super::wire::AUDIO_PIECE_BYTES`] of sound over; waits for leave.
    pub(super) fn sound(&self, samples: &[u8], pts_ns: u64) -> io::Result<()> {
        self.wait_for(|leave| {
            leave.pieces = leave.pieces.checked_sub(1)?;
            Some(())
        });
        self.0.link.send(&FromDecoder::Sound { pts_ns }, samples)
    }

    fn fenced(&self, fences: Fences) {
        if fences == Fences::WithoutLandlock {
            // A player that is gone needs no answer.
            let _ = self.0.link.send(&FromDecoder::WithoutLandlock, &[]);
        }
    }

    /// Whoever fails with it is tried without it.
    pub(super) fn uses(&self, element: &str) {
        let element = element.to_owned();
        // A player that is gone needs no answer.
        let _ = self.0.link.send(&FromDecoder::Uses { element }, &[]);
    }

    pub(super) fn ended(&self) {
        // A player that is gone needs no answer.
        let _ = self.0.link.send(&FromDecoder::Ended, &[]);
    }

    pub(super) fn failed(&self, failure: Failure) {
        let Failure { reason, message } = failure;
        let _ = self
            .0
            .link
            .send(&FromDecoder::Failed { reason, message }, &[]);
    }

    fn wait_for<T>(&self, mut take: impl FnMut(&mut Leave) -> Option<T>) -> T {
        let mut leave = self.0.leave.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(taken) = take(&mut leave) {
                return taken;
            }
            leave = self
                .0
                .given
                .wait(leave)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn give(&self, message: &ToDecoder) {
        let mut leave = self.0.leave.lock().unwrap_or_else(PoisonError::into_inner);
        match message {
            ToDecoder::Slot { index } if *index < SLOTS => leave.slots.insert(0, *index),
            ToDecoder::Sound { pieces } => leave.pieces += pieces,
            ToDecoder::Slot { .. } | ToDecoder::Open(_) => {}
        }
        self.0.given.notify_all();
    }
}

/// Takes one order from standard input, and ends with the player's end of the socket. `preferred`: elements that are
/// loaded beforehand.
pub fn run(preferred: &[String]) -> ExitCode {
    match serve(preferred) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("decoder: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(preferred: &[String]) -> io::Result<()> {
    let link = Link::new(io::stdin().as_fd().try_clone_to_owned()?);
    let frames = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    pipeline::load(preferred);
    link.send(&FromDecoder::Waiting, &[])?;
    let Some(order) = first_order(&link)? else {
        return Ok(());
    };
    let frame_bytes = order.screen.bytes() as u64;
    let outlet = Outlet(Arc::new(Inner {
        link,
        frames,
        frame_bytes,
        leave: Mutex::default(),
        given: Condvar::new(),
    }));
    let begun = sandbox::enter(&order, frame_bytes * SLOTS as u64)
        .map_err(|error| Failure {
            reason: match error {
                SandboxError::Path { .. } => DecodeFailure::FileDamaged,
                _ => DecodeFailure::DecodeError,
            },
            message: with_causes(&error),
        })
        .map(|fences| outlet.fenced(fences))
        .and_then(|()| pipeline::start(&order, &outlet));
    // Held until the end: dropping it would stop it.
    let _pipeline = match begun {
        Ok(pipeline) => Some(pipeline),
        Err(failure) => {
            outlet.failed(failure);
            None
        }
    };
    while let Some(packet) = outlet.0.link.receive()? {
        outlet.give(&ToDecoder::parse(&packet).map_err(io::Error::other)?);
    }
    // Threads may wait for leave that will never come.
    std::process::exit(0);
}

fn first_order(link: &Link) -> io::Result<Option<Order>> {
    let Some(packet) = link.receive()? else {
        return Ok(None);
    };
    match ToDecoder::parse(&packet).map_err(io::Error::other)? {
        ToDecoder::Open(order) => Ok(Some(order)),
        other => Err(io::Error::other(format!("{other:?} before an order"))),
    }
}
