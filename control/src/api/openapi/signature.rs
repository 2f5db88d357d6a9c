//! What a handler's own types say of its operation: what it extracts is what a request has to bring, and what it
//! returns is the answer. So a row in the table can't claim anything else.
//!
//! A new extractor implements [`Input`], a new kind of answer [`Output`].

use std::sync::Arc;

use axum::Json as Answer;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, Response, Sse};
use schemars::JsonSchema;

use super::operation::Operation;
use crate::api::extract::{
    Certificate, Device, IfMatch, Json, ListQuery, Operator, Path, Peer, RawQuery, Sent,
};
use crate::api::seat::Seat;
use crate::app::App;

/// An ETag that is a version.
pub(in crate::api) const VERSION_TAG: &str = "^\"[0-9]{1,19}\"$";

/// Something that a handler asks for.
pub(in crate::api) trait Input {
    fn describe(operation: &mut Operation<'_>);
}

/// Something that a handler returns.
pub(in crate::api) trait Output {
    fn describe(operation: &mut Operation<'_>);
}

/// A handler with arguments `T`, as axum counts them.
pub(in crate::api) trait Signature<T> {
    fn describe(operation: &mut Operation<'_>);
}

impl<F, Fut> Signature<((),)> for F
where
    F: FnOnce() -> Fut,
    Fut: Future<Output: Output>,
{
    fn describe(operation: &mut Operation<'_>) {
        <Fut::Output as Output>::describe(operation);
    }
}

macro_rules! signature {
    ($($input:ident)+) => {
        impl<F, Fut, M, $($input),+> Signature<(M, $($input),+)> for F
        where
            F: FnOnce($($input),+) -> Fut,
            Fut: Future<Output: Output>,
            $($input: Input),+
        {
            fn describe(operation: &mut Operation<'_>) {
                $(<$input as Input>::describe(operation);)+
                <Fut::Output as Output>::describe(operation);
            }
        }
    };
}

signature!(A);
signature!(A B);
signature!(A B C);
signature!(A B C D);
signature!(A B C D E);
signature!(A B C D E G);
signature!(A B C D E G H);

/// What says nothing of the request, or leaves it to the row.
macro_rules! silent {
    ($($input:ty),+) => {
        $(impl Input for $input {
            fn describe(_: &mut Operation<'_>) {}
        })+
    };
}

silent!(State<Arc<App>>, Peer, HeaderMap, Seat);

impl Input for Operator {
    fn describe(operation: &mut Operation<'_>) {
        operation.refuses(401, &["UNAUTHENTICATED"]);
        operation.refuses(403, &["FORBIDDEN"]);
        operation.refuses(429, &["RATE_LIMITED", "TOO_MANY_FAILURES"]);
    }
}

impl Input for Device {
    fn describe(operation: &mut Operation<'_>) {
        operation.refuses(401, &["UNAUTHENTICATED"]);
        operation.refuses(429, &["RATE_LIMITED"]);
    }
}

impl Input for Certificate {
    fn describe(operation: &mut Operation<'_>) {
        operation.refuses(401, &["UNAUTHENTICATED"]);
    }
}

impl<T: JsonSchema> Input for Path<T> {
    fn describe(operation: &mut Operation<'_>) {
        operation.path::<T>();
        operation.refuses(404, &["NOT_FOUND"]);
    }
}

impl Input for IfMatch {
    fn describe(operation: &mut Operation<'_>) {
        let about = "The ETag of what is to be changed, as an earlier answer gave it.";
        operation.header("If-Match", true, about);
        operation.pattern(VERSION_TAG);
        operation.refuses(400, &["BAD_IF_MATCH"]);
        operation.refuses(412, &["PRECONDITION_FAILED"]);
        operation.refuses(428, &["PRECONDITION_REQUIRED"]);
    }
}

impl Input for ListQuery {
    fn describe(operation: &mut Operation<'_>) {
        operation.query::<RawQuery>();
        operation.refuses(400, &["BAD_QUERY"]);
        operation.refuses(422, &["VALIDATION_FAILED"]);
    }
}

impl<T: JsonSchema> Input for Result<Query<T>, QueryRejection> {
    fn describe(operation: &mut Operation<'_>) {
        operation.query::<T>();
        operation.refuses(400, &["BAD_QUERY"]);
    }
}

impl<T: JsonSchema> Input for Json<T> {
    fn describe(operation: &mut Operation<'_>) {
        operation.takes::<T>();
        operation.refuses(400, &["BODY_INCOMPLETE", "MALFORMED_JSON"]);
        operation.refuses(413, &["TOO_LARGE"]);
        operation.refuses(422, &["VALIDATION_FAILED"]);
    }
}

impl<T: JsonSchema> Input for Sent<T> {
    fn describe(operation: &mut Operation<'_>) {
        Json::<T>::describe(operation);
    }
}

impl Input for Body {
    fn describe(operation: &mut Operation<'_>) {
        operation.takes_bytes();
        operation.refuses(400, &["BODY_INCOMPLETE"]);
        operation.refuses(413, &["TOO_LARGE"]);
    }
}

impl<T: Output, E> Output for Result<T, E> {
    fn describe(operation: &mut Operation<'_>) {
        T::describe(operation);
    }
}

impl<T: JsonSchema> Output for Answer<T> {
    fn describe(operation: &mut Operation<'_>) {
        operation.answers(&[200]);
        operation.returns::<T>();
    }
}

/// A status of its own is most often this; where it is another, the row says so.
impl<T: Output> Output for (StatusCode, T) {
    fn describe(operation: &mut Operation<'_>) {
        T::describe(operation);
        operation.answers(&[201]);
    }
}

/// As above.
impl Output for StatusCode {
    fn describe(operation: &mut Operation<'_>) {
        operation.answers(&[204]);
        operation.returns_nothing();
    }
}

impl<S> Output for Sse<S> {
    fn describe(operation: &mut Operation<'_>) {
        operation.answers(&[200]);
        operation.returns_also("text/event-stream");
    }
}

impl Output for Html<&'static str> {
    fn describe(operation: &mut Operation<'_>) {
        operation.answers(&[200]);
        operation.returns_also("text/html");
    }
}

/// The row has to say what it is.
impl Output for Response {
    fn describe(operation: &mut Operation<'_>) {
        operation.answers(&[200]);
    }
}
