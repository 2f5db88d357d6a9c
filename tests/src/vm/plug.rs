//! The plug of the machine's screen, pulled and put in: what QEMU does when a VNC client asks for another desktop size, and
//! what reaches the guest as a plug with another EDID. Nothing is watched this way.
//!
//! RFC 6143, and `SetDesktopSize` with `ExtendedDesktopSize` of the community's RFB specification
//! (<https://github.com/rfbproto/rfbproto>).

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::error::{Result, VmError};

const ANSWERED_WITHIN: Duration = Duration::from_secs(20);
const VERSION: &[u8; 12] = b"RFB 003.008\n";
const NO_PASSWORD: u8 = 1;
const SHARED: u8 = 1;
const SET_ENCODINGS: u8 = 2;
const SET_DESKTOP_SIZE: u8 = 251;
const EXTENDED_DESKTOP_SIZE: i32 = -308;
/// Of the answer: it was this client who asked, and whom it concerns was told.
const ASKED_BY_THIS: u16 = 1;
const FORWARDED: u16 = 4;

/// Has a screen with this mode plugged in, in pixels; of 0 × 0: none.
/// QEMU passes on only what is another wish than the last one.
pub(super) fn set(line: &Path, mode: (u32, u32)) -> Result<()> {
    ask(line, mode).map_err(VmError::io(format!("plugging a screen of {mode:?} in")))
}

fn ask(line: &Path, (width, height): (u32, u32)) -> io::Result<()> {
    let pixels = |number: u32| u16::try_from(number).map_err(io::Error::other);
    let question = question(pixels(width)?, pixels(height)?);
    let mut line = UnixStream::connect(line)?;
    line.set_read_timeout(Some(ANSWERED_WITHIN))?;
    let mut version = [0; VERSION.len()];
    line.read_exact(&mut version)?;
    line.write_all(VERSION)?;
    let mut count = [0];
    line.read_exact(&mut count)?;
    skip(&mut line, count[0].into())?;
    line.write_all(&[NO_PASSWORD])?;
    let mut refused = [0; 4];
    line.read_exact(&mut refused)?;
    if refused != [0; 4] {
        return Err(io::Error::other("it wants a password"));
    }
    line.write_all(&[SHARED])?;
    // Size, pixel format, the name's length; the name.
    let mut screen = [0; 24];
    line.read_exact(&mut screen)?;
    let [.., a, b, c, d] = screen;
    skip(&mut line, u32::from_be_bytes([a, b, c, d]).into())?;
    line.write_all(&question)?;
    // A framebuffer update of one rectangle: who asked, what came of it, the size, the encoding.
    let mut answer = [0; 16];
    line.read_exact(&mut answer)?;
    let word = |at: usize| u16::from_be_bytes([answer[at], answer[at + 1]]);
    if (word(4), word(6)) == (ASKED_BY_THIS, FORWARDED) {
        return Ok(());
    }
    Err(io::Error::other(format!("unexpected answer {answer:x?}")))
}

fn question(width: u16, height: u16) -> Vec<u8> {
    let [w1, w0] = width.to_be_bytes();
    let [h1, h0] = height.to_be_bytes();
    let mut bytes = vec![SET_ENCODINGS, 0, 0, 1];
    bytes.extend(EXTENDED_DESKTOP_SIZE.to_be_bytes());
    bytes.extend([SET_DESKTOP_SIZE, 0, w1, w0, h1, h0, 1, 0]);
    // One screen: its number, its place, its size, its flags.
    bytes.extend([0; 8]);
    bytes.extend([w1, w0, h1, h0]);
    bytes.extend([0; 4]);
    bytes
}

fn skip(line: &mut UnixStream, bytes: u64) -> io::Result<()> {
    io::copy(&mut line.take(bytes), &mut io::sink()).map(drop)
}
