//! The real server, with real TLS and a real database, spoken to as devices and operators do.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod bundles;
mod console;
mod devices;
mod enrolment;
mod releases;
mod rollouts;
mod routes;
mod starts;
mod world;
