//! A TV at the other end of a CEC line, which is to follow the screen's hours.
//!
//! The line is the kernel's own emulation (`vivid`: an HDMI output plugged into an HDMI input), the TV the kernel
//! developers' `cec-follower`. So what the player says is understood, or not, by programs that never heard of it.

use std::time::Duration;

use fleet_tests::fake_control_plane::screen_off_at;
use fleet_tests::fleet::{now, wait_until};
use serde_json::Value;

use crate::player::{Programme, ROUND, play};
use crate::stage::{BOOT, Failure, SHORT, Stage, Told, ensure, same};
use crate::watch::Watch;

/// The machine's HDMI output, and the TV's input.
const OUTPUT: &str = "/dev/cec1";
const TV: &str = "/dev/cec0";
/// What the TV has heard.
const HEARD: &str = "/run/tv/heard";
/// A TV that does not follow is reported within less.
const THREE_TRIES: Duration = Duration::from_secs(40);

/// One HDMI output, one HDMI input, and no other device of a camera's or a radio's.
const UNPACK: &str = "(
set -e
for second in $(seq 60); do test -b /dev/sda && break; sleep 1; done
mkdir -p /run/tv
tar -xf /dev/sda -C /run/tv
cd /run/tv/modules
while read -r module; do
    options=
    test $module != vivid.ko || options='node_types=0x101 num_inputs=1 input_types=3 num_outputs=1 output_types=1'
    name=$(basename $module .ko | tr - _)
    test -d /sys/module/$name || insmod ./$module $options
done <order
)";

/// A program of the TV's with its own libraries.
fn program(line: &str) -> String {
    format!("/run/tv/lib/ld.so --library-path /run/tv/lib /run/tv/bin/{line}")
}

/// Plugs the TV in, and starts the player anew: what it may open is settled at its start, by the devices there are.
fn plug_in(stage: &mut Stage, watch: &Watch) -> Told {
    let television = stage.fleet.kit().television.clone();
    stage.vm.plug_in(&television)?;
    stage.vm.shell()?.run_within(UNPACK, SHORT)?;
    stage.vm.sh(&program(
        "v4l2-ctl -d /dev/video0 --set-ctrl hdmi_000_0_is_connected_to=2",
    ))?;
    stage
        .vm
        .sh(&program(&format!("cec-ctl -d {TV} --tv --skip-info")))?;
    stage
        .vm
        .sh("systemctl restart --no-block fleet-player.service")?;
    watch.wait_for(&[1, 2, 3, 4], BOOT)
}

/// Switches the TV on, and it behaves like this from now on: see `cec-follower --help`.
fn switch_on(stage: &mut Stage, manners: &str) -> Told {
    let follower = program(&format!("cec-follower -d {TV} --verbose {manners}"));
    stage.vm.sh(&format!(
        "systemctl stop television 2>/dev/null; \
         systemd-run --quiet --collect --unit=television --property=StandardOutput=truncate:{HEARD} {follower}"
    ))?;
    Ok(())
}

/// Waits until the TV, asked over the line, says that it is in this state.
fn wait_until_tv_is(stage: &mut Stage, status: &str) -> Told {
    let ask = program(&format!(
        "cec-ctl -d {OUTPUT} --skip-info --to 0 --give-device-power-status"
    ));
    let says = format!("pwr-state: {status} ");
    wait_until(
        &format!("a TV whose power status is {status}"),
        SHORT,
        || {
            // Before the player's first message the output has no address to ask from.
            let (_, said) = stage.vm.shell()?.status_within(&ask, SHORT)?;
            Ok((said.contains(&says).then_some(()), said))
        },
    )?;
    Ok(())
}

/// How often the TV was told this since it was switched on.
fn times_told(stage: &mut Stage, message: &str) -> Result<String, Failure> {
    Ok(stage
        .vm
        .sh(&format!("grep -c '{message}' {HEARD} || true"))?)
}

/// The screen's hours end, and it goes dark, whatever becomes of the TV.
fn end_hours(programme: &Programme, watch: &Watch, etag: &str) -> Told {
    let items = programme.four()?;
    let off = screen_off_at(now());
    programme.server.publish_with(&off, etag, 5, &items);
    watch.wait_for_something_else(ROUND)
}

fn begin_hours(programme: &Programme, watch: &Watch, etag: &str) -> Told {
    programme.publish(etag, &programme.four()?);
    watch.wait_for(&[1, 2, 3, 4, 1], ROUND)
}

/// What was reported of a TV that did not follow.
fn failures(programme: &Programme) -> Vec<String> {
    let events = programme.server.events();
    let failed = |event: &&Value| event["eventType"] == "SCREEN_POWER_FAILED";
    events
        .iter()
        .filter(failed)
        .map(ToString::to_string)
        .collect()
}

fn wait_for_failure(programme: &Programme, count: usize, says: &str) -> Told {
    let last = wait_until("a failure to be reported", SHORT, || {
        let failures = failures(programme);
        let found = failures.get(count - 1).cloned();
        Ok((found, format!("{failures:?}")))
    })?;
    ensure(last.contains(says), || {
        format!("{last} is reported, and not that {says}")
    })
}

#[test]
#[ignore = "cargo xtask test --all-stories tells it"]
fn a_tv_sleeps_and_wakes_by_the_screens_hours_and_one_that_does_not_is_reported() -> Told {
    play("cec", |stage, programme, watch| {
        plug_in(stage, watch)?;

        switch_on(stage, "")?;
        end_hours(programme, watch, "night")?;
        wait_until_tv_is(stage, "standby")?;
        begin_hours(programme, watch, "day")?;
        wait_until_tv_is(stage, "on")?;
        same(
            "standbys",
            &times_told(stage, "STANDBY (0x36)")?,
            &"1".to_owned(),
        )?;
        // By the cable it is plugged in with.
        let heard = stage
            .vm
            .sh(&format!("grep -A1 'ACTIVE_SOURCE (0x82)' {HEARD}"))?;
        ensure(heard.contains("phys-addr: 1.0.0.0"), || heard)?;

        // One that misses every second message, the first of this night among them.
        switch_on(stage, "--ignore-standby 2 --ignore-view-on 2")?;
        end_hours(programme, watch, "second night")?;
        wait_until_tv_is(stage, "standby")?;
        begin_hours(programme, watch, "second day")?;
        wait_until_tv_is(stage, "on")?;
        end_hours(programme, watch, "third night")?;
        wait_until_tv_is(stage, "standby")?;
        same(
            "standbys",
            &times_told(stage, "STANDBY (0x36)")?,
            &"3".to_owned(),
        )?;
        begin_hours(programme, watch, "third day")?;
        wait_until_tv_is(stage, "on")?;
        same(
            "wake-ups",
            &times_told(stage, "IMAGE_VIEW_ON (0x04)")?,
            &"3".to_owned(),
        )?;

        // One that takes the messages and can't say what it is.
        stage.vm.sh("systemctl stop television")?;
        end_hours(programme, watch, "fourth night")?;
        std::thread::sleep(THREE_TRIES);
        begin_hours(programme, watch, "fourth day")?;
        same("failures", &failures(programme), &Vec::new())?;

        // One that stays on: its screen gets no signal all the same.
        switch_on(stage, "--ignore-standby 1")?;
        end_hours(programme, watch, "fifth night")?;
        wait_for_failure(programme, 1, "does not follow: its power status is 0")?;
        wait_until_tv_is(stage, "on")?;
        same(
            "standbys",
            &times_told(stage, "STANDBY (0x36)")?,
            &"3".to_owned(),
        )?;
        begin_hours(programme, watch, "fifth day")?;

        // One that takes no part.
        stage
            .vm
            .sh(&program(&format!("cec-ctl -d {TV} --clear --skip-info")))?;
        end_hours(programme, watch, "sixth night")?;
        wait_for_failure(programme, 2, "takes part in CEC")?;
        begin_hours(programme, watch, "sixth day")
    })
}
