//! The planner.

use fleet_protocol::rollout::{MemberStatus, RolloutStatus};
use jiff::{SignedDuration, Timestamp};

use super::cohort::cohort_key;
use super::evidence::{Return, Standing};
use super::{DeviceFacts, Plan, RolloutState, Transition};

/// What is to happen next. The same facts, in whatever order, give the same plan.
pub fn plan(state: &RolloutState, devices: &[DeviceFacts], now: Timestamp) -> Plan {
    let mut planner = Planner::new(state, devices, now);
    planner.weigh_evidence();
    match state.status {
        RolloutStatus::Running | RolloutStatus::Paused => {
            if planner.too_many_failed() {
                planner.stop();
            } else if state.status == RolloutStatus::Running {
                planner.advance();
            }
        }
        RolloutStatus::RollingBack => planner.take_back(),
        // Whoever turns up late in a rollout that was taken back is taken back too.
        RolloutStatus::RolledBack => planner.take_back_the_touched(),
        RolloutStatus::Aborted | RolloutStatus::Failed => planner.withdraw_offers(),
        RolloutStatus::Completed => {}
    }
    planner.finish()
}

struct Member<'a> {
    facts: &'a DeviceFacts,
    status: MemberStatus,
    /// Where it stands, if it is `Offered`.
    standing: Option<Standing>,
    /// Its way back is not waited for any more.
    given_up: bool,
    told: bool,
    detail: Option<String>,
}

struct Planner<'a> {
    state: &'a RolloutState,
    now: Timestamp,
    members: Vec<Member<'a>>,
    status: RolloutStatus,
    phase: usize,
    phase_done_at: Option<Timestamp>,
}

impl<'a> Planner<'a> {
    fn new(state: &'a RolloutState, devices: &'a [DeviceFacts], now: Timestamp) -> Self {
        let mut members: Vec<_> = devices
            .iter()
            .map(|facts| Member {
                facts,
                status: facts.status,
                standing: None,
                given_up: false,
                told: false,
                detail: None,
            })
            .collect();
        members.sort_unstable_by(|a, b| a.facts.device_id.cmp(&b.facts.device_id));
        Self {
            state,
            now,
            members,
            status: state.status,
            phase: (state.current_phase as usize).min(state.phases.len().saturating_sub(1)),
            phase_done_at: state.phase_done_at,
        }
    }

    fn weigh_evidence(&mut self) {
        for member in &mut self.members {
            match member.status {
                MemberStatus::Offered | MemberStatus::Failed => {
                    let standing = member.facts.standing(self.state, self.now);
                    match (&standing, member.status) {
                        (Standing::Verified, _) => member.status = MemberStatus::Verified,
                        (Standing::Failed(why), MemberStatus::Offered) => {
                            member.status = MemberStatus::Failed;
                            member.detail = Some(why.clone());
                        }
                        _ => {}
                    }
                    member.standing = Some(standing);
                }
                MemberStatus::RollingBack => {
                    match member.facts.on_its_way_back(self.state, self.now) {
                        Return::Back => member.status = MemberStatus::RolledBack,
                        Return::Failed(why) => {
                            member.status = MemberStatus::Failed;
                            member.detail = Some(why);
                        }
                        Return::Late => member.given_up = true,
                        Return::Pending => {}
                    }
                }
                MemberStatus::Waiting | MemberStatus::Verified | MemberStatus::RolledBack => {}
            }
        }
    }

    fn count(&self, status: MemberStatus) -> u64 {
        self.members.iter().filter(|m| m.status == status).count() as u64
    }

    /// Devices that this rollout is about: a revoked one that was never offered is not.
    fn total(&self) -> u64 {
        let left_out = |m: &&Member<'_>| {
            m.status == MemberStatus::Waiting && (m.facts.revoked || m.facts.superseded)
        };
        (self.members.len() - self.members.iter().filter(left_out).count()) as u64
    }

    /// How many devices may have been offered the release in the present phase.
    fn quota(&self) -> u64 {
        self.state
            .phases
            .get(self.phase)
            .map_or(0, |p| p.percentage.of_rounded_up(self.total()))
    }

    fn at_risk(&self) -> u64 {
        self.members.len() as u64 - self.count(MemberStatus::Waiting)
    }

    fn too_many_failed(&self) -> bool {
        self.state
            .failure_threshold
            .is_exceeded_by(self.count(MemberStatus::Failed), self.quota())
    }

    fn stop(&mut self) {
        self.phase_done_at = None;
        if self.state.rollback_on_failure {
            self.status = RolloutStatus::RollingBack;
            self.take_back();
        } else {
            self.status = RolloutStatus::Failed;
            self.withdraw_offers();
        }
    }

    fn take_back(&mut self) {
        self.take_back_the_touched();
        self.withdraw_offers();
        let pending = |m: &Member<'_>| m.status == MemberStatus::RollingBack && !m.given_up;
        if !self.members.iter().any(pending) {
            self.status = RolloutStatus::RolledBack;
        }
    }

    fn take_back_the_touched(&mut self) {
        for member in &mut self.members {
            let facts = member.facts;
            let ours = facts.previous_version.is_some()
                && facts.previous_version.as_ref() != Some(&self.state.version)
                && !facts.superseded;
            let leaves = match member.status {
                MemberStatus::RollingBack => false,
                MemberStatus::Failed => !facts.refused_to_return(self.state),
                _ => true,
            };
            if ours && leaves && facts.is_touched(self.state) {
                member.status = MemberStatus::RollingBack;
                member.told = true;
                member.detail = None;
            }
        }
    }

    /// Offers that nobody has acted on are withdrawn.
    fn withdraw_offers(&mut self) {
        for member in &mut self.members {
            if member.status == MemberStatus::Offered && !member.facts.is_touched(self.state) {
                member.status = MemberStatus::Waiting;
            }
        }
    }

    /// Offers what the phase allows, and goes on to the next phase when this one is complete and
    /// its wait is over.
    fn advance(&mut self) {
        loop {
            self.offer();
            if !self.phase_is_complete() {
                self.phase_done_at = None;
                return;
            }
            let done_at = *self.phase_done_at.get_or_insert(self.now);
            if self.phase + 1 >= self.state.phases.len() {
                self.status = RolloutStatus::Completed;
                return;
            }
            if self.now < done_at + self.wait() {
                return;
            }
            self.phase += 1;
            self.phase_done_at = None;
        }
    }

    fn wait(&self) -> SignedDuration {
        let seconds = self.state.phases[self.phase].wait_seconds;
        SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX).min(1 << 40))
    }

    fn offer(&mut self) {
        let budget = self.quota().saturating_sub(self.at_risk());
        let Ok(budget @ 1..) = usize::try_from(budget) else {
            return;
        };
        let mut waiting: Vec<(u64, usize)> = self
            .members
            .iter()
            .enumerate()
            .filter(|(_, m)| {
                m.status == MemberStatus::Waiting && !m.facts.revoked && !m.facts.superseded
            })
            .map(|(i, m)| (cohort_key(&self.state.rollout_id, &m.facts.device_id), i))
            .collect();
        // Members are ordered by id, so an equal key falls to the smaller id.
        waiting.sort_unstable();
        for (_, index) in waiting.into_iter().take(budget) {
            let member = &mut self.members[index];
            member.status = MemberStatus::Offered;
            member.told = true;
        }
    }

    fn phase_is_complete(&self) -> bool {
        let open = |m: &Member<'_>| {
            m.status == MemberStatus::Offered && !matches!(m.standing, Some(Standing::Late))
        };
        if self.members.iter().any(open) {
            return false;
        }
        let verified = self.count(MemberStatus::Verified);
        self.at_risk() == 0 || (verified > 0 && verified * 2 >= self.at_risk())
    }

    fn summary(&self) -> String {
        let count = |status| self.count(status);
        let (verified, failed) = (count(MemberStatus::Verified), count(MemberStatus::Failed));
        let phases = self.state.phases.len();
        let phase = self.phase + 1;
        let quota = self.quota();
        let progress = format!(
            "phase {phase} of {phases}: {verified} of {} verified, {failed} failed",
            devices(quota)
        );
        // Who failed may have been taken back since, so what is left of the failures is not counted.
        let reason = format!(
            "more than {} of {} failed",
            self.state.failure_threshold,
            devices(quota)
        );
        match self.status {
            RolloutStatus::Running => match self.phase_done_at {
                Some(at) => format!(
                    "{progress}; the next phase begins at {}",
                    (at + self.wait()).round(jiff::Unit::Second).unwrap_or(at)
                ),
                None if count(MemberStatus::Offered) == 0 => {
                    format!("{progress}; too few verified boots to go on")
                }
                None => format!("{progress}, waiting for {}", count(MemberStatus::Offered)),
            },
            RolloutStatus::Paused => format!("Paused in {progress}"),
            RolloutStatus::RollingBack => format!(
                "stopped, since {reason}; taking {} back",
                devices(count(MemberStatus::RollingBack))
            ),
            RolloutStatus::RolledBack => {
                let back = devices(count(MemberStatus::RolledBack));
                let told = format!("stopped, since {reason}; {back} back on what they ran before");
                match count(MemberStatus::RollingBack) {
                    0 => told,
                    away => format!("{told}, {away} not reached yet"),
                }
            }
            RolloutStatus::Failed => format!("stopped, since {reason}"),
            RolloutStatus::Completed => {
                let told = format!("complete: {} verified, {failed} failed", devices(verified));
                match count(MemberStatus::Offered) {
                    0 => told,
                    late => format!("{told}, {late} update when they are back"),
                }
            }
            RolloutStatus::Aborted => format!("aborted in {progress}"),
        }
    }

    fn finish(self) -> Plan {
        let transitions = self
            .members
            .iter()
            .filter(|m| m.status != m.facts.status)
            .map(|m| Transition {
                device_id: m.facts.device_id.clone(),
                from: m.facts.status,
                to: m.status,
                previous_version: (m.told && m.facts.previous_version.is_none())
                    .then(|| m.facts.booted_version.clone()),
                offered_at: m.told.then_some(self.now),
                detail: m.detail.clone(),
            })
            .collect();
        Plan {
            base_generation: self.state.generation,
            transitions,
            status: self.status,
            current_phase: u32::try_from(self.phase).unwrap_or(u32::MAX),
            phase_done_at: self.phase_done_at,
            summary: self.summary(),
        }
    }
}

/// `1 device`, `2 devices`.
fn devices(count: u64) -> String {
    let noun = if count == 1 { "device" } else { "devices" };
    format!("{count} {noun}")
}
