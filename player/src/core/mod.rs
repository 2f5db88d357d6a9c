//! Every decision that the player takes, as pure state machines.
//!
//! Each machine is `step(state, event, now) -> (state, effects)`. Nothing in here reads a clock, touches
//! disk, network or screen, or logs: a driver performs the effects in order and feeds results back. An
//! event that makes no sense in a state changes nothing.
//!
//! The signage contract (seed 003, §28) describes one machine; here it is three, because playing, asking and fetching
//! go on side by side. Its states are found as follows.
//!
//! | contract | here | heartbeat's `state` |
//! |---|---|---|
//! | `BOOT` | [`screen`]'s `Mode::Boot`, before [`screen::Event::Loaded`] | `BOOTING` |
//! | `LOAD_LOCAL` | what makes that event: `app::device` with its `Kept` and the [`cache`]'s stock | `BOOTING` |
//! | `PLAYABLE_CHECK` | the search for what comes next, after every event: `successor` in `screen/playing.rs` | `BOOTING` until the first picture |
//! | `PLAYING` | `Mode::Playing` with something [`screen::Screen::on_glass`] | `PLAYING` |
//! | `ERROR_SCREEN` | `Mode::ErrorScreen`, [`screen::Card::Status`] | `ERROR_SCREEN` |
//! | `UNREGISTERED` | `Mode::Unregistered` of [`screen`] ([`screen::Card::Pairing`]) and of [`sync`] | `PAIRING` |
//! | `SYNC_MANIFEST` | [`sync::Lane::Manifest`] | – |
//! | `SYNC_COMMANDS` | [`sync::Lane::Commands`] and `Results`; [`commands`] runs them | – |
//! | `OFFLINE_BACKOFF` | each lane's own pause, and the silence that `sync/link.rs` keeps for all | – |
//! | `DOWNLOAD_ASSETS` | [`cache::Policy`] | – |
//! | `APPLY_STAGED` | the end of an item: `change_over` in `screen/playing.rs`, `apply_staged` in `screen/staging.rs` | – |
//! | `STAGED_NONE`, `STAGED_WAITING_ASSETS`, `STAGED_READY`, `STAGED_REJECTED` | [`screen::Staged`] | – |

pub mod cache;
pub mod commands;
pub mod look_ahead;
pub mod power;
pub mod screen;
pub mod sync;
pub mod witness;
