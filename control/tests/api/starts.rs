//! What an administrator sees when `fleet-control` can't start.

use std::path::Path;
use std::process::{Command, Output};

use crate::world::World;

#[expect(clippy::disallowed_methods, reason = "a test starts programs")]
fn serve(data: &Path, listen: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fleet-control"));
    command.args(["serve", "--listen", listen, "--data"]);
    command.arg(data).output().unwrap()
}

#[track_caller]
fn fails(output: &Output, what: &str, hint: &str) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let (message, next) = text.split_once("Hint: ").unwrap_or((&text, ""));
    assert!(message.contains(what), "{text}");
    assert!(next.contains(hint), "{text}");
}

#[test]
fn what_keeps_the_control_plane_from_starting_comes_with_a_hint() {
    const FREE: &str = "127.0.0.1:0";
    let world = World::new();
    let taken = world.running().address.to_string();
    fails(
        &serve(world.data.path(), FREE),
        "in use by another",
        "--data",
    );

    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::write(&data, "a file").unwrap();
    fails(&serve(&data, FREE), "make the folder", "--data");
    std::fs::remove_file(&data).unwrap();
    fails(&serve(&data, &taken), "listen on", "--listen");

    let pki = data.join("pki");
    std::fs::remove_file(pki.join("ca.key.pem")).unwrap();
    fails(&serve(&data, FREE), "ca.key.pem is missing", "backup");
    std::fs::remove_dir_all(&pki).unwrap();
    std::fs::write(data.join("fleet.db"), "no database at all").unwrap();
    fails(&serve(&data, FREE), "database", "backup");
}
