//! Identifiers as types, so that a device's id cannot be passed where a rollout's is meant.

use serde::{Deserialize, Serialize};

/// Why a text is no identifier of the kind that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no {kind}: expected {expected}")]
pub struct ParseIdError {
    pub kind: &'static str,
    pub expected: &'static str,
    pub text: String,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $expected:literal, $pattern:literal, $accepts:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(
            feature = "schema",
            derive(schemars::JsonSchema),
            schemars(with = "String", extend("pattern" = $pattern))
        )]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let accepts: fn(&str) -> bool = $accepts;
                if accepts(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(ParseIdError {
                        kind: $kind,
                        expected: $expected,
                        text: text.chars().take(80).collect(),
                    })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseIdError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

fn prefixed(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|rest| {
        (1..=60).contains(&rest.len())
            && rest
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'))
    })
}

fn word(text: &str, extra: &[u8]) -> bool {
    (1..=100).contains(&text.len())
        && text
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || extra.contains(&b))
}

fn visible(text: &str) -> bool {
    (1..=100).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

text_id!(
    /// A customer organisation: `ten_…`.
    TenantId, "tenant id", "`ten_` and up to 60 of a-z, 0-9, - and _",
    "^ten_[a-z0-9_-]{1,60}$", |t| prefixed(t, "ten_")
);
text_id!(
    /// A device: `dev_…`, derived by the control plane from the device's public key.
    DeviceId, "device id", "`dev_` and up to 60 of a-z, 0-9, - and _",
    "^dev_[a-z0-9_-]{1,60}$", |t| prefixed(t, "dev_")
);
text_id!(
    /// One rollout of one release: `rol_…`.
    RolloutId, "rollout id", "`rol_` and up to 60 of a-z, 0-9, - and _",
    "^rol_[a-z0-9_-]{1,60}$", |t| prefixed(t, "rol_")
);
text_id!(
    /// One command to one device: `cmd_…`; its effect happens once.
    CommandId, "command id", "`cmd_` and up to 60 of a-z, 0-9, - and _",
    "^cmd_[a-z0-9_-]{1,60}$", |t| prefixed(t, "cmd_")
);
text_id!(
    /// One event on a device: `evt_…`; the control plane drops what it already has.
    EventId, "event id", "`evt_` and up to 60 of a-z, 0-9, - and _",
    "^evt_[a-z0-9_-]{1,60}$", |t| prefixed(t, "evt_")
);
text_id!(
    /// One batch of rows from a player: `bat_…`; the receiver drops one that it already has.
    BatchId, "batch id", "`bat_` and up to 60 of a-z, 0-9, - and _",
    "^bat_[a-z0-9_-]{1,60}$", |t| prefixed(t, "bat_")
);
text_id!(
    /// An enrolment token's public name: `tok_…`; the secret itself is never shown again.
    TokenId, "token id", "`tok_` and up to 60 of a-z, 0-9, - and _",
    "^tok_[a-z0-9_-]{1,60}$", |t| prefixed(t, "tok_")
);
text_id!(
    /// A picture or film; on a device also the name of its file.
    AssetId, "asset id", "1 to 100 of letters, digits, - and _, not beginning with - or _",
    "^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$", |t| word(t, b"-_")
);
text_id!(
    /// A playlist, by whichever name its control plane gave it.
    PlaylistId, "playlist id", "1 to 100 visible ASCII characters", "^[!-~]{1,100}$", visible
);
text_id!(
    /// One place in a playlist: `pli_…`; it keeps its id when it is moved.
    PlaylistItemId, "playlist item id", "`pli_` and up to 60 of a-z, 0-9, - and _",
    "^pli_[a-z0-9_-]{1,60}$", |t| prefixed(t, "pli_")
);
text_id!(
    /// One upload of one file: `upl_…`.
    UploadId, "upload id", "`upl_` and up to 60 of a-z, 0-9, - and _",
    "^upl_[a-z0-9_-]{1,60}$", |t| prefixed(t, "upl_")
);
text_id!(
    /// A place with screens: `ven_…`.
    VenueId, "venue id", "`ven_` and up to 60 of a-z, 0-9, - and _",
    "^ven_[a-z0-9_-]{1,60}$", |t| prefixed(t, "ven_")
);
text_id!(
    /// What goes before the schedule for a while: `ovr_…`.
    OverrideId, "override id", "`ovr_` and up to 60 of a-z, 0-9, - and _",
    "^ovr_[a-z0-9_-]{1,60}$", |t| prefixed(t, "ovr_")
);
text_id!(
    /// A slot of a schedule; not a slot of the system, which is [`crate::update::Slot`].
    SlotId, "slot id", "1 to 100 visible ASCII characters", "^[!-~]{1,100}$", visible
);
text_id!(
    /// Whom a schedule's slot is for: a device's id or a group's. Wider than [`DeviceId`], since it is
    /// only ever compared, and a schedule may be drawn up for screens that have not been enrolled yet.
    TargetId, "target id", "1 to 100 visible ASCII characters", "^[!-~]{1,100}$", visible
);
text_id!(
    /// What RAUC calls the *compatible*: which hardware and distribution a bundle is made for.
    Compatible, "compatible", "1 to 100 letters, digits, -, _ and .",
    "^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$", |t| word(t, b"-_.")
);
text_id!(
    /// A person who logs in: `usr_…`.
    UserId, "user id", "`usr_` and up to 60 of a-z, 0-9, - and _",
    "^usr_[a-z0-9_-]{1,60}$", |t| prefixed(t, "usr_")
);
text_id!(
    /// One login, from its first token to its end: `ses_…`.
    SessionId, "session id", "`ses_` and up to 60 of a-z, 0-9, - and _",
    "^ses_[a-z0-9_-]{1,60}$", |t| prefixed(t, "ses_")
);
text_id!(
    /// A program's key: `key_…`.
    ApiKeyId, "API key id", "`key_` and up to 60 of a-z, 0-9, - and _",
    "^key_[a-z0-9_-]{1,60}$", |t| prefixed(t, "key_")
);
text_id!(
    /// Something that is wrong somewhere, from when it was noticed until it is over: `alt_…`.
    AlertId, "alert id", "`alt_` and up to 60 of a-z, 0-9, - and _",
    "^alt_[a-z0-9_-]{1,60}$", |t| prefixed(t, "alt_")
);
text_id!(
    /// An address that is told of alerts: `whk_…`.
    WebhookId, "webhook id", "`whk_` and up to 60 of a-z, 0-9, - and _",
    "^whk_[a-z0-9_-]{1,60}$", |t| prefixed(t, "whk_")
);
text_id!(
    /// Somebody who is told of alerts by mail: `mrc_…`.
    MailRecipientId, "mail recipient id", "`mrc_` and up to 60 of a-z, 0-9, - and _",
    "^mrc_[a-z0-9_-]{1,60}$", |t| prefixed(t, "mrc_")
);
text_id!(
    /// One message to one webhook or mail recipient: `msg_…`. The receiver drops one that it already has.
    DeliveryId, "delivery id", "`msg_` and up to 60 of a-z, 0-9, - and _",
    "^msg_[a-z0-9_-]{1,60}$", |t| prefixed(t, "msg_")
);
text_id!(
    /// A device role, the name of a file in `roles/`.
    RoleName, "role", "1 to 100 letters, digits, - and _",
    "^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$", |t| word(t, b"-_")
);
text_id!(
    /// A systemd unit's full name, such as `fleet-player.service` (systemd.unit(5)).
    UnitName, "unit name", "a unit's full name, such as `fleet-player.service`",
    r"^[A-Za-z0-9][A-Za-z0-9:_.\\@-]{0,90}\.(service|target|socket|mount|timer|path)$",
    |t| word(t, b":-_.\\@") && t.rsplit_once('.').is_some_and(|(stem, suffix)| {
        !stem.is_empty() && matches!(suffix, "service" | "target" | "socket" | "mount" | "timer" | "path")
    })
);

/// What an override of words shows is a playlist of its own.
impl From<OverrideId> for PlaylistId {
    fn from(id: OverrideId) -> Self {
        Self(id.0)
    }
}

impl From<DeviceId> for TargetId {
    fn from(id: DeviceId) -> Self {
        Self(id.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_carries_its_kind_in_its_prefix() {
        assert!("dev_0a1b".parse::<DeviceId>().is_ok());
        let wrong = "rol_0a1b".parse::<DeviceId>().unwrap_err();
        assert_eq!(wrong.kind, "device id");
    }

    #[test]
    fn an_id_from_json_is_checked_too() {
        assert!(serde_json::from_str::<DeviceId>("\"dev_../../etc\"").is_err());
    }

    #[test]
    fn a_playlist_may_have_any_name_that_can_be_seen() {
        for good in ["pl_042", "8e2f-41", "lobby:main"] {
            assert!(good.parse::<PlaylistId>().is_ok(), "{good}");
        }
        for bad in ["", "two words", "a\nb", "caf\u{e9}", &"x".repeat(101)] {
            assert!(bad.parse::<PlaylistId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_unit_name_needs_its_suffix() {
        assert!("fleet-player.service".parse::<UnitName>().is_ok());
        for bad in ["fleet-player", ".service", "a b.service", "x.exe"] {
            assert!(bad.parse::<UnitName>().is_err(), "{bad}");
        }
    }
}
