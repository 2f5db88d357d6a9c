//! What the engine's thread does in each turn of its loop.

use std::os::fd::AsFd as _;

use fleet_protocol::player::{DecodeFailure, ItemKind, Power, TransitionKind};
use nix::poll::{PollFd, PollFlags, PollTimeout};

use super::ahead::Ahead;
use super::hand::{Hand, Heard, Manner};
use super::pace::{LEAD_NS, Step};
use super::sound::{Sound, Speaker};
use super::trust::Trust;
use super::{Command, Job, Report};
use crate::core::screen::Ticket;
use crate::media::frame::{Pool, SharedFrame, Size};
use crate::media::output::Output;

/// The last picture is handed on again after so long.
const REPEAT_NS: u64 = 1_000_000_000;
/// A picture that fades in is mixed anew so often.
const FADE_STEP_NS: u64 = 40_000_000;
/// An item's beginning waits for the end of the one before it no longer than this.
const LONGEST_JOIN_NS: u64 = 250_000_000;

/// From the picture that was there to the item that takes its place.
#[derive(Debug)]
struct Fade {
    from: SharedFrame,
    begin_ns: u64,
    duration_ns: u64,
}

impl Fade {
    /// Of the new picture, 0 to 256; `None` when it is over.
    fn share(&self, at_ns: u64) -> Option<u16> {
        let passed = at_ns.saturating_sub(self.begin_ns);
        if passed >= self.duration_ns {
            return None;
        }
        u16::try_from(passed * 256 / self.duration_ns).ok()
    }
}

pub(super) struct Turn {
    output: Output,
    pool: Pool,
    tell: Box<dyn FnMut(Report) + Send>,
    ahead: Ahead,
    trust: Trust,
    shown: Option<Hand>,
    waiting: Vec<Hand>,
    sound: Sound,
    /// As it was decoded, without any fade.
    picture: Option<SharedFrame>,
    /// Over everything else.
    cover: Option<SharedFrame>,
    /// As it was handed to the sink.
    last: Option<SharedFrame>,
    last_ns: u64,
    fade: Option<Fade>,
}

impl std::fmt::Debug for Turn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turn")
            .field("shown", &self.shown)
            .field("waiting", &self.waiting)
            .finish_non_exhaustive()
    }
}

impl Turn {
    pub(super) fn new(
        output: Output,
        speaker: Speaker,
        size: Size,
        ahead: Ahead,
        tell: Box<dyn FnMut(Report) + Send>,
    ) -> Self {
        let sound = Sound::new(output.pipeline().clone(), speaker);
        Self {
            output,
            pool: Pool::new(size),
            tell,
            ahead,
            trust: Trust::default(),
            shown: None,
            waiting: Vec::new(),
            sound,
            picture: None,
            cover: None,
            last: None,
            last_ns: 0,
            fade: None,
        }
    }

    pub(super) fn obey(&mut self, command: Command) {
        match command {
            Command::Prepare { ticket, job } => self.prepare(ticket, *job),
            Command::Discard(ticket) => self.discard(ticket),
            Command::Show(ticket) => self.show(ticket),
            Command::Picture(picture) => self.show_picture(picture),
            Command::Cover(cover) => self.cover(cover),
            // Whoever asked may have stopped waiting.
            Command::Snapshot(answer) => drop(answer.try_send(self.seen())),
            Command::Counts(answer) => drop(answer.try_send(self.output.counts())),
            Command::Stop => {}
        }
    }

    /// What is on the glass.
    fn seen(&self) -> Option<SharedFrame> {
        self.cover.clone().or_else(|| self.last.clone())
    }

    /// The decoders that may have something to say.
    pub(super) fn listening(&self) -> impl Iterator<Item = PollFd<'_>> {
        let hands = self.shown.iter().chain(&self.waiting);
        hands.map(|hand| PollFd::new(hand.decoder.as_fd(), PollFlags::POLLIN))
    }

    /// How long nothing has to be done unless somebody speaks.
    pub(super) fn until_next(&mut self) -> PollTimeout {
        let now_ns = self.output.running_time_ns();
        let mut next_ns = match &self.picture {
            Some(_) => self.last_ns + self.repeat_ns(),
            None => now_ns + REPEAT_NS,
        };
        if let Some(until_ns) = self.shown.as_ref().and_then(|hand| hand.pace.due_ns()) {
            next_ns = next_ns.min(until_ns);
        }
        let wait_ms = next_ns.saturating_sub(now_ns).div_ceil(1_000_000);
        PollTimeout::from(u16::try_from(wait_ms).unwrap_or(1_000).min(1_000))
    }

    /// Listens and hands on. `false` when there is no way to the glass any more.
    pub(super) fn go_on(&mut self) -> bool {
        if let Some(failure) = self.output.failure() {
            self.give_up(&failure);
            return false;
        }
        let now_ns = self.output.running_time_ns();
        self.listen(now_ns);
        self.hand_on_sound(now_ns);
        if !self.hand_on_frames(now_ns) || !self.repeat(now_ns) {
            self.give_up("the sink takes no more frames");
            return false;
        }
        true
    }

    pub(super) fn give_up(&mut self, message: &str) {
        (self.tell)(Report::OutputFailed(message.to_owned()));
    }

    fn prepare(&mut self, ticket: Ticket, job: Job) {
        let Some(decoder) = self.ahead.take() else {
            let message = "no decoder could be started".to_owned();
            self.fail(ticket, DecodeFailure::DecoderCrashed, message);
            return;
        };
        let now_ns = self.output.running_time_ns();
        let manner = Manner {
            profile: self.ahead.profile(),
            avoided: self.trust.avoided(&job.path, now_ns),
            now_ns,
        };
        match Hand::new(ticket, job, decoder, &self.pool, manner) {
            Ok(hand) => self.waiting.push(hand),
            Err(error) => {
                let message = format!("the decoder takes no order: {error}");
                self.fail(ticket, DecodeFailure::DecoderCrashed, message);
            }
        }
    }

    fn discard(&mut self, ticket: Ticket) {
        self.waiting.retain(|hand| hand.ticket != ticket);
        if self.shown.take_if(|hand| hand.ticket == ticket).is_some() {
            self.sound.hush();
        }
    }

    fn show(&mut self, ticket: Ticket) {
        let now_ns = self.output.running_time_ns();
        let place = self
            .waiting
            .iter()
            .position(|hand| hand.ticket == ticket && hand.is_prepared());
        let Some(place) = place else {
            let message = "it was to be shown and is not prepared".to_owned();
            self.fail(ticket, DecodeFailure::DecodeError, message);
            return;
        };
        let mut hand = self.waiting.remove(place);
        let before = self.shown.take();
        if before.is_some() {
            self.sound.hush();
        }
        // The film before is seen to the end of its last frame.
        let end_ns = before.map_or(0, |before| before.pace.end_ns());
        let base_ns = end_ns.clamp(now_ns, now_ns + LONGEST_JOIN_NS);
        self.begin_fade(&hand.job, base_ns);
        if let Err(error) = hand.begin(base_ns) {
            let message = format!("the decoder takes no frames back: {error}");
            self.fail(ticket, DecodeFailure::DecoderCrashed, message);
        }
        self.shown = Some(hand);
        self.ahead.start();
    }

    fn begin_fade(&mut self, job: &Job, begin_ns: u64) {
        let transition = job.item.transition;
        let duration_ns = u64::from(transition.duration_ms) * 1_000_000;
        let wanted = transition.kind == TransitionKind::Crossfade && duration_ns > 0;
        self.fade = self.last.clone().filter(|_| wanted).map(|from| Fade {
            from,
            begin_ns,
            duration_ns,
        });
    }

    fn show_picture(&mut self, picture: SharedFrame) {
        self.shown = None;
        self.sound.hush();
        self.fade = None;
        let now_ns = self.output.running_time_ns();
        if !self.hand_on(picture, now_ns) {
            self.give_up("the sink takes no picture");
        }
    }

    fn cover(&mut self, cover: Option<SharedFrame>) {
        let beneath = self.picture.clone().or_else(|| cover.clone());
        self.cover = cover;
        let now_ns = self.output.running_time_ns();
        // Nothing was there and nothing comes: the glass stays as it is.
        let shown = beneath.is_none_or(|picture| self.hand_on(picture, now_ns));
        if !shown {
            self.give_up("the sink takes no picture");
        }
    }

    fn fail(&mut self, ticket: Ticket, reason: DecodeFailure, message: String) {
        (self.tell)(Report::Failed {
            ticket,
            reason,
            message,
        });
    }

    fn listen(&mut self, now_ns: u64) {
        let mut heard = Vec::new();
        for hand in self.shown.iter_mut().chain(&mut self.waiting) {
            match hand.listen(&self.pool, now_ns) {
                Heard::Nothing if hand.is_stalled(now_ns) => {
                    let message = "no frame for 5 s".to_owned();
                    let reason = DecodeFailure::Stalled;
                    heard.push((hand.ticket, Heard::Failed { reason, message }));
                }
                Heard::Nothing => {}
                other => heard.push((hand.ticket, other)),
            }
        }
        for (ticket, heard) in heard {
            match heard {
                Heard::Nothing => {}
                Heard::FirstPicture => (self.tell)(Report::Prepared(ticket)),
                Heard::Failed { reason, message } => {
                    let again = self.without_preferred(ticket, &message, now_ns);
                    self.discard(ticket);
                    match again {
                        Some(job) => self.prepare(ticket, job),
                        None => self.fail(ticket, reason, message),
                    }
                }
            }
        }
    }

    /// Software is to decode what a preferred decoder has failed with: at once, if it is not shown yet; of an item that
    /// is, the end is lost, and it is so the next time.
    fn without_preferred(&mut self, ticket: Ticket, message: &str, now_ns: u64) -> Option<Job> {
        let mut hands = self.waiting.iter().chain(&self.shown);
        let hand = hands.find(|hand| hand.ticket == ticket)?;
        let (element, job) = (hand.preferred()?, &hand.job);
        let path = job.path.display();
        log::warn!("{path} is decoded without {element} from now on, which failed: {message}");
        self.trust.lose(&job.path, element, now_ns);
        (!hand.is_prepared()).then(|| job.clone())
    }

    fn hand_on_sound(&mut self, now_ns: u64) {
        let Some(hand) = &mut self.shown else { return };
        let Some(base_ns) = hand.pace.base_ns() else {
            return;
        };
        for piece in hand.sound.drain(..) {
            let at_ns = base_ns.saturating_add(piece.pts_ns);
            let volume = match self.output.power() {
                Power::On => hand.job.item.volume_percent,
                // Nobody is to hear what nobody sees.
                Power::Off => 0,
            };
            self.sound.push(piece, at_ns, volume, now_ns);
            // A decoder that is gone is heard of by its socket's end.
            let _ = hand.decoder.heard();
        }
    }

    fn hand_on_frames(&mut self, now_ns: u64) -> bool {
        loop {
            let Some(hand) = &mut self.shown else {
                return true;
            };
            match hand.pace.step(now_ns) {
                Step::Hand { timed, at_ns } => {
                    // A decoder that is gone is heard of by its socket's end.
                    let _ = hand.decoder.lend(timed.slot);
                    if !self.hand_on(timed.frame, at_ns) {
                        return false;
                    }
                }
                Step::LeaveOut { timed } => {
                    let _ = hand.decoder.lend(timed.slot);
                    self.output.count_late();
                }
                Step::Wait => return true,
                Step::Over => {
                    let ticket = hand.ticket;
                    if hand.job.item.kind == ItemKind::Video {
                        (self.tell)(Report::Ended(ticket));
                    }
                }
            }
        }
    }

    /// While nothing new comes.
    fn repeat(&mut self, now_ns: u64) -> bool {
        if now_ns < self.last_ns.saturating_add(self.repeat_ns()) {
            return true;
        }
        match self.picture.clone() {
            Some(picture) => self.hand_on(picture, now_ns),
            None => true,
        }
    }

    const fn repeat_ns(&self) -> u64 {
        if self.fade.is_some() {
            FADE_STEP_NS
        } else {
            REPEAT_NS
        }
    }

    fn hand_on(&mut self, picture: SharedFrame, at_ns: u64) -> bool {
        let share = self.fade.as_ref().and_then(|fade| fade.share(at_ns));
        let mixed = if let (Some(fade), Some(share)) = (&self.fade, share) {
            self.pool.blend(&fade.from, &picture, share)
        } else {
            self.fade = None;
            picture.clone()
        };
        self.picture = Some(picture);
        self.last = Some(mixed);
        // What is handed on ahead of its time is not repeated before it.
        self.last_ns = at_ns.max(self.last_ns);
        debug_assert!(at_ns <= self.output.running_time_ns() + LEAD_NS + LONGEST_JOIN_NS);
        let seen = self.seen();
        seen.is_none_or(|seen| self.output.push(&seen, at_ns).is_ok())
    }
}
