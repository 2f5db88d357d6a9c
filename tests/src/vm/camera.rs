//! A camera before the screen: photographs of what the display controller sends out.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::error::{Result, VmError};
use super::qmp::Qmp;

/// Takes pictures over a line of its own, so that the machine can be driven meanwhile.
#[derive(Debug)]
pub struct Camera {
    line: Qmp,
    file: PathBuf,
}

impl Camera {
    pub(super) const fn new(line: Qmp, file: PathBuf) -> Self {
        Self { line, file }
    }

    /// What is on the screen now.
    pub fn shoot(&mut self) -> Result<Picture> {
        take(&mut self.line, &self.file)
    }
}

/// A photograph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    pub width: u32,
    pub height: u32,
    /// Blue, green, red, unused; row by row.
    pub pixels: Vec<u8>,
}

impl Picture {
    /// Of a binary PPM: `P6 WIDTH HEIGHT 255`, then red, green, blue for each pixel.
    fn parse(ppm: &[u8]) -> Option<Self> {
        let mut fields = ppm.splitn(5, u8::is_ascii_whitespace);
        let is_binary = fields.next() == Some(b"P6");
        let mut number = || std::str::from_utf8(fields.next()?).ok()?.parse().ok();
        let (width, height, depth): (u32, u32, u32) = (number()?, number()?, number()?);
        let pixels = fields.next()?;
        let is_whole = pixels.len() == width as usize * height as usize * 3;
        (is_binary && depth == 255 && is_whole).then(|| Self {
            width,
            height,
            pixels: pixels
                .chunks_exact(3)
                .flat_map(|rgb| [rgb[2], rgb[1], rgb[0], 255])
                .collect(),
        })
    }

    /// Blue, green, red, unused.
    pub fn pixel(&self, x: u32, y: u32) -> [u8; 4] {
        let at = (y as usize * self.width as usize + x as usize) * 4;
        let pixel = self.pixels.get(at..at + 4);
        pixel
            .and_then(|pixel| pixel.try_into().ok())
            .unwrap_or_default()
    }
}

pub(super) fn take(qmp: &mut Qmp, file: &Path) -> Result<Picture> {
    qmp.execute("screendump", &json!({"filename": file, "format": "ppm"}))?;
    let ppm = std::fs::read(file).map_err(VmError::io("reading a photograph"))?;
    Picture::parse(&ppm).ok_or_else(|| VmError::Qmp {
        command: "screendump".to_owned(),
        reason: format!("{} bytes are no picture", ppm.len()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_photograph_is_read() {
        let mut ppm = b"P6\n2 3\n255\n".to_vec();
        ppm.extend(0..18u8);
        let picture = Picture::parse(&ppm).unwrap();
        assert_eq!((picture.width, picture.height), (2, 3));
        assert_eq!(picture.pixel(1, 1), [11, 10, 9, 255]);
        assert_eq!(Picture::parse(b"P6\n2 3\n255\n"), None);
    }
}
