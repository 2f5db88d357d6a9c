//! Which CA a control plane's certificate has to come from: the one that is named or was remembered; else whatever the
//! control plane shows at the first contact, after a person, or a fingerprint known beforehand, says that it is the one.
//!
//! Nothing but a TLS handshake happens before that.

use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fleet_protocol::Sha256;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};
use ureq::http::Uri;

use super::{TrustArgs, absolute};
use crate::args::Global;
use crate::ask;
use crate::client::{Server, tls13_only};
use crate::context::{Context, parse_server, read_ca};
use crate::error::{CommandError, Kind, Result};
use crate::output::printable;
use crate::store::{self, Existing};

const DEADLINE: Duration = Duration::from_secs(10);

/// A control plane, and where its CA's certificate lies or is going to.
pub(crate) struct Trusted {
    pub(crate) server: Server,
    pub(crate) ca: PathBuf,
    /// Not on disk yet.
    new: bool,
}

impl Trusted {
    /// Keeps the CA's certificate for the next time.
    pub(crate) fn keep(&self) -> Result<()> {
        if !self.new {
            return Ok(());
        }
        let folder = store::folder_of(&self.ca);
        std::fs::create_dir_all(folder)
            .map_err(|e| CommandError::io(format!("cannot make {}", folder.display()), e))?;
        store::write(
            &self.ca,
            &self.server.ca_certificate_pem,
            store::Access::Everyone,
            Existing::Replace,
        )
    }
}

/// # Errors
/// When it is not known which control plane is meant, or its CA is not trusted.
pub(crate) fn known_or_trusted(
    args: &TrustArgs,
    global: &Global,
    context: Option<&Context>,
) -> Result<Trusted> {
    let url = match (&global.server, context) {
        (Some(url), _) => parse_server(url)?,
        (None, Some(context)) => parse_server(&context.server)?,
        (None, None) => {
            return Err(CommandError::usage("which control plane?").hint(
                "give --server https://HOST:8443, or --data DIR on the control plane's machine",
            ));
        }
    };
    let known = match (&global.ca, context) {
        (Some(ca), _) => Some(absolute(ca)?),
        (None, Some(context)) if context.server == url => Some(context.ca.clone()),
        _ => None,
    };
    // A fingerprint says that what was remembered may be of another one.
    if let (Some(ca), None) = (known, args.ca_sha256) {
        let server = Server {
            ca_certificate_pem: read_ca(&ca)?,
            url,
        };
        return Ok(Trusted {
            server,
            ca,
            new: false,
        });
    }
    let der = shown_ca(&url)?;
    agree(&url, &der, args.ca_sha256)?;
    let pem = pem::encode(&pem::Pem::new("CERTIFICATE", der));
    Ok(Trusted {
        server: Server {
            url,
            ca_certificate_pem: pem.into_bytes(),
        },
        ca: Context::path()?.with_extension("ca.pem"),
        new: true,
    })
}

fn agree(url: &str, ca: &[u8], expected: Option<Sha256>) -> Result<()> {
    let is = Sha256::of(ca);
    match expected {
        Some(expected) if expected == is => Ok(()),
        Some(expected) => Err(CommandError::new(
            Kind::Unauthorized,
            format!("{url} is not the control plane that is meant: its CA is another one"),
        )
        .because(format!("its SHA-256 is {is}, not {expected}"))
        .hint("do not go on before you know why; nothing was sent there")),
        None => {
            let (_, certificate) = x509_parser::parse_x509_certificate(ca).map_err(no_ca(url))?;
            ask::confirm(
                &format!(
                    "{url} is not known yet. Its certificate comes from the CA\n  {}\n  SHA-256 {}\n\
                     To compare: openssl x509 -noout -fingerprint -sha256 -in ca.pem, on the control plane's machine\n\
                     Trust it from now on?",
                    printable(&certificate.subject().to_string()),
                    with_colons(&is)
                ),
                "give --ca FILE (the control plane's `ca.pem`), or --ca-sha256 with its fingerprint",
            )
        }
    }
}

/// `AB:CD:…`, as OpenSSL shows it.
fn with_colons(digest: &Sha256) -> String {
    let bytes: Vec<String> = digest
        .as_bytes()
        .iter()
        .map(|b| format!("{b:02X}"))
        .collect();
    bytes.join(":")
}

/// 64 hex digits, with or without colons.
pub(super) fn fingerprint(text: &str) -> Result<Sha256, fleet_protocol::ParseDigestError> {
    text.replace(':', "").to_lowercase().parse()
}

/// The CA certificate that is shown in a handshake.
fn shown_ca(url: &str) -> Result<Vec<u8>> {
    let unreachable = |e: Box<dyn std::error::Error + Send + Sync>| {
        CommandError::new(Kind::Unreachable, format!("cannot reach {url}"))
            .because(e)
            .hint("is `fleet-control serve` running there, and the port open?")
    };
    let uri: Uri = url.parse().map_err(|_| {
        CommandError::usage(format!("`{url}` is no address"))
            .hint("write it like https://fleet.example:8443")
    })?;
    let host = uri.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = uri.port_u16().unwrap_or(443);
    let name = ServerName::try_from(host.to_owned()).map_err(|e| unreachable(e.into()))?;
    let mut stream = connect(host, port).map_err(|e| unreachable(e.into()))?;
    let provider = Arc::new(tls13_only());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|e| unreachable(e.into()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Look(provider)))
        .with_no_client_auth();
    let mut connection =
        ClientConnection::new(Arc::new(config), name).map_err(|e| unreachable(e.into()))?;
    while connection.is_handshaking() {
        connection
            .complete_io(&mut stream)
            .map_err(|e| unreachable(e.into()))?;
    }
    let last = connection.peer_certificates().and_then(<[_]>::last);
    let der = last.map(|c| c.as_ref().to_vec()).unwrap_or_default();
    let (_, certificate) = x509_parser::parse_x509_certificate(&der).map_err(no_ca(url))?;
    if !certificate.is_ca() || certificate.subject() != certificate.issuer() {
        return Err(no_ca(url)("what it shows is its own certificate alone"));
    }
    Ok(der)
}

fn no_ca<E: std::fmt::Display>(url: &str) -> impl Fn(E) -> CommandError {
    move |e| {
        CommandError::failed(format!("{url} does not show the CA of its certificate"))
            .because(e.to_string())
            .hint("give --ca FILE: the control plane's `ca.pem`, from its data folder")
    }
}

fn connect(host: &str, port: u16) -> std::io::Result<TcpStream> {
    let mut last = std::io::Error::new(std::io::ErrorKind::NotFound, "the host has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, DEADLINE) {
            Ok(stream) => {
                stream.set_read_timeout(Some(DEADLINE))?;
                stream.set_write_timeout(Some(DEADLINE))?;
                return Ok(stream);
            }
            Err(e) => last = e,
        }
    }
    Err(last)
}

/// Takes any certificate whose key the other side has: it is only looked at.
#[derive(Debug)]
struct Look(Arc<CryptoProvider>);

impl ServerCertVerifier for Look {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2 is not spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_read_as_openssl_prints_it() {
        let digest = Sha256::of("a CA");
        assert_eq!(fingerprint(&with_colons(&digest)), Ok(digest));
        assert_eq!(fingerprint(&digest.to_string()), Ok(digest));
        assert!(fingerprint("AB:CD").is_err());
    }

    #[test]
    fn another_ca_than_the_expected_one_is_refused() {
        let expected = Some(Sha256::of("the CA"));
        assert!(agree("https://h", b"the CA", expected).is_ok());
        let error = agree("https://h", b"another", expected).unwrap_err();
        assert_eq!(error.kind, Kind::Unauthorized);
        assert!(!error.hints.is_empty());
    }
}
