//! A refused request's body is read to its end before the answer goes out: most clients look for
//! an answer only after they have sent everything, and would otherwise see a broken connection
//! instead of the reason.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use futures_util::StreamExt as _;
use hyper::body::{Frame, SizeHint};
use tokio::sync::oneshot;

/// No client is listened to for longer than this, or for more bytes.
const MAX_TIME: Duration = Duration::from_secs(20);
const MAX_BYTES: usize = 256 << 20;

/// A body that comes back when its reader is done with it.
struct Lent {
    inner: Option<Body>,
    back: Option<oneshot::Sender<Body>>,
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match &mut self.inner {
            Some(inner) => Pin::new(inner).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner
            .as_ref()
            .map_or_else(SizeHint::default, HttpBody::size_hint)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let (Some(body), Some(back)) = (self.inner.take(), self.back.take()) {
            let _ = back.send(body);
        }
    }
}

pub(super) async fn linger(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let (back, returned) = oneshot::channel();
    let request = request.map(|inner| {
        Body::new(Lent {
            inner: Some(inner),
            back: Some(back),
        })
    });
    let response = next.run(request).await;
    if response.status().is_client_error()
        && let Ok(body) = returned.await
        && !body.is_end_stream()
    {
        let _ = tokio::time::timeout(MAX_TIME, drain(body)).await;
    }
    response
}

async fn drain(body: Body) {
    let mut left = MAX_BYTES;
    let mut chunks = body.into_data_stream();
    while let Some(Ok(chunk)) = chunks.next().await {
        left = left.saturating_sub(chunk.len());
        if left == 0 {
            return;
        }
    }
}
