//! The desktop that a machine's window opens on: X11 or Wayland, as this process's environment names it.
//!
//! What a program in the tools tree needs of it is one socket and one file, both outside the tree.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

/// X11 by `DISPLAY`, Wayland by `WAYLAND_DISPLAY`, or both; then GTK chooses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desktop {
    /// To be seen inside the tree where they are outside.
    files: Vec<PathBuf>,
}

impl Desktop {
    /// The one that this program was started on.
    ///
    /// # Errors
    /// When it was started on none.
    pub fn of_this_session() -> Result<Self> {
        Self::named_by(|name| env::var_os(name))
    }

    fn named_by(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let (x11, wayland) = (set("DISPLAY"), set("WAYLAND_DISPLAY"));
        if x11.is_none() && wayland.is_none() {
            bail!(
                "there is no desktop to open a window on: neither DISPLAY nor WAYLAND_DISPLAY is set\n\
                 hint: start it from a terminal on a desktop, or by `ssh -X`; without --display the screen is \
                 photographed to target/fleet/demo/screen.png"
            );
        }
        let mut files = Vec::new();
        if x11.is_some() {
            // Its socket is in /tmp, which is the same in the tree.
            let key = set("XAUTHORITY").map(PathBuf::from);
            files.extend(key.or_else(|| Some(PathBuf::from(set("HOME")?).join(".Xauthority"))));
        }
        if let Some(socket) = wayland {
            let socket = PathBuf::from(socket);
            if socket.is_absolute() {
                files.push(socket);
            } else if let Some(dir) = set("XDG_RUNTIME_DIR") {
                files.push(PathBuf::from(dir).join(socket));
            }
        }
        Ok(Self { files })
    }

    /// Options for bubblewrap. What is not there is left out, and the window's own error tells.
    pub(crate) fn bind(&self, bwrap: &mut Command) {
        for file in &self.files {
            bwrap.arg("--ro-bind-try").arg(file).arg(file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(variables: &[(&str, &str)]) -> Result<Vec<String>> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        };
        let desktop = Desktop::named_by(variable)?;
        let files = desktop.files.iter();
        Ok(files.map(|file| file.display().to_string()).collect())
    }

    #[test]
    fn without_a_desktop_it_is_said_what_to_do() {
        for nothing in [&[][..], &[("DISPLAY", ""), ("HOME", "/root")]] {
            let error = files(nothing).unwrap_err().to_string();
            assert!(error.contains("hint: "), "{error}");
        }
    }

    #[test]
    fn x11_wants_the_key_that_the_session_names_or_the_one_at_home() {
        let home = ("HOME", "/srv/ada");
        let at_home = files(&[("DISPLAY", ":0"), home]).unwrap();
        assert_eq!(at_home, ["/srv/ada/.Xauthority"]);
        let key = ("XAUTHORITY", "/run/user/1000/key");
        let named = files(&[("DISPLAY", ":0"), home, key]).unwrap();
        assert_eq!(named, ["/run/user/1000/key"]);
    }

    #[test]
    fn wayland_wants_its_socket_in_the_runtime_folder_or_anywhere() {
        let runtime = ("XDG_RUNTIME_DIR", "/run/user/1000");
        let usual = files(&[("WAYLAND_DISPLAY", "wayland-0"), runtime]).unwrap();
        assert_eq!(usual, ["/run/user/1000/wayland-0"]);
        let elsewhere = files(&[("WAYLAND_DISPLAY", "/tmp/socket"), runtime]).unwrap();
        assert_eq!(elsewhere, ["/tmp/socket"]);
    }
}
