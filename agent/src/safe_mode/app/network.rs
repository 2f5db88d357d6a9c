//! Forms that change the network: settings are tried, then kept or undone.
//!
//! Whatever goes wrong on the way, the settings from before are in force again: a device that cannot be
//! reached any more cannot be told to go back.

use axum::extract::{Form, State};
use axum::http::HeaderMap;
use axum::response::Response;
use fleet_device::clock;
use serde::Deserialize;

use super::{App, PlainForm, Shared};
use crate::safe_mode::actions::{ActionError, Actions};
use crate::safe_mode::network::{self, NetworkForm};
use crate::safe_mode::pages::{self, Outcome};

#[derive(Deserialize)]
pub(super) struct SetNetworkForm {
    token: String,
    #[serde(flatten)]
    network: NetworkForm,
}

pub(super) async fn set<A: Actions>(
    State(app): Shared<A>,
    headers: HeaderMap,
    Form(form): Form<SetNetworkForm>,
) -> Result<Response, Response> {
    app.check(&headers, &form.token)?;
    Ok(pages::outcome(app.try_network(&form.network).await))
}

impl<A: Actions> App<A> {
    async fn try_network(&self, form: &NetworkForm) -> Result<Outcome, ActionError> {
        let names: Vec<String> = network::interfaces(&self.paths)
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        let settings = form.parse(&names).map_err(|e| {
            ActionError::new(&e, "go back and correct that field; nothing was changed")
        })?;
        network::begin(&self.paths, &settings, clock::monotonic())
            .map_err(|e| ActionError::new(&e, e.hint()))?;
        if let Err(error) = self.actions.reload_network(settings.interface()).await {
            self.undo().await?;
            return Err(error);
        }
        Ok(Outcome::new(
            "The new settings are in force",
            format!(
                "If the device is not told to keep them within {} minutes, it goes back to the old ones. \
                 Its address may have changed: look at its screen, open the page there, give the PIN and \
                 choose “Keep”.",
                network::TRIAL_S / 60
            ),
        ))
    }

    /// Back to the settings before; nothing on trial is no error.
    pub(in crate::safe_mode) async fn undo(&self) -> Result<(), ActionError> {
        let Some(trial) = network::trial(&self.paths) else {
            return Ok(());
        };
        network::undo(&self.paths).map_err(|e| ActionError::new(&e, e.hint()))?;
        self.actions.reload_network(&trial.interface).await
    }
}

pub(super) async fn keep<A: Actions>(
    State(app): Shared<A>,
    headers: HeaderMap,
    Form(form): Form<PlainForm>,
) -> Result<Response, Response> {
    app.check(&headers, &form.token)?;
    let kept = match network::keep(&app.paths) {
        Ok(true) => Ok(Outcome::new(
            "Kept",
            "The network settings stay as they are now.",
        )),
        Ok(false) => Err(ActionError::new(
            "no settings are on trial any more",
            "set them again",
        )),
        Err(error) => Err(ActionError::new(
            format!("in force until the next restart only: {error}"),
            error.hint(),
        )),
    };
    Ok(pages::outcome(kept))
}

pub(super) async fn undo<A: Actions>(
    State(app): Shared<A>,
    headers: HeaderMap,
    Form(form): Form<PlainForm>,
) -> Result<Response, Response> {
    app.check(&headers, &form.token)?;
    let done = app.undo().await;
    Ok(pages::outcome(done.map(|()| {
        Outcome::new("Undone", "The old network settings are back.")
    })))
}
