//! Open upstream responses, shared by RAUC's connections.
//!
//! RAUC asks for a range per block-device read, 4 to 128 KiB each. One upstream request for each
//! would cost a round trip each, so a sequential reader gets a response that reaches further than what
//! was asked (twice as far each time, up to [`MAX_AHEAD`]), and the next range is read from what is
//! under way already. A reader that jumps gets exactly what it asked for, so that adaptive updates
//! download no more than they need.
//!
//! The kernel asks for neighbouring ranges on several connections at once; the later one waits for
//! the earlier one's response rather than opening a second one beside it.

use std::collections::VecDeque;
use std::io::Read;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::source::{BundleSource, Opened, SourceError};

/// The furthest that a response reaches beyond what was asked.
const MAX_AHEAD: u64 = 2 * 1024 * 1024;
/// Bytes read and dropped rather than opening another response.
const MAX_SKIP: u64 = 32 * 1024;
/// Open responses that nobody reads from.
const MAX_IDLE: usize = 3;
/// Ends of ranges that are remembered, to know a sequential reader.
const MAX_TRAILS: usize = 8;
/// How long a range waits for an earlier one on the same response.
const MAX_WAIT: Duration = Duration::from_secs(5);
/// How long it waits for one that it only supposes to come.
const SHORT_WAIT: Duration = Duration::from_millis(20);

/// A response that is being read.
pub(super) struct Stream {
    next: u64,
    end: u64,
    ahead: u64,
    reader: Box<dyn Read + Send>,
}

/// Where a sequential reader stopped, and how far ahead it was served.
#[derive(Debug, Clone, Copy)]
struct Trail {
    end: u64,
    ahead: u64,
}

#[derive(Debug, Clone, Copy)]
struct Busy {
    id: u64,
    /// Where the stream will be when its present reader is done.
    until: u64,
    end: u64,
}

#[derive(Default)]
struct Inner {
    idle: VecDeque<Stream>,
    busy: Vec<Busy>,
    trails: VecDeque<Trail>,
    last_id: u64,
}

/// All streams of one bundle.
pub(super) struct Streams {
    source: BundleSource,
    inner: Mutex<Inner>,
    returned: Condvar,
}

/// The right to read from a stream; given back by [`Streams::give_back`].
pub(super) struct Loan {
    id: u64,
    stream: Stream,
}

enum Choice {
    Take(usize),
    /// An earlier range is being read from the response that will reach this one.
    Wait,
    /// A response would reach this one, if somebody read what lies between.
    WaitBriefly,
    Open,
}

impl Streams {
    pub(super) fn new(source: BundleSource) -> Self {
        Self {
            source,
            inner: Mutex::default(),
            returned: Condvar::new(),
        }
    }

    pub(super) fn size(&self) -> u64 {
        self.source.size_bytes
    }

    /// A stream that stands at or shortly before `from`. `to`: the end of what is asked.
    pub(super) fn borrow(&self, from: u64, to: u64) -> Result<Loan, SourceError> {
        let began = Instant::now();
        let mut inner = self.lock();
        loop {
            let choice = inner.choose(from);
            let patience = match choice {
                Choice::Wait => MAX_WAIT,
                Choice::WaitBriefly => SHORT_WAIT,
                Choice::Take(_) | Choice::Open => Duration::ZERO,
            };
            match choice {
                Choice::Take(at) => {
                    let stream = inner.idle.remove(at).expect("the index was just found");
                    let id = inner.lend(to.min(stream.end), stream.end);
                    return Ok(Loan { id, stream });
                }
                _ if began.elapsed() < patience => {
                    let waited = self
                        .returned
                        .wait_timeout(inner, patience.min(SHORT_WAIT * 5));
                    inner = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
                Choice::Wait | Choice::WaitBriefly | Choice::Open => break,
            }
        }
        let ahead = inner.ahead_of(from, to);
        let end = to.saturating_add(ahead).min(self.size());
        let id = inner.lend(to, end);
        drop(inner);
        match self.source.open(from, end) {
            Ok(Opened { reader, end: given }) => {
                if given < end {
                    self.lock().shorten(id, given);
                }
                Ok(Loan {
                    id,
                    stream: Stream {
                        next: from,
                        end: given,
                        ahead,
                        reader,
                    },
                })
            }
            Err(error) => {
                self.lock().unlend(id);
                self.returned.notify_all();
                Err(error)
            }
        }
    }

    /// After a range was read to its end.
    pub(super) fn give_back(&self, loan: Loan) {
        let mut stream = loan.stream;
        let mut inner = self.lock();
        inner.unlend(loan.id);
        inner.note(Trail {
            end: stream.next,
            ahead: stream.ahead,
        });
        let mut surplus = None;
        if stream.next < stream.end {
            inner.idle.push_back(stream);
            if inner.idle.len() > MAX_IDLE {
                surplus = inner.idle.pop_front();
            }
        } else {
            // The end has to be seen, or the connection is not used again.
            let _ = stream.reader.read(&mut [0]);
        }
        drop(inner);
        self.returned.notify_all();
        drop(surplus);
    }

    /// After reading failed: the stream is gone.
    pub(super) fn give_up(&self, loan: Loan) {
        self.lock().unlend(loan.id);
        self.returned.notify_all();
        drop(loan);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn choose(&self, from: u64) -> Choice {
        let fits = |s: &Stream| s.next <= from && from - s.next <= MAX_SKIP && from < s.end;
        let nearest = self
            .idle
            .iter()
            .enumerate()
            .filter(|(_, s)| fits(s))
            .max_by_key(|(_, s)| s.next);
        if let Some((at, _)) = nearest {
            return Choice::Take(at);
        }
        let coming = |b: &Busy| b.until <= from && from < b.end;
        let reaches = |s: &Stream| s.next <= from && from < s.end;
        if self.busy.iter().any(coming) {
            Choice::Wait
        } else if self.idle.iter().any(reaches) {
            Choice::WaitBriefly
        } else {
            Choice::Open
        }
    }

    fn lend(&mut self, until: u64, end: u64) -> u64 {
        self.last_id += 1;
        let id = self.last_id;
        self.busy.push(Busy { id, until, end });
        id
    }

    fn shorten(&mut self, id: u64, end: u64) {
        for busy in self.busy.iter_mut().filter(|b| b.id == id) {
            busy.until = busy.until.min(end);
            busy.end = end;
        }
    }

    fn unlend(&mut self, id: u64) {
        self.busy.retain(|b| b.id != id);
    }

    fn note(&mut self, trail: Trail) {
        self.trails.push_back(trail);
        if self.trails.len() > MAX_TRAILS {
            self.trails.pop_front();
        }
    }

    /// How far beyond `to` the response for `from..to` is to reach.
    fn ahead_of(&self, from: u64, to: u64) -> u64 {
        let follows = |t: &&Trail| t.end <= from && from - t.end <= MAX_SKIP;
        match self.trails.iter().rev().find(follows) {
            Some(trail) => (trail.ahead * 2).max(to - from).min(MAX_AHEAD),
            None => 0,
        }
    }
}

impl Loan {
    pub(super) fn position(&self) -> u64 {
        self.stream.next
    }

    /// Reads on; 0 only when the stream broke off or is used up.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let left = usize::try_from(self.stream.end - self.stream.next).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let read = self.stream.reader.read(&mut buffer[..wanted])?;
        self.stream.next += read as u64;
        Ok(read)
    }

    pub(super) fn is_used_up(&self) -> bool {
        self.stream.next >= self.stream.end
    }
}
