//! Bad networks: nothing is lost, nothing is fetched twice.

use fleet_protocol::event::EventKind;
use fleet_protocol::update::UpdateState;
use fleet_tests::fleet::wait_until;
use fleet_tests::kit::release;
use fleet_tests::proxy::Weather;

use crate::stage::{self, BOOT, INSTALL, SHORT, Told, ensure};

/// Bytes a second while something is to happen during the download.
const SLOW: u64 = 1 << 20;
/// An adaptive update fetches about a tenth of the bundle: the cut comes in the middle of that.
const PART: u64 = 4_000_000;

/// What went over the network is what one adaptive update needs, once. From the beginning after each cut it would be
/// beyond this.
fn nothing_fetched_twice(carried: u64, bundle_bytes: u64) -> Told {
    ensure(carried < bundle_bytes * 15 / 100, || {
        format!("{carried} bytes were carried for an adaptive update to a bundle of {bundle_bytes}")
    })
}

#[test]
#[ignore = "cargo xtask test --all-stories tells it"]
fn a_download_that_is_cut_goes_on_where_it_was() -> Told {
    stage::tell("cut-download", |stage| {
        let size = stage.fleet.kit().bundle(release::GOOD)?.size_bytes;
        let before = stage.fleet.network().to_device();
        let rollout = stage.roll_out(release::GOOD)?;
        stage
            .fleet
            .network()
            .set(Weather::Slow { bytes_per_s: SLOW });
        for part in 1..=2 {
            stage.fleet.network().cut_after(PART);
            wait_until(&format!("cut {part}"), INSTALL, || {
                let network = stage.fleet.network();
                let seen = format!("{} bytes", network.to_device() - before);
                Ok(((!network.cut_is_pending()).then_some(()), seen))
            })?;
        }
        stage.fleet.network().set(Weather::Fair);
        stage
            .device()
            .wait_committed(&rollout.version, INSTALL + BOOT)?;
        let carried = stage.fleet.network().to_device() - before;
        nothing_fetched_twice(carried, size)
    })
}

#[test]
#[ignore = "cargo xtask test --all-stories tells it"]
fn a_control_plane_that_is_away_in_mid_download_is_waited_for() -> Told {
    stage::tell("control-away", |stage| {
        let size = stage.fleet.kit().bundle(release::GOOD)?.size_bytes;
        let before = stage.fleet.network().to_device();
        let rollout = stage.roll_out(release::GOOD)?;
        stage
            .fleet
            .network()
            .set(Weather::Slow { bytes_per_s: SLOW });
        wait_until("part of the download", INSTALL, || {
            let carried = stage.fleet.network().to_device() - before;
            Ok(((carried > PART).then_some(()), format!("{carried} bytes")))
        })?;
        stage.fleet.kill_control();
        stage.fleet.network().cut();
        // Long enough for several tries, and for the end of every patience that is too short.
        stage.vm.shell()?.run_within("sleep 20", SHORT)?;
        stage.fleet.network().set(Weather::Fair);
        stage.fleet.restart_control()?;
        stage
            .device()
            .wait_committed(&rollout.version, INSTALL + BOOT)?;
        let carried = stage.fleet.network().to_device() - before;
        nothing_fetched_twice(carried, size)
    })
}

#[test]
fn a_device_that_was_offline_reports_what_happened_meanwhile() -> Told {
    stage::tell("offline", |stage| {
        let known = stage.device().events()?;
        let offline = known.iter().map(|e| e.event_time_utc).max();
        let offline = offline.ok_or_else(|| stage::Failure::new("no events yet"))?;
        stage.fleet.network().set(Weather::Down);
        let shell = stage.vm.shell()?;
        shell.run_within("systemctl restart fleet-agent.service; sleep 5", SHORT)?;
        stage.fleet.network().set(Weather::Fair);
        wait_until("the restart to be among the events", SHORT, || {
            let events = stage.device().events()?;
            let starts = events
                .iter()
                .filter(|e| e.event_type == EventKind::AgentStarted && e.event_time_utc > offline);
            let told = starts.count() == 1;
            Ok((told.then_some(()), format!("{} events", events.len())))
        })?;
        let state = stage.device().detail()?.update_report.map(|r| r.state);
        ensure(
            !matches!(state, Some(UpdateState::RolledBack { .. })),
            || format!("being offline had a consequence: {state:?}"),
        )
    })
}
