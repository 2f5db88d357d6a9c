//! The screen's pixels, looked at again and again without asking the X server.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use fleet_tests::code;

use super::seen::{Look, Seen};

/// A player that shows nothing by then has failed.
pub(super) const FIRST_WITHIN: Duration = Duration::from_secs(20);
const LOOKED_AT_EVERY: Duration = Duration::from_millis(5);
const EMPTY_WITHIN: Duration = Duration::from_secs(20);
const BYTES_PER_PIXEL: u32 = 4;

/// A file in which Xvfb keeps its pixels, in the format of xwd(1).
#[derive(Debug)]
pub(super) struct Glass {
    file: File,
    pixels_at: u64,
    bytes_a_row: u32,
    size: (u32, u32),
}

impl Glass {
    pub(super) fn open(path: &Path, size: (u32, u32)) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
        // XWDFile.h: 32-bit numbers, the most significant byte first.
        let number = |index: u64| -> Result<u32> {
            let mut bytes = [0; 4];
            file.read_exact_at(&mut bytes, index * 4)?;
            Ok(u32::from_be_bytes(bytes))
        };
        let (header_bytes, width, height) = (number(0)?, number(4)?, number(5)?);
        let (bits_per_pixel, bytes_a_row, colours) = (number(11)?, number(12)?, number(19)?);
        if (width, height) != size || bits_per_pixel != BYTES_PER_PIXEL * 8 {
            bail!("Xvfb has a screen of {width}x{height} with {bits_per_pixel} bits a pixel");
        }
        // Each colour of the table before the pixels takes 12 bytes.
        let pixels_at = u64::from(header_bytes) + u64::from(colours) * 12;
        Ok(Self {
            file,
            pixels_at,
            bytes_a_row,
            size,
        })
    }

    /// Two rows of pixels tell, one in either half.
    pub(super) fn look(&self) -> Result<Seen> {
        let (width, height) = self.size;
        let row_bytes = (width * BYTES_PER_PIXEL) as usize;
        let mut rows = vec![0; row_bytes * 4];
        for (row, y) in [(1, height / 4), (3, height * 3 / 4)] {
            let at = self.pixels_at + u64::from(y) * u64::from(self.bytes_a_row);
            let row = &mut rows[row * row_bytes..][..row_bytes];
            self.file.read_exact_at(row, at).context("the screen")?;
        }
        if let Some(code) = code::read(&rows, width, 4) {
            return Ok(Seen::Picture(code));
        }
        let mut told = rows.chunks_exact(row_bytes).skip(1).step_by(2);
        let first = rows[row_bytes..].first_chunk::<3>();
        let is_plain = told.all(|row| {
            let mut pixels = row.chunks_exact(BYTES_PER_PIXEL as usize);
            pixels.all(|pixel| pixel.first_chunk::<3>() == first)
        });
        Ok(if is_plain { Seen::Blank } else { Seen::Parts })
    }

    /// Until what was there before is gone.
    pub(super) fn wait_blank(&self) -> Result<()> {
        let deadline = Instant::now() + EMPTY_WITHIN;
        while self.look()? != Seen::Blank {
            if Instant::now() > deadline {
                bail!("the screen does not get empty");
            }
            thread::sleep(LOOKED_AT_EVERY);
        }
        Ok(())
    }
}

/// Looks until it is ended.
pub(super) struct Watch {
    ended: Arc<AtomicBool>,
    first: mpsc::Receiver<()>,
    thread: JoinHandle<Result<Vec<Look>>>,
}

impl Watch {
    /// Times are since `begun`.
    pub(super) fn begin(glass: Arc<Glass>, begun: Instant) -> Result<Self> {
        let ended = Arc::new(AtomicBool::new(false));
        let (tell_first, first) = mpsc::sync_channel(1);
        let until = Arc::clone(&ended);
        let look = move || -> Result<Vec<Look>> {
            let mut looks = Vec::new();
            while !until.load(Ordering::Relaxed) {
                let seen = glass.look()?;
                let at = begun.elapsed();
                if matches!(seen, Seen::Picture(_)) {
                    // Only the first one is waited for.
                    let _ = tell_first.try_send(());
                }
                looks.push(Look { at, seen });
                thread::sleep(LOOKED_AT_EVERY);
            }
            Ok(looks)
        };
        let thread = thread::Builder::new().name("looks".to_owned()).spawn(look);
        Ok(Self {
            ended,
            first,
            thread: thread.context("a thread that looks")?,
        })
    }

    pub(super) fn wait_first(&self) -> Result<()> {
        self.first
            .recv_timeout(FIRST_WITHIN)
            .with_context(|| format!("nothing is shown within {FIRST_WITHIN:?}"))
    }

    pub(super) fn end(self) -> Result<Vec<Look>> {
        self.ended.store(true, Ordering::Relaxed);
        let looks = self.thread.join();
        looks.map_err(|_| anyhow::anyhow!("looking at the screen failed"))?
    }
}

/// Counts how often one film follows another, until it is dropped.
pub(super) struct Changes {
    ended: Arc<AtomicBool>,
    count: Arc<AtomicU64>,
}

impl Changes {
    pub(super) fn count(glass: Arc<Glass>) -> Result<Self> {
        let (ended, count) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let (until, counted) = (Arc::clone(&ended), Arc::clone(&count));
        let look = move || {
            let mut shown = None;
            while !until.load(Ordering::Relaxed) {
                // A screen that can't be read shows no change, and whoever waits for one says so.
                if let Ok(Seen::Picture(code)) = glass.look() {
                    let before = shown.replace(code.item);
                    if before.is_some_and(|before| before != code.item) {
                        counted.fetch_add(1, Ordering::Relaxed);
                    }
                }
                thread::sleep(LOOKED_AT_EVERY);
            }
        };
        let thread = thread::Builder::new()
            .name("changes".to_owned())
            .spawn(look);
        thread.context("a thread that looks")?;
        Ok(Self { ended, count })
    }

    pub(super) fn so_far(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use fleet_tests::code::{Code, pixels};

    use super::*;

    const SIZE: (u32, u32) = (64, 32);
    const COLOURS: u32 = 2;

    /// As Xvfb writes it.
    fn dump(pixels: &[u8]) -> tempfile::NamedTempFile {
        let mut header = [0u32; 25];
        (header[0], header[4], header[5]) = (100, SIZE.0, SIZE.1);
        (header[11], header[12], header[19]) = (32, SIZE.0 * 4, COLOURS);
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for number in header {
            file.write_all(&number.to_be_bytes()).unwrap();
        }
        file.write_all(&[0xff; COLOURS as usize * 12]).unwrap();
        file.write_all(pixels).unwrap();
        file
    }

    #[test]
    fn a_picture_is_told_from_a_blank_screen_and_from_parts_of_one() {
        let check = |pixels: &[u8], expected: Seen| {
            let file = dump(pixels);
            let glass = Glass::open(file.path(), SIZE).unwrap();
            assert_eq!(glass.look().unwrap(), expected);
        };
        let code = Code { item: 3, frame: 77 };
        let picture = pixels(code, SIZE.0, SIZE.1);
        check(&picture, Seen::Picture(code));
        check(&vec![0; picture.len()], Seen::Blank);
        check(&vec![200; picture.len()], Seen::Blank);
        let mut half = picture.clone();
        half[..picture.len() / 2].fill(0);
        check(&half, Seen::Parts);
    }

    #[test]
    fn a_screen_of_another_size_is_refused() {
        let file = dump(&[]);
        let error = Glass::open(file.path(), (640, 480)).unwrap_err();
        assert!(error.to_string().contains("64x32"), "{error}");
    }
}
