//! What is shown, where and when.

use fleet_protocol::content::{PlaylistView, ScheduleSet, VenueView};
use fleet_protocol::device::Page;
use fleet_protocol::player::PlaysOfDay;
use fleet_protocol::schedule::SlotDraft;

use super::{Audience, Route, Rows};
use crate::api::{content as c, openapi, overrides, pairing, report};

#[rustfmt::skip]
pub(super) fn library() -> Vec<Route> {
    let library = Rows { audience: Audience::Operator, tag: "Library" };
    vec![
        library.get("/v1/library/assets", c::assets, "List pictures and films"),
        library.post("/v1/library/assets/uploads", c::create_upload, "Announce a file")
            .details("Then send it to `uploadUrl`, and say that it is complete. It is stored once for each content."),
        library.put("/v1/library/assets/uploads/{upload_id}/content", c::put_upload, "Send a file, or the next part of it")
            .resumable().answers(&[201, 202]).conflicts(&["UPLOAD_CLOSED"]).checks(),
        library.post("/v1/library/assets/uploads/{upload_id}/complete", c::complete_upload, "Say that all of a file was sent")
            .details("It is looked at as soon as there is time; then its asset is READY, or FAILED with the reason.")
            .answers(&[202]).conflicts(&["UPLOAD_CLOSED", "UPLOAD_INCOMPLETE"]).checks(),
        library.get("/v1/library/assets/{asset_id}", c::asset, "Show a picture or film"),
        library.delete("/v1/library/assets/{asset_id}", c::delete_asset, "Delete a picture or film")
            .conflicts(&["ASSET_IN_USE"]),
        library.get("/v1/library/assets/{asset_id}/content", c::asset_file, "Fetch the file, or a range of it")
            .file(openapi::MEDIA),
        library.get("/v1/library/assets/{asset_id}/thumbnail", c::thumbnail, "Fetch a small picture of it")
            .media("image/jpeg"),
        library.get("/v1/library/playlists", c::playlists, "List playlists"),
        library.post("/v1/library/playlists", c::create_playlist, "Make a playlist")
            .versioned::<PlaylistView>().answers(&[201]),
        library.get("/v1/library/playlists/{playlist_id}", c::playlist, "Show a playlist")
            .versioned::<PlaylistView>(),
        library.delete("/v1/library/playlists/{playlist_id}", c::delete_playlist, "Delete a playlist")
            .conflicts(&["PLAYLIST_IN_USE"]),
        library.put("/v1/library/playlists/{playlist_id}/items", c::put_entries, "Replace the draft")
            .details("Items without an id are new; those that keep theirs keep their identity.")
            .versioned::<PlaylistView>(),
        library.put("/v1/library/playlists/{playlist_id}/reorder", c::reorder, "Bring the draft into another order")
            .versioned::<PlaylistView>(),
        library.post("/v1/library/playlists/{playlist_id}/publish", c::publish_playlist, "Let screens play the draft")
            .details("Copies what is enabled into a version that never changes. 422 when nothing is enabled, or an asset is not READY.")
            .versioned::<PlaylistView>().checks(),
        library.post("/v1/library/playlists/{playlist_id}/rollback", c::roll_playlist_back, "Publish an earlier version again")
            .versioned::<PlaylistView>(),
        library.get("/v1/library/playlists/{playlist_id}/publishes", c::playlist_history, "What was published of it, newest first"),
    ]
}

#[rustfmt::skip]
pub(super) fn venues() -> Vec<Route> {
    let venues = Rows { audience: Audience::Operator, tag: "Venues" };
    let device = "/v1/venues/{venue_id}/devices/{device_id}";
    let commands = "/v1/venues/{venue_id}/devices/{device_id}/commands";
    let cancel = "/v1/venues/{venue_id}/devices/{device_id}/commands/{command_id}/cancel";
    vec![
        venues.get("/v1/me/venues", c::my_venues, "List the venues of whoever asks"),
        venues.get("/v1/tenants/{tenant_id}/venues", c::venues, "List an organisation's venues"),
        venues.post("/v1/tenants/{tenant_id}/venues", c::create_venue, "Make a venue")
            .versioned::<VenueView>().answers(&[201]),
        venues.get("/v1/tenants/{tenant_id}/venues/{venue_id}", c::venue, "Show a venue")
            .versioned::<VenueView>(),
        venues.put("/v1/tenants/{tenant_id}/venues/{venue_id}", c::put_venue, "Replace a venue's settings")
            .versioned::<VenueView>(),
        venues.get("/v1/venues/{venue_id}/devices", c::venue_devices, "List a venue's devices"),
        venues.post("/v1/venues/{venue_id}/devices/pairing/claim", pairing::claim, "Let the device that shows this code in")
            .details("It joins within seconds. A code counts once, and for a quarter of an hour."),
        venues.delete("/v1/venues/{venue_id}/devices/pairing/claims/{token_id}", pairing::take_back,
                      "Take a claim back before its device has joined").conflicts(&["TOKEN_USED_UP"]),
        venues.get(device, c::venue_device, "Show a device of a venue"),
        venues.patch(device, c::change_venue_device, "Rename a device of a venue, or turn its screen")
            .details("To take it to another venue is for administrators."),
        venues.get(commands, c::player_commands, "List the commands to a player, newest first"),
        venues.post(commands, c::create_player_command, "Send a command to a player")
            .conflicts(&["QUEUE_FULL"]),
        venues.post(cancel, c::cancel_player_command, "Cancel a command that the player does not have yet")
            .conflicts(&["NOT_CANCELLABLE"]),
        venues.get("/v1/venues/{venue_id}/groups", c::groups, "List a venue's groups of screens"),
        venues.post("/v1/venues/{venue_id}/groups", c::create_group, "Make a group"),
        venues.put("/v1/venues/{venue_id}/groups/{group_id}", c::put_group, "Replace a group"),
        venues.delete("/v1/venues/{venue_id}/groups/{group_id}", c::delete_group, "Delete a group"),
        venues.get("/v1/proof-of-play", report::plays, "What was played, by day, venue and asset")
            .details("Days are the venue's. JSON, or CSV for whoever accepts `text/csv`.")
            .returns::<Page<PlaysOfDay>>().media("text/csv")
            .header("Accept", "`text/csv` for a table.").checks(),
    ]
}

#[rustfmt::skip]
pub(super) fn schedules() -> Vec<Route> {
    let schedule = Rows { audience: Audience::Operator, tag: "Schedules" };
    let slots = "/v1/venues/{venue_id}/scheduleset/slots";
    let slot = "/v1/venues/{venue_id}/scheduleset/slots/{slot_id}";
    vec![
        schedule.get("/v1/venues/{venue_id}/scheduleset", c::schedule_set, "Show a venue's schedule")
            .versioned::<ScheduleSet>(),
        schedule.post(slots, c::add_slot, "Add a slot to the draft")
            .takes::<SlotDraft>().versioned::<ScheduleSet>().answers(&[201]).conflicts(&["SLOT_EXISTS"]),
        schedule.put(slots, c::set_slots, "Replace the draft")
            .versioned::<ScheduleSet>().conflicts(&["SLOT_EXISTS"]),
        schedule.put(slot, c::put_slot, "Replace a slot of the draft")
            .takes::<SlotDraft>().versioned::<ScheduleSet>().conflicts(&["SLOT_EXISTS"]),
        schedule.delete(slot, c::remove_slot, "Remove a slot from the draft")
            .versioned::<ScheduleSet>().conflicts(&["SLOT_EXISTS"]),
        schedule.post("/v1/venues/{venue_id}/scheduleset/publish", c::publish_schedule, "Let screens follow the draft")
            .details("422 when the playlist of an enabled slot was never published.")
            .versioned::<ScheduleSet>().checks(),
        schedule.post("/v1/venues/{venue_id}/scheduleset/rollback", c::roll_schedule_back, "Publish an earlier version again")
            .versioned::<ScheduleSet>(),
        schedule.get("/v1/venues/{venue_id}/publishes", c::schedule_history, "What was published of it, newest first"),
        schedule.get("/v1/venues/{venue_id}/overrides", overrides::overrides, "List what goes before the schedule, newest first")
            .details("`status` is `active` or `over`. Kept for 90 days."),
        schedule.post("/v1/venues/{venue_id}/overrides", overrides::create_override, "Show a playlist or a message now, whatever the schedule says")
            .details("It ends by itself. Of several on a screen an emergency goes first, then what was begun last.")
            .conflicts(&["TOO_MANY_OVERRIDES"]).checks(),
        schedule.post("/v1/venues/{venue_id}/overrides/{override_id}/cancel", overrides::cancel_override,
                      "End an override before its time").conflicts(&["OVERRIDE_OVER"]),
    ]
}
