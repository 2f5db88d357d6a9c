//! Update reports on their way: sent in order, and again until the control plane has them.

use std::collections::BTreeMap;
use std::time::Duration;

use fleet_protocol::backoff::Backoff;
use fleet_protocol::update::UpdateReport;
use tokio::sync::mpsc;

use super::context::{CallError, Ctx, dice};
use super::enrol::linked;
use super::update;
use crate::core::update::MAX_REPORTS;

const BACKOFF: Backoff = Backoff {
    base_ms: 2_000,
    max_ms: 120_000,
};
const DEADLINE: Duration = Duration::from_mins(5);

/// A report to send; one that is waiting already is not doubled.
#[derive(Debug)]
pub(super) struct Message(pub(super) Box<UpdateReport>);

pub(super) async fn run(
    ctx: Ctx,
    mut messages: mpsc::Receiver<Message>,
    engine: mpsc::Sender<update::Message>,
) {
    let stamp = ctx.liveness.register("reports", DEADLINE);
    let mut waiting: BTreeMap<u64, UpdateReport> = BTreeMap::new();
    let mut failures = 0;
    loop {
        if waiting.is_empty() {
            let Some(message) = stamp.idle(messages.recv()).await else {
                return;
            };
            hold(&mut waiting, message);
        }
        while let Ok(message) = messages.try_recv() {
            hold(&mut waiting, message);
        }
        stamp.idle(linked(&ctx)).await;
        let Some(report) = waiting.values().next().cloned() else {
            continue;
        };
        let sequence = report.sequence;
        let sent = ctx.call(move |client| client.update_report(&report)).await;
        match sent.or_else(|error| give_up_on_refused(sequence, error)) {
            Ok(()) => {
                failures = 0;
                waiting.remove(&sequence);
                let acknowledged = update::Message::Acknowledged { sequence };
                if engine.send(acknowledged).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                failures += 1;
                log::debug!(error:%; "an update report was not taken");
                let pause = Duration::from_millis(BACKOFF.pause_ms(failures, dice()));
                stamp.sleep(pause).await;
            }
        }
    }
}

/// A report that will never be taken must not hold up those after it: better a gap than a stop.
fn give_up_on_refused(sequence: u64, error: CallError) -> Result<(), CallError> {
    match error {
        CallError::Client(error) if error.is_refused_content() => {
            log::warn!("report.sequence" = sequence, error:%;
                "the control plane refuses an update report: it is dropped");
            Ok(())
        }
        error => Err(error),
    }
}

fn hold(waiting: &mut BTreeMap<u64, UpdateReport>, Message(report): Message) {
    waiting.insert(report.sequence, *report);
    while waiting.len() > MAX_REPORTS {
        waiting.pop_first();
    }
}
