//! A whole device, simulated: engine, boot environment, bootloader, slots and installer, with power
//! cuts between any two effects. What the engine promises is tested here, over any sequence.

mod device;
mod effects;
mod stories;

pub(super) use device::{Device, Quality};
