//! What every program on a device needs, whatever it is for: the agent and the player have it from here,
//! since neither may use the other.

pub mod clock;
pub mod content_range;
pub mod files;
pub mod limit;
pub mod logging;
pub mod request;
