//! How a row of the table of routes is written: a method, a path, a handler and a sentence. The rest of its
//! description follows from the handler's types; what they leave open, the row says after it.
//!
//! ```text
//! operator.post("/v1/rollouts", o::create_rollout, "Start a rollout").conflicts(&["DEVICES_BUSY"]),
//! ```

use std::sync::Arc;

use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{MethodRouter, on};
use schemars::JsonSchema;

use super::openapi::{Operation, Signature, VERSION_TAG};
use crate::app::App;

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    Anyone,
    /// An enrolled device: client certificate and device token.
    Device,
    /// An enrolled device: client certificate alone.
    Certificate,
    /// An operator: bearer token.
    Operator,
    /// An operator with a browser: session cookie.
    Browser,
    /// A caller on the same machine, or an operator: bearer token.
    Monitoring,
}

/// Whether bodies are documents, or go on for as long as they take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    Document,
    Stream,
}

type Describe = Box<dyn Fn(&mut Operation<'_>)>;

/// One row of the table.
pub struct Route {
    pub method: Method,
    pub path: &'static str,
    pub audience: Audience,
    /// Under which it is listed.
    pub tag: &'static str,
    /// What it does, in a few words.
    pub summary: &'static str,
    pub(super) body: Body,
    pub(super) handler: MethodRouter<Arc<App>>,
    /// In the order in which they are to be asked.
    describe: Vec<Describe>,
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} ({:?})", self.method, self.path, self.audience)
    }
}

/// Rows for one audience, listed under one tag.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows {
    pub(super) audience: Audience,
    pub(super) tag: &'static str,
}

macro_rules! methods {
    ($($name:ident $method:ident),+) => {
        $(pub(super) fn $name<H, T>(self, path: &'static str, handler: H, summary: &'static str) -> Route
        where
            H: Handler<T, Arc<App>> + Signature<T>,
            T: 'static,
        {
            self.row(Method::$method, path, handler, summary)
        })+
    };
}

impl Rows {
    methods!(get GET, post POST, put PUT, patch PATCH, delete DELETE);

    fn row<H, T>(
        self,
        method: Method,
        path: &'static str,
        handler: H,
        summary: &'static str,
    ) -> Route
    where
        H: Handler<T, Arc<App>> + Signature<T>,
        T: 'static,
    {
        let filter = method.clone().try_into();
        Route {
            handler: on(
                filter.expect("the method is one of the five above"),
                handler,
            ),
            method,
            path,
            audience: self.audience,
            tag: self.tag,
            summary,
            body: Body::Document,
            describe: vec![Box::new(H::describe)],
        }
    }

    /// A page for people: not part of the API, so nothing is said of it.
    pub(super) fn page(
        self,
        method: Method,
        path: &'static str,
        handler: MethodRouter<Arc<App>>,
    ) -> Route {
        Route {
            method,
            path,
            audience: self.audience,
            tag: self.tag,
            summary: "",
            body: Body::Document,
            handler,
            describe: Vec::new(),
        }
    }
}

/// What a handler's types leave open.
impl Route {
    pub(super) fn describe(&self, operation: &mut Operation<'_>) {
        for describe in &self.describe {
            describe(operation);
        }
    }

    fn with(mut self, describe: impl Fn(&mut Operation<'_>) + 'static) -> Self {
        self.describe.push(Box::new(describe));
        self
    }

    /// Sentences for whoever wants to know more than the summary.
    pub(super) fn details(self, details: &'static str) -> Self {
        self.with(move |operation| operation.details = Some(details))
    }

    /// Bodies that go on for as long as they take.
    pub(super) fn stream(mut self) -> Self {
        self.body = Body::Stream;
        self
    }

    /// The JSON body, where the handler reads it as something more general.
    pub(super) fn takes<T: JsonSchema + 'static>(self) -> Self {
        self.with(|operation| {
            operation.takes::<T>();
        })
    }

    /// The JSON answer, where the handler's type does not say it.
    pub(super) fn returns<T: JsonSchema + 'static>(self) -> Self {
        self.with(|operation| {
            operation.returns::<T>();
        })
    }

    /// The statuses of success, where they are not what the handler's type suggests.
    pub(super) fn answers(self, statuses: &'static [u16]) -> Self {
        self.with(move |operation| operation.answers(statuses))
    }

    /// A JSON answer with the version that changes are made under.
    pub(super) fn versioned<T: JsonSchema + 'static>(self) -> Self {
        self.returns::<T>().with(|operation| {
            operation.answers_header("ETag", "The version; a change needs it as If-Match.");
        })
    }

    /// 304 for whoever has it already.
    pub(super) fn unless_known(self) -> Self {
        self.with(|operation| {
            operation.answers(&[200, 304]);
            operation.header("If-None-Match", false, "The ETag of what you have.");
            operation.answers_header("ETag", "Its tag, for If-None-Match.");
        })
    }

    /// An answer in this media type.
    pub(super) fn media(self, media: &'static str) -> Self {
        self.with(move |operation| operation.returns_also(media))
    }

    /// A file in one of these media types, whole or a range of it (RFC 9110 §14).
    pub(super) fn file(self, media: &'static [&'static str]) -> Self {
        let route = media.iter().fold(self.stream(), |route, m| route.media(m));
        route.unless_known().with(|operation| {
            operation.answers(&[200, 206, 304]);
            operation.header(
                "Range",
                false,
                "One range of bytes, such as `bytes=0-1023`.",
            );
            let about =
                "The ETag that the range is of; if it is another one by now, the whole comes.";
            operation.header("If-Range", false, about);
            operation.refuses(416, &["RANGE_NOT_SATISFIABLE"]);
        })
    }

    /// A file that is sent whole, or part by part: what came before a broken connection is kept.
    pub(super) fn resumable(self) -> Self {
        self.stream().with(|operation| {
            let about = "Which part this is: `bytes FIRST-LAST/TOTAL`. Left out: the whole.";
            operation.header("Content-Range", false, about);
            operation.pattern("^bytes [0-9]{1,18}-[0-9]{1,18}/[0-9]{1,18}$");
            operation.refuses(400, &["BAD_CONTENT_RANGE"]);
            operation.refuses(
                409,
                &["UPLOAD_ELSEWHERE", "UPLOAD_OFFSET", "UPLOAD_TAKEN_OVER"],
            );
            operation.refuses(422, &["DIGEST_MISMATCH"]);
        })
    }

    /// A header that may be sent.
    pub(super) fn header(self, name: &'static str, about: &'static str) -> Self {
        self.with(move |operation| operation.header(name, false, about))
    }

    /// `If-Match` for whoever wants to be sure that nobody's change is lost.
    pub(super) fn may_match(self) -> Self {
        self.with(|operation| {
            let about = "The ETag of a GET of the same; with it, nobody's change is lost.";
            operation.header("If-Match", false, about);
            operation.pattern(VERSION_TAG);
            operation.refuses(400, &["BAD_IF_MATCH"]);
            operation.refuses(412, &["PRECONDITION_FAILED"]);
        })
    }

    /// Problems beyond those of what the handler extracts.
    pub(super) fn refuses(self, status: u16, codes: &'static [&'static str]) -> Self {
        self.with(move |operation| operation.refuses(status, codes))
    }

    /// Problems with the state that things are in (409).
    pub(super) fn conflicts(self, codes: &'static [&'static str]) -> Self {
        self.refuses(409, codes)
    }

    /// Values that were understood and can't be used (422), where there is no JSON body.
    pub(super) fn checks(self) -> Self {
        self.refuses(422, &["VALIDATION_FAILED"])
    }
}
