//! A phone with safe mode's page open, on a device in a temporary folder.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use futures_util::StreamExt as _;
use http_body_util::BodyExt as _;
use tokio::sync::watch;
use tower::ServiceExt as _;

use super::watched::{BUNDLE, Watched, envelope};
use crate::core::Monotonic;
use crate::platform::paths::Paths;
use crate::safe_mode::pin::Pin;
use crate::safe_mode::{App, Gate, router, usb};

pub(super) struct Phone {
    router: Router,
    calls: Arc<Mutex<Vec<String>>>,
    pub(super) ended: watch::Receiver<u32>,
    pub(super) paths: Paths,
    cookie: Option<String>,
    _root: tempfile::TempDir,
}

pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) page: String,
}

pub(super) fn phone() -> Phone {
    let root = tempfile::tempdir().unwrap();
    let paths = Paths::under(root.path());
    for folder in ["eth0", "wlan0/wireless"] {
        std::fs::create_dir_all(paths.sys.join("class/net").join(folder)).unwrap();
    }
    std::fs::create_dir_all(&paths.proc).unwrap();
    std::fs::create_dir_all(&paths.run).unwrap();
    std::fs::write(paths.proc.join("meminfo"), "MemAvailable:  2621440 kB\n").unwrap();
    let stick = root.path().join("stick");
    std::fs::create_dir_all(&stick).unwrap();
    std::fs::write(stick.join("good.raucb"), BUNDLE).unwrap();
    std::fs::write(stick.join("good.release.json"), envelope(true)).unwrap();
    std::fs::write(stick.join("lonely.raucb"), BUNDLE).unwrap();
    std::fs::write(stick.join("unsigned.raucb"), BUNDLE).unwrap();
    std::fs::write(stick.join("unsigned.release.json"), envelope(false)).unwrap();
    let calls = Arc::new(Mutex::new(Vec::new()));
    let (ended, receiver) = watch::channel(0);
    let actions = Watched {
        calls: Arc::clone(&calls),
        ended,
        usb: usb::list("sdb1", &stick),
    };
    let gate = Gate::new(&paths, Pin::parse("48219037").unwrap(), Monotonic(0));
    let app = App::new(actions, paths.clone(), gate);
    Phone {
        router: router(Arc::new(app)),
        calls,
        ended: receiver,
        paths,
        cookie: None,
        _root: root,
    }
}

impl Phone {
    pub(super) async fn send(
        &self,
        request: axum::http::request::Builder,
        body: impl Into<Body>,
    ) -> Answer {
        let mut request = request.header(header::HOST, "192.168.178.120");
        if let Some(cookie) = &self.cookie {
            request = request.header(header::COOKIE, cookie);
        }
        let response = self
            .router
            .clone()
            .oneshot(request.body(body.into()).unwrap())
            .await
            .unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        Answer {
            status,
            headers,
            page: String::from_utf8_lossy(&bytes).into_owned(),
        }
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path), Body::empty()).await
    }

    pub(super) async fn post(&self, path: &str, form: &str) -> Answer {
        let request =
            Request::post(path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(request, form.to_owned()).await
    }

    /// Gives the PIN; returns the form token.
    pub(super) async fn log_in(&mut self) -> String {
        let answer = self.post("/login", "pin=4821+9037").await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.page);
        let cookie = answer.headers[header::SET_COOKIE].to_str().unwrap();
        assert!(
            cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"),
            "{cookie}"
        );
        self.cookie = Some(cookie.split(';').next().unwrap().to_owned());
        let page = self.get("/").await.page;
        let start = page.find("name=\"token\" value=\"").unwrap() + 20;
        page[start..start + 64].to_owned()
    }

    pub(super) fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }

    pub(super) async fn upload(&self, token: &str, metadata: &[u8], bundle: &[u8]) -> Answer {
        let mut body = Self::form(token, metadata, bundle);
        body.extend_from_slice(b"\r\n--limit--\r\n");
        self.send(Self::upload_request(), body).await
    }

    /// An upload whose bundle never ends.
    pub(super) async fn upload_without_end(&self, token: &str, metadata: &[u8]) -> Answer {
        let begin = Ok::<_, std::io::Error>(Self::form(token, metadata, &BUNDLE[..1]));
        let body = futures_util::stream::iter([begin]).chain(futures_util::stream::pending());
        self.send(Self::upload_request(), Body::from_stream(body))
            .await
    }

    fn upload_request() -> axum::http::request::Builder {
        Request::post("/upload").header(header::CONTENT_TYPE, "multipart/form-data; boundary=limit")
    }

    fn form(token: &str, metadata: &[u8], bundle: &[u8]) -> Vec<u8> {
        let mut body = Vec::new();
        for (name, content) in [
            ("token", token.as_bytes()),
            ("metadata", metadata),
            ("bundle", bundle),
        ] {
            body.extend_from_slice(
                format!("\r\n--limit\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"f\"\r\n\r\n").as_bytes(),
            );
            body.extend_from_slice(content);
        }
        body
    }
}
