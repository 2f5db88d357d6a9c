//! The running server: opens the data folder, listens, speaks TLS 1.3, ends gracefully.

mod certificate;
mod connection;
mod error;
mod lock;
mod tls;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fleet_protocol::Sha256;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use self::certificate::LiveCertificate;
use self::lock::{Others, Place};
use crate::app::tenants::create_tenant;
use crate::app::{App, Settings};
use crate::backup;
use crate::clock::{Clock, random_secret};
use crate::disk::{self, Access};
use crate::pki::Authority;
use crate::store::{DEFAULT_TENANT, ServerUrl, Store};
use crate::tokens::Ring;

pub use self::error::StartError;

/// How to run.
#[derive(Debug, Clone)]
pub struct Config {
    /// Keys, bundles, media and SQLite's database: everything that is to be backed up.
    pub data: PathBuf,
    /// PostgreSQL, which other control planes may share together with the data folder; default: SQLite there.
    pub database: Option<ServerUrl>,
    pub listen: SocketAddr,
    /// As devices reach it; default: the address that it listens on.
    pub public_url: Option<PublicUrl>,
    /// More names and addresses for the server's certificate.
    pub names: Vec<String>,
    pub settings: Settings,
    pub clock: Clock,
}

/// `https://host[:port]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    text: String,
    host: String,
}

impl PublicUrl {
    /// Without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }
}

impl std::str::FromStr for PublicUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("`{text}` is no https://host[:port] without a path");
        let rest = text.strip_prefix("https://").ok_or_else(wrong)?;
        let uri: axum::http::Uri = text.parse().map_err(|_| wrong())?;
        let host = uri
            .host()
            .ok_or_else(wrong)?
            .trim_matches(['[', ']'])
            .to_owned();
        check_name(&host)?;
        match rest.trim_end_matches('/') {
            plain if plain.contains(['/', '?', '#', '@']) => Err(wrong()),
            plain => Ok(Self {
                text: format!("https://{plain}"),
                host,
            }),
        }
    }
}

impl std::fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// A name or address that a certificate can carry.
pub fn check_name(name: &str) -> Result<String, String> {
    rustls_pki_types::ServerName::try_from(name)
        .map(|_| name.to_owned())
        .map_err(|_| format!("`{name}` is neither a host name nor an address"))
}

/// A control plane that answers.
#[derive(Debug)]
pub struct Running {
    /// The real one, also when port 0 was asked for.
    pub address: SocketAddr,
    pub admin_token: String,
    /// Whether this was the first start, which made the token.
    pub first_start: bool,
    /// At the first start: where an administrator makes their account.
    pub first_link: Option<String>,
    pub app: Arc<App>,
    connections: JoinHandle<()>,
    background: JoinHandle<()>,
    looker: JoinHandle<()>,
    alerts: JoinHandle<()>,
    deliveries: JoinHandle<()>,
    mail: JoinHandle<()>,
    certificate: JoinHandle<()>,
    relay: Option<JoinHandle<()>>,
    _place: std::fs::File,
}

impl Running {
    /// Stops accepting, lets requests finish for a while, and closes the database.
    pub async fn stop(self) {
        self.app.shut_down();
        let _ = self.connections.await;
        let _ = self.background.await;
        let _ = self.looker.await;
        let _ = self.alerts.await;
        let _ = self.deliveries.await;
        let _ = self.mail.await;
        let _ = self.certificate.await;
        if let Some(relay) = self.relay {
            let _ = relay.await;
        }
        self.app.store.close().await;
    }
}

/// Opens everything and begins to answer.
pub async fn start(config: Config) -> Result<Running, StartError> {
    let data = &config.data;
    let now = config.clock.now();
    disk::create_folder(data)?;
    let others = match &config.database {
        Some(_) => Others::Allowed,
        None => Others::Refused,
    };
    let place = Place::take(data, others).await?;
    if backup::finish(data)? {
        tracing::warn!("a restore that was cut off came to its end");
    }
    let pki = data.join("pki");
    let authority = Arc::new(Authority::open(&pki, now)?);
    let listen_failed = |source| StartError::Listen {
        address: config.listen,
        source,
    };
    let listener = TcpListener::bind(config.listen)
        .await
        .map_err(listen_failed)?;
    let address = listener.local_addr().map_err(listen_failed)?;
    let mut settings = config.settings;
    settings.public_url = match &config.public_url {
        Some(url) => url.text.clone(),
        None => format!("https://{}", reachable(address)),
    };
    let names = names(config.public_url.as_ref(), address, config.names);
    let (provider, ours) = (tls::provider(), Arc::clone(&authority));
    let certificate = LiveCertificate::open(ours, pki, names, provider, now)?;
    let tls = tls::acceptor(&authority, &certificate)?;

    let store = match &config.database {
        Some(server) => Store::connect(server).await?,
        None => Store::open(&data.join("fleet.db")).await?,
    };
    let (admin_token, first_start) = admin_token(data)?;
    let tenant = DEFAULT_TENANT.parse().expect("a constant");
    store
        .put_operator(&tenant, "admin", &Sha256::of(&admin_token), now)
        .await?;
    let first_link = if first_start {
        let link = create_tenant(&store, &settings.public_url, &tenant, "Default", now);
        Some(link.await?.url)
    } else {
        None
    };
    let clock = config.clock.clone();
    let ring = Ring::open(&data.join("token-keys"), &settings.public_url, now)?;
    let app = App::new(store, authority, ring, data, settings, config.clock);
    if place.is_alone() {
        app.sweep_uploads().await.map_err(StartError::Sweep)?;
    }

    disk::write(
        &data.join("address"),
        address.to_string().as_bytes(),
        Access::Everyone,
    )?;
    let ca = app.authority().certificate_pem().as_bytes();
    disk::write(&data.join("ca.pem"), ca, Access::Everyone)?;
    let notices = app.store.listen().await?;
    let relay = notices.map(|notices| tokio::spawn(Arc::clone(&app).run_relay(notices)));
    let background = tokio::spawn(Arc::clone(&app).run_background());
    let looker = tokio::spawn(Arc::clone(&app).run_looker());
    let deliveries = tokio::spawn(Arc::clone(&app).run_deliveries());
    let mail = tokio::spawn(Arc::clone(&app).run_mail());
    let alerts = tokio::spawn(Arc::clone(&app).run_alerts());
    let certificate = tokio::spawn(certificate.keep(clock, app.shutdown_signal()));
    let connections = tokio::spawn(connection::accept(listener, tls, Arc::clone(&app)));
    Ok(Running {
        address,
        admin_token,
        first_start,
        first_link,
        app,
        connections,
        background,
        looker,
        alerts,
        deliveries,
        mail,
        certificate,
        relay,
        _place: place.settle()?,
    })
}

/// Holds the data folder for as long as what this gives is kept.
///
/// # Errors
/// When a control plane runs on it.
pub(crate) fn lock(data: &Path) -> Result<std::fs::File, StartError> {
    lock::alone(data)
}

/// The token in `admin-token`, made at the first start. Whoever replaces the file and restarts has
/// changed it.
fn admin_token(data: &Path) -> Result<(String, bool), StartError> {
    let path = data.join("admin-token");
    if let Some(text) = disk::read_text(&path)?
        && text.trim().len() >= 32
    {
        return Ok((text.trim().to_owned(), false));
    }
    let token = random_secret();
    disk::write(&path, token.as_bytes(), Access::Owner)?;
    Ok((token, true))
}

fn reachable(address: SocketAddr) -> SocketAddr {
    let mut address = address;
    if address.ip().is_unspecified() {
        address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    address
}

fn names(url: Option<&PublicUrl>, address: SocketAddr, more: Vec<String>) -> Vec<String> {
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"]
        .map(str::to_owned)
        .to_vec();
    names.push(reachable(address).ip().to_string());
    names.extend(url.map(|u| u.host.clone()));
    names.extend(more);
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_is_https_and_has_no_path() {
        for good in [
            "https://fleet.example:8443",
            "https://10.0.2.100:8443/",
            "https://[::1]:1",
        ] {
            good.parse::<PublicUrl>().unwrap();
        }
        for bad in [
            "http://a",
            "https://a/b",
            "fleet.example",
            "https://",
            "https://u@h",
        ] {
            assert!(bad.parse::<PublicUrl>().is_err(), "{bad}");
        }
    }
}
