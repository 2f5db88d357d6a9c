//! One task for each connection: handshake, then HTTP/1.1 or HTTP/2.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use crate::api::{Peer, router};
use crate::app::App;
use crate::pki;

const HANDSHAKE: Duration = Duration::from_secs(10);
const HEADERS: Duration = Duration::from_secs(30);
/// Time that requests have to finish when the server ends.
const FAREWELL: Duration = Duration::from_secs(5);
/// More connections than this wait to be accepted.
const MAX_CONNECTIONS: usize = 20_000;
/// After a failed accept (no file descriptors, say), so that the loop does not spin.
const AFTER_FAILED_ACCEPT: Duration = Duration::from_millis(100);

/// Accepts until the app is shut down.
pub(super) async fn accept(listener: TcpListener, tls: TlsAcceptor, app: Arc<App>) {
    let mut shutdown = app.shutdown_signal();
    let router = router(app);
    let graceful = GracefulShutdown::new();
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let permit = Arc::clone(&permits).acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        let accepted = tokio::select! {
            _ = shutdown.wait_for(|ended| *ended) => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, from)) => {
                let connection = Connection {
                    tls: tls.clone(),
                    router: router.clone(),
                    watcher: graceful.watcher(),
                    from,
                    _permit: permit,
                };
                tokio::spawn(connection.serve(stream));
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "accept failed");
                tokio::time::sleep(AFTER_FAILED_ACCEPT).await;
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(FAREWELL, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("some requests did not finish in time and were cut off");
    }
}

struct Connection {
    tls: TlsAcceptor,
    router: Router,
    watcher: Watcher,
    from: SocketAddr,
    _permit: OwnedSemaphorePermit,
}

impl Connection {
    async fn serve(self, stream: TcpStream) {
        let from = self.from;
        let _ = stream.set_nodelay(true);
        let stream = match tokio::time::timeout(HANDSHAKE, self.tls.accept(stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                tracing::debug!(peer.address = %from, %error, "handshake failed");
                return;
            }
            Err(_) => {
                tracing::debug!(peer.address = %from, "handshake took too long");
                return;
            }
        };
        let certificate = stream
            .get_ref()
            .1
            .peer_certificates()
            .and_then(|c| c.first());
        let peer = Peer {
            address: from.ip().to_canonical(),
            device: certificate.and_then(|c| pki::device_of(c)),
        };
        let router = self.router;
        let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer.clone());
            router.clone().oneshot(request.map(Body::new))
        });
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADERS);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(Some(HEADERS))
            .max_concurrent_streams(64);
        let served = builder.serve_connection(TokioIo::new(stream), service);
        if let Err(error) = self.watcher.watch(served.into_owned()).await {
            tracing::debug!(peer.address = %from, %error, "connection ended");
        }
    }
}
