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

/// A photograph: a binary PPM, kept as QEMU wrote it. It is taken many times a second, and few of its pixels are looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    pub width: u32,
    pub height: u32,
    ppm: Vec<u8>,
    pixels_at: usize,
}

impl Picture {
    /// `P6 WIDTH HEIGHT 255`, then red, green, blue for each pixel.
    fn parse(ppm: Vec<u8>) -> Option<Self> {
        let mut fields = ppm.splitn(5, u8::is_ascii_whitespace);
        let is_binary = fields.next() == Some(b"P6");
        let mut number = || std::str::from_utf8(fields.next()?).ok()?.parse().ok();
        let (width, height, depth): (u32, u32, u32) = (number()?, number()?, number()?);
        let pixels = fields.next()?.len();
        let is_whole = pixels == width as usize * height as usize * 3;
        (is_binary && depth == 255 && is_whole).then(|| Self {
            width,
            height,
            pixels_at: ppm.len() - pixels,
            ppm,
        })
    }

    /// Red, green, blue; `None` outside the picture.
    pub fn pixel(&self, x: u32, y: u32) -> Option<[u8; 3]> {
        let at = self.pixels_at + (y as usize * self.width as usize + x as usize) * 3;
        let within = x < self.width;
        let pixel = within.then(|| self.ppm.get(at..at + 3)).flatten()?;
        pixel.try_into().ok()
    }

    /// The file, as an image viewer opens it.
    pub fn ppm(&self) -> &[u8] {
        &self.ppm
    }
}

pub(super) fn take(qmp: &mut Qmp, file: &Path) -> Result<Picture> {
    qmp.execute("screendump", &json!({"filename": file, "format": "ppm"}))?;
    let ppm = std::fs::read(file).map_err(VmError::io("reading a photograph"))?;
    let size = ppm.len();
    Picture::parse(ppm).ok_or_else(|| VmError::Qmp {
        command: "screendump".to_owned(),
        reason: format!("{size} bytes are no picture"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_photograph_is_read() {
        let mut ppm = b"P6\n2 3\n255\n".to_vec();
        ppm.extend(0..18u8);
        let picture = Picture::parse(ppm).unwrap();
        assert_eq!((picture.width, picture.height), (2, 3));
        assert_eq!(picture.pixel(1, 1), Some([9, 10, 11]));
        assert_eq!([picture.pixel(2, 0), picture.pixel(0, 3)], [None, None]);
        assert_eq!(Picture::parse(b"P6\n2 3\n255\n".to_vec()), None);
    }
}
