//! One installation of the fake: what RAUC does to slots and boot loader, in RAUC's order.

use std::path::Path;
use std::sync::PoisonError;

use fleet_protocol::update::Slot;
use zbus::Connection;
use zbus::object_server::SignalEmitter;

use super::bundle::FakeBundle;
use super::grubenv::Variables;
use super::rauc::{Content, Installer, NAME, Shared, Trouble, lock};

pub(super) fn set_primary(grubenv: &Path, slot: Slot) {
    let order = format!("{slot} {}", slot.other());
    let (ok, tries) = (format!("{slot}_OK"), format!("{slot}_TRY"));
    Variables::set(grubenv, &[("ORDER", &order), (&ok, "1"), (&tries, "0")]);
}

pub(super) enum Failure {
    Error(String),
    Crash,
}

/// As RAUC: checks first, then the slot is made unbootable, written, and made the primary one.
pub(super) fn install(shared: &Shared, source: &str, hash: Option<String>) -> Result<(), Failure> {
    if let Trouble::Error(text) = lock(shared).trouble.clone() {
        return Err(Failure::Error(text));
    }
    let target = lock(shared).booted.other();
    let mut touched = false;
    let mut crashed = false;
    let mut write_error = None;
    let fetched = FakeBundle::fetch(source, |done, size| {
        let mut state = lock(shared);
        if !touched {
            touched = true;
            Variables::set(&state.grubenv, &[(&format!("{target}_OK"), "0")]);
            state.slots.remove(&target);
        }
        state.progress = (
            i32::try_from(done * 99 / size.max(1)).unwrap_or(0),
            "Copying".to_owned(),
            2,
        );
        shared.1.notify_all();
        let half = done * 2 >= size;
        while half && state.trouble == Trouble::Pause {
            state = shared.1.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        match state.trouble.clone() {
            Trouble::Crash if half => crashed = true,
            Trouble::WriteError(text) if half => write_error = Some(text),
            _ => return true,
        }
        false
    });
    if crashed {
        return Err(Failure::Crash);
    }
    if let Some(text) = write_error {
        return Err(Failure::Error(text));
    }
    let bundle = fetched.map_err(Failure::Error)?;
    let found = bundle.manifest_hash().to_string();
    if hash.is_some_and(|expected| expected != found) {
        let text = format!("Refusing to install bundle with unexpected hash (got {found})");
        return Err(Failure::Error(text));
    }
    let mut state = lock(shared);
    if bundle.compatible != state.compatible {
        let text = format!(
            "Compatible mismatch: Expected '{}' but bundle manifest has '{}'",
            state.compatible, bundle.compatible
        );
        return Err(Failure::Error(text));
    }
    let content = Content {
        version: bundle.version,
        root_hash: bundle.root_hash,
    };
    state.slots.insert(target, content);
    set_primary(&state.grubenv, target);
    Ok(())
}

pub(super) async fn finish(shared: &Shared, connection: &Connection, result: Result<(), Failure>) {
    let is_crash = matches!(result, Err(Failure::Crash));
    let (code, quiet) = {
        let mut state = lock(shared);
        state.operation = "idle";
        let code = i32::from(result.is_err());
        match result {
            Ok(()) => state.progress = (100, "Installing done.".to_owned(), 1),
            Err(Failure::Error(text)) => state.last_error = text,
            Err(Failure::Crash) => state.trouble = Trouble::None,
        }
        (code, state.trouble == Trouble::NoSignal)
    };
    shared.1.notify_all();
    if is_crash {
        // Away and back, as when systemd starts it again.
        let _ = connection.release_name(NAME).await;
        let _ = connection.request_name(NAME).await;
        return;
    }
    if quiet {
        return;
    }
    if let Ok(emitter) = SignalEmitter::new(connection, "/") {
        let _ = Installer::completed(&emitter, code).await;
    }
}
