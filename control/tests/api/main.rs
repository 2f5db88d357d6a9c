//! The real server, with real TLS and a real database, spoken to as devices and operators do.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod access;
mod alert_mail;
mod alerts;
mod audit;
mod backups;
mod bundles;
mod console;
mod content;
mod deploy;
mod devices;
mod durability;
mod enrolment;
mod freshness;
mod load;
mod mail;
mod monitoring;
mod openapi;
mod overrides;
mod pairing;
mod player;
mod releases;
mod removal;
mod replicas;
mod roles;
mod rollouts;
mod routes;
mod starts;
mod stores;
mod uploads;
mod users;
mod webhooks;
mod world;
