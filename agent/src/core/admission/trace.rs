//! "Why not?", the device's part: the same checks as the decision, told to people.

use fleet_protocol::why::{Verdict, WhyStep, WhyTrace};

use super::checks::{Check, Outcome, checks, up_to_date};
use super::{Facts, Memory, Question};

/// One step for each name, in the order of the checks: the first check that does not pass speaks for
/// its step, and what comes after it was not reached.
pub fn trace(question: &Question<'_>, facts: &Facts, memory: &Memory<'_>) -> WhyTrace {
    let version = &question.release.version;
    if up_to_date(question, memory) {
        return WhyTrace {
            summary: format!("{version} runs already"),
            steps: Vec::new(),
        };
    }
    let mut steps: Vec<WhyStep> = Vec::new();
    let mut held: Option<String> = None;
    for check in checks(question, facts, memory) {
        let step = if held.is_some() {
            not_reached(&check)
        } else {
            told(&check)
        };
        if held.is_none() && step.verdict != Verdict::Pass {
            held = Some(step.detail.clone());
        }
        match steps.last_mut().filter(|last| last.step == step.step) {
            Some(last) if last.verdict != Verdict::Pass || step.verdict == Verdict::NotReached => {}
            Some(last) if step.verdict == Verdict::Pass => {
                last.detail = format!("{}; {}", last.detail, step.detail);
            }
            Some(last) => *last = step,
            None => steps.push(step),
        }
    }
    let summary = held.unwrap_or_else(|| format!("nothing holds {version} back"));
    WhyTrace { summary, steps }
}

fn step(check: &Check, verdict: Verdict, detail: impl Into<String>) -> WhyStep {
    WhyStep {
        step: check.step.name().to_owned(),
        verdict,
        detail: detail.into(),
        until: None,
        hint: None,
    }
}

fn not_reached(check: &Check) -> WhyStep {
    step(check, Verdict::NotReached, "not asked yet")
}

fn told(check: &Check) -> WhyStep {
    match &check.outcome {
        Outcome::Pass(detail) => step(check, Verdict::Pass, detail),
        Outcome::Defer(why) => {
            let verdict = why.hint().map_or(Verdict::Wait, |_| Verdict::Hold);
            WhyStep {
                until: why.until(),
                hint: why.hint().map(str::to_owned),
                ..step(check, verdict, why.to_string())
            }
        }
        Outcome::Refuse(why) => WhyStep {
            hint: Some(why.hint().to_owned()),
            ..step(check, Verdict::Hold, why.to_string())
        },
    }
}
