//! The keys in force in safe mode, as the agent left them: whatever it trusts, safe mode trusts, and no
//! more. Nothing is rotated here, because no new key set arrives while the agent does not run.

use fleet_protocol::trust::{Envelope, TrustedKeys};

use super::actions::ActionError;
use crate::platform::paths::Paths;
use crate::platform::{booted, files};

/// The key set of the image, and its successors as far as the agent had got.
///
/// # Errors
/// Only without the image's own: successors that are lost or damaged leave an older set in force.
pub(super) fn trusted_keys(paths: &Paths) -> Result<TrustedKeys, ActionError> {
    let hint = "the image is incomplete; flash the device anew";
    let path = paths.key_set_file();
    let bytes = files::read_limited(&path, 256 * 1024)
        .map_err(|e| ActionError::new(e, hint))?
        .ok_or_else(|| ActionError::new(format!("{} is missing", path.display()), hint))?;
    let envelope: Envelope = serde_json::from_slice(&bytes)
        .map_err(|e| ActionError::new(format!("{}: {e}", path.display()), hint))?;
    let mut keys = TrustedKeys::from_image(&envelope)
        .map_err(|e| ActionError::new(format!("{}: {e}", path.display()), hint))?;
    let chain: Vec<Envelope> =
        booted::read_state(&paths.state().join("key-sets.json")).unwrap_or_default();
    for envelope in &chain {
        // Each was checked before it was stored; one that does not follow is not ours.
        if let Ok(next) = keys.rotate(envelope) {
            keys = next;
        }
    }
    Ok(keys)
}
