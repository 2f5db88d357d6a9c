//! How long the rollout planner takes for 100,000 devices: milliseconds of the slowest of a few plans, for
//! `cargo xtask bench` to read. Not a test: a slow host is no failure.

use std::time::Instant;

use fleet_control::domain::rollout::{
    DEFAULT_DEADLINE, DEFAULT_FAILURE_THRESHOLD, DeviceFacts, RolloutState, default_phases, plan,
};
use fleet_protocol::rollout::{MemberStatus, RolloutStatus};
use fleet_protocol::{Sha256, Version};
use jiff::Timestamp;

const DEVICES: usize = 100_000;
const PLANS: usize = 5;

fn main() {
    let rollout = RolloutState {
        rollout_id: "rol_bench".parse().expect("an id"),
        version: Version::new(2, 0, 0),
        root_hash: Sha256::of("root"),
        phases: default_phases(),
        failure_threshold: DEFAULT_FAILURE_THRESHOLD,
        rollback_on_failure: true,
        deadline: DEFAULT_DEADLINE,
        status: RolloutStatus::Running,
        current_phase: 0,
        phase_done_at: None,
        generation: 1,
    };
    let devices: Vec<DeviceFacts> = (0..DEVICES).map(device).collect();
    let mut slowest = 0.0_f64;
    let mut transitions = 0;
    for _ in 0..PLANS {
        let began = Instant::now();
        let made = plan(&rollout, &devices, Timestamp::UNIX_EPOCH);
        slowest = slowest.max(began.elapsed().as_secs_f64() * 1e3);
        transitions = made.transitions.len();
    }
    assert!(
        transitions > 0,
        "a plan that offers nothing measures nothing"
    );
    println!("planner_ms {slowest:.1}");
}

fn device(number: usize) -> DeviceFacts {
    DeviceFacts {
        device_id: format!("dev_{number:06}").parse().expect("an id"),
        status: MemberStatus::Waiting,
        superseded: false,
        revoked: false,
        offered_at: None,
        previous_version: None,
        booted_version: Version::new(1, 0, 0),
        booted_root_hash: None,
        reported: None,
        begun_at: None,
    }
}
