//! The player as a program: the machine that decides, the engine that shows, and whatever keeps the files.
//!
//! One thread takes one event after the other from one channel. What the machine wants done is done in
//! its order: what must be on disk is there before the picture changes.

pub mod card;
pub mod device;
pub mod folder;
mod show;

pub use show::{News, Seen, Show, Surroundings};

use std::sync::mpsc;
use std::time::Duration;

use crate::core::screen::Event;
use crate::media::engine::Report;

/// What the loop wakes up for.
#[derive(Debug)]
pub enum Happening {
    Engine(Report),
    /// Somebody wants the program to end.
    Stop,
}

/// Time passes at least so often.
const TICK: Duration = Duration::from_millis(50);

/// Why the player ended.
#[derive(Debug, thiserror::Error)]
pub enum PlayerError {
    #[error("there is no way to the glass any more: {message}")]
    Output { message: String },
}

/// Plays until it is told to stop.
///
/// # Errors
/// When nothing can be shown any more; whoever started the player starts it again.
pub fn play(
    show: &mut Show<impl Surroundings>,
    happenings: &mpsc::Receiver<Happening>,
) -> Result<(), PlayerError> {
    loop {
        let happening = happenings.recv_timeout(TICK);
        let event = match happening {
            Ok(Happening::Stop) | Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(()),
            Ok(Happening::Engine(Report::OutputFailed(message))) => {
                return Err(PlayerError::Output { message });
            }
            Ok(Happening::Engine(Report::Prepared(ticket))) => Event::Prepared { ticket },
            Ok(Happening::Engine(Report::Ended(ticket))) => Event::Ended { ticket },
            Ok(Happening::Engine(Report::Failed {
                ticket,
                reason,
                message,
            })) => Event::Failed {
                ticket,
                reason,
                message,
            },
            Err(mpsc::RecvTimeoutError::Timeout) => Event::Tick,
        };
        show.take(event);
        if !show.go_on() {
            return Ok(());
        }
        if !show.is_lit() {
            let message = "the engine has stopped without a word".to_owned();
            return Err(PlayerError::Output { message });
        }
    }
}
