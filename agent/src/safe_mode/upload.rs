//! A bundle uploaded from a browser: the metadata first, so that a bundle which will not be installed
//! is not received either; then the bundle, hashed while it is written.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::extract::{FromRequest as _, Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use fleet_protocol::Sha256;
use fleet_protocol::trust::{BundleRef, VerifiedRelease};
use sha2::Digest as _;

use super::actions::{ActionError, Actions};
use super::app::{self, App};
use super::install::{InstallState, upload_place};
use super::pages::{self, Outcome};
use super::usb::MAX_METADATA_BYTES;

const ORDER: &str = "use the page's own form, and choose both files";

/// Fields in this order: `token`, `metadata`, `bundle`.
pub(super) async fn upload<A: Actions>(
    State(app): State<Arc<App<A>>>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let Ok(mut form) = Multipart::from_request(request, &()).await else {
        return pages::outcome(Err(ActionError::new("this is no upload", ORDER)));
    };
    let token = match field(&mut form, "token").await {
        Ok(field) => read(field, 256).await,
        Err(error) => Err(error),
    };
    let token = match &token {
        Ok(bytes) => std::str::from_utf8(bytes).unwrap_or_default(),
        Err(_) => "",
    };
    if let Err(answer) = app.check(&headers, token) {
        return answer;
    }
    pages::outcome(
        receive(&app, &mut form)
            .await
            .map(|()| Outcome::installing()),
    )
}

async fn receive<A: Actions>(app: &Arc<App<A>>, form: &mut Multipart) -> Result<(), ActionError> {
    let metadata = field(form, "metadata").await?;
    let metadata = read(
        metadata,
        usize::try_from(MAX_METADATA_BYTES).unwrap_or(usize::MAX),
    )
    .await?;
    if metadata.is_empty() {
        return Err(ActionError::new(
            "a bundle without signed release metadata is not installed",
            "choose the .release.json of this release as well",
        ));
    }
    let release: VerifiedRelease = app.actions.admit(metadata).await?;
    let expected = release.metadata().bundle.clone();
    let place = upload_place(&app.paths, expected.size_bytes)?;
    let bundle = field(form, "bundle").await?;
    app::claim(app)?;
    let mut claimed = Claimed {
        app,
        place: Some(place.clone()),
    };
    store(bundle, &place, &expected).await?;
    claimed.place = None;
    app::install(app, place, release, true);
    Ok(())
}

/// Gives the claim back when the upload ends early, or the browser goes away in the middle.
struct Claimed<'a, A> {
    app: &'a App<A>,
    place: Option<PathBuf>,
}

impl<A> Drop for Claimed<'_, A> {
    fn drop(&mut self) {
        if let Some(place) = &self.place {
            let _ = std::fs::remove_file(place);
            *self.app.install_state() = InstallState::None;
        }
    }
}

/// The form's next field, which has to be the one of that name.
///
/// # Errors
/// Also when the upload breaks off.
pub async fn field<'a>(form: &'a mut Multipart, name: &str) -> Result<Field<'a>, ActionError> {
    match form.next_field().await.map_err(|e| broken(&e))? {
        Some(field) if field.name() == Some(name) => Ok(field),
        _ => Err(ActionError::new(
            format!("the field `{name}` is missing"),
            ORDER,
        )),
    }
}

fn broken(error: &MultipartError) -> ActionError {
    ActionError::new(
        format!("the upload broke off: {error}"),
        "try again; nothing was changed",
    )
}

/// A field that is small enough to be held.
///
/// # Errors
/// When it is not, or the upload breaks off.
pub async fn read(mut field: Field<'_>, max_bytes: usize) -> Result<Vec<u8>, ActionError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(|e| broken(&e))? {
        if bytes.len() + chunk.len() > max_bytes {
            return Err(ActionError::new("that file is too large", ORDER));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// Streams into `place`; stops at the first byte beyond what the release says.
async fn store(
    mut field: Field<'_>,
    place: &Path,
    expected: &BundleRef,
) -> Result<(), ActionError> {
    let hint = "choose the bundle that belongs to the .release.json";
    let failed = |e: std::io::Error| {
        ActionError::new(
            format!("{}: {e}", place.display()),
            "put the files on a USB stick instead",
        )
    };
    if let Some(folder) = place.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut file = std::fs::File::create(place).map_err(failed)?;
    let mut digest = sha2::Sha256::new();
    let mut count = 0u64;
    while let Some(chunk) = field.chunk().await.map_err(|e| broken(&e))? {
        count += chunk.len() as u64;
        if count > expected.size_bytes {
            return Err(ActionError::new(
                "the bundle is larger than the release says",
                hint,
            ));
        }
        digest.update(&chunk);
        // Slow flash must not hold up the page: written beside the event loop.
        file = tokio::task::spawn_blocking(move || file.write_all(&chunk).map(|()| file))
            .await
            .map_err(|e| ActionError::new(e, "try again"))?
            .map_err(failed)?;
    }
    if count < expected.size_bytes {
        return Err(ActionError::new(
            "the bundle is shorter than the release says",
            hint,
        ));
    }
    if Sha256::from_bytes(digest.finalize().into()) != expected.sha256 {
        return Err(ActionError::new(
            "the bundle is not the one that the release names",
            hint,
        ));
    }
    file.sync_all().map_err(failed)
}
