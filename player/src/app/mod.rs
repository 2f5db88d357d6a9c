//! The player as a program: the machine that decides, the engine that shows, and whatever keeps the files.
//!
//! One thread takes one event after the other from one channel. What the machine wants done is done in
//! its order: what must be on disk is there before the picture changes.

pub mod card;
pub mod device;
mod engines;
pub mod folder;
mod show;

pub use engines::{Engines, Generation, Place};
pub use show::{Cover, News, Seen, Show, Surroundings};

use std::sync::mpsc;
use std::time::Duration;

use crate::core::screen::Event;
use crate::media::display::{Card, Screen};
use crate::media::engine::{EngineError, Report};
use crate::service::Pulse;

/// What the loop wakes up for.
#[derive(Debug)]
pub enum Happening {
    Engine(Generation, Report),
    /// Another screen than before is connected.
    Screen(Card, Screen),
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
    #[error("the screen that was connected can't be used")]
    Engine(#[from] EngineError),
}

/// Plays until it is told to stop.
///
/// # Errors
/// When nothing can be shown any more; whoever started the player starts it again.
pub fn play(
    show: &mut Show<impl Surroundings>,
    engines: &mut Engines,
    happenings: &mpsc::Receiver<Happening>,
) -> Result<(), PlayerError> {
    let mut pulse = Pulse::new();
    loop {
        match happenings.recv_timeout(TICK) {
            Ok(Happening::Stop) | Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(()),
            Ok(Happening::Engine(generation, report)) => {
                if engines.is_current(generation) {
                    show.take(heard(report)?);
                }
            }
            Ok(Happening::Screen(card, screen)) => {
                show.replace_engine(|| engines.on(card, screen))?;
            }
            Err(mpsc::RecvTimeoutError::Timeout) => show.take(Event::Tick),
        }
        if !show.go_on() {
            return Ok(());
        }
        if !show.is_lit() {
            let message = "the engine has stopped without a word".to_owned();
            return Err(PlayerError::Output { message });
        }
        pulse.beat(|| show.counts());
    }
}

/// What it means for the screen.
fn heard(report: Report) -> Result<Event, PlayerError> {
    Ok(match report {
        Report::OutputFailed(message) => return Err(PlayerError::Output { message }),
        Report::Prepared(ticket) => Event::Prepared { ticket },
        Report::Ended(ticket) => Event::Ended { ticket },
        Report::Failed {
            ticket,
            reason,
            message,
        } => Event::Failed {
            ticket,
            reason,
            message,
        },
    })
}
