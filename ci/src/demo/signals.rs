//! Ctrl-C: at work it ends the demo at once, afterwards it is the orderly end that was announced.
//!
//! The signals are blocked in every thread and taken by one that does nothing else; children start with none blocked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};

use anyhow::{Context, Result};
use nix::sys::signal::{SigSet, Signal};

/// Interrupt and termination, in our hands.
#[derive(Debug)]
pub(super) struct Signals {
    staying: Arc<AtomicBool>,
    ended: Receiver<()>,
}

impl Signals {
    /// Must be called before any other thread starts.
    pub(super) fn take() -> Result<Self> {
        let mut set = SigSet::empty();
        set.add(Signal::SIGINT);
        set.add(Signal::SIGTERM);
        set.thread_block().context("blocking signals")?;
        let staying = Arc::new(AtomicBool::new(false));
        let (end, ended) = mpsc::channel();
        let stay = Arc::clone(&staying);
        std::thread::spawn(move || {
            let signal = set.wait();
            if stay.load(Ordering::Relaxed) {
                let _ = end.send(());
                return;
            }
            // Machine and control plane are ended by the kernel when this process is gone.
            eprintln!();
            std::process::exit(128 + signal.map_or(2, |signal| signal as i32));
        });
        Ok(Self { staying, ended })
    }

    /// From here on a signal is the orderly end; returns when it came.
    pub(super) fn wait_for_end(&self) {
        self.staying.store(true, Ordering::Relaxed);
        let _ = self.ended.recv();
        eprintln!();
    }
}
