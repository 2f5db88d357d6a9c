//! The device's own page, as a phone on its LAN would open it: plain HTTP through the forwarded port.

use std::time::Duration;

use ureq::Agent;
use ureq::http::Response;

const ANSWER_WITHIN: Duration = Duration::from_secs(20);

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

/// One request: a form when there is one, cookies as given.
pub fn request(
    port: u16,
    path: &str,
    cookies: &[String],
    form: Option<&[(&str, &str)]>,
) -> Option<Answer> {
    let agent: Agent = Agent::config_builder()
        .timeout_global(Some(ANSWER_WITHIN))
        .max_redirects(0)
        .http_status_as_error(false)
        .build()
        .new_agent();
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
