//! Content as operators see it: assets, playlists, venues and what is on when (seed 003, §§4, 6, 7, 13–16,
//! 26.6–26.8, 27.4–27.6). What a player gets of it is in [`crate::player`].

mod asset;
mod overrides;
mod playlist;
mod venue;

pub use asset::{
    AssetFailure, AssetKind, AssetStatus, AssetView, CreateUpload, FailureReason, UploadSession,
};
pub use overrides::{
    CreateOverride, MAX_OVERRIDES, OVERRIDE_SECONDS, OverrideMessage, OverrideState,
    OverrideStatus, OverrideView,
};
pub use playlist::{
    CreatePlaylist, Entry, MAX_ENTRIES, PlaylistSnapshot, PlaylistView, PutEntries, Reorder,
    Rollback,
};
pub use venue::{
    CreateGroup, CreateVenue, GroupView, MAX_SLOTS, ScheduleSet, ScheduleSnapshot, SetSlots,
    VenueView,
};
