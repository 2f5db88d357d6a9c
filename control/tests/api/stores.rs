//! What both databases have to keep, also when everybody comes at once.

use std::collections::BTreeSet;
use std::thread;

use fleet_control::store::Store;
use rcgen::KeyPair;
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, PgConnection, SqliteConnection};

use crate::world::{Answer, World};

/// What `count` threads got, all at once.
fn at_once(count: usize, act: impl Fn(usize) -> Answer + Sync) -> Vec<Answer> {
    let (barrier, act) = (std::sync::Barrier::new(count), &act);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..count)
            .map(|number| {
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    act(number)
                })
            })
            .collect();
        let answers = threads.into_iter().map(|thread| thread.join().unwrap());
        answers.collect()
    })
}

/// How many were done, and how many were refused for a reason.
#[track_caller]
fn done_and_refused(answers: &[Answer]) -> (usize, usize) {
    let count = |wanted: &[u16]| {
        answers
            .iter()
            .filter(|a| wanted.contains(&a.status))
            .count()
    };
    let (done, refused) = (count(&[201]), count(&[403, 409]));
    assert_eq!(done + refused, answers.len(), "{answers:?}");
    (done, refused)
}

#[test]
fn commands_that_are_queued_at_once_get_a_number_each() {
    let world = World::new();
    let device = world.device("a");
    let path = format!("/v1/devices/{}/commands", device.id);
    let queued = at_once(8, |_| {
        world.post(
            &path,
            &json!({"type": "reboot", "payload": {"delaySeconds": 5}}),
        )
    });
    let numbers: BTreeSet<u64> = queued
        .into_iter()
        .map(|answer| answer.ok()["sequence"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, (1..=8).collect());
}

#[test]
fn a_token_for_one_device_lets_one_in_however_many_try_at_once() {
    let world = World::new();
    let token = world.enrolment_token(&json!({"deviceName": "a", "maxUses": 1}));
    let keys: Vec<KeyPair> = (0..8).map(|_| KeyPair::generate().unwrap()).collect();
    let enrolled = at_once(8, |number| world.enrol_with(&token, &keys[number]));
    assert_eq!(done_and_refused(&enrolled), (1, 7));
    let devices = world.get("/v1/devices").ok();
    assert_eq!(devices["items"].as_array().unwrap().len(), 1);
}

#[test]
fn configurations_that_are_changed_at_once_get_a_version_each() {
    let world = World::new();
    let changed = at_once(8, |number| {
        world.put(
            "/v1/config/default",
            &json!({"control": {"heartbeat_interval_s": 30 + number}}),
        )
    });
    let versions: BTreeSet<u64> = changed
        .into_iter()
        .map(|answer| answer.ok()["version"].as_u64().unwrap())
        .collect();
    assert_eq!(versions.len(), 8);
}

#[test]
fn of_rollouts_that_are_started_at_once_one_gets_the_devices() {
    let world = World::new();
    let _device = world.device("a");
    world.publish("2.0.0");
    let started = at_once(4, |_| {
        world.post("/v1/rollouts", &json!({"version": "2.0.0"}))
    });
    assert_eq!(done_and_refused(&started), (1, 3));
    let rollouts: Value = world.get("/v1/rollouts").ok();
    assert_eq!(rollouts["items"].as_array().unwrap().len(), 1);
}

#[test]
fn a_search_finds_letters_in_either_case_and_others_as_they_are() {
    let world = World::new();
    let device = world.device("Foyer Ä");
    let found = |text: &str| {
        let devices = world.get(&format!("/v1/devices?q={text}")).ok();
        devices["items"].as_array().unwrap().len()
    };
    for text in ["foyer", "FOYER", "%C3%84", "r%20%C3%84", &device.id] {
        assert_eq!(found(text), 1, "{text}");
    }
    assert_eq!(found("%C3%A4"), 0);
}

#[test]
fn text_that_cannot_be_kept_is_refused_and_not_an_error() {
    let world = World::new();
    let answer = world.get("/v1/devices?q=%00");
    match world.database_url() {
        Some(_) => drop(answer.refused(422, "VALIDATION_FAILED")),
        None => drop(answer.ok()),
    }
}

/// Table, column, type, and whether it may be null.
type Column = (String, String, String, bool);

/// Of SQLite's file.
async fn columns_of_sqlite() -> Vec<Column> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("fleet.db");
    Store::open(&file).await.unwrap().close().await;
    let options = SqliteConnectOptions::new().filename(file);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query_as(
        "SELECT t.name, c.name, replace(replace(c.type, 'INTEGER', 'BIGINT'), 'BLOB', 'bytea'), c.\"notnull\" = 0 AND c.pk = 0
         FROM sqlite_master t JOIN pragma_table_info(t.name) c
         WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
           AND t.name NOT LIKE '\\_sqlx%' ESCAPE '\\'
         ORDER BY t.name, c.name",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap()
}

/// Of PostgreSQL's database; text that is not in the order of its bytes is another type.
async fn columns_of_postgres(database: &str) -> Vec<Column> {
    let mut connection = PgConnection::connect(database).await.unwrap();
    sqlx::query_as(
        "SELECT table_name::text, column_name::text,
             CASE WHEN data_type = 'text' AND collation_name = 'C' THEN 'TEXT'
                  WHEN data_type = 'bigint' THEN 'BIGINT' ELSE data_type::text END,
             is_nullable = 'YES'
         FROM information_schema.columns
         WHERE table_schema = current_schema() AND table_name NOT IN ('_sqlx_migrations', 'jobs')
         ORDER BY table_name COLLATE \"C\", column_name COLLATE \"C\"",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap()
}

#[test]
fn both_databases_have_the_same_tables() {
    let world = World::new();
    let Some(database) = world.database_url() else {
        return;
    };
    let sqlite = BTreeSet::from_iter(world.wait(columns_of_sqlite()));
    assert!(sqlite.len() > 100);
    let postgres = BTreeSet::from_iter(world.wait(columns_of_postgres(&database)));
    let differ: Vec<_> = sqlite.symmetric_difference(&postgres).collect();
    assert!(differ.is_empty(), "{differ:#?}");
}
