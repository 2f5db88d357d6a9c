//! Nobody logs in to a device by a password: no account has one, or is open without one. Looked up in the finished root,
//! whatever packages and overlay have put there.

use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::base::clean;

const SHADOW: &str = "etc/shadow";

/// # Errors
/// When an account of the root in this tarball can be logged in to, or its accounts can't be read.
pub(super) fn check_closed(root: &Path) -> Result<()> {
    let file = File::open(root).with_context(|| format!("opening {}", root.display()))?;
    let mut root = tar::Archive::new(BufReader::with_capacity(1 << 20, file));
    let mut shadow = None;
    for entry in root.entries().context("reading the root tarball")? {
        let mut entry = entry.context("reading the root tarball")?;
        if clean(&entry.path()?) == Path::new(SHADOW) {
            let text = shadow.insert(String::new());
            entry
                .read_to_string(text)
                .context("reading the root's accounts")?;
        }
    }
    let shadow = shadow.with_context(|| format!("the root has no /{SHADOW}"))?;
    let open = open_accounts(&shadow)?;
    ensure!(
        open.is_empty(),
        "the root lets {} log in\nhint: lock the account: its second field in /{SHADOW} has to begin with `!` or `*`",
        open.join(", ")
    );
    Ok(())
}

/// By shadow(5): what begins with `!` or `*` is no password's hash, and an empty field asks for none.
fn open_accounts(shadow: &str) -> Result<Vec<&str>> {
    let mut open = Vec::new();
    for line in shadow.lines() {
        let mut fields = line.split(':');
        let (Some(name), Some(password)) = (fields.next(), fields.next()) else {
            bail!("/{SHADOW} has a line that is none: {line:?}");
        };
        if !password.starts_with(['!', '*']) {
            open.push(name);
        }
    }
    Ok(open)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_closed_only_when_no_password_opens_it() {
        let shadow = "root:*:20000:0:99999:7:::\nfleet:!:20000::::::\nnologin:!*:20000::::::\n";
        assert_eq!(open_accounts(shadow).unwrap(), Vec::<&str>::new());
        let shadow = "root::20000:0:99999:7:::\nadmin:$y$j9T$x:20000::::::\nold:x:1::::::\n";
        assert_eq!(open_accounts(shadow).unwrap(), ["root", "admin", "old"]);
        assert!(open_accounts("root").is_err());
    }
}
