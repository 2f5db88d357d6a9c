//! The device's own page, as a phone on its LAN would open it: plain HTTP through the forwarded port.

use std::path::Path;
use std::time::Duration;

use ureq::Agent;
use ureq::http::Response;

use super::{Result, wait_until};

/// An action is answered when it is done: formatting takes its time.
const ANSWER_WITHIN: Duration = Duration::from_secs(90);
const UPLOAD_WITHIN: Duration = Duration::from_mins(3);
const BOUNDARY: &str = "fleet-tests-6b1c0f1e";

/// What a page answered.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub text: String,
    /// Where a redirect leads.
    pub location: Option<String>,
    /// `name=value` of cookies that were set.
    pub cookies: Vec<String>,
}

/// The page's text; nothing while the device is not there.
pub fn get(port: u16, path: &str) -> Option<String> {
    Some(request(port, path, &[], None)?.text)
}

/// Waits until the page contains `text`, in whatever case; the page comes back.
pub fn wait_for(port: u16, text: &str, within: Duration) -> Result<String> {
    let wanted = text.to_lowercase();
    wait_until(&format!("`{text}` on the device's page"), within, || {
        let page = get(port, "/").unwrap_or_default();
        let found = page.to_lowercase().contains(&wanted);
        let seen = page.chars().take(200).collect();
        Ok((found.then_some(page), seen))
    })
}

/// One request: a form when there is one, cookies as given.
pub fn request(
    port: u16,
    path: &str,
    cookies: &[String],
    form: Option<&[(&str, &str)]>,
) -> Option<Answer> {
    let agent = agent(ANSWER_WITHIN);
    let url = format!("http://127.0.0.1:{port}{path}");
    let cookie = cookies.join("; ");
    let sent = match form {
        None => agent.get(&url).header("cookie", cookie).call(),
        Some(form) => agent
            .post(&url)
            .header("cookie", cookie)
            .send_form(form.iter().copied()),
    };
    sent.ok().map(answer)
}

/// A technician with a phone: logs in by PIN, and sends the page's own forms.
#[derive(Debug)]
pub struct Technician {
    port: u16,
    cookies: Vec<String>,
}

impl Technician {
    /// Logs in; nothing when the PIN is refused or nobody answers.
    pub fn log_in(port: u16, pin: &str) -> Option<Self> {
        let answer = request(port, "/login", &[], Some(&[("pin", pin)]))?;
        (answer.status == 303).then_some(Self {
            port,
            cookies: answer.cookies,
        })
    }

    /// The page as it is for the one who is logged in.
    pub fn home(&self) -> Option<String> {
        Some(request(self.port, "/", &self.cookies, None)?.text)
    }

    /// Sends a form of the page, with the token that the page put into it.
    pub fn send(&self, path: &str, fields: &[(&str, &str)]) -> Option<Answer> {
        let token = self.form_token()?;
        let fields = [&[("token", token.as_str())], fields].concat();
        request(self.port, path, &self.cookies, Some(&fields))
    }

    /// What a link of the page leads to, as bytes.
    pub fn download(&self, path: &str) -> Option<Vec<u8>> {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let mut response = agent(UPLOAD_WITHIN)
            .get(&url)
            .header("cookie", self.cookies.join("; "))
            .call()
            .ok()?;
        if response.status() != 200 {
            return None;
        }
        let body = response.body_mut().with_config().limit(64 << 20);
        body.read_to_vec().ok()
    }

    /// Uploads a bundle with its metadata, as the page's form does.
    pub fn upload(&self, metadata: &[u8], bundle: &Path) -> Option<Answer> {
        let token = self.form_token()?;
        let mut body = Vec::new();
        part(&mut body, "name=\"token\"", token.as_bytes());
        let file = |name: &str, file: &str| format!("name=\"{name}\"; filename=\"{file}\"");
        part(&mut body, &file("metadata", "x.release.json"), metadata);
        part(
            &mut body,
            &file("bundle", "x.raucb"),
            &std::fs::read(bundle).ok()?,
        );
        body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
        let url = format!("http://127.0.0.1:{}/upload", self.port);
        let content = format!("multipart/form-data; boundary={BOUNDARY}");
        let sent = agent(UPLOAD_WITHIN)
            .post(&url)
            .header("cookie", self.cookies.join("; "))
            .header("content-type", content)
            .send(&body[..]);
        sent.ok().map(answer)
    }

    fn form_token(&self) -> Option<String> {
        let home = self.home()?;
        let after = home.split("name=\"token\" value=\"").nth(1)?;
        Some(after.split('"').next()?.to_owned())
    }
}

fn part(body: &mut Vec<u8>, disposition: &str, content: &[u8]) {
    let head = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n");
    body.extend_from_slice(head.as_bytes());
    body.extend_from_slice(content);
    body.extend_from_slice(b"\r\n");
}

fn agent(within: Duration) -> Agent {
    Agent::config_builder()
        .timeout_global(Some(within))
        .max_redirects(0)
        .http_status_as_error(false)
        .build()
        .new_agent()
}

fn answer(mut response: Response<ureq::Body>) -> Answer {
    let header = |response: &Response<ureq::Body>, name: &str| -> Vec<String> {
        let values = response.headers().get_all(name).iter();
        values
            .filter_map(|value| value.to_str().ok().map(str::to_owned))
            .collect()
    };
    Answer {
        status: response.status().as_u16(),
        location: header(&response, "location").into_iter().next(),
        cookies: header(&response, "set-cookie")
            .iter()
            .filter_map(|cookie| cookie.split(';').next().map(str::to_owned))
            .collect(),
        text: response.body_mut().read_to_string().unwrap_or_default(),
    }
}
