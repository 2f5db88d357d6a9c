//! What a schedule means: which playlist a screen shows at an instant, why, until when, and what comes
//! after it. The control plane, the player's look-ahead and a venue that is cut off all ask here.
//!
//! Everything rests on one idea, the *hand* of [`Zone::hand`]: the wall clock, but for an hour that is
//! repeated, during which it waits at the hour's end. It never goes back, so an occurrence is simply a
//! range of its minutes, in spring and in autumn, and no slot can begin twice.
//!
//! Invariants:
//! - The same snapshot, screen and instant give the same answer, on any machine: zone data is part of
//!   the program, and nothing here reads a clock, a disk or the environment.
//! - [`Schedule::winner`], [`Schedule::decide`], [`Schedule::timeline`] and [`Schedule::explain`] agree:
//!   the property tests hold all of them against a slow resolver that shares no code with them.

mod explain;
mod file;
mod hand;
mod hours;
mod schedule;
mod screen;
mod shadow;
mod timeline;
mod zone;

pub use file::{Device, ParseFileError, ParsedFile, ScheduleFile};
pub use hand::{Day, HandMinute};
pub use hours::{Hours, Window};
pub use schedule::{Decision, Fallbacks, MAX_VALIDITY, Published, Schedule, Snapshot, Winner};
pub use screen::Screen;
pub use shadow::Warning;
pub use zone::{ParseZoneError, Zone, zone_data_version};
