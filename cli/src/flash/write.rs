//! The order in which a card is written, so that whatever cuts it off leaves a card that is plainly
//! not a system, never half of one.
//!
//! ```text
//! erase both partition tables ─► write runs, zero holes ─► read everything back
//!   ─► enrolment file ─► backup table at the end ─► first sectors (the card is whole from here)
//! ```
//! The first [`HEAD`] bytes (MBR and table header) are held back to the very end: without them
//! neither a firmware nor a kernel sees partitions.

use std::io;

use fleet_protocol::Sha256;
use sha2::Digest as _;

use super::esp;
use super::gpt::{BACK_SECTORS, GptError, Placed, SECTOR, Table};
use super::image::{CHUNK, Image, ImageError, Plan, part};
use super::medium::Medium;

/// Held back until everything else is written and read back.
pub const HEAD: u64 = 4096;

/// Without this, gigabytes go to memory at once, and the progress shown is not the card's.
const SETTLE_EVERY: u64 = 64 << 20;

/// In what state an unfinished attempt leaves the card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CardState {
    /// Nothing was written.
    Untouched,
    /// Its old content is gone, and it holds no partition table.
    Blank,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Writing,
    Verifying,
    Finishing,
}

/// Told of each step's bytes; answers whether to go on.
pub type Progress<'a> = &'a mut dyn FnMut(Step, u64) -> bool;

#[derive(Debug, thiserror::Error)]
pub enum Cause {
    #[error("it has {size} bytes, the image needs {needed}")]
    TooSmall { size: u64, needed: u64 },
    #[error("the image has no partition labelled `{}`", esp::PARTITION)]
    NoBootPartition,
    #[error(transparent)]
    Table(#[from] GptError),
    #[error(transparent)]
    Image(#[from] ImageError),
    #[error("the image changed while it was being written")]
    ImageChanged,
    #[error("cannot write at byte {offset}")]
    Write { offset: u64, source: io::Error },
    #[error("cannot read back at byte {offset}")]
    Read { offset: u64, source: io::Error },
    #[error("bytes {offset} to {end} read back differently from what was written")]
    Mismatch { offset: u64, end: u64 },
    #[error("the enrolment file cannot be put into the boot partition")]
    Provision(#[source] io::Error),
    #[error("the enrolment file reads back differently from what was written")]
    ProvisionMismatch,
    #[error("interrupted")]
    Interrupted,
}

#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub struct WriteError {
    pub state: CardState,
    #[source]
    pub cause: Cause,
}

/// What goes where.
#[derive(Debug, Clone, Copy)]
pub struct Job<'a> {
    pub image: &'a Image,
    pub plan: &'a Plan,
    /// The image's partition table; without one the image is written as it is.
    pub table: Option<&'a Table>,
    /// The enrolment file's content.
    pub provision: Option<&'a [u8]>,
}

/// Checks first, then writes, reads back, and finishes.
///
/// # Errors
/// With the state in which the card is left.
pub fn write<M: Medium>(
    job: Job<'_>,
    medium: &mut M,
    progress: Progress<'_>,
) -> Result<(), WriteError> {
    let placed = check(job, medium.size()).map_err(|cause| WriteError {
        state: CardState::Untouched,
        cause,
    })?;
    perform(job, placed.as_ref(), medium, progress).map_err(|cause| WriteError {
        state: CardState::Blank,
        cause,
    })
}

fn check(job: Job<'_>, size: u64) -> Result<Option<Placed>, Cause> {
    if size < job.plan.image_size {
        return Err(Cause::TooSmall {
            size,
            needed: job.plan.image_size,
        });
    }
    if job.provision.is_some()
        && job
            .table
            .and_then(|t| t.partition(esp::PARTITION))
            .is_none()
    {
        return Err(Cause::NoBootPartition);
    }
    Ok(job.table.map(|t| t.place(size)).transpose()?)
}

fn perform<M: Medium>(
    job: Job<'_>,
    placed: Option<&Placed>,
    medium: &mut M,
    progress: Progress<'_>,
) -> Result<(), Cause> {
    let head_length = HEAD.min(job.plan.image_size);
    erase(medium, head_length)?;
    write_runs(job, medium, head_length, progress)?;
    settle(medium)?;
    verify_runs(job, medium, head_length, progress)?;

    if !progress(Step::Finishing, 0) {
        return Err(Cause::Interrupted);
    }
    if let (Some(content), Some(table)) = (job.provision, job.table) {
        let partition = table
            .partition(esp::PARTITION)
            .ok_or(Cause::NoBootPartition)?
            .bytes();
        esp::put(medium, partition.clone(), content).map_err(Cause::Provision)?;
        settle(medium)?;
        if esp::get(medium, partition).map_err(Cause::Provision)? != content {
            return Err(Cause::ProvisionMismatch);
        }
    }
    // A firmware boots from the backup table alone, too: by now everything else is in its place.
    if let Some(placed) = placed {
        write_at(medium, placed.back_offset, &placed.back)?;
        settle(medium)?;
        same(medium, placed.back_offset, &placed.back)?;
    }
    let front = placed.map_or(&job.plan.front, |p| &p.front);
    let head = &front[..usize::try_from(head_length).expect("4096 at most")];
    write_at(medium, 0, head)?;
    settle(medium)?;
    same(medium, 0, head)
}

/// Takes away both partition tables of whatever was there: firmware looks for the one at the end, too.
fn erase<M: Medium>(medium: &mut M, head_length: u64) -> Result<(), Cause> {
    let zero = |medium: &mut M, offset: u64, length: u64| {
        medium
            .zero(offset, length)
            .map_err(|source| Cause::Write { offset, source })
    };
    zero(medium, 0, head_length)?;
    let tail = medium
        .size()
        .saturating_sub(BACK_SECTORS * SECTOR)
        .max(head_length);
    if tail < medium.size() {
        zero(medium, tail, medium.size() - tail)?;
    }
    settle(medium)
}

fn write_runs<M: Medium>(
    job: Job<'_>,
    medium: &mut M,
    head_length: u64,
    progress: Progress<'_>,
) -> Result<(), Cause> {
    let mut reader = job.image.reader()?;
    let mut chunk = vec![0; CHUNK];
    let mut unsettled = 0;
    for run in &job.plan.runs {
        let mut hasher = sha2::Sha256::new();
        let end = run.offset + run.length;
        let mut at = run.offset;
        while at < end {
            let bytes = part(&mut chunk, end - at);
            reader.read_at(at, bytes)?;
            hasher.update(&*bytes);
            let held_back = head_length.saturating_sub(at).min(bytes.len() as u64);
            let skip = usize::try_from(held_back).expect("4096 at most");
            if skip < bytes.len() {
                write_at(medium, at + held_back, &bytes[skip..])?;
            }
            at += bytes.len() as u64;
            unsettled += bytes.len() as u64;
            if unsettled >= SETTLE_EVERY {
                settle(medium)?;
                unsettled = 0;
            }
            if !progress(Step::Writing, bytes.len() as u64) {
                return Err(Cause::Interrupted);
            }
        }
        if Sha256::from_bytes(hasher.finalize().into()) != run.sha256 {
            return Err(Cause::ImageChanged);
        }
    }
    for &(offset, length) in &job.plan.holes {
        let begin = offset.max(head_length);
        let end = offset + length;
        if begin < end {
            medium
                .zero(begin, end - begin)
                .map_err(|source| Cause::Write {
                    offset: begin,
                    source,
                })?;
        }
        if !progress(Step::Writing, 0) {
            return Err(Cause::Interrupted);
        }
    }
    Ok(())
}

fn verify_runs<M: Medium>(
    job: Job<'_>,
    medium: &mut M,
    head_length: u64,
    progress: Progress<'_>,
) -> Result<(), Cause> {
    let mut chunk = vec![0; CHUNK];
    for run in &job.plan.runs {
        let mut hasher = sha2::Sha256::new();
        let end = run.offset + run.length;
        let mut at = run.offset;
        while at < end {
            // The head is not there yet: it is checked when it is.
            if at < head_length {
                let until = head_length.min(end);
                let held_back = &job.plan.front[index(at)..index(until)];
                hasher.update(held_back);
                at = until;
                continue;
            }
            let bytes = part(&mut chunk, end - at);
            medium
                .read_at(at, bytes)
                .map_err(|source| Cause::Read { offset: at, source })?;
            hasher.update(&*bytes);
            at += bytes.len() as u64;
            if !progress(Step::Verifying, bytes.len() as u64) {
                return Err(Cause::Interrupted);
            }
        }
        if Sha256::from_bytes(hasher.finalize().into()) != run.sha256 {
            return Err(Cause::Mismatch {
                offset: run.offset,
                end,
            });
        }
    }
    Ok(())
}

fn index(offset: u64) -> usize {
    usize::try_from(offset).expect("within the head")
}

fn write_at<M: Medium>(medium: &mut M, offset: u64, bytes: &[u8]) -> Result<(), Cause> {
    medium
        .write_at(offset, bytes)
        .map_err(|source| Cause::Write { offset, source })
}

fn settle<M: Medium>(medium: &mut M) -> Result<(), Cause> {
    medium
        .settle()
        .map_err(|source| Cause::Write { offset: 0, source })
}

fn same<M: Medium>(medium: &mut M, offset: u64, expected: &[u8]) -> Result<(), Cause> {
    let mut found = vec![0; expected.len()];
    medium
        .read_at(offset, &mut found)
        .map_err(|source| Cause::Read { offset, source })?;
    if found == expected {
        Ok(())
    } else {
        Err(Cause::Mismatch {
            offset,
            end: offset + expected.len() as u64,
        })
    }
}
