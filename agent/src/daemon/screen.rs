//! What the agent itself shows on the screen, as long as no player does: that it starts, that it joins
//! its fleet, and which device it is when somebody asks.

use std::time::Duration;

use tokio::sync::mpsc;

use super::context::Ctx;
use crate::card::{Card, Screen};
use crate::platform::metrics;

const DEADLINE: Duration = Duration::from_mins(2);
/// Addresses and the enrolment's progress change seldom.
const REDRAW: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(super) enum Message {
    Identify { seconds: u32 },
}

pub(super) async fn run(ctx: Ctx, mut messages: mpsc::Receiver<Message>) {
    let stamp = ctx.liveness.register("screen", DEADLINE);
    let mut shown: Option<Card> = None;
    let mut identify_until: Option<tokio::time::Instant> = None;
    loop {
        let now = tokio::time::Instant::now();
        identify_until = identify_until.filter(|until| *until > now);
        let card = choose(&ctx, identify_until.is_some());
        if shown.as_ref() != Some(&card) {
            show(&ctx, card.clone()).await;
            shown = Some(card);
        }
        let until = identify_until.map_or(now + REDRAW, |until| until.min(now + REDRAW));
        let next = async {
            tokio::select! {
                message = messages.recv() => message,
                () = tokio::time::sleep_until(until) => None,
            }
        };
        if let Some(Message::Identify { seconds }) = stamp.idle(next).await {
            let seconds = Duration::from_secs(seconds.into());
            identify_until = Some(tokio::time::Instant::now() + seconds);
        }
    }
}

fn choose(ctx: &Ctx, identify: bool) -> Card {
    let link = ctx.link();
    let version = ctx.device.release.version.to_string();
    let device = link.as_ref().map(|l| l.device_id.to_string());
    let device = device.or_else(|| ctx.device.serial_number.clone());
    let device = device.unwrap_or_else(|| "this device".to_owned());
    if identify {
        let addresses = metrics::network(&ctx.device.paths).addresses;
        return Card::Identify {
            device,
            version,
            url: addresses.first().map(|address| page_url(address)),
            addresses,
        };
    }
    if link.is_some() {
        return Card::Boot { version };
    }
    let addresses = metrics::network(&ctx.device.paths).addresses;
    let status = match (ctx.server_url.borrow().as_ref(), ctx.contact().last_error) {
        (None, None) => "This device waits for its provisioning file.".to_owned(),
        (_, Some(error)) => error,
        (Some(url), None) => format!("This device is joining {url}."),
    };
    Card::Pairing {
        status,
        url: addresses.first().map(|address| page_url(address)),
        device,
    }
}

fn page_url(address: &str) -> String {
    if address.contains(':') {
        format!("http://[{address}]/")
    } else {
        format!("http://{address}/")
    }
}

/// A machine without a screen is no trouble.
async fn show(ctx: &Ctx, card: Card) {
    let sys = ctx.device.paths.sys.join("class/graphics/fb0");
    let drawing = tokio::task::spawn_blocking(move || {
        Screen::open_at(&sys, std::path::Path::new("/dev/fb0"))
            .and_then(|screen| screen.show(&card))
    });
    if let Ok(Err(error)) = drawing.await {
        log::debug!(error:%; "no card is shown");
    }
}
