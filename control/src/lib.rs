//! Fleet's control plane.
//!
//! `domain` decides (pure: no clock, disk or network), `store` remembers (all SQL, tenant-scoped),
//! `media` looks at files in a process of its own, `app` performs operations, `api` and `console` speak HTTP, `server` speaks TLS.
//! `outbound` sends messages to webhooks, `mail` letters to people, `metrics` counts, `backup` makes one file of everything and goes back to it.
//!
//! Invariants:
//! - Every query takes a [`store::TenantContext`]; one can only be had by presenting credentials.
//! - A rollout advances on verified boots alone (`domain::rollout`).
//! - Secrets are stored as SHA-256 only (but those that messages to webhooks are signed with), and never logged.

pub mod api;
pub mod app;
pub mod backup;
pub mod clock;
mod console;
pub mod disk;
pub mod domain;
pub mod mail;
pub mod media;
pub mod metrics;
pub mod outbound;
pub mod pki;
pub mod server;
pub mod store;
pub mod tokens;
