//! The device's own page on the LAN: how it is, why an update waits, and in safe mode what can be
//! done about it.
//!
//! Made for a phone held in front of a dark screen: no JavaScript, everything in one page and one
//! stylesheet, together under 50 KB. It refreshes itself by `<meta http-equiv="refresh">`.
//!
//! Invariants:
//! - Reading needs no PIN and shows no secret: guests share a venue's LAN.
//! - Nothing changes by GET, and in normal mode nothing changes at all.
//! - Every response carries the headers of [`web`], and a request under a foreign host name is
//!   refused, so that no web site can reach the page through a visitor's browser.

mod normal;
mod view;
pub(crate) mod web;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::TcpListener;

pub use normal::router;

use crate::daemon::status::SharedStatus;

/// Port of the local page.
pub const PORT: u16 = 80;

/// Serves the read-only page until the process ends.
///
/// # Errors
/// When the port cannot be listened on.
pub async fn serve(status: SharedStatus) -> std::io::Result<()> {
    let listener = listen(PORT).await?;
    axum::serve(listener, router(status)).await
}

/// On every address, IPv6 and IPv4 by one socket; on IPv4 alone where the kernel has no IPv6.
pub async fn listen(port: u16) -> std::io::Result<TcpListener> {
    let both = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    match TcpListener::bind(both).await {
        Ok(listener) => Ok(listener),
        Err(_) => TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))).await,
    }
}

#[cfg(test)]
mod tests;
