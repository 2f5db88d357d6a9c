//! From the agent to the player, which has the screen: what to show when there is no content, or instead of it.

use serde::{Deserialize, Serialize};

use super::Card;

/// The agent's file in its runtime folder.
pub const NOTICE_FILE: &str = "card.json";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notice {
    pub card: Card,
    /// Instead of content, as when somebody asks which device this is. Otherwise only while there is none.
    pub over_content: bool,
    /// Another number than before: there may be another manifest, or a command to the player.
    #[serde(default)]
    pub content_wakes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_read_as_it_was_written() {
        let notice = Notice {
            card: Card::Identify {
                device: "dev_1".to_owned(),
                version: "1.2.3".to_owned(),
                addresses: vec!["192.0.2.7".to_owned()],
                url: None,
            },
            over_content: true,
            content_wakes: 7,
        };
        let text = serde_json::to_string(&notice).unwrap();
        assert!(text.contains(r#""kind":"identify""#), "{text}");
        assert_eq!(serde_json::from_str::<Notice>(&text).unwrap(), notice);
    }
}
