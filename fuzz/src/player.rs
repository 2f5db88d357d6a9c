//! What a decoder process says to the player.

use fleet_player::media::wire::{AUDIO_PIECE_BYTES, FromDecoder, SLOTS, ToDecoder};
use serde::Serialize;

/// A packet from a process that has read a stranger's file, and one to it. What is taken is within its
/// bounds, and is the same when it is written and read again.
pub fn decoder_messages(data: &[u8]) {
    if let Ok((message, samples)) = FromDecoder::parse(data) {
        match &message {
            FromDecoder::Frame { slot, .. } => assert!(*slot < SLOTS),
            FromDecoder::Sound { .. } => {
                assert!((1..=AUDIO_PIECE_BYTES).contains(&samples.len()));
            }
            FromDecoder::Waiting
            | FromDecoder::WithoutLandlock
            | FromDecoder::Uses { .. }
            | FromDecoder::Ended
            | FromDecoder::Failed { .. } => {}
        }
        let packet = packet(&message, samples);
        assert_eq!(FromDecoder::parse(&packet), Ok((message, samples)));
    }
    if let Ok(message) = ToDecoder::parse(data) {
        assert_eq!(ToDecoder::parse(&packet(&message, &[])), Ok(message));
    }
}

fn packet(message: &impl Serialize, samples: &[u8]) -> Vec<u8> {
    let mut packet = serde_json::to_vec(message).expect("plain data");
    packet.push(b'\n');
    packet.extend_from_slice(samples);
    packet
}
