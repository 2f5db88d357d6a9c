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
mod words;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::TcpListener;

pub use normal::router;
pub(crate) use words::{bytes, duration};

use crate::daemon::status::SharedStatus;

/// Serves the read-only page at `address` until the process ends.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn serve(status: SharedStatus, address: SocketAddr) -> std::io::Result<()> {
    let listener = listen(address).await?;
    axum::serve(listener, router(status)).await
}

/// "All of IPv4" is widened to all of IPv6 as well, by one socket, where the kernel has it.
pub(crate) async fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    if address.ip() == Ipv4Addr::UNSPECIFIED {
        let both = SocketAddr::from((Ipv6Addr::UNSPECIFIED, address.port()));
        if let Ok(listener) = TcpListener::bind(both).await {
            return Ok(listener);
        }
    }
    TcpListener::bind(address).await
}

/// An update state as one sentence.
pub(crate) fn update_sentence(state: &fleet_protocol::update::UpdateState) -> String {
    view::update(state).0
}

#[cfg(test)]
pub(crate) mod tests;
