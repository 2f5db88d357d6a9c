//! What the player and a decoder process say to each other.
//!
//! One message is one packet of a `SOCK_SEQPACKET` socket: a line of JSON, and for sound the samples
//! behind it. Pictures are in a memory file that both have open; a message names the slot. Either
//! side's packets are bounded, and neither can make the other wait: a decoder may send as many frames
//! and pieces of sound as it was given leave for, which is given again when one has been used.
//!
//! A decoder has read a stranger's file, so whatever it says may be a stranger's too: a slot that does
//! not exist, time that runs backwards or sound of half a sample end it ([`FromDecoder::parse`]).

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;

use fleet_protocol::player::{DecodeFailure, Fit, ItemKind, Orientation};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};
use serde::{Deserialize, Serialize};

use super::frame::Size;
use crate::profile::DecoderProfile;

/// Frames a decoder may have written that were not taken yet.
pub const SLOTS: usize = 3;
/// Leave for frames before the item is shown: one picture is enough to begin with.
pub const SLOTS_BEFORE_SHOWN: usize = 2;
/// Pieces of sound on their way, of 25 ms each.
pub const AUDIO_PIECES: usize = 24;

/// Of the sound on this wire: 48,000 times a second two signed 16 bit numbers, little-endian.
pub const AUDIO_RATE: u32 = 48_000;
pub const AUDIO_CHANNELS: u32 = 2;
const AUDIO_FRAME_BYTES: usize = 4;
/// 25 ms
pub const AUDIO_PIECE_BYTES: usize = AUDIO_RATE as usize / 40 * AUDIO_FRAME_BYTES;

const MAX_PACKET_BYTES: usize = AUDIO_PIECE_BYTES + 4_096;
/// A day and a bit: longer than any item.
const MAX_PTS_NS: u64 = 100_000 * 1_000_000_000;

/// What is to be decoded, and for what screen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    pub path: PathBuf,
    pub kind: ItemKind,
    /// Of the frames.
    pub screen: Size,
    pub orientation: Orientation,
    pub fit: Fit,
    pub sound: bool,
    /// How this machine decodes, and what the decoder may have for itself.
    pub profile: DecoderProfile,
    /// Elements of the profile that have failed.
    pub avoided: Vec<String>,
}

/// From the player.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ToDecoder {
    /// Comes first, and once.
    Open(Order),
    /// Leave for one frame in this slot.
    Slot { index: usize },
    /// Leave for as many more pieces of sound.
    Sound { pieces: usize },
}

/// From a decoder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FromDecoder {
    /// The process is up and waits for its order.
    Waiting,
    Frame {
        slot: usize,
        /// Since the item's beginning.
        pts_ns: u64,
        /// 0 if it is for as long as nothing else comes.
        duration_ns: u64,
    },
    /// Samples follow.
    Sound { pts_ns: u64 },
    /// The kernel does not keep it from other files.
    WithoutLandlock,
    /// This element of the profile is in use.
    Uses { element: String },
    /// All has been sent.
    Ended,
    Failed {
        reason: DecodeFailure,
        message: String,
    },
}

/// Not what the other side may say.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum WireError {
    #[error("a packet is no message: {0}")]
    Syntax(String),
    #[error("`{field}` of a message is {value}, which cannot be")]
    Value { field: &'static str, value: u64 },
}

impl FromDecoder {
    /// Reads a packet: the message, and the samples behind it.
    pub fn parse(packet: &[u8]) -> Result<(Self, &[u8]), WireError> {
        let (message, rest): (Self, _) = split(packet)?;
        let check = |field, value, fine: bool| {
            let error = WireError::Value { field, value };
            if fine { Ok(()) } else { Err(error) }
        };
        match &message {
            Self::Frame {
                slot,
                pts_ns,
                duration_ns,
            } => {
                check("slot", *slot as u64, *slot < SLOTS)?;
                check("pts_ns", *pts_ns, *pts_ns <= MAX_PTS_NS)?;
                check("duration_ns", *duration_ns, *duration_ns <= MAX_PTS_NS)?;
            }
            Self::Sound { pts_ns } => {
                check("pts_ns", *pts_ns, *pts_ns <= MAX_PTS_NS)?;
                let length = rest.len();
                let whole = length > 0
                    && length <= AUDIO_PIECE_BYTES
                    && length.is_multiple_of(AUDIO_FRAME_BYTES);
                check("sound", length as u64, whole)?;
            }
            Self::Waiting
            | Self::WithoutLandlock
            | Self::Uses { .. }
            | Self::Ended
            | Self::Failed { .. } => {}
        }
        Ok((message, rest))
    }
}

impl ToDecoder {
    pub fn parse(packet: &[u8]) -> Result<Self, WireError> {
        split(packet).map(|(message, _)| message)
    }
}

fn split<M: serde::de::DeserializeOwned>(packet: &[u8]) -> Result<(M, &[u8]), WireError> {
    let end = packet
        .iter()
        .position(|byte| *byte == b'\n')
        .ok_or_else(|| WireError::Syntax("no end of line".to_owned()))?;
    let (line, rest) = packet.split_at(end);
    let message =
        serde_json::from_slice(line).map_err(|error| WireError::Syntax(error.to_string()))?;
    Ok((message, &rest[1..]))
}

/// One end of the socket.
#[derive(Debug)]
pub struct Link {
    socket: OwnedFd,
}

impl AsFd for Link {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Link {
    pub const fn new(socket: OwnedFd) -> Self {
        Self { socket }
    }

    /// The player's end, which never waits, and the decoder's, which does.
    pub fn pair() -> io::Result<(Self, OwnedFd)> {
        let (mine, theirs) = socketpair(
            AddressFamily::Unix,
            SockType::SeqPacket,
            None,
            SockFlag::SOCK_CLOEXEC,
        )?;
        Ok((Self::new(mine), theirs))
    }

    /// Sends a message with samples behind it; waits for room.
    ///
    /// # Errors
    /// [`io::ErrorKind::BrokenPipe`] when the other side is gone.
    pub fn send(&self, message: &impl Serialize, samples: &[u8]) -> io::Result<()> {
        self.send_with(message, samples, MsgFlags::empty())
    }

    /// As [`Self::send`], but never waits: the other side may have stopped listening.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] when it has.
    pub fn send_now(&self, message: &impl Serialize) -> io::Result<()> {
        self.send_with(message, &[], MsgFlags::MSG_DONTWAIT)
    }

    fn send_with(
        &self,
        message: &impl Serialize,
        samples: &[u8],
        flags: MsgFlags,
    ) -> io::Result<()> {
        let mut packet = serde_json::to_vec(message)?;
        packet.push(b'\n');
        packet.extend_from_slice(samples);
        loop {
            match send(
                self.socket.as_raw_fd(),
                &packet,
                flags | MsgFlags::MSG_NOSIGNAL,
            ) {
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The next packet; `None` at the other side's end.
    pub fn receive(&self) -> io::Result<Option<Vec<u8>>> {
        self.receive_with(MsgFlags::empty())
    }

    /// As [`Self::receive`], but never waits.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] while there is none.
    pub fn receive_now(&self) -> io::Result<Option<Vec<u8>>> {
        self.receive_with(MsgFlags::MSG_DONTWAIT)
    }

    fn receive_with(&self, flags: MsgFlags) -> io::Result<Option<Vec<u8>>> {
        let mut packet = vec![0; MAX_PACKET_BYTES];
        loop {
            match recv(self.socket.as_raw_fd(), &mut packet, flags) {
                Ok(0) => return Ok(None),
                Ok(length) => {
                    packet.truncate(length);
                    return Ok(Some(packet));
                }
                // A reset is said once, before the last words of a process that has not read all of ours.
                Err(Errno::EINTR | Errno::ECONNRESET) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet(message: &impl Serialize, samples: &[u8]) -> Vec<u8> {
        let mut packet = serde_json::to_vec(message).unwrap();
        packet.push(b'\n');
        packet.extend_from_slice(samples);
        packet
    }

    #[test]
    fn a_decoder_that_lies_is_found_out() {
        let frame = |slot, pts_ns| FromDecoder::Frame {
            slot,
            pts_ns,
            duration_ns: 40_000_000,
        };
        let check = |message: FromDecoder, samples: &[u8], expected: Option<&str>| {
            let packet = packet(&message, samples);
            match (FromDecoder::parse(&packet), expected) {
                (Ok(read), None) => assert_eq!(read, (message, samples)),
                (Err(WireError::Value { field, .. }), Some(expected)) => {
                    assert_eq!(field, expected);
                }
                (other, _) => panic!("{message:?}: {other:?}"),
            }
        };
        check(frame(0, 0), &[], None);
        check(frame(SLOTS, 0), &[], Some("slot"));
        check(frame(0, u64::MAX), &[], Some("pts_ns"));
        check(FromDecoder::Sound { pts_ns: 0 }, &[1, 2, 3, 4], None);
        check(FromDecoder::Sound { pts_ns: 0 }, &[1, 2, 3], Some("sound"));
        check(FromDecoder::Sound { pts_ns: 0 }, &[], Some("sound"));
        let much = vec![0; AUDIO_PIECE_BYTES + 4];
        check(FromDecoder::Sound { pts_ns: 0 }, &much, Some("sound"));
    }

    #[test]
    fn messages_go_through_a_socket_and_an_end_is_seen() {
        let (mine, theirs) = Link::pair().unwrap();
        let theirs = Link::new(theirs);
        let would_block = mine.receive_now().unwrap_err();
        assert_eq!(would_block.kind(), io::ErrorKind::WouldBlock);
        theirs.send(&FromDecoder::Waiting, &[]).unwrap();
        let read = mine.receive().unwrap().unwrap();
        assert_eq!(
            FromDecoder::parse(&read),
            Ok((FromDecoder::Waiting, &[][..]))
        );
        drop(theirs);
        assert_eq!(mine.receive().unwrap(), None);
        let slot = ToDecoder::Slot { index: 0 };
        let broken = mine.send(&slot, &[]).unwrap_err();
        assert_eq!(broken.kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn the_last_words_of_a_process_that_ended_are_heard() {
        let (mine, theirs) = Link::pair().unwrap();
        let theirs = Link::new(theirs);
        // Never read.
        mine.send(&ToDecoder::Slot { index: 0 }, &[]).unwrap();
        theirs.send(&FromDecoder::Ended, &[]).unwrap();
        drop(theirs);
        let read = mine.receive().unwrap().unwrap();
        assert_eq!(FromDecoder::parse(&read), Ok((FromDecoder::Ended, &[][..])));
        assert_eq!(mine.receive_now().unwrap(), None);
    }

    proptest! {
        #[test]
        fn no_packet_is_too_strange(packet in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = FromDecoder::parse(&packet);
            let _ = ToDecoder::parse(&packet);
        }
    }
}
