//! What others see of the engine: the state on the wire, and the answer to "why not?".

use fleet_protocol::update::UpdateState;
use fleet_protocol::why::{Verdict, WhyStep, WhyTrace};
use fleet_protocol::{RolloutId, Version};

use super::{Candidate, Engine, Situation, State};
use crate::core::admission::{self, Insistence, Question};

impl Engine {
    /// The state as it is reported and shown.
    pub fn view(&self, situation: &Situation) -> UpdateState {
        match &self.record.state {
            State::Idle => UpdateState::Idle,
            State::Deferred { version, why } => UpdateState::Deferred {
                version: version.clone(),
                why: why.clone(),
            },
            State::Refused { version, why } => UpdateState::Refused {
                version: version.clone(),
                why: why.clone(),
            },
            State::Installing(installing) => UpdateState::Installing {
                version: installing.plan.version.clone(),
                slot: installing.plan.slot,
                percent: installing.percent,
                downloaded_bytes: installing.downloaded_bytes,
                message: installing.message.clone(),
            },
            State::RebootPending(pending) => UpdateState::RebootPending {
                version: pending.plan.version.clone(),
                slot: pending.plan.slot,
            },
            State::Trial(trial) => UpdateState::Trial {
                version: trial.version.clone(),
                slot: trial.slot,
                healthy_for_s: self.gate.as_ref().map_or(0, |g| g.healthy_ms() / 1_000),
                window_s: situation.gate.window_ms / 1_000,
            },
            State::Committed { version, slot } => UpdateState::Committed {
                version: version.clone(),
                slot: *slot,
            },
            State::RolledBack(back) => UpdateState::RolledBack {
                version: back.version.clone(),
                why: back.why.clone(),
            },
        }
    }

    /// Whose convergence the state is about, and the bytes fetched for it.
    pub(super) fn attribution(&self) -> (Option<RolloutId>, u64) {
        match &self.record.state {
            State::Installing(i) => (i.plan.rollout_id.clone(), i.downloaded_bytes),
            State::RebootPending(p) => (p.plan.rollout_id.clone(), p.downloaded_bytes),
            State::Trial(trial) => {
                let plan = trial.plan.as_ref();
                (plan.and_then(|plan| plan.rollout_id.clone()), 0)
            }
            _ => (self.record.rollout_id.clone(), 0),
        }
    }

    /// Why does the target not run yet? The device's part of the answer.
    pub fn wanted_version(&self) -> Option<&Version> {
        match self.target.as_ref()? {
            Candidate::Verified(wanted) => Some(&wanted.release.metadata().version),
            Candidate::Unverified { version, .. } => version.as_ref(),
        }
    }

    pub fn why(&self, situation: &Situation) -> WhyTrace {
        let Some(booted) = &self.booted else {
            return single("install", Verdict::Wait, "the agent is starting".to_owned());
        };
        match &self.record.state {
            State::Installing(i) => single(
                "install",
                Verdict::Wait,
                format!("{} is being installed: {} %", i.plan.version, i.percent),
            ),
            State::RebootPending(pending) => {
                let mut trace = single(
                    "reboot",
                    Verdict::Wait,
                    format!(
                        "{} is installed and waits for the reboot",
                        pending.plan.version
                    ),
                );
                if let Some(opens_at) = self.reboot_waits_until(situation) {
                    trace.steps[0].until = Some(opens_at);
                    trace.summary += ", in the maintenance window";
                }
                trace
            }
            State::Trial(trial) => {
                let failing = self.gate.iter().flat_map(crate::core::gate::Gate::judged);
                let failing: Vec<_> = failing.filter(|c| !c.ok).map(|c| c.name.as_str()).collect();
                let mut detail = format!("{} is on trial", trial.version);
                if !failing.is_empty() {
                    detail = format!("{detail}; not good yet: {}", failing.join(", "));
                }
                single("trial", Verdict::Wait, detail)
            }
            state => self.why_resting(state, situation, booted),
        }
    }

    fn why_resting(
        &self,
        state: &State,
        situation: &Situation,
        booted: &fleet_protocol::update::BootedSystem,
    ) -> WhyTrace {
        match &self.target {
            Some(Candidate::Verified(wanted)) => {
                let question = Question {
                    kind: wanted.kind,
                    release: wanted.release.metadata(),
                    attempt: wanted.attempt,
                    insistence: self.insistence(),
                };
                admission::trace(&question, &situation.facts(), &self.memory(booted))
            }
            Some(Candidate::Unverified { error, .. }) => {
                let why = admission::refuse_unverified(error);
                hold("admission", why.to_string(), why.hint())
            }
            None => match state {
                State::RolledBack(back) => hold(
                    "trial",
                    format!("{} was taken back: {}", back.version, back.why),
                    "publish a newer release, or retry with `--force`",
                ),
                _ if self.target_known => WhyTrace {
                    summary: "nothing is wanted of this device".to_owned(),
                    steps: Vec::new(),
                },
                _ => single(
                    "target",
                    Verdict::Wait,
                    "the control plane has not said yet what it wants".to_owned(),
                ),
            },
        }
    }

    /// What the slot that does not run holds, as far as is known.
    pub fn other_version(&self) -> Option<&Version> {
        let running = self.booted.as_ref()?.slot;
        match &self.record.committed {
            Some(committed) if committed.slot != running => Some(&committed.content.version),
            _ => self.record.other.as_ref().map(|other| &other.version),
        }
    }

    pub(super) fn insistence(&self) -> Insistence {
        if self.record.forced {
            Insistence::Forced
        } else {
            Insistence::None
        }
    }
}

fn single(step: &str, verdict: Verdict, detail: String) -> WhyTrace {
    WhyTrace {
        summary: detail.clone(),
        steps: vec![WhyStep {
            step: step.to_owned(),
            verdict,
            detail,
            until: None,
            hint: None,
        }],
    }
}

fn hold(step: &str, detail: String, hint: &str) -> WhyTrace {
    let mut trace = single(step, Verdict::Hold, detail);
    trace.steps[0].hint = Some(hint.to_owned());
    trace
}
