//! A bundle from a stick, and the one installation that may run at a time, wherever its bundle is from.

use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::{Form, State};
use axum::http::HeaderMap;
use axum::response::Response;
use fleet_device::files;
use fleet_protocol::trust::VerifiedRelease;
use serde::Deserialize;
use tokio::sync::mpsc;

use super::{App, Shared};
use crate::platform::rauc::Progress;
use crate::safe_mode::actions::{ActionError, Actions};
use crate::safe_mode::install::InstallState;
use crate::safe_mode::pages::{self, Outcome};
use crate::safe_mode::usb::MAX_METADATA_BYTES;

#[derive(Deserialize)]
pub(super) struct UsbForm {
    token: String,
    /// As listed: the path of one of the bundles that were found, never taken as such.
    bundle: String,
}

pub(super) async fn install_from_usb<A: Actions>(
    State(app): Shared<A>,
    headers: HeaderMap,
    Form(form): Form<UsbForm>,
) -> Result<Response, Response> {
    app.check(&headers, &form.token)?;
    let started = start_from_usb(&app, &form.bundle).await;
    Ok(pages::outcome(started.map(|()| Outcome::installing())))
}

async fn start_from_usb<A: Actions>(app: &Arc<App<A>>, wanted: &str) -> Result<(), ActionError> {
    let bundles = app.actions.usb_bundles().await;
    let bundle = bundles
        .into_iter()
        .find(|bundle| bundle.path.as_os_str() == wanted)
        .ok_or_else(|| {
            ActionError::new(
                "that bundle is no longer there",
                "plug the stick in again, then reload the page",
            )
        })?;
    let metadata = bundle.metadata.ok_or_else(|| {
        ActionError::new(
            "there is no signed release metadata beside the bundle",
            "put the .release.json of this release beside the .raucb, under the same name",
        )
    })?;
    let hint = "plug the stick in again";
    let envelope = files::read_limited(&metadata, MAX_METADATA_BYTES)
        .map_err(|e| ActionError::new(e, hint))?
        .ok_or_else(|| ActionError::new("the release metadata is gone", hint))?;
    let release = app.actions.admit(envelope).await?;
    start_install(app, bundle.path, release, false)
}

/// Begins in the background; the page shows how far it is. `temporary` bundles are removed after.
pub(in crate::safe_mode) fn start_install<A: Actions>(
    app: &Arc<App<A>>,
    bundle: PathBuf,
    release: VerifiedRelease,
    temporary: bool,
) -> Result<(), ActionError> {
    claim(app)?;
    install(app, bundle, release, temporary);
    Ok(())
}

/// From here on nobody else installs or uploads, until the state is set again.
pub(in crate::safe_mode) fn claim<A>(app: &App<A>) -> Result<(), ActionError> {
    let mut state = app.install_state();
    let busy = match *state {
        InstallState::Receiving => "another bundle is being uploaded",
        InstallState::Running { .. } => "another bundle is being installed",
        _ => {
            *state = InstallState::Receiving;
            return Ok(());
        }
    };
    Err(ActionError::new(busy, "wait until it is done"))
}

/// What [`start_install`] begins, for who has [`claim`]ed it.
pub(in crate::safe_mode) fn install<A: Actions>(
    app: &Arc<App<A>>,
    bundle: PathBuf,
    release: VerifiedRelease,
    temporary: bool,
) {
    let version = release.metadata().version.clone();
    *app.install_state() = InstallState::Running {
        version: version.clone(),
        percent: 0,
        message: "checking the bundle".to_owned(),
    };
    let (sender, mut receiver) = mpsc::channel::<Progress>(8);
    let watcher = Arc::clone(app);
    tokio::spawn(async move {
        while let Some(progress) = receiver.recv().await {
            if let InstallState::Running {
                percent, message, ..
            } = &mut *watcher.install_state()
            {
                *percent = progress.percent;
                *message = progress.message;
            }
        }
    });
    let app = Arc::clone(app);
    tokio::spawn(async move {
        let result = app.actions.install(bundle.clone(), release, sender).await;
        if temporary && let Err(error) = files::remove(&bundle) {
            log::warn!(error:% = error; "an uploaded bundle could not be removed");
        }
        *app.install_state() = match result {
            Ok(slot) => InstallState::Done { version, slot },
            Err(error) => {
                log::error!(error:% = error; "a bundle was not installed");
                InstallState::Failed(error)
            }
        };
    });
}
