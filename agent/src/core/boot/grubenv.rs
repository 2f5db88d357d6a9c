//! GRUB's environment block: exactly 1024 bytes of `name=value` lines, padded with `#`.
//!
//! As GRUB reads it (grub-core/lib/envblk.c): the signature line first, then variables, each ended by
//! a newline; in a value a backslash escapes the next character. GRUB cannot grow the file, so its
//! size never changes. Order and unknown variables are kept.

pub const SIZE_BYTES: usize = 1024;
const SIGNATURE: &str = "# GRUB Environment Block\n";

/// Why a block cannot be read or written. A block that cannot be read is to be rewritten whole from
/// what is booted: [`super::BootEnv::committed_to`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrubEnvError {
    #[error("the boot environment is {found} bytes, GRUB's blocks are {SIZE_BYTES}")]
    Size { found: usize },
    #[error("the boot environment does not begin with GRUB's signature")]
    Signature,
    #[error("the boot environment is damaged at byte {at}: {reason}")]
    Damaged { at: usize, reason: &'static str },
    #[error("`{name}` is no variable name")]
    Name { name: String },
    #[error("the variables need {needed} bytes, GRUB's block has {SIZE_BYTES}")]
    Full { needed: usize },
}

/// The variables of a block, in its order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GrubEnv {
    variables: Vec<(String, String)>,
}

impl GrubEnv {
    /// # Errors
    /// When GRUB would not read it, or would read something else than was written.
    pub fn parse(block: &[u8]) -> Result<Self, GrubEnvError> {
        if block.len() != SIZE_BYTES {
            return Err(GrubEnvError::Size { found: block.len() });
        }
        if !block.starts_with(SIGNATURE.as_bytes()) {
            return Err(GrubEnvError::Signature);
        }
        let mut env = Self::default();
        let mut at = SIGNATURE.len();
        while at < block.len() {
            let line = read_line(block, at)?;
            at = line.next;
            if let Some((name, value)) = line.variable {
                if env.get(&name).is_some() {
                    return Err(damaged(line.start, "a variable is set twice"));
                }
                env.variables.push((name, value));
            }
        }
        Ok(env)
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.variables.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }

    pub fn set(&mut self, name: &str, value: &str) {
        match self.variables.iter_mut().find(|(n, _)| n == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.variables.push((name.to_owned(), value.to_owned())),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables.iter().map(|(n, v)| (n.as_str(), v.as_str()))
    }

    /// The 1024 bytes.
    ///
    /// # Errors
    /// When a name is none, or it is too much for one block.
    pub fn to_block(&self) -> Result<Vec<u8>, GrubEnvError> {
        let mut block = SIGNATURE.as_bytes().to_vec();
        for (name, value) in &self.variables {
            if name.is_empty() || name.starts_with('#') || name.contains(['=', '\n', '\\']) {
                return Err(GrubEnvError::Name { name: name.clone() });
            }
            block.extend_from_slice(name.as_bytes());
            block.push(b'=');
            for byte in value.bytes() {
                if matches!(byte, b'\\' | b'\n') {
                    block.push(b'\\');
                }
                block.push(byte);
            }
            block.push(b'\n');
        }
        if block.len() > SIZE_BYTES {
            return Err(GrubEnvError::Full {
                needed: block.len(),
            });
        }
        block.resize(SIZE_BYTES, b'#');
        Ok(block)
    }
}

struct Line {
    start: usize,
    next: usize,
    variable: Option<(String, String)>,
}

fn damaged(at: usize, reason: &'static str) -> GrubEnvError {
    GrubEnvError::Damaged { at, reason }
}

fn read_line(block: &[u8], start: usize) -> Result<Line, GrubEnvError> {
    if block[start] == b'#' {
        let length = block[start..].iter().position(|&b| b == b'\n');
        return Ok(Line {
            start,
            next: length.map_or(block.len(), |length| start + length + 1),
            variable: None,
        });
    }
    let mut at = start;
    let mut name = Vec::new();
    loop {
        match block.get(at) {
            None | Some(b'\n') => return Err(damaged(start, "a line without `=`")),
            Some(b'=') => break,
            Some(0) => return Err(damaged(at, "a zero byte")),
            Some(&byte) => name.push(byte),
        }
        at += 1;
    }
    let mut value = Vec::new();
    loop {
        at += 1;
        match block.get(at) {
            None => return Err(damaged(start, "a value without its end")),
            Some(b'\n') => break,
            Some(0) => return Err(damaged(at, "a zero byte")),
            Some(b'\\') => {
                at += 1;
                match block.get(at) {
                    None => return Err(damaged(start, "a value without its end")),
                    Some(0) => return Err(damaged(at, "a zero byte")),
                    Some(&escaped) => value.push(escaped),
                }
            }
            Some(&byte) => value.push(byte),
        }
    }
    let text = |bytes| String::from_utf8(bytes).map_err(|_| damaged(start, "not UTF-8"));
    let name = text(name)?;
    if name.is_empty() || name.contains('\\') {
        return Err(damaged(start, "no variable name"));
    }
    Ok(Line {
        start,
        next: at + 1,
        variable: Some((name, text(value)?)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn block(body: &str) -> Vec<u8> {
        let mut block = format!("{SIGNATURE}{body}").into_bytes();
        block.resize(SIZE_BYTES, b'#');
        block
    }

    #[test]
    fn a_zero_byte_is_damage_even_behind_a_backslash() {
        let found = GrubEnv::parse(&block("ORDER=A\\\0\n"));
        assert!(
            matches!(found, Err(GrubEnvError::Damaged { .. })),
            "{found:?}"
        );
    }

    #[test]
    fn what_grub_editenv_writes_is_read() {
        let text = "# WARNING: Do not edit this file by tools other than grub-editenv!!!\n\
                    ORDER=A B\nA_OK=1\nnote=two\\\nlines\\\\\n";
        let env = GrubEnv::parse(&block(text)).unwrap();
        assert_eq!(env.get("ORDER"), Some("A B"));
        assert_eq!(env.get("A_OK"), Some("1"));
        assert_eq!(env.get("note"), Some("two\nlines\\"));
        assert_eq!(env.get("B_OK"), None);
    }

    #[test]
    fn a_damaged_block_says_how() {
        let check = |bytes: &[u8], expected: &str| {
            let error = GrubEnv::parse(bytes).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(&[], "0 bytes");
        check(&block("")[..1000], "1000 bytes");
        check(&[0; SIZE_BYTES], "signature");
        check(&block("ORDER=A\0B\n"), "zero byte");
        check(&block("ORDER\n"), "without `=`");
        check(&block("A_OK=1\nA_OK=0\n"), "twice");
        check(&block("ORDER=A B"), "without its end");
    }

    #[test]
    fn too_much_for_one_block_is_an_error() {
        let mut env = GrubEnv::default();
        env.set("x", &"y".repeat(2_000));
        assert!(matches!(env.to_block(), Err(GrubEnvError::Full { .. })));
    }

    proptest! {
        #[test]
        fn a_written_block_reads_back(
            pairs in prop::collection::btree_map("[A-Za-z_]{1,12}", "[^\u{0}]{0,20}", 0..12)
        ) {
            let mut env = GrubEnv::default();
            for (name, value) in &pairs {
                env.set(name, value);
            }
            let block = env.to_block().unwrap();
            prop_assert_eq!(block.len(), SIZE_BYTES);
            prop_assert_eq!(GrubEnv::parse(&block).unwrap(), env);
        }

        #[test]
        fn no_bytes_make_it_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..1_100)) {
            let _ = GrubEnv::parse(&bytes);
            bytes.splice(0..0, SIGNATURE.bytes());
            bytes.resize(SIZE_BYTES, b'#');
            let parsed = GrubEnv::parse(&bytes);
            if let Some((env, block)) = parsed.ok().and_then(|env| Some((env.clone(), env.to_block().ok()?))) {
                prop_assert_eq!(GrubEnv::parse(&block).unwrap(), env);
            }
        }
    }
}
