//! Releases that a device must not install: it says why, and its slots stay as they are.

use fleet_protocol::Version;
use fleet_protocol::release::ReleaseStatus;
use fleet_protocol::rollout::RolloutView;
use fleet_protocol::trust::{Envelope, ReleaseMetadata};
use fleet_protocol::update::{RefuseReason, Slot, UpdateState};
use fleet_tests::fleet::{Signer, now, wait_until};
use fleet_tests::kit::{BundleFile, release};
use jiff::SignedDuration;

use crate::stage::{self, INSTALL, SHORT, Stage, Told, ensure, same};

/// Bundles that RAUC does not take, and what it says about each.
const UNACCEPTABLE: [(&str, Reason); 3] = [
    (release::FOREIGN, |why| rejected_for(why, "signature")),
    (release::TRUNCATED, |why| rejected_for(why, "bundle format")),
    (release::WRONG_COMPATIBLE, |why| {
        rejected_for(why, "compatible")
    }),
];

type Reason = fn(&RefuseReason) -> bool;

/// Offers a release, waits for the refusal, and takes the offer back.
fn refused(
    stage: &Stage,
    what: &str,
    bundle: &BundleFile,
    envelope: Envelope,
    version: &Version,
    expected: Reason,
) -> Told {
    stage
        .fleet
        .publish_as(bundle, envelope, ReleaseStatus::Stable)?;
    let rollout: RolloutView = stage.fleet.roll_out(version)?;
    let device = stage.device();
    let detail = device.wait_state(
        &format!("{what} to be refused"),
        INSTALL,
        |state| matches!(state, UpdateState::Refused { version: Some(v), .. } if v == version),
    )?;
    let report = detail
        .update_report
        .ok_or_else(|| stage::Failure::new("no report"))?;
    let UpdateState::Refused { why, .. } = &report.state else {
        return ensure(false, || format!("{what}: then {:?}", report.state));
    };
    ensure(expected(why), || format!("{what} was refused for {why:?}"))?;
    same("the slot", &report.booted.slot, &Slot::A)?;
    // One device of one: the rollout stops by itself.
    wait_until("the rollout to stop", SHORT, || {
        let view = stage.fleet.rollout(&rollout.rollout_id)?;
        let stopped = view.status.is_final() && view.counts.verified == 0;
        Ok((stopped.then_some(()), view.summary))
    })?;
    Ok(())
}

#[test]
fn releases_that_are_foreign_expired_older_or_for_other_hardware_are_refused_with_their_reason()
-> Told {
    stage::tell("refused-metadata", |stage| {
        let good = stage.fleet.kit().bundle(release::GOOD)?.clone();
        let plain = stage.fleet.metadata(&good)?;
        let ours = |metadata: &ReleaseMetadata| stage.fleet.signer().sign(metadata);
        let as_version = |patch: u64| ReleaseMetadata {
            version: Version::new(9, 0, patch),
            ..plain.clone()
        };
        let offer = |what: &str, metadata: &ReleaseMetadata, envelope, expected| {
            refused(stage, what, &good, envelope, &metadata.version, expected)
        };

        let stranger = as_version(1);
        let signed = Signer::stranger().sign(&stranger);
        offer("a stranger's release", &stranger, signed, |why| {
            matches!(why, RefuseReason::ForeignSignature { .. })
        })?;
        let expired = ReleaseMetadata {
            not_after: now() + SignedDuration::from_secs(5),
            ..as_version(2)
        };
        // The control plane takes no release that has expired already: this one expires there.
        stage
            .fleet
            .publish_as(&good, ours(&expired), ReleaseStatus::Stable)?;
        wait_until("the release to expire", SHORT, || {
            // The device's clock may be a little slow.
            let gone = now() > expired.not_after + SignedDuration::from_secs(10);
            Ok((gone.then_some(()), String::new()))
        })?;
        offer("an expired release", &expired, ours(&expired), |why| {
            matches!(why, RefuseReason::Expired { .. })
        })?;
        let older = ReleaseMetadata {
            version: Version::new(0, 9, 0),
            ..plain.clone()
        };
        offer("an older release", &older, ours(&older), |why| {
            matches!(why, RefuseReason::Older { .. })
        })?;
        let elsewhere = ReleaseMetadata {
            hardware: vec!["Another Board".to_owned()],
            ..as_version(3)
        };
        offer(
            "another board's release",
            &elsewhere,
            ours(&elsewhere),
            |why| matches!(why, RefuseReason::WrongHardware { .. }),
        )?;
        let too_far = ReleaseMetadata {
            min_version: Some(Version::new(8, 0, 0)),
            ..as_version(4)
        };
        offer(
            "a release with a step between",
            &too_far,
            ours(&too_far),
            |why| matches!(why, RefuseReason::BaseTooOld { .. }),
        )?;
        untouched(stage)
    })
}

#[test]
fn bundles_that_are_foreign_truncated_or_for_another_compatible_are_refused_with_their_reason()
-> Told {
    stage::tell("refused-bundles", |stage| {
        for (number, (name, expected)) in UNACCEPTABLE.iter().enumerate() {
            let bundle = stage.fleet.kit().bundle(name)?.clone();
            let ours = stage.fleet.kit().bundle(release::GOOD)?.compatible.clone();
            let metadata = ReleaseMetadata {
                version: Version::new(8, 0, number as u64),
                // What the metadata says is fine: only the bundle itself is not.
                ..stage.fleet.metadata(&BundleFile {
                    compatible: ours,
                    ..bundle.clone()
                })?
            };
            let envelope = stage.fleet.signer().sign(&metadata);
            let version = &metadata.version;
            refused(stage, name, &bundle, envelope, version, *expected)?;
        }
        untouched(stage)
    })
}

fn rejected_for(why: &RefuseReason, cause: &str) -> bool {
    matches!(why, RefuseReason::BundleRejected { detail } if detail.to_lowercase().contains(cause))
}

fn untouched(stage: &mut Stage) -> Told {
    same("the running slot", &stage.running_slot()?.as_str(), &"A")?;
    let order = stage.boot_variable("ORDER")?;
    ensure(order.starts_with('A'), || format!("ORDER is {order}"))?;
    same("A_LOCKED", &stage.boot_variable("A_LOCKED")?.as_str(), &"1")
}
