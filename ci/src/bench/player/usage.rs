//! What a process and all its children cost, by `/proc`.

use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

/// Clock ticks a second; Linux has shown no other to programs for decades.
const TICKS: u64 = 100;
/// Resident memory goes up and down with the frames on their way: the middle one of so many looks counts.
const LOOKS: usize = 100;
const LOOKED_AT_EVERY: Duration = Duration::from_millis(50);

/// A process and what descends from it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tree {
    root: u32,
}

impl Tree {
    pub(super) const fn of(root: u32) -> Self {
        Self { root }
    }

    /// In user and kernel mode, that of children which have ended included.
    pub(super) fn cpu(self) -> Duration {
        let ticks: u64 = self.processes().iter().map(|process| process.ticks).sum();
        Duration::from_millis(ticks * 1_000 / TICKS)
    }

    /// In proportion: memory that several processes share is shared out among them.
    pub(super) fn memory_bytes(self) -> u64 {
        let sizes = self.processes().into_iter().map(|process| {
            let path = format!("/proc/{}/smaps_rollup", process.id);
            match fs::read_to_string(path) {
                Ok(text) => kilobytes(&text, "Pss:").unwrap_or(0),
                // A decoder that has ended meanwhile.
                Err(_) => 0,
            }
        });
        sizes.sum::<u64>() * 1_024
    }

    /// Of the first process alone.
    pub(super) fn settled_resident_bytes(self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.root);
        let look = || {
            thread::sleep(LOOKED_AT_EVERY);
            let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
            kilobytes(&text, "VmRSS:").with_context(|| format!("no VmRSS in {path}"))
        };
        let mut sizes = (0..LOOKS).map(|_| look()).collect::<Result<Vec<u64>>>()?;
        sizes.sort_unstable();
        Ok(sizes[LOOKS / 2] * 1_024)
    }

    /// Not every kernel lists a process's children, so all are looked at.
    fn processes(self) -> Vec<Process> {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let mut others: Vec<Process> = numbers.filter_map(Process::look_at).collect();
        let mut ids = vec![self.root];
        let mut found = Vec::new();
        while let Some(id) = ids.pop() {
            let (of_it, rest) = others
                .into_iter()
                .partition::<Vec<_>, _>(|process| process.id == id || process.parent == id);
            others = rest;
            ids.extend(of_it.iter().map(|process| process.id));
            found.extend(of_it);
        }
        found
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Process {
    id: u32,
    parent: u32,
    ticks: u64,
}

impl Process {
    /// `None` if it has ended.
    fn look_at(id: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        Self::parse(id, &text)
    }

    /// `proc_pid_stat(5)`: ppid, then utime, stime, cutime and cstime.
    fn parse(id: u32, stat: &str) -> Option<Self> {
        // The program's name may hold spaces and brackets.
        let (_, after_name) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let times = fields.get(11..15)?.iter();
        Some(Self {
            id,
            parent: fields.get(1)?.parse().ok()?,
            ticks: times
                .map(|time| time.parse::<u64>().ok())
                .sum::<Option<u64>>()?,
        })
    }
}

/// `Name:   1234 kB`
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process;

    #[test]
    fn a_process_is_counted_with_its_children() {
        let mut child = process::command("sh");
        let mut child = child.args(["-c", "sleep 60 & wait"]).spawn().unwrap();
        let tree = Tree::of(child.id());
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while tree.processes().len() < 2 && std::time::Instant::now() < deadline {
            thread::yield_now();
        }
        let processes = tree.processes();
        let memory = tree.memory_bytes();
        for process in processes.iter().rev() {
            let id = nix::unistd::Pid::from_raw(process.id.cast_signed());
            nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGKILL).unwrap();
        }
        child.wait().unwrap();
        assert_eq!(processes.len(), 2);
        assert!(memory > 0);
    }

    #[test]
    fn times_are_read_whatever_the_program_is_called() {
        let stat = "7 (a ) b) S 3 7 7 0 -1 4194304 100 0 0 0 11 22 33 44 20 0 1 0";
        let expected = Process {
            id: 7,
            parent: 3,
            ticks: 110,
        };
        assert_eq!(Process::parse(7, stat), Some(expected));
        assert_eq!(Process::parse(7, "7 (a) S 3"), None);
    }

    #[test]
    fn a_size_is_read_by_its_name() {
        let text = "Rss:   20 kB\nPss:     7 kB\n";
        assert_eq!(kilobytes(text, "Pss:"), Some(7));
        assert_eq!(kilobytes(text, "Swap:"), None);
    }
}
