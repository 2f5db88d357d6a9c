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

#[expect(clippy::disallowed_methods, reason = "a test starts programs")]
fn check(data: &Path, database: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fleet-control"));
    command.args(["check", "--listen", "127.0.0.1:0", "--data"]);
    command.arg(data).env("FLEET_DATABASE_URL", database);
    command.output().unwrap()
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

#[expect(clippy::disallowed_methods, reason = "a test starts programs")]
fn tenant(world: &World, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fleet-control"));
    command.arg("tenant").args(args);
    command.arg("--data").arg(world.data.path());
    if let Some(database) = world.database_url() {
        command.env("FLEET_DATABASE_URL", database);
    }
    command.output().unwrap()
}

#[test]
fn a_tenant_is_made_beside_the_running_server_and_shut_out_at_once() {
    let world = World::new();
    let made = tenant(&world, &["create", "Pub & Sons", "--json"]);
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let made: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    let link = made["invitation"]["link"].as_str().unwrap();
    let base = world.url("/join?token=");
    let token = link.strip_prefix(&base).unwrap();
    let accept = serde_json::json!({
        "token": token, "password": crate::world::PASSWORD, "email": "anna@example.com", "displayName": "Anna",
    });
    world
        .anyone(
            "POST",
            "/v1/auth/accept",
            &[],
            accept.to_string().as_bytes(),
        )
        .ok();
    let tokens = world.session("anna");
    let me = world.sees(&tokens, "/v1/me").ok();
    assert_eq!(me["tenantId"], made["tenantId"]);
    assert_eq!(
        world.sees(&tokens, "/v1/devices").ok()["items"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
    let id = made["tenantId"].as_str().unwrap();
    assert!(tenant(&world, &["disable", id]).status.success());
    world
        .sees(&tokens, "/v1/me")
        .refused(401, "UNAUTHENTICATED");
    world.refresh(&tokens).refused(401, "UNAUTHENTICATED");
    assert!(tenant(&world, &["enable", id]).status.success());
    world.sees(&tokens, "/v1/me").ok();
    let listed = String::from_utf8(tenant(&world, &["list"]).stdout).unwrap();
    assert!(
        listed.contains("Pub & Sons") && listed.contains("1 users"),
        "{listed}"
    );
    assert!(!tenant(&world, &["disable", "ten_none"]).status.success());
}

#[test]
fn a_database_that_cannot_be_used_comes_with_a_hint_and_without_its_password() {
    let folder = tempfile::tempdir().unwrap();
    let none = check(folder.path(), "mysql://fleet:secret@db/fleet");
    let text = String::from_utf8_lossy(&none.stderr);
    assert!(text.contains("is no postgres://"), "{text}");
    let gone = "postgres://fleet:secret@%2Fnowhere/fleet";
    let gone = check(folder.path(), gone);
    fails(&gone, "reach the database postgres://fleet@", "psql");
    for output in [none, gone] {
        assert!(!String::from_utf8_lossy(&output.stderr).contains("secret"));
    }
    assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none());
}

#[test]
fn what_postgresql_refuses_comes_with_a_hint() {
    let world = World::new();
    let Some(database) = world.database_url() else {
        return;
    };
    let data = world.data.path();
    assert!(check(data, &database).status.success());
    let (server, _) = database.rsplit_once('/').unwrap();
    let missing = check(data, &format!("{server}/fleet_that_is_not_there"));
    fails(&missing, "does not exist", "createdb");
    let schema = check(data, &format!("{database}&options=-csearch_path%3Dnowhere"));
    fails(&schema, "may not make tables", "own the database");
    let stranger = database.replace("//fleet@", "//stranger@");
    fails(&check(data, &stranger), "stranger", "pg_hba.conf");
}
