//! What the agent has to say on the screen: that it starts, that it joins its fleet, how it stands, and which device
//! it is when somebody asks. It draws that itself as long as no player has the screen, and leaves it for the player,
//! which shows it when there is no content, or instead of content when somebody asks.

use std::path::Path;
use std::time::Duration;

use fleet_cards::{Card, NOTICE_FILE, Notice};
use fleet_device::files::{self, Access};
use fleet_protocol::update::UpdateState;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::context::Ctx;
use crate::platform::framebuffer::{Screen, fingerprint};
use crate::platform::metrics;

const DEADLINE: Duration = Duration::from_mins(2);
/// Addresses and the enrolment's progress change seldom.
const LOOK: Duration = Duration::from_secs(10);
/// While there is no screen, and a driver may still be loading.
const LOOK_FOR_SCREEN: Duration = Duration::from_secs(2);
/// Whatever else may have painted over the card.
const REDRAW: Duration = Duration::from_mins(10);

#[derive(Debug)]
pub(super) enum Message {
    Identify { seconds: u32 },
}

pub(super) async fn run(ctx: Ctx, mut messages: mpsc::Receiver<Message>) {
    let stamp = ctx.liveness.register("screen", DEADLINE);
    let sysfs = ctx.device.paths.sys.join("class/graphics/fb0");
    let mut link = ctx.link.subscribe();
    let mut code = ctx.pairing_code.subscribe();
    let mut wakes = ctx.content_wakes.subscribe();
    let mut shown: Option<Shown> = None;
    let mut left: Option<Notice> = None;
    let mut identify_until: Option<Instant> = None;
    let mut tries = 0;
    loop {
        let now = Instant::now();
        identify_until = identify_until.filter(|until| *until > now);
        let card = choose(&ctx, identify_until.is_some());
        let notice = Notice {
            card: card.clone(),
            over_content: identify_until.is_some(),
            content_wakes: *wakes.borrow_and_update(),
        };
        if left.as_ref() != Some(&notice) && leave(&ctx, &notice) {
            left = Some(notice);
        }
        let screen = fingerprint(&sysfs);
        let is_current = shown
            .as_ref()
            .is_some_and(|s| s.card == card && Some(&s.screen) == screen.as_ref() && s.until > now);
        if !is_current {
            let drawn = show(&sysfs, card.clone()).await;
            shown = screen.filter(|_| drawn).map(|screen| Shown {
                card,
                screen,
                until: now + REDRAW,
            });
        }
        // A machine without a screen is an ordinary one, and is not asked for it for ever.
        let pause = if shown.is_none() && tries < 30 {
            tries += 1;
            LOOK_FOR_SCREEN
        } else {
            LOOK
        };
        let until = identify_until.map_or(now + pause, |until| until.min(now + pause));
        let next = async {
            tokio::select! {
                message = messages.recv() => message,
                // Its sender lives as long as the context.
                _ = link.changed() => None,
                _ = code.changed() => None,
                _ = wakes.changed() => None,
                () = tokio::time::sleep_until(until) => None,
            }
        };
        if let Some(Message::Identify { seconds }) = stamp.idle(next).await {
            let seconds = Duration::from_secs(seconds.into());
            identify_until = Some(Instant::now() + seconds);
        }
    }
}

/// Where the player finds it.
fn leave(ctx: &Ctx, notice: &Notice) -> bool {
    let path = ctx.device.paths.run.join(NOTICE_FILE);
    let written = files::write_json(&path, notice, Access::Public);
    if let Err(error) = &written {
        log::warn!(error:%; "the player can't be told what to show");
    }
    written.is_ok()
}

/// What is on the glass.
struct Shown {
    card: Card,
    screen: String,
    until: Instant,
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
    if let (Some(code), Some(server)) = (
        ctx.pairing_code.borrow().as_ref(),
        ctx.server_url.borrow().as_ref(),
    ) {
        return Card::Pairing {
            status: "Pair this screen with its code".to_owned(),
            code: Some(code.to_string()),
            url: Some(format!("{server}/pair?code={code}")),
            device,
        };
    }
    let addresses = metrics::network(&ctx.device.paths).addresses;
    if link.is_some() {
        let contact = ctx.contact();
        let refused = ctx.refused_since().is_some();
        if contact.last_success.is_none() && !contact.is_away && !refused {
            return Card::Boot { version };
        }
        let state = ctx.update.borrow().state.clone();
        return Card::Status {
            device,
            version,
            online: !contact.is_away && !refused,
            activity: if refused {
                Some("The control plane does not accept this device".to_owned())
            } else {
                activity(&state)
            },
            url: addresses.first().map(|address| page_url(address)),
            addresses,
        };
    }
    let status = match (ctx.server_url.borrow().as_ref(), ctx.contact().last_error) {
        (None, None) => "This device waits for its provisioning file.".to_owned(),
        (_, Some(error)) => error,
        (Some(url), None) => format!("This device is joining {url}."),
    };
    Card::Pairing {
        status,
        code: None,
        url: addresses.first().map(|address| page_url(address)),
        device,
    }
}

/// What an update is doing, without figures that would have the screen painted all the time.
fn activity(state: &UpdateState) -> Option<String> {
    match state {
        UpdateState::Installing { version, .. } => Some(format!("Installing version {version}")),
        UpdateState::RebootPending { version, .. } => {
            Some(format!("Restarting into version {version}"))
        }
        UpdateState::Trial { version, .. } => Some(format!("Trying version {version}")),
        _ => None,
    }
}

fn page_url(address: &str) -> String {
    if address.contains(':') {
        format!("http://[{address}]/")
    } else {
        format!("http://{address}/")
    }
}

async fn show(sysfs: &Path, card: Card) -> bool {
    let sysfs = sysfs.to_owned();
    let drawing = tokio::task::spawn_blocking(move || {
        Screen::open_at(&sysfs, Path::new("/dev/fb0")).and_then(|screen| screen.show(&card))
    });
    match drawing.await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            log::debug!(error:%; "no card is shown");
            false
        }
        Err(_) => false,
    }
}
