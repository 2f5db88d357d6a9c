//! One thing to show: its file, for how long, and how it is fitted in.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{AssetId, Sha256};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ItemKind {
    Image,
    Video,
}

/// How a picture of another shape is fitted into the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Fit {
    /// Whole, with bars.
    #[default]
    Letterbox,
    /// Fills the screen; what does not fit is cut off.
    Cover,
    /// Fills the screen; its shape changes.
    Stretch,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TransitionKind {
    #[default]
    Cut,
    Crossfade,
}

/// From the item before to this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Transition {
    pub kind: TransitionKind,
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(range(max = 10_000)))]
    pub duration_ms: u32,
}

/// One thing to show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", try_from = "ItemShape", into = "ItemShape")]
pub struct Item {
    pub asset_id: AssetId,
    pub kind: ItemKind,
    /// `http` or `https`.
    pub url: String,
    pub checksum_sha256: Sha256,
    /// How long an image stays; a video plays to its end.
    pub duration_seconds: u32,
    pub width_px: u32,
    pub height_px: u32,
    pub file_size_bytes: u64,
    pub fit: Fit,
    pub transition: Transition,
    /// 0 to 100; 0 is silent.
    pub volume_percent: u8,
}

/// The fields by their names on the wire.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct ItemShape {
    asset_id: AssetId,
    #[serde(rename = "type")]
    kind: ItemKind,
    url: String,
    checksum_sha256: Sha256,
    #[serde(default)]
    duration_seconds: u32,
    width_px: u32,
    height_px: u32,
    file_size_bytes: u64,
    #[serde(default)]
    fit: Fit,
    #[serde(default)]
    transition: Transition,
    #[serde(default = "full_volume")]
    volume_percent: u8,
}

const fn full_volume() -> u8 {
    100
}

impl TryFrom<ItemShape> for Item {
    type Error = String;

    fn try_from(shape: ItemShape) -> Result<Self, Self::Error> {
        let within = |field: &str, value: u64, low: u64, high: u64| {
            if (low..=high).contains(&value) {
                Ok(())
            } else {
                Err(format!("`{field}` is {value}, not within {low} and {high}"))
            }
        };
        if !(shape.url.starts_with("https://") || shape.url.starts_with("http://")) {
            return Err("`url` is neither http nor https".to_owned());
        }
        within("widthPx", shape.width_px.into(), 1, 16_384)?;
        within("heightPx", shape.height_px.into(), 1, 16_384)?;
        within("fileSizeBytes", shape.file_size_bytes, 1, 1 << 40)?;
        within("volumePercent", shape.volume_percent.into(), 0, 100)?;
        within(
            "transition.durationMs",
            shape.transition.duration_ms.into(),
            0,
            10_000,
        )?;
        let shortest = u64::from(shape.kind == ItemKind::Image);
        within(
            "durationSeconds",
            shape.duration_seconds.into(),
            shortest,
            86_400,
        )?;
        Ok(Self {
            asset_id: shape.asset_id,
            kind: shape.kind,
            url: shape.url,
            checksum_sha256: shape.checksum_sha256,
            duration_seconds: shape.duration_seconds,
            width_px: shape.width_px,
            height_px: shape.height_px,
            file_size_bytes: shape.file_size_bytes,
            fit: shape.fit,
            transition: shape.transition,
            volume_percent: shape.volume_percent,
        })
    }
}

impl From<Item> for ItemShape {
    fn from(item: Item) -> Self {
        Self {
            asset_id: item.asset_id,
            kind: item.kind,
            url: item.url,
            checksum_sha256: item.checksum_sha256,
            duration_seconds: item.duration_seconds,
            width_px: item.width_px,
            height_px: item.height_px,
            file_size_bytes: item.file_size_bytes,
            fit: item.fit,
            transition: item.transition,
            volume_percent: item.volume_percent,
        }
    }
}

/// Reads one item; what is wrong is named.
pub(super) fn read_item(value: Value) -> Result<Item, String> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let field = error.path().to_string();
        match error.into_inner() {
            // Of the whole item; the message names the field itself.
            inner if field == "." => inner.to_string(),
            inner => format!("`{field}`: {inner}"),
        }
    })
}
