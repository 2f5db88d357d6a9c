//! The thread that speaks to the control plane, one job after the other, so that nothing that is shown
//! ever waits for the network.

use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, SyncSender, sync_channel};

use fleet_device::request::RequestError;
use fleet_protocol::command::CommandResult;
use fleet_protocol::player::{PlayerEventBatch, PlayerHeartbeat, ProofOfPlayBatch};
use fleet_protocol::{BatchId, CommandId};
use serde_json::Value;

use super::ControlPlane;
use crate::core::sync::{Lane, Success};

/// One call, with all that it needs.
#[derive(Debug, Clone)]
pub enum Job {
    Manifest {
        etag: Option<String>,
    },
    Commands,
    Heartbeat(Box<PlayerHeartbeat>),
    Result {
        id: CommandId,
        result: Box<CommandResult>,
    },
    Events {
        id: BatchId,
        batch: PlayerEventBatch,
    },
    Proofs(ProofOfPlayBatch),
}

impl Job {
    pub const fn lane(&self) -> Lane {
        match self {
            Self::Manifest { .. } => Lane::Manifest,
            Self::Commands => Lane::Commands,
            Self::Heartbeat(_) => Lane::Heartbeat,
            Self::Result { .. } => Lane::Results,
            Self::Events { .. } => Lane::Events,
            Self::Proofs(_) => Lane::Proofs,
        }
    }
}

/// What a job came to.
#[derive(Debug)]
pub enum Given {
    Manifest(Success),
    Commands(Vec<Value>),
    /// What was sent has arrived.
    Taken,
}

/// A job has ended.
#[derive(Debug)]
pub struct Report {
    pub lane: Lane,
    pub result: Result<Given, RequestError>,
    /// Any number, drawn for the pause that follows.
    pub dice: u64,
}

/// The way to the thread. Dropping it ends the thread once its job has.
#[derive(Debug)]
pub struct Worker {
    jobs: SyncSender<Job>,
}

/// The thread has gone, or a job is under way.
#[derive(Debug, thiserror::Error)]
#[error("the thread that speaks to the control plane takes no job")]
pub struct NotTaken;

impl Worker {
    /// Each job ends in one report, which becomes whatever the receiver listens for. The thread ends when
    /// nobody listens any more.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn spawn<M: From<Report> + Send + 'static>(
        control_plane: ControlPlane,
        reports: Sender<M>,
    ) -> io::Result<Self> {
        // One waits at most: the machine asks for one thing at a time.
        let (jobs, waiting) = sync_channel(1);
        std::thread::Builder::new()
            .name("control-plane".to_owned())
            .spawn(move || work(&control_plane, &waiting, &reports))?;
        Ok(Self { jobs })
    }

    /// Never blocks.
    pub fn submit(&self, job: Job) -> Result<(), NotTaken> {
        self.jobs.try_send(job).map_err(|_| NotTaken)
    }
}

fn work<M: From<Report>>(control_plane: &ControlPlane, jobs: &Receiver<Job>, reports: &Sender<M>) {
    // The keys of its hashes are the standard library's only random numbers.
    let random = RandomState::new();
    for (count, job) in jobs.iter().enumerate() {
        let lane = job.lane();
        // A job that is not answered would be the last one ever asked for.
        let result = catch_unwind(AssertUnwindSafe(|| perform(control_plane, job)));
        let report = Report {
            lane,
            result: result.unwrap_or_else(|_| {
                let detail = "the player's own fault; see its log".to_owned();
                Err(RequestError::unexpected(
                    "speak to the control plane",
                    None,
                    detail,
                ))
            }),
            dice: random.hash_one(count),
        };
        if reports.send(report.into()).is_err() {
            return;
        }
    }
}

fn perform(control_plane: &ControlPlane, job: Job) -> Result<Given, RequestError> {
    match job {
        Job::Manifest { etag } => control_plane.manifest(etag.as_deref()).map(Given::Manifest),
        Job::Commands => control_plane.commands().map(Given::Commands),
        Job::Heartbeat(heartbeat) => control_plane.heartbeat(&heartbeat).map(|()| Given::Taken),
        Job::Result { id, result } => control_plane
            .command_result(&id, &result)
            .map(|()| Given::Taken),
        Job::Events { id, batch } => control_plane.events(&id, &batch).map(|()| Given::Taken),
        Job::Proofs(batch) => control_plane.proofs(&batch).map(|()| Given::Taken),
    }
}
