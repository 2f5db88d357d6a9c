//! GRUB's environment block, as `grub-editenv` reads and writes it, written apart from the agent's own
//! code so that the two check each other.

use std::collections::BTreeMap;
use std::path::Path;

const HEADER: &str = "# GRUB Environment Block\n";
const SIZE: usize = 1024;

/// The variables of a block.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Variables(pub BTreeMap<String, String>);

impl Variables {
    /// # Panics
    /// When the file is no block: grub-editenv refuses it too.
    pub fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).expect("the grubenv file is there");
        let text = String::from_utf8(bytes).expect("a block is text");
        let body = text
            .strip_prefix(HEADER)
            .expect("a block begins with its header");
        let pairs = body
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split_once('='));
        Self(pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect())
    }

    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// Changes variables as `grub-editenv FILE set` does: a whole new file, renamed over the old one.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn set(path: &Path, pairs: &[(&str, &str)]) {
        let mut variables = Self::read(path);
        for (name, value) in pairs {
            variables.0.insert((*name).to_owned(), (*value).to_owned());
        }
        let mut block = HEADER.to_owned();
        for (name, value) in &variables.0 {
            block.push_str(name);
            block.push('=');
            block.push_str(value);
            block.push('\n');
        }
        let mut bytes = block.into_bytes();
        bytes.resize(SIZE, b'#');
        let new = path.with_extension("new");
        std::fs::write(&new, bytes).expect("the grubenv file can be written");
        std::fs::rename(&new, path).expect("the grubenv file can be replaced");
    }
}
