//! Whether a release that came by hand may be installed on this device: its signatures, then everything
//! that an update from the control plane is checked for, by the same rules ([`crate::core::admission`]).
//!
//! A technician who stands before the device insists, so window, pause and backoff do not count; what
//! protects the device itself (key, compatible, rollback floor) always does.

use fleet_device::clock;
use fleet_protocol::target::TargetKind;
use fleet_protocol::trust::{Envelope, VerifiedRelease};
use fleet_protocol::update::RefuseReason;

use jiff::Timestamp;

use super::actions::ActionError;
use super::usb::MAX_METADATA_BYTES;
use crate::core::admission::{self, Decision, Insistence, Memory, Question};
use crate::core::clock::Knowledge;
use crate::core::update::Record;
use crate::daemon::clock_keeper;
use crate::platform::clock::discipline;
use crate::platform::kept::Kept;
use crate::platform::key_chain::{KeyChain, KeyChainError};
use crate::platform::paths::Paths;
use crate::platform::{booted, metrics, sysfs};

/// Whether the release that `envelope` describes may be installed here. Blocking.
pub(super) fn admit(paths: &Paths, envelope: &[u8]) -> Result<VerifiedRelease, ActionError> {
    let hint = "take the .release.json that belongs to the bundle";
    if envelope.len() as u64 > MAX_METADATA_BYTES {
        return Err(ActionError::new("the release metadata is too large", hint));
    }
    let envelope: Envelope = serde_json::from_slice(envelope)
        .map_err(|e| ActionError::new(format!("the release metadata does not parse: {e}"), hint))?;
    let keys = KeyChain::load(paths).map_err(|e| ActionError::new(e, KeyChainError::HINT))?;
    let release = VerifiedRelease::verify(&envelope, keys.trusted())
        .map_err(|e| refused(&admission::refuse_unverified(&e)))?;
    decide(paths, &release)?;
    Ok(release)
}

fn decide(paths: &Paths, release: &VerifiedRelease) -> Result<(), ActionError> {
    let image = booted::image_release(paths).map_err(|e| ActionError::new(&e, e.hint()))?;
    let system = booted::system(paths, &image);
    let record: Record = Kept::update_record(paths).read().0.unwrap_or_default();
    // A board without a clock must be repairable; time never counts below what is known of it.
    let floor = clock_floor(paths, image.built_at);
    let facts = admission::Facts {
        now: clock::wall().max(floor),
        clock_floor: floor,
        compatible: image.compatible,
        hardware: sysfs::model(paths),
        window: None,
        free_bytes: metrics::free_bytes(&paths.run).unwrap_or(0),
        min_free_bytes: 0,
        paused: false,
        power_trouble: None,
    };
    let memory = Memory {
        booted: &system,
        other: None,
        on_trial: false,
        rollback_floor: record.rollback_floor.as_ref(),
        failures: &record.failures,
        backoff: None,
        paused: false,
    };
    let question = Question {
        kind: TargetKind::Install,
        release: release.metadata(),
        attempt: u32::MAX,
        insistence: Insistence::Forced,
    };
    match admission::decide(&question, &facts, &memory) {
        Decision::Install | Decision::Switch => Ok(()),
        Decision::UpToDate => Err(ActionError::new(
            "this version runs already",
            "choose another release, or retry",
        )),
        Decision::Defer(why) => Err(ActionError::new(
            format!("not now: {why}"),
            why.hint()
                .unwrap_or("wait until that has passed, then try again"),
        )),
        Decision::Refuse(why) => Err(refused(&why)),
    }
}

/// The same evidence as the agent's; without `/data` it is the image alone.
fn clock_floor(paths: &Paths, built_at: Timestamp) -> Timestamp {
    let known = Knowledge::new(clock_keeper::evidence(paths, built_at));
    known.floor(discipline(paths))
}

fn refused(why: &RefuseReason) -> ActionError {
    ActionError::new(why, why.hint())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::clock::Evidence;
    use fleet_device::files::{self, Access};

    #[test]
    fn time_counts_from_what_the_agent_last_knew_and_not_from_the_image() {
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::under(root.path());
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let (built, heard) = (at("2026-01-01T00:00:00Z"), at("2026-11-01T00:00:00Z"));
        assert_eq!(clock_floor(&paths, built), built);
        let kept = Evidence {
            credible: Some(heard),
            ..Evidence::default()
        };
        let file = paths.state().join("clock.json");
        files::write_json(&file, &kept, Access::Public).unwrap();
        assert_eq!(clock_floor(&paths, built), heard);
        files::write_atomic(&file, b"{", Access::Public).unwrap();
        assert_eq!(clock_floor(&paths, built), built);
    }
}
