//! The wake-up stream beside polling: on a thread of its own, since it blocks for minutes.
//!
//! It carries no content. A wake-up only makes the next poll come now, so that a lost one costs
//! nothing but time.

use fleet_device::request::RequestError;
use fleet_protocol::backoff::Backoff;
use std::time::Duration;

use super::context::{Ctx, Link, dice};
use super::enrol::linked;

/// Fast enough to matter, slow enough that a broken proxy in between is not hammered.
const BACKOFF: Backoff = Backoff {
    base_ms: 2_000,
    max_ms: 120_000,
};
const STACK_BYTES: usize = 512 * 1024;

/// Starts the thread once the device is enrolled.
pub(super) async fn run(ctx: Ctx) {
    linked(&ctx).await;
    let started = std::thread::Builder::new()
        .name("wakeup".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || listen(&ctx));
    if let Err(error) = started {
        log::error!(error:%; "no thread for wake-ups: polling alone has to do");
    }
}

fn listen(ctx: &Ctx) {
    let mut failures = 0;
    loop {
        // Asked for each time: a renewed certificate makes a new one.
        let Some(link) = ctx.link() else { return };
        if ctx.refused_since().is_some() {
            std::thread::sleep(Duration::from_millis(BACKOFF.max_ms));
            continue;
        }
        match follow(ctx, &link) {
            Ok(()) => failures = 0,
            Err(error) => {
                failures += 1;
                log::debug!(error:%; "the wake-up stream broke off");
            }
        }
        let pause_ms = BACKOFF.pause_ms(failures.max(1), dice());
        std::thread::sleep(Duration::from_millis(pause_ms));
    }
}

fn follow(ctx: &Ctx, link: &Link) -> Result<(), RequestError> {
    let mut stream = link.client.wakeup()?;
    log::debug!("listening for wake-ups");
    // What was missed while nobody listened.
    ring(ctx);
    wake_player(ctx);
    while let Ok(Some(data)) = stream.next_wakeup() {
        match reason(&data).as_deref() {
            Some("content") => wake_player(ctx),
            Some("command" | "target") => ring(ctx),
            // Something was missed, or it is news to this version.
            _ => {
                ring(ctx);
                wake_player(ctx);
            }
        }
    }
    Ok(())
}

/// Of another version it may be any, or none.
fn reason(data: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Wakeup {
        reason: String,
    }
    let wakeup: Wakeup = serde_json::from_str(data).ok()?;
    Some(wakeup.reason)
}

fn ring(ctx: &Ctx) {
    ctx.bells.target.notify_one();
    ctx.bells.commands.notify_one();
}

/// The screen's loop tells it.
fn wake_player(ctx: &Ctx) {
    ctx.content_wakes.send_modify(|count| *count += 1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_read_from_what_a_control_plane_says() {
        assert_eq!(
            reason(r#"{"reason":"content"}"#).as_deref(),
            Some("content")
        );
        assert_eq!(
            reason(r#"{"reason":"new","more":1}"#).as_deref(),
            Some("new")
        );
        assert_eq!(reason("{}"), None);
        assert_eq!(reason(""), None);
    }
}
