//! Pictures as the engine holds them, and the memory they are in.

use std::sync::{Arc, Mutex, PoisonError};

/// Blue, green, red, unused: what every display controller takes on its primary plane, and what KMS
/// calls `XR24`.
pub const BYTES_PER_PIXEL: usize = 4;

/// The largest screen that pictures are made for: 8K in either direction.
const MAX_SIDE_PX: u32 = 8_192;

/// Width and height in pixels, neither 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "(u32, u32)", into = "(u32, u32)")]
pub struct Size {
    width: u32,
    height: u32,
}

/// Not a size that a screen has.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{width}×{height} pixels is no screen: either side is 16 to {MAX_SIDE_PX}")]
pub struct SizeError {
    width: u32,
    height: u32,
}

impl Size {
    pub const fn new(width: u32, height: u32) -> Result<Self, SizeError> {
        if width < 16 || height < 16 || width > MAX_SIDE_PX || height > MAX_SIDE_PX {
            return Err(SizeError { width, height });
        }
        Ok(Self { width, height })
    }

    pub const fn width(self) -> u32 {
        self.width
    }

    pub const fn height(self) -> u32 {
        self.height
    }

    /// Of a frame.
    pub const fn bytes(self) -> usize {
        self.width as usize * self.height as usize * BYTES_PER_PIXEL
    }

    /// As seen by somebody whose screen stands on its side.
    #[must_use]
    pub const fn swapped(self) -> Self {
        Self {
            width: self.height,
            height: self.width,
        }
    }
}

impl TryFrom<(u32, u32)> for Size {
    type Error = SizeError;

    fn try_from((width, height): (u32, u32)) -> Result<Self, Self::Error> {
        Self::new(width, height)
    }
}

impl From<Size> for (u32, u32) {
    fn from(size: Size) -> Self {
        (size.width, size.height)
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

impl std::str::FromStr for Size {
    type Err = String;

    /// `1280x720`
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (width, height) = text
            .split_once('x')
            .and_then(|(width, height)| Some((width.parse().ok()?, height.parse().ok()?)))
            .ok_or_else(|| format!("`{text}` is no size such as 1280x720"))?;
        Self::new(width, height).map_err(|error| error.to_string())
    }
}

/// One picture, as large as the screen. Its memory is used again for a later one.
#[derive(Debug)]
pub struct Frame {
    bytes: Vec<u8>,
    pool: Pool,
}

impl Drop for Frame {
    fn drop(&mut self) {
        self.pool.take_back(std::mem::take(&mut self.bytes));
    }
}

/// What GStreamer reads a frame through.
#[derive(Debug, Clone)]
pub struct SharedFrame(pub Arc<Frame>);

impl AsRef<[u8]> for SharedFrame {
    fn as_ref(&self) -> &[u8] {
        &self.0.bytes
    }
}

/// Memory for frames of one size, so that a film does not ask the kernel for 8 MB thirty times a second.
#[derive(Debug, Clone)]
pub struct Pool {
    size: Size,
    free: Arc<Mutex<Vec<Vec<u8>>>>,
}

/// More than this is given back to the kernel.
const KEPT_FREE: usize = 4;

impl Pool {
    pub fn new(size: Size) -> Self {
        Self {
            size,
            free: Arc::default(),
        }
    }

    pub const fn size(&self) -> Size {
        self.size
    }

    /// A frame that `fill` writes all of.
    pub fn frame<E>(
        &self,
        fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<SharedFrame, E> {
        let mut bytes = self
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()
            .unwrap_or_else(|| vec![0; self.size.bytes()]);
        fill(&mut bytes)?;
        Ok(SharedFrame(Arc::new(Frame {
            bytes,
            pool: self.clone(),
        })))
    }

    /// `to` laid over `from`: 0 is all `from`, 256 all `to`.
    pub fn blend(&self, from: &SharedFrame, to: &SharedFrame, share: u16) -> SharedFrame {
        let share = share.min(256);
        let mixed = self.frame::<std::convert::Infallible>(|bytes| {
            for ((out, a), b) in bytes.iter_mut().zip(from.as_ref()).zip(to.as_ref()) {
                let sum = u16::from(*a) * (256 - share) + u16::from(*b) * share;
                *out = sum.to_be_bytes()[0];
            }
            Ok(())
        });
        match mixed {
            Ok(frame) => frame,
            Err(never) => match never {},
        }
    }

    fn take_back(&self, bytes: Vec<u8>) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < KEPT_FREE {
            free.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_one_value(pool: &Pool, value: u8) -> SharedFrame {
        pool.frame::<()>(|bytes| {
            bytes.fill(value);
            Ok(())
        })
        .unwrap()
    }

    #[test]
    fn a_size_is_read_and_a_wrong_one_named() {
        assert_eq!("1280x720".parse(), Ok(Size::new(1280, 720).unwrap()));
        for wrong in ["", "1280", "1280x", "0x720", "1280x720x3", "100000x100000"] {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_blend_goes_from_one_picture_to_the_other() {
        let pool = Pool::new(Size::new(16, 16).unwrap());
        let (black, white) = (of_one_value(&pool, 0), of_one_value(&pool, 255));
        let check = |share: u16, expected: u8| {
            let mixed = pool.blend(&black, &white, share);
            assert!(mixed.as_ref().iter().all(|b| *b == expected), "{share}");
        };
        check(0, 0);
        check(128, 127);
        check(256, 255);
        check(999, 255);
    }

    #[test]
    fn memory_is_used_again_and_not_hoarded() {
        let pool = Pool::new(Size::new(16, 16).unwrap());
        let frames: Vec<_> = (0..10).map(|value| of_one_value(&pool, value)).collect();
        drop(frames);
        assert_eq!(pool.free.lock().unwrap().len(), KEPT_FREE);
        drop(of_one_value(&pool, 1));
        assert_eq!(pool.free.lock().unwrap().len(), KEPT_FREE);
    }
}
