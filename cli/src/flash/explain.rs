//! What an operator is told when a card could not be written: why, in which state it is, what to do.

use std::path::Path;

use super::FlashArgs;
use super::image::ImageError;
use super::write::{CardState, Cause, WriteError};
use crate::error::{CommandError, Kind};
use crate::output::human_bytes;

pub(super) fn image_error(error: ImageError, args: &FlashArgs) -> CommandError {
    let kind = match &error {
        ImageError::Interrupted => Kind::Interrupted,
        ImageError::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            Kind::NotFound
        }
        _ => Kind::Failed,
    };
    let hint = match &error {
        ImageError::Interrupted => "run it again when you are ready".to_owned(),
        ImageError::Checksum { .. } | ImageError::OtherSize { .. } => {
            "fetch image and block map again: they do not belong together, or one is damaged"
                .to_owned()
        }
        _ => format!("check {}, or fetch it again", args.image.display()),
    };
    CommandError::new(
        kind,
        format!(
            "the image cannot be used; nothing was written to {}",
            args.device.display()
        ),
    )
    .because(error)
    .hint(hint)
}

/// What becomes of a file that this run made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    AsIs,
    Removed,
}

pub(super) fn explain(error: WriteError, path: &Path, left: Left) -> CommandError {
    let name = path.display();
    let state = match (error.state, left) {
        (_, Left::Removed) => format!("{name} was removed again"),
        (CardState::Untouched, _) => format!("{name} is as it was"),
        (CardState::Blank, _) => {
            format!(
                "{name} holds no system now: its partition table was erased first, and is written last"
            )
        }
    };
    let (kind, hint) = match &error.cause {
        Cause::Interrupted | Cause::Image(ImageError::Interrupted) => (
            Kind::Interrupted,
            "run the same command again: it begins anew".to_owned(),
        ),
        Cause::TooSmall { needed, .. } => (
            Kind::Refused,
            format!("use a card of at least {}", human_bytes(*needed)),
        ),
        Cause::Mismatch { .. } | Cause::ProvisionMismatch | Cause::Read { .. } => (
            Kind::Failed,
            "the card or its reader is bad: try another one".to_owned(),
        ),
        Cause::Write { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => (
            Kind::Failed,
            "devices usually need root: run it with sudo".to_owned(),
        ),
        Cause::Write { source, .. } if source.kind() == std::io::ErrorKind::ResourceBusy => (
            Kind::Refused,
            "something uses it: `lsblk` shows what, unmount it first".to_owned(),
        ),
        Cause::Write { .. } => (
            Kind::Failed,
            "the card, its reader or the cable is bad, or it was pulled out: try another one"
                .to_owned(),
        ),
        Cause::ImageChanged => (
            Kind::Failed,
            "let nothing write to the image meanwhile".to_owned(),
        ),
        Cause::Image(_) | Cause::Table(_) | Cause::NoBootPartition | Cause::Provision(_) => (
            Kind::Failed,
            "fetch the image again; is it a Fleet image?".to_owned(),
        ),
    };
    CommandError::new(kind, format!("{name} could not be written; {state}"))
        .because(error.cause)
        .hint(hint)
}
