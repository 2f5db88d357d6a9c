//! How long one plan takes: 100,000 devices, at each of the moments that cost most.

use std::hint::black_box;
use std::time::{Duration, Instant};

use fleet_control::domain::rollout::{
    DEFAULT_DEADLINE, DEFAULT_FAILURE_THRESHOLD, DeviceFacts, Report, Reported, RolloutState, plan,
};
use fleet_protocol::rollout::{MemberStatus, RolloutStatus, default_phases};
use fleet_protocol::{Sha256, Version};
use jiff::Timestamp;

const DEVICES: usize = 100_000;
const ROUNDS: u32 = 10;

fn facts(index: usize, status: MemberStatus, updated: bool) -> DeviceFacts {
    let (old, new) = (Version::new(1, 0, 0), Version::new(2, 0, 0));
    let at = Timestamp::UNIX_EPOCH;
    DeviceFacts {
        device_id: format!("dev_{index:020}")
            .parse()
            .expect("digits make an id"),
        status,
        superseded: false,
        revoked: false,
        offered_at: (status != MemberStatus::Waiting).then_some(at),
        previous_version: (status != MemberStatus::Waiting).then(|| old.clone()),
        booted_version: if updated { new.clone() } else { old },
        booted_root_hash: Some(Sha256::of(if updated { "new" } else { "old" })),
        reported: updated.then(|| Report {
            state: Reported::Committed,
            version: Some(new),
            rollout_id: None,
            at,
            detail: None,
        }),
        begun_at: None,
    }
}

fn measure(name: &str, phase: u32, status: MemberStatus, updated: bool) {
    let state = RolloutState {
        rollout_id: "rol_bench".parse().expect("a constant"),
        version: Version::new(2, 0, 0),
        root_hash: Sha256::of("new"),
        phases: default_phases(),
        failure_threshold: DEFAULT_FAILURE_THRESHOLD,
        rollback_on_failure: true,
        deadline: DEFAULT_DEADLINE,
        status: RolloutStatus::Running,
        current_phase: phase,
        phase_done_at: None,
        generation: 1,
    };
    let devices: Vec<_> = (0..DEVICES).map(|i| facts(i, status, updated)).collect();
    let now = Timestamp::UNIX_EPOCH;
    let mut worst = Duration::ZERO;
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        let changes = black_box(plan(&state, black_box(&devices), now));
        worst = worst.max(begun.elapsed());
        drop(changes);
    }
    println!("planner_{name}_ms {:.1}", worst.as_secs_f64() * 1e3);
}

fn main() {
    measure("first_phase", 0, MemberStatus::Waiting, false);
    measure("last_phase", 2, MemberStatus::Waiting, false);
    measure("all_verify_at_once", 2, MemberStatus::Offered, true);
    measure("nothing_to_do", 2, MemberStatus::Offered, false);
}
