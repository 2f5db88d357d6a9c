//! The real server, with real TLS and a real database, spoken to as devices and operators do.

mod bundles;
mod console;
mod devices;
mod enrolment;
mod releases;
mod rollouts;
mod routes;
mod world;
