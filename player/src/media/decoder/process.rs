//! A decoder process as the player holds it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::super::frame::{Pool, SharedFrame, Size};
use super::super::wire::{
    AUDIO_PIECES, FromDecoder, Link, Order, SLOTS, SLOTS_BEFORE_SHOWN, ToDecoder, WireError,
};
use crate::profile::DecoderProfile;

/// What is run as a decoder: normally this very program, in the manner of this machine.
#[derive(Debug, Clone)]
pub struct Program {
    pub path: PathBuf,
    pub profile: DecoderProfile,
}

/// Why there is no decoder.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    #[error("memory for the frames of a decoder")]
    Memory(#[source] nix::Error),
    #[error("a socket for a decoder")]
    Socket(#[source] io::Error),
    #[error("starting {program}")]
    Start {
        program: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Ends with its item: dropping it kills the process.
#[derive(Debug)]
pub struct Decoder {
    child: Child,
    link: Link,
    frames: File,
    size: Size,
    /// Which slots the decoder may write to.
    lent: [bool; SLOTS],
}

/// What came from a decoder, checked.
#[derive(Debug)]
pub enum Said {
    Waiting,
    /// The kernel does not keep it from other files.
    WithoutLandlock,
    /// An element of the profile decodes.
    Uses(String),
    Frame {
        frame: SharedFrame,
        pts_ns: u64,
        duration_ns: u64,
        slot: usize,
    },
    Sound {
        samples: Vec<u8>,
        pts_ns: u64,
    },
    Ended,
    Failed {
        reason: fleet_protocol::player::DecodeFailure,
        message: String,
    },
    /// It is gone, or says what it may not.
    Gone(String),
}

impl Decoder {
    /// Starts a process that waits for its order.
    pub fn spawn(program: &Program, size: Size) -> Result<Self, SpawnError> {
        let memory = memfd_create(
            "frames",
            MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING,
        )
        .map_err(SpawnError::Memory)?;
        let frames = File::from(memory);
        frames
            .set_len((size.bytes() * SLOTS) as u64)
            .map_err(|error| SpawnError::Memory(error.try_into().unwrap_or(nix::Error::ENOMEM)))?;
        let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
        fcntl(&frames, FcntlArg::F_ADD_SEALS(seals)).map_err(SpawnError::Memory)?;
        let (link, theirs) = Link::pair().map_err(SpawnError::Socket)?;
        let start = |source| SpawnError::Start {
            program: program.path.clone(),
            source,
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "this module owns decoder processes; their deadlines are the engine's"
        )]
        let child = Command::new(&program.path)
            .arg("decode")
            .args(program.profile.preferred.iter().map(|p| p.element.as_str()))
            // A key press at a terminal is the player's to answer.
            .process_group(0)
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::from(frames.try_clone().map_err(start)?))
            .spawn()
            .map_err(start)?;
        Ok(Self {
            child,
            link,
            frames,
            size,
            lent: [false; SLOTS],
        })
    }

    /// Gives it its one order, and leave for the first picture.
    pub fn open(&mut self, order: Order) -> io::Result<()> {
        self.link.send_now(&ToDecoder::Open(order))?;
        (0..SLOTS_BEFORE_SHOWN).try_for_each(|index| self.lend(index))
    }

    /// The item is on the glass: from now on it may run ahead as far as it can.
    pub fn shown(&mut self) -> io::Result<()> {
        (SLOTS_BEFORE_SHOWN..SLOTS).try_for_each(|index| self.lend(index))?;
        self.link.send_now(&ToDecoder::Sound {
            pieces: AUDIO_PIECES,
        })
    }

    /// Its frame was taken.
    pub fn lend(&mut self, slot: usize) -> io::Result<()> {
        self.lent[slot] = true;
        self.link.send_now(&ToDecoder::Slot { index: slot })
    }

    /// A piece of sound was used.
    pub fn heard(&self) -> io::Result<()> {
        self.link.send_now(&ToDecoder::Sound { pieces: 1 })
    }

    /// What it says next; `None` if nothing yet. Never waits.
    pub fn listen(&mut self, pool: &Pool) -> Option<Said> {
        let packet = match self.link.receive_now() {
            Ok(Some(packet)) => packet,
            Ok(None) => return Some(Said::Gone(self.last_words())),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
            Err(error) => return Some(Said::Gone(error.to_string())),
        };
        Some(match FromDecoder::parse(&packet) {
            Ok((message, samples)) => self.take(message, samples, pool),
            Err(error) => Said::Gone(error.to_string()),
        })
    }

    fn take(&mut self, message: FromDecoder, samples: &[u8], pool: &Pool) -> Said {
        match message {
            FromDecoder::Waiting => Said::Waiting,
            FromDecoder::WithoutLandlock => Said::WithoutLandlock,
            FromDecoder::Uses { element } => Said::Uses(element),
            FromDecoder::Ended => Said::Ended,
            FromDecoder::Failed { reason, message } => Said::Failed { reason, message },
            FromDecoder::Sound { pts_ns } => Said::Sound {
                samples: samples.to_vec(),
                pts_ns,
            },
            FromDecoder::Frame {
                slot,
                pts_ns,
                duration_ns,
            } => {
                if pool.size() != self.size || !std::mem::take(&mut self.lent[slot]) {
                    let (field, value) = ("slot", slot as u64);
                    return Said::Gone(WireError::Value { field, value }.to_string());
                }
                let offset = (self.size.bytes() * slot) as u64;
                match pool.frame(|bytes| self.frames.read_exact_at(bytes, offset)) {
                    Ok(frame) => Said::Frame {
                        frame,
                        pts_ns,
                        duration_ns,
                        slot,
                    },
                    Err(error) => Said::Gone(format!("reading its frame: {error}")),
                }
            }
        }
    }

    /// How it ended, as far as that is known.
    fn last_words(&mut self) -> String {
        match self.child.try_wait() {
            Ok(Some(status)) => format!("the decoder ended: {status}"),
            Ok(None) | Err(_) => "the decoder ended".to_owned(),
        }
    }
}

impl AsFd for Decoder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.link.as_fd()
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // One that has ended already is no failure.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
