//! What a device's figures say of each kind of alert, with the room between "wrong" and "over" that keeps alerts from
//! flickering.

use fleet_protocol::alert::{
    AlertKind, AlertRules, CountRule, DiskRule, HotRule, PlainRule, Seconds,
};
use jiff::{SignedDuration, Timestamp};

use super::{DeviceFacts, Reading, Timing};

/// Figures in an alert's sentence change in steps, or each heartbeat would make it another sentence.
const DISK_STEP_BYTES: u64 = 16 << 20;
const COOLER_MC: i64 = 5_000;
const DAY_S: i64 = 24 * 3600;

fn time(seconds: Seconds) -> SignedDuration {
    SignedDuration::from_secs(i64::try_from(seconds.get()).unwrap_or(i64::MAX))
}

/// Holds at once, and is over at once.
const AT_ONCE: Timing = Timing {
    hold: SignedDuration::ZERO,
    resolve: SignedDuration::ZERO,
};

pub(super) fn timing(rules: &AlertRules, kind: AlertKind) -> Timing {
    let plain = |rule: &PlainRule| Timing {
        hold: time(rule.hold_seconds),
        resolve: time(rule.resolve_seconds),
    };
    let counted = |rule: &CountRule| Timing {
        resolve: time(rule.resolve_seconds),
        ..AT_ONCE
    };
    match kind {
        AlertKind::Offline => plain(&rules.offline),
        AlertKind::ErrorTrend => counted(&rules.error_trend),
        AlertKind::LowDisk => Timing {
            hold: time(rules.low_disk.hold_seconds),
            resolve: time(rules.low_disk.resolve_seconds),
        },
        AlertKind::DownloadFailures => counted(&rules.download_failures),
        AlertKind::BlankScreen => plain(&rules.blank_screen),
        AlertKind::UpdateFailed => plain(&rules.update_failed),
        AlertKind::Hot => Timing {
            hold: time(rules.hot.hold_seconds),
            resolve: time(rules.hot.resolve_seconds),
        },
        AlertKind::UnderVoltage => plain(&rules.under_voltage),
        AlertKind::RolloutStopped | AlertKind::CertificateExpiring => AT_ONCE,
    }
}

/// A reading of every kind that is about devices.
pub(super) fn of_device(
    rules: &AlertRules,
    device: &DeviceFacts,
    listening_since: Timestamp,
    now: Timestamp,
) -> [(AlertKind, Reading); 9] {
    let silent = now > device.heard_at + device.silence;
    // Of a device that nobody hears, the last figures say nothing.
    let fresh = |reading| if silent { Reading::Unclear } else { reading };
    let read = |kind: AlertKind| match kind {
        AlertKind::Offline => offline(device, listening_since, now),
        AlertKind::ErrorTrend => counted(&rules.error_trend, device.errors, "errors"),
        AlertKind::LowDisk => fresh(disk(&rules.low_disk, device.disk_free_bytes)),
        AlertKind::DownloadFailures => {
            let (rule, failures) = (&rules.download_failures, device.download_failures);
            counted(rule, failures, "failed downloads")
        }
        AlertKind::BlankScreen => fresh(screen(device, now)),
        AlertKind::UpdateFailed => fresh(update(device.update_failure.as_deref())),
        AlertKind::Hot => fresh(heat(&rules.hot, device.temperature_mc)),
        AlertKind::UnderVoltage => fresh(voltage(device.under_voltage)),
        AlertKind::CertificateExpiring => certificate(rules, device.certificate_until, now),
        AlertKind::RolloutStopped => Reading::Gone,
    };
    OF_DEVICES.map(|kind| {
        let on = is_enabled(rules, kind);
        (kind, if on { read(kind) } else { Reading::Gone })
    })
}

const OF_DEVICES: [AlertKind; 9] = [
    AlertKind::Offline,
    AlertKind::ErrorTrend,
    AlertKind::LowDisk,
    AlertKind::DownloadFailures,
    AlertKind::BlankScreen,
    AlertKind::UpdateFailed,
    AlertKind::Hot,
    AlertKind::UnderVoltage,
    AlertKind::CertificateExpiring,
];

pub(super) const fn is_enabled(rules: &AlertRules, kind: AlertKind) -> bool {
    match kind {
        AlertKind::Offline => rules.offline.enabled,
        AlertKind::ErrorTrend => rules.error_trend.enabled,
        AlertKind::LowDisk => rules.low_disk.enabled,
        AlertKind::DownloadFailures => rules.download_failures.enabled,
        AlertKind::BlankScreen => rules.blank_screen.enabled,
        AlertKind::UpdateFailed => rules.update_failed.enabled,
        AlertKind::Hot => rules.hot.enabled,
        AlertKind::UnderVoltage => rules.under_voltage.enabled,
        AlertKind::RolloutStopped => rules.rollout_stopped.enabled,
        AlertKind::CertificateExpiring => rules.certificate_expiring.enabled,
    }
}

fn holds(detail: String) -> Reading {
    Reading::Holds {
        since: None,
        detail,
    }
}

fn moment(at: Timestamp) -> impl std::fmt::Display {
    at.strftime("%Y-%m-%d %H:%M:%S UTC")
}

fn offline(device: &DeviceFacts, listening_since: Timestamp, now: Timestamp) -> Reading {
    if now <= device.heard_at + device.silence {
        return Reading::Over;
    }
    // It may have spoken while nobody listened, and may be about to speak again.
    let since = device.heard_at.max(listening_since) + device.silence;
    if now <= since {
        return Reading::Unclear;
    }
    Reading::Holds {
        since: Some(since),
        detail: format!("not heard since {}", moment(device.heard_at)),
    }
}

fn screen(device: &DeviceFacts, now: Timestamp) -> Reading {
    match device.player {
        None => Reading::Gone,
        Some(player) if now > player.heard_at + device.silence => {
            let at = moment(player.heard_at);
            holds(format!(
                "the player was not heard since {at}, while the device is"
            ))
        }
        Some(player) if player.error_screen => {
            holds("the screen shows an error instead of content".to_owned())
        }
        Some(_) => Reading::Over,
    }
}

fn update(failure: Option<&str>) -> Reading {
    failure.map_or(Reading::Over, |failure| holds(failure.to_owned()))
}

fn voltage(is_low: bool) -> Reading {
    if is_low {
        holds("the power supply is too weak: under-voltage".to_owned())
    } else {
        Reading::Over
    }
}

fn disk(rule: &DiskRule, free: Option<u64>) -> Reading {
    let least = rule.free_bytes.get();
    match free {
        None => Reading::Unclear,
        Some(free) if free < least => {
            let mib = (free / DISK_STEP_BYTES) * (DISK_STEP_BYTES >> 20);
            let least = least >> 20;
            holds(format!(
                "about {mib} MiB free on the data partition, less than {least} MiB"
            ))
        }
        Some(free) if free < least.saturating_add(least / 5) => Reading::Unclear,
        Some(_) => Reading::Over,
    }
}

fn heat(rule: &HotRule, temperature_mc: Option<i64>) -> Reading {
    let most = i64::try_from(rule.celsius.get()).unwrap_or(i64::MAX) * 1_000;
    match temperature_mc {
        None => Reading::Unclear,
        Some(mc) if mc >= most => holds(format!(
            "{} °C, {} °C or more are too hot",
            mc / 1_000,
            rule.celsius.get()
        )),
        Some(mc) if mc > most - COOLER_MC => Reading::Unclear,
        Some(_) => Reading::Over,
    }
}

/// As many events, or fewer, are not wrong any more.
pub fn clear_count(rule: &CountRule) -> u64 {
    rule.events.get() / 2
}

fn counted(rule: &CountRule, events: u64, what: &str) -> Reading {
    if events >= rule.events.get() {
        let minutes = rule.within_seconds.get().div_ceil(60);
        return holds(format!("{events} {what} within {minutes} minutes"));
    }
    if events > clear_count(rule) {
        Reading::Unclear
    } else {
        Reading::Over
    }
}

fn certificate(rules: &AlertRules, until: Option<Timestamp>, now: Timestamp) -> Reading {
    let Some(until) = until else {
        return Reading::Unclear;
    };
    let days = i64::try_from(rules.certificate_expiring.days.get()).unwrap_or(i64::MAX);
    if until.duration_since(now).as_secs() > days * DAY_S {
        return Reading::Over;
    }
    let day = until.strftime("%Y-%m-%d");
    holds(if until <= now {
        format!("the certificate ended on {day}: enrol the device again")
    } else {
        format!("the certificate ends on {day}, and the device has not renewed it")
    })
}
