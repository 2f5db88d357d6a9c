//! A rollout as a picture: phases as bars, devices by state; redrawn in place on a terminal.

use std::io::IsTerminal as _;

use fleet_protocol::rollout::{MemberStatus, RolloutStatus, RolloutView};
use fleet_protocol::update::UpdateState;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::{Output, Tone, printable};
use crate::text::human_duration;

const BAR: usize = 30;
/// More devices than this are summed up, those with something to tell first.
const SHOWN_MEMBERS: usize = 20;

pub(crate) fn status(status: RolloutStatus, output: Output) -> String {
    let tone = match status {
        RolloutStatus::Completed => Tone::Good,
        RolloutStatus::Running | RolloutStatus::Paused => Tone::Busy,
        RolloutStatus::RollingBack | RolloutStatus::RolledBack | RolloutStatus::Failed => Tone::Bad,
        RolloutStatus::Aborted => Tone::Dim,
    };
    output.paint(tone, status.name())
}

/// `2 of 3`
pub(super) fn phase(view: &RolloutView) -> String {
    let current = (view.current_phase as usize + 1).min(view.phases.len().max(1));
    format!("{current} of {}", view.phases.len())
}

pub(super) fn text(view: &RolloutView, output: Output) -> String {
    lines(view, output).join("\n") + "\n"
}

fn lines(view: &RolloutView, output: Output) -> Vec<String> {
    let mut lines = vec![
        format!(
            "Rollout {} of {}: {}",
            view.rollout_id,
            output.paint(Tone::Strong, &view.version.to_string()),
            status(view.status, output)
        ),
        format!("  {}", printable(&view.summary)),
        String::new(),
    ];
    lines.extend(phase_lines(view, output));
    let c = view.counts;
    lines.push(String::new());
    lines.push(format!(
        "  {}   {}   {}   {}",
        output.paint(Tone::Good, &format!("{} verified", c.verified)),
        output.paint(Tone::Busy, &format!("{} updating", c.offered)),
        output.paint(Tone::Bad, &format!("{} failed", c.failed)),
        output.paint(
            Tone::Dim,
            &format!(
                "{} waiting   {} going back   {} back   of {}",
                c.waiting, c.rolling_back, c.rolled_back, c.total
            )
        ),
    ));
    lines.extend(member_lines(view, output));
    lines
}

fn phase_lines(view: &RolloutView, output: Output) -> Vec<String> {
    let done = view.counts.verified + view.counts.failed;
    let mut before = 0;
    let mut lines = Vec::new();
    for (index, phase) in view.phases.iter().enumerate() {
        let until = phase.percentage.of_rounded_up(view.counts.total);
        let size = until.saturating_sub(before);
        let within = done.saturating_sub(before).min(size);
        let tone = match (
            within == size && size > 0,
            index == view.current_phase as usize,
        ) {
            (true, _) => Tone::Good,
            (false, true) => Tone::Busy,
            (false, false) => Tone::Dim,
        };
        let wait = if phase.wait_seconds == 0 {
            String::new()
        } else {
            let wait = std::time::Duration::from_secs(phase.wait_seconds);
            format!(", then wait {}", human_duration(wait))
        };
        let marker = if index == view.current_phase as usize && !view.status.is_final() {
            "▸"
        } else {
            " "
        };
        lines.push(format!(
            "{marker} Phase {} {:>7} {} {within}/{size}{wait}",
            index + 1,
            phase.percentage.to_string(),
            output.paint(tone, &bar(within, size)),
        ));
        before = until;
    }
    lines
}

pub(crate) fn bar(done: u64, of: u64) -> String {
    let filled = (done.min(of) * BAR as u64).checked_div(of).unwrap_or(0);
    let filled = usize::try_from(filled).unwrap_or(BAR);
    "━".repeat(filled) + &"─".repeat(BAR - filled)
}

fn member_lines(view: &RolloutView, output: Output) -> Vec<String> {
    let mut members: Vec<_> = view.members.iter().collect();
    let urgency = |status| match status {
        MemberStatus::Failed => 0,
        MemberStatus::RollingBack => 1,
        MemberStatus::Offered => 2,
        MemberStatus::RolledBack => 3,
        MemberStatus::Verified => 4,
        MemberStatus::Waiting => 5,
    };
    members.sort_by_key(|m| (urgency(m.status), m.phase));
    let width = members
        .iter()
        .take(SHOWN_MEMBERS)
        .map(|m| m.name.chars().count())
        .max()
        .unwrap_or(0)
        .min(32);
    let mut lines = Vec::new();
    for member in members.iter().take(SHOWN_MEMBERS) {
        let (sign, word, tone) = match member.status {
            MemberStatus::Waiting => ("·", "waiting", Tone::Dim),
            MemberStatus::Offered => ("…", "updating", Tone::Busy),
            MemberStatus::Verified => ("✓", "verified", Tone::Good),
            MemberStatus::Failed => ("✗", "failed", Tone::Bad),
            MemberStatus::RollingBack => ("↩", "going back", Tone::Busy),
            MemberStatus::RolledBack => ("↩", "back", Tone::Dim),
        };
        let detail = member
            .detail
            .clone()
            .or_else(|| member.update.as_ref().map(progress));
        lines.push(format!(
            "  {} {:<width$}  {:<10}  {}",
            output.paint(tone, sign),
            printable(&member.name),
            word,
            printable(&detail.unwrap_or_default())
        ));
    }
    if members.len() > SHOWN_MEMBERS {
        lines.push(format!("    and {} more", members.len() - SHOWN_MEMBERS));
    }
    lines
}

/// The update engine's state in a few words.
pub(crate) fn progress(state: &UpdateState) -> String {
    match state {
        UpdateState::Idle => "idle".to_owned(),
        UpdateState::Deferred { why, .. } => format!("deferred: {why}"),
        UpdateState::Refused { why, .. } => format!("refused: {why}"),
        UpdateState::Installing {
            slot,
            percent,
            message,
            ..
        } => format!("installing into {slot}: {percent} % {message}"),
        UpdateState::RebootPending { slot, .. } => format!("about to reboot into {slot}"),
        UpdateState::Trial {
            slot,
            healthy_for_s,
            window_s,
            ..
        } => format!("on trial in {slot}: healthy for {healthy_for_s} of {window_s} s"),
        UpdateState::Committed { version, slot } => format!("committed {version} in {slot}"),
        UpdateState::RolledBack { version, why } => {
            format!("rolled back from {version}: {why}")
        }
    }
}

/// The picture, redrawn in place; without a terminal, a line whenever something changes.
pub(super) struct Screen {
    output: Output,
    terminal: bool,
    multi: MultiProgress,
    bars: Vec<ProgressBar>,
    last_line: String,
}

impl Screen {
    pub(super) fn new(output: Output) -> Self {
        let terminal = std::io::stdout().is_terminal() && !output.json && !output.quiet;
        let target = if terminal {
            ProgressDrawTarget::stdout()
        } else {
            ProgressDrawTarget::hidden()
        };
        Self {
            output,
            terminal,
            multi: MultiProgress::with_draw_target(target),
            bars: Vec::new(),
            last_line: String::new(),
        }
    }

    pub(super) fn draw(&mut self, view: &RolloutView) {
        if self.output.json {
            return;
        }
        if !self.terminal {
            let c = view.counts;
            let line = format!(
                "{}: phase {}, {} of {} verified, {} updating, {} failed. {}",
                view.status.name(),
                phase(view),
                c.verified,
                c.total,
                c.offered,
                c.failed,
                printable(&view.summary)
            );
            if line != self.last_line {
                self.output.note(&line);
                self.last_line = line;
            }
            return;
        }
        self.show(&lines(view, self.output));
    }

    fn show(&mut self, lines: &[String]) {
        let style = ProgressStyle::with_template("{msg}").expect("the template is fixed");
        while self.bars.len() < lines.len() {
            let bar = ProgressBar::no_length().with_style(style.clone());
            self.bars.push(self.multi.add(bar));
        }
        for (index, bar) in self.bars.iter().enumerate() {
            bar.set_message(lines.get(index).cloned().unwrap_or_default());
            bar.tick();
        }
    }

    pub(super) fn message(&mut self, text: &str) {
        if self.last_line != text {
            if self.terminal {
                let _ = self.multi.println(text);
            } else {
                self.output.note(text);
            }
            text.clone_into(&mut self.last_line);
        }
    }

    pub(super) fn finish(&self, view: &RolloutView) {
        let _ = self.multi.clear();
        if !self.output.json && !self.output.quiet {
            self.output.line(view, |v| text(v, self.output));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Global;
    use crate::output::Color;
    use fleet_protocol::rollout::RolloutCounts;
    use fleet_protocol::{Percent, Version};
    use jiff::Timestamp;

    #[test]
    fn each_phase_is_a_bar_of_its_own_devices() {
        let view = RolloutView {
            rollout_id: "rol_1".parse().unwrap(),
            version: Version::new(2, 0, 0),
            status: RolloutStatus::Running,
            phases: crate::text::parse_phases("10%:24h,50%,100%").unwrap(),
            current_phase: 1,
            failure_threshold: Percent::HUNDRED,
            rollback_on_failure: true,
            counts: RolloutCounts {
                total: 100,
                verified: 29,
                failed: 1,
                offered: 20,
                waiting: 50,
                ..RolloutCounts::default()
            },
            created_at: Timestamp::UNIX_EPOCH,
            finished_at: None,
            summary: "Going on".to_owned(),
            members: Vec::new(),
        };
        let output = Output::new(&Global {
            color: Color::Never,
            ..Global::default()
        });
        let lines = phase_lines(&view, output);
        assert_eq!(
            lines[0],
            format!("  Phase 1    10 % {} 10/10, then wait 1d", "━".repeat(30))
        );
        assert_eq!(
            lines[1],
            format!(
                "▸ Phase 2    50 % {}{} 20/40",
                "━".repeat(15),
                "─".repeat(15)
            )
        );
        assert_eq!(
            lines[2],
            format!("  Phase 3   100 % {} 0/50", "─".repeat(30))
        );
    }
}
