//! What an operator publishes is what the screen shows: the operator's command, the real control plane, the real player.

use std::path::PathBuf;
use std::time::Duration;

use fleet_tests::media;

use crate::stage::{self, BOOT, SHORT, Told, ensure};
use crate::watch::Watch;

/// Until a screen that asks every half minute has fetched something else and shows it.
const SHOWN: Duration = Duration::from_mins(4);

#[test]
fn what_is_published_comes_to_the_screen_and_takes_turns_by_the_schedule() -> Told {
    stage::tell("published", |stage| {
        let files = tempfile::tempdir()?;
        let picture = |number: u16| -> Result<String, stage::Failure> {
            let path: PathBuf = files.path().join(format!("{number}.png"));
            media::write_picture(&path, number, 640, 360)?;
            Ok(path.display().to_string())
        };
        let (one, two, three) = (picture(1)?, picture(2)?, picture(3)?);
        stage
            .fleet
            .cli(&["publish", &one, &two, "--name", "Day", "--seconds", "2"])?;
        let watch = Watch::begin(stage.vm.camera()?, stage.dir());
        watch.wait_for(&[1, 2, 1, 2], BOOT + SHOWN)?;
        let plays = |detail: &fleet_protocol::device::DeviceDetail| {
            let player = detail.player.as_ref();
            player.is_some_and(|player| player.playback.current_asset_id.is_some())
        };
        stage
            .device()
            .wait("the player to say what it plays", SHORT, plays)?;

        // Another playlist takes over by the schedule, all day, on this screen alone.
        stage.fleet.cli(&["asset", "upload", &three])?;
        stage
            .fleet
            .cli(&["playlist", "create", "Special", "3.png", "--publish"])?;
        let screen = format!("device:{}", stage.device().id);
        let slot = [
            "schedule",
            "add",
            "--playlist",
            "Special",
            "--for",
            &screen,
            "--publish",
        ];
        stage.fleet.cli(&slot)?;
        watch.wait_for(&[3], SHOWN)?;

        // And what was counted of it arrives.
        let counted = fleet_tests::fleet::wait_until("plays to be counted", SHOWN, || {
            let report: serde_json::Value = stage.fleet.api().get("/v1/proof-of-play")?;
            let rows = report["items"].as_array().map_or(0, Vec::len);
            Ok(((rows > 0).then_some(rows), report.to_string()))
        })?;
        ensure(counted >= 1, || "nothing was counted".to_owned())?;
        watch.never_blank()
    })
}
