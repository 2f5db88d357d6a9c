//! The support bundle as a download: collected on a thread of its own, streamed as it grows.

use std::io::{self, Write};
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use fleet_device::clock;
use tokio::sync::mpsc;

use super::actions::Actions;
use super::app::App;
use super::pages;
use crate::support_bundle::{self, BundleLimits, Contents};

/// Reading only, so a GET; it needs a session all the same.
pub(super) async fn support_bundle<A: Actions>(
    State(app): State<Arc<App<A>>>,
    headers: HeaderMap,
) -> Response {
    if app.gate.form_token(&headers, clock::monotonic()).is_none() {
        return pages::expired();
    }
    let facts = app.facts().await;
    let at = clock::wall();
    let name = support_bundle::file_name(&facts.device, at);
    let paths = app.paths.clone();
    let (sender, receiver) = mpsc::channel(4);
    tokio::task::spawn_blocking(move || {
        let parts =
            support_bundle::standard_parts(&paths, Contents::default(), format!("{facts:#?}\n"));
        let secrets = support_bundle::secrets(&paths);
        let written = support_bundle::write(
            parts,
            &secrets,
            BundleLimits::default(),
            at,
            ChannelWriter(sender.clone()),
        );
        if let Err(error) = written {
            log::warn!(error:% = error; "a support bundle was broken off");
            // The browser sees a broken download rather than a short file.
            let _ = sender.blocking_send(Err(error));
        }
    });
    let stream = futures_util::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|chunk| (chunk, receiver))
    });
    let headers = [
        (header::CONTENT_TYPE, "application/zstd".to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}\""),
        ),
    ];
    (headers, Body::from_stream(stream)).into_response()
}

/// Waits when the reader is slow; ends when it is gone.
struct ChannelWriter(mpsc::Sender<io::Result<Bytes>>);

impl Write for ChannelWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .blocking_send(Ok(Bytes::copy_from_slice(bytes)))
            .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
