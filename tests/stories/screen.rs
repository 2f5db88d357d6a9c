//! A screen that is unplugged, comes back, or is another one.

use std::time::Duration;

use fleet_tests::fleet::wait_until;

use crate::player::{ROUND, play};
use crate::stage::{Failure, SHORT, Stage, Told, same};

/// What the guest's kernel knows of the screen; it is told to look by the player alone.
const STATUS: &str = "cat /sys/class/drm/card*-Virtual-1/status";
const PROCESS: &str = "systemctl show --property=MainPID,NRestarts fleet-player.service";

#[test]
#[ignore = "cargo xtask test --all-stories tells it"]
fn a_screen_that_was_unplugged_or_is_another_one_has_the_picture_again_in_its_own_mode() -> Told {
    play("unplugged", |stage, _, watch| {
        watch.never_blank()?;
        let before = stage.vm.sh(PROCESS)?;

        // Out, and in again.
        stage.vm.unplug_screen()?;
        wait_until_screen_is(stage, "disconnected")?;
        std::thread::sleep(Duration::from_secs(5));
        stage.vm.plug_screen_in((640, 360))?;
        wait_until_screen_is(stage, "connected")?;
        watch.wait_for_in((640, 360), &[1, 2, 3, 4], ROUND)?;

        // Out, and another one in.
        stage.vm.unplug_screen()?;
        wait_until_screen_is(stage, "disconnected")?;
        stage.vm.plug_screen_in((800, 600))?;
        watch.wait_for_in((800, 600), &[1, 2, 3, 4], ROUND)?;

        // The same plug with another EDID, as behind a receiver that is switched over.
        stage.vm.plug_screen_in((640, 480))?;
        watch.wait_for_in((640, 480), &[1, 2, 3, 4], ROUND)?;

        same("the player's process", &stage.vm.sh(PROCESS)?, &before)
    })
}

fn wait_until_screen_is(stage: &mut Stage, status: &str) -> Result<(), Failure> {
    wait_until(&format!("a screen that is {status}"), SHORT, || {
        let found = stage.vm.sh(STATUS)?;
        Ok(((found == status).then_some(()), found))
    })?;
    Ok(())
}
