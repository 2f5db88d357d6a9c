//! One decoder that is started before it is needed: a process and its libraries take longer than a frame.

use crate::media::decoder::{Decoder, Program};
use crate::media::frame::Size;
use crate::profile::DecoderProfile;

#[derive(Debug)]
pub(super) struct Ahead {
    program: Program,
    size: Size,
    decoder: Option<Decoder>,
}

impl Ahead {
    pub(super) fn new(program: Program, size: Size) -> Self {
        let mut ahead = Self {
            program,
            size,
            decoder: None,
        };
        ahead.start();
        ahead
    }

    /// Starts one unless one waits.
    pub(super) fn start(&mut self) {
        if self.decoder.is_some() {
            return;
        }
        match Decoder::spawn(&self.program, self.size) {
            Ok(decoder) => self.decoder = Some(decoder),
            Err(error) => log::error!("no decoder: {error}"),
        }
    }

    /// Of this machine's decoders.
    pub(super) fn profile(&self) -> &DecoderProfile {
        &self.program.profile
    }

    /// `None` when none can be started.
    pub(super) fn take(&mut self) -> Option<Decoder> {
        self.start();
        self.decoder.take()
    }
}
