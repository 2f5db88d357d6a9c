//! What a profile says about decoders.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::media::frame::Size;

/// Below that not even the libraries fit.
const LEAST_MEMORY_MIB: u64 = 96;
/// Device nodes that decoding hardware has. No profile opens others to a process that reads strangers' files.
const DEVICES: &[&str] = &[
    "/dev/video",
    "/dev/media",
    "/dev/dri/renderD",
    "/dev/dma_heap/",
];

/// How decoders are started and what they may open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecoderProfile {
    /// Private memory of each.
    #[serde(rename = "memory_mib")]
    memory: Memory,
    /// Device nodes; `*` at the end stands for any ending.
    #[serde(default)]
    pub devices: Vec<Nodes>,
    /// What drivers read to know their hardware.
    #[serde(default)]
    pub readable: Vec<Readable>,
    /// What is tried first, in this order; software follows by itself.
    #[serde(default)]
    pub preferred: Vec<Preferred>,
}

impl DecoderProfile {
    /// In software, with so much memory.
    pub fn software(memory_mib: u64) -> Result<Self, String> {
        Ok(Self {
            memory: memory_mib.try_into()?,
            devices: Vec::new(),
            readable: Vec::new(),
            preferred: Vec::new(),
        })
    }

    pub const fn memory_bytes(&self) -> u64 {
        self.memory.0 * 1024 * 1024
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
struct Memory(u64);

impl TryFrom<u64> for Memory {
    type Error = String;

    fn try_from(mib: u64) -> Result<Self, String> {
        if (LEAST_MEMORY_MIB..=65_536).contains(&mib) {
            return Ok(Self(mib));
        }
        Err(format!(
            "memory_mib is {mib}, and has to be {LEAST_MEMORY_MIB} to 65536"
        ))
    }
}

impl From<Memory> for u64 {
    fn from(memory: Memory) -> Self {
        memory.0
    }
}

/// An element that decodes well here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preferred {
    pub codec: Codec,
    pub element: Element,
    /// In either direction.
    #[serde(default, with = "largest")]
    pub largest: Option<Size>,
    pub frames_a_second: Option<std::num::NonZeroU32>,
}

impl Preferred {
    /// Whether it is up to a film; what the file does not say is no hindrance.
    pub fn takes(&self, size: Option<(u32, u32)>, frames_a_second: Option<u32>) -> bool {
        let fits = |(width, height): (u32, u32)| {
            self.largest.is_none_or(|largest| {
                let (long, short) = (width.max(height), width.min(height));
                let (wide, high) = (largest.width(), largest.height());
                long <= wide.max(high) && short <= wide.min(high)
            })
        };
        let is_slow = |rate: u32| self.frames_a_second.is_none_or(|most| rate <= most.get());
        size.is_none_or(fits) && frames_a_second.is_none_or(is_slow)
    }
}

/// Of films.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    H264,
    Hevc,
    Vp8,
    Vp9,
    Av1,
}

impl Codec {
    /// By GStreamer's name for it.
    pub fn of_media_type(name: &str) -> Option<Self> {
        match name {
            "video/x-h264" => Some(Self::H264),
            "video/x-h265" => Some(Self::Hevc),
            "video/x-vp8" => Some(Self::Vp8),
            "video/x-vp9" => Some(Self::Vp9),
            "video/x-av1" => Some(Self::Av1),
            _ => None,
        }
    }
}

macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $what:literal, $is_fine:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                let is_fine: fn(&str) -> bool = $is_fine;
                if is_fine(&text) {
                    return Ok(Self(text));
                }
                Err(format!("`{text}` is no {}", $what))
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}

checked_text!(
    /// The name of a GStreamer element.
    Element,
    "name of an element",
    |text| {
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
        !text.is_empty() && text.len() <= 64 && text.bytes().all(is_plain)
    }
);

checked_text!(
    /// One device node, or those that begin alike.
    Nodes,
    "device node of decoding hardware (/dev/video*, /dev/media*, /dev/dri/renderD*, /dev/dma_heap/*)",
    |text| {
        let name = text.strip_suffix('*').unwrap_or(text);
        !name.contains('*') && !name.contains("..") && DEVICES.iter().any(|known| name.starts_with(known))
    }
);

checked_text!(
    /// A folder of the kernel's that says what hardware there is.
    Readable,
    "folder below /sys",
    |text| text.starts_with("/sys/") && !text.contains("..")
);

impl Nodes {
    /// Those that are there.
    pub fn present(&self) -> Vec<PathBuf> {
        let Some(begin) = self.0.strip_suffix('*') else {
            return vec![PathBuf::from(&self.0)];
        };
        let Some((folder, begin)) = begin.rsplit_once('/') else {
            return Vec::new();
        };
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(begin))
            .map(|entry| entry.path())
            .collect()
    }
}

/// `1920x1080`
mod largest {
    use serde::{Deserialize as _, Deserializer, Serializer};

    use super::Size;

    #[expect(clippy::ref_option, reason = "as serde wants it")]
    pub(super) fn serialize<S: Serializer>(size: &Option<Size>, to: S) -> Result<S::Ok, S::Error> {
        match size {
            Some(size) => to.collect_str(size),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Size>, D::Error> {
        let text = Option::<String>::deserialize(from)?;
        text.map(|text| text.parse().map_err(serde::de::Error::custom))
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_takes_films_up_to_its_size_and_rate_in_either_direction() {
        let preferred = Preferred {
            codec: Codec::H264,
            element: "v4l2h264dec".to_owned().try_into().unwrap(),
            largest: Some(Size::new(1920, 1080).unwrap()),
            frames_a_second: std::num::NonZeroU32::new(60),
        };
        let check = |size, rate, takes| assert_eq!(preferred.takes(size, rate), takes, "{size:?}");
        check(Some((1920, 1080)), Some(60), true);
        check(Some((1080, 1920)), Some(25), true);
        check(None, None, true);
        check(Some((1921, 1080)), Some(25), false);
        check(Some((3840, 2160)), None, false);
        check(Some((1280, 720)), Some(120), false);
    }
}
