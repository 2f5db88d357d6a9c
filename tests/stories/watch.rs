//! Somebody who never takes his eyes off a screen.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fleet_tests::code::{self, Code};
use fleet_tests::vm::Camera;

use crate::stage::{Told, ensure};

/// Between two looks. A picture takes QEMU a few milliseconds; the machine needs the rest.
const PAUSE: Duration = Duration::from_millis(70);
/// Blank pictures that are kept for people.
const KEPT: usize = 8;

/// One look at the screen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    pub(crate) at: Instant,
    /// `None`: no picture of ours, be it black, a console or half of two.
    pub(crate) code: Option<Code>,
    /// The screen's mode, in pixels.
    pub(crate) mode: (u32, u32),
}

/// Watches from the first picture on until it is dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    looks: Arc<Mutex<Vec<Look>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    dir: PathBuf,
}

impl Watch {
    /// What was blank is kept in `dir`.
    pub(crate) fn begin(mut camera: Camera, dir: &Path) -> Self {
        let looks = Arc::<Mutex<Vec<Look>>>::default();
        let stop = Arc::<AtomicBool>::default();
        let (seen, stopped, folder) = (looks.clone(), stop.clone(), dir.to_owned());
        let thread = std::thread::spawn(move || {
            let mut kept = 0;
            while !stopped.load(Ordering::Relaxed) {
                // A machine that is off shows nothing; the story will say so.
                let Ok(picture) = camera.shoot() else { return };
                let pixel = |x, y| picture.pixel(x, y);
                let code = code::read_pixels(picture.width, picture.height, pixel);
                let mut seen = lock(&seen);
                let has_begun = !seen.is_empty();
                if has_begun || code.is_some() {
                    let at = Instant::now();
                    let mode = (picture.width, picture.height);
                    seen.push(Look { at, code, mode });
                }
                drop(seen);
                if has_begun && code.is_none() && kept < KEPT {
                    let file = folder.join(format!("blank-{kept}.ppm"));
                    // For people; the story fails all the same.
                    let _ = std::fs::write(file, picture.ppm());
                    kept += 1;
                }
                std::thread::sleep(PAUSE);
            }
        });
        Self {
            looks,
            stop,
            thread: Some(thread),
            dir: dir.to_owned(),
        }
    }

    /// Everything since the first picture.
    pub(crate) fn looks(&self) -> Vec<Look> {
        lock(&self.looks).clone()
    }

    /// Waits until, from now on, these items have been seen in this order, with nothing else between.
    pub(crate) fn wait_for(&self, items: &[u16], within: Duration) -> Told {
        let since = Instant::now();
        loop {
            let seen = self.items_since(since);
            // The first may have begun before.
            if seen.windows(items.len()).any(|window| window == items) {
                return Ok(());
            }
            ensure(since.elapsed() < within, || {
                format!("{items:?} are not on the screen one after the other; seen were {seen:?}")
            })?;
            ensure(self.is_watching(), || {
                "the screen can't be seen any more".to_owned()
            })?;
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Waits until what is on the screen is none of the items.
    pub(crate) fn wait_for_something_else(&self, within: Duration) -> Told {
        let since = Instant::now();
        loop {
            let looks = self.looks();
            let mut later = looks.iter().filter(|look| look.at >= since);
            if later.any(|look| look.code.is_none()) {
                return Ok(());
            }
            ensure(since.elapsed() < within, || {
                "nothing but items is on the screen".to_owned()
            })?;
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Waits until, from now on, these items have been seen in this order in this mode.
    pub(crate) fn wait_for_in(&self, mode: (u32, u32), items: &[u16], within: Duration) -> Told {
        let since = Instant::now();
        self.wait_for(items, within)?;
        let looks = self.looks();
        let last = looks
            .iter()
            .rev()
            .find(|look| look.at >= since && look.code.is_some());
        let found = last.map(|look| look.mode);
        ensure(found == Some(mode), || {
            format!("the screen's mode is {mode:?}, and what is shown is {found:?}")
        })
    }

    /// Which items, each once for as long as it stayed.
    pub(crate) fn items_since(&self, since: Instant) -> Vec<u16> {
        let looks = self.looks();
        let codes = looks
            .iter()
            .filter(|look| look.at >= since)
            .filter_map(|look| look.code);
        let mut items: Vec<u16> = codes.map(|code| code.item).collect();
        items.dedup();
        items
    }

    /// Fails when there was a moment without a picture.
    pub(crate) fn never_blank(&self) -> Told {
        let looks = self.looks();
        let begun = looks.first().map(|look| look.at);
        let blank: Vec<Duration> = looks
            .iter()
            .filter(|look| look.code.is_none())
            .filter_map(|look| Some(look.at.duration_since(begun?)))
            .collect();
        ensure(blank.is_empty() && begun.is_some(), || {
            format!(
                "{} of {} looks met no picture, the first {:?} after the beginning; some are kept in {}",
                blank.len(),
                looks.len(),
                blank.first(),
                self.dir.display()
            )
        })
    }

    /// Fails when an item was seen that is none of these, or a frame that its item does not have.
    ///
    /// `frames` is how many frames each item has, by its number.
    pub(crate) fn shows_only(&self, frames: &BTreeMap<u16, u16>) -> Told {
        for code in self.looks().iter().filter_map(|look| look.code) {
            let known = frames.get(&code.item).copied().unwrap_or_default();
            ensure(code.frame < known, || {
                format!("{code:?} is on the screen, which nobody published; there are {frames:?}")
            })?;
        }
        Ok(())
    }

    /// Fails when an item went back while it was shown, or was followed by the next one before it was over.
    ///
    /// The first and the last showing were not seen whole, and the next to last frame of a film may be the last that is
    /// seen of it: an emulated machine is late now and then.
    pub(crate) fn plays_to_the_end(&self, frames: &BTreeMap<u16, u16>) -> Told {
        let looks = self.looks();
        let codes: Vec<Code> = looks.iter().filter_map(|look| look.code).collect();
        let showings: Vec<&[Code]> = codes.chunk_by(|a, b| a.item == b.item).collect();
        let whole = showings.get(1..showings.len().saturating_sub(1));
        for showing in whole.unwrap_or_default() {
            let seen: Vec<u16> = showing.iter().map(|code| code.frame).collect();
            let item = showing[0].item;
            let last = frames.get(&item).map_or(0, |frames| frames - 1);
            ensure(seen.is_sorted(), || {
                format!("item {item} went back: {seen:?}")
            })?;
            ensure(seen.last().is_some_and(|seen| seen + 1 >= last), || {
                format!("item {item} has frames up to {last} and was left after {seen:?}")
            })?;
        }
        Ok(())
    }

    fn is_watching(&self) -> bool {
        self.thread
            .as_ref()
            .is_some_and(|thread| !thread.is_finished())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lock(looks: &Mutex<Vec<Look>>) -> MutexGuard<'_, Vec<Look>> {
    looks.lock().unwrap_or_else(PoisonError::into_inner)
}
