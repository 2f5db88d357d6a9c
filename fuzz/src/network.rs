//! What comes over HTTP that is no JSON, and the form that sets the network up.

use std::path::Path;
use std::sync::LazyLock;

/// Ranges of a file: as the control plane is asked for them and is sent them, and as the device's own
/// server is asked for them. What is granted lies within the file.
pub fn http_ranges(data: &[u8]) {
    use fleet_agent::client::bundle_proxy::http::read_request;
    use fleet_control::api::range::{Wanted, sent, wanted};
    use fleet_device::content_range::ContentRange;
    for size in [0, 1, 1000, u64::MAX] {
        let text = std::str::from_utf8(data).ok();
        if let Wanted::Part(first, length) = wanted(text, size) {
            assert!(length > 0 && first < size && length <= size - first);
        }
        let mut head = data;
        if let Ok(Some(request)) = read_request(&mut head)
            && let Some((from, to)) = request.range.within(size)
        {
            assert!(from <= to && to <= size);
        }
        if let Some(Ok(range)) = text.map(str::parse::<ContentRange>) {
            assert!(range.first <= range.last && range.total.is_none_or(|all| range.last < all));
        }
        if let Some(Ok(part)) = text.map(|text| sent(Some(text))) {
            assert!(part.total.is_some_and(|total| part.first < total));
        }
    }
}

/// An answer that is no: `Retry-After`, `Date` and `Content-Type`, separated by zero bytes, and the body after them.
/// Whatever it says, there is something to do next, and only what the control plane says itself refuses content.
pub fn http_refusals(data: &[u8]) {
    use fleet_device::request::RequestError;
    use ureq::http::{HeaderMap, HeaderValue, StatusCode, header};
    let mut parts = data.splitn(4, |byte| *byte == 0);
    let mut headers = HeaderMap::new();
    for name in [header::RETRY_AFTER, header::DATE, header::CONTENT_TYPE] {
        if let Ok(value) = HeaderValue::from_bytes(parts.next().unwrap_or_default()) {
            headers.insert(name, value);
        }
    }
    let body = parts.next().unwrap_or_default();
    for status in [400, 401, 409, 422, 429, 503] {
        let status = StatusCode::from_u16(status).expect("a status");
        let error = RequestError::refused("ask", status, &headers, body);
        assert!(!error.with_hint().is_empty());
        let RequestError::Refused { problem, .. } = &error else {
            panic!("{error:?}");
        };
        assert!(problem.is_some() || !error.is_refused_content());
    }
}

/// The stream of wake-ups, as a control plane or somebody between might send it.
pub fn wakeup_stream(data: &[u8]) {
    let body = std::io::Cursor::new(data.to_vec());
    let mut stream = fleet_agent::client::WakeupStream::new(body);
    while let Ok(Some(wakeup)) = stream.next_wakeup() {
        assert!(!wakeup.contains('\n') && wakeup.len() <= data.len() * 3);
    }
}

/// The body of an upload to safe mode's page, with the boundary `X`.
pub fn upload_form(data: &[u8]) {
    use axum::body::Body;
    use axum::extract::{FromRequest as _, Multipart, Request};
    use fleet_agent::safe_mode::upload::{field, read};
    const MAX_BYTES: usize = 1000;
    let request = Request::builder()
        .header("content-type", "multipart/form-data; boundary=X")
        .body(Body::from(data.to_vec()))
        .expect("a plain header");
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("it needs no resources").block_on(async {
        let Ok(mut form) = Multipart::from_request(request, &()).await else {
            return;
        };
        for name in ["token", "metadata", "bundle"] {
            let Ok(field) = field(&mut form, name).await else {
                return;
            };
            let Ok(bytes) = read(field, MAX_BYTES).await else {
                return;
            };
            assert!(bytes.len() <= MAX_BYTES);
        }
    });
}

/// Origin, host and cookies of a request to safe mode's page, separated by zero bytes: nobody comes in by what they made
/// up, and a form that another site sent does nothing.
pub fn page_headers(data: &[u8]) {
    use axum::http::{HeaderMap, HeaderValue, header};
    use fleet_agent::core::Monotonic;
    use fleet_agent::platform::paths::Paths;
    use fleet_agent::safe_mode::Gate;
    use fleet_agent::safe_mode::pin::Pin;
    const NOW: Monotonic = Monotonic::from_secs(1);
    /// Somebody is logged in, with this cookie.
    static PAGE: LazyLock<(Gate, HeaderValue)> = LazyLock::new(|| {
        let pin = Pin::parse("12345678").expect("eight digits");
        let gate = Gate::new(&Paths::under(Path::new("/nowhere")), pin, NOW);
        let cookie = gate.log_in("12345678", NOW).expect("it is the PIN");
        let (session, _attributes) = cookie.split_once(';').expect("it has attributes");
        let session = session.parse().expect("hex digits");
        (gate, session)
    });
    let (gate, session) = &*PAGE;
    let mut parts = data.splitn(3, |byte| *byte == 0);
    let mut value = || HeaderValue::from_bytes(parts.next()?).ok();
    let (origin, host, cookies) = (value(), value(), value());
    let mut strangers = HeaderMap::new();
    strangers.extend(cookies.map(|cookies| (header::COOKIE, cookies)));
    assert!(gate.form_token(&strangers, NOW).is_none());
    let mut form = HeaderMap::from_iter([(header::COOKIE, session.clone())]);
    let token = gate.form_token(&form, NOW).expect("they are logged in");
    form.extend(origin.clone().map(|origin| (header::ORIGIN, origin)));
    form.extend(host.clone().map(|host| (header::HOST, host)));
    assert!(!gate.allows(&form, "made up", NOW));
    let is_own = origin.is_none_or(|origin| {
        let of_host = host.map(|host| [b"http://".as_slice(), host.as_bytes()].concat());
        of_host.is_some_and(|of_host| of_host == origin.as_bytes())
    });
    assert!(is_own || !gate.allows(&form, token.as_str(), NOW));
}

/// Safe mode's network form, its fields separated by zero bytes: what is accepted becomes files in which
/// every line is one that belongs there.
pub fn network_form(data: &[u8]) {
    use fleet_agent::safe_mode::network::NetworkForm;
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut fields = text.split('\0').map(str::to_owned);
    let mut field = || fields.next().unwrap_or_default();
    let form = NetworkForm {
        interface: field(),
        mode: field(),
        address: field(),
        gateway: field(),
        dns: field(),
        ssid: field(),
        passphrase: field(),
    };
    match form.parse(std::slice::from_ref(&form.interface)) {
        Ok(settings) => {
            for file in settings.files() {
                assert!(!file.name.contains('/'), "{:?}", file.name);
                if file.name.ends_with(".network") {
                    assert_networkd(&form.interface, &file.content);
                } else {
                    assert_wpa_supplicant(&file.content);
                }
            }
        }
        Err(error) => assert!(
            !error.field.is_empty() && error.message.len() < 500,
            "{error}"
        ),
    }
}

fn assert_networkd(interface: &str, content: &str) {
    use std::net::IpAddr;
    let head =
        format!("# Set on the device's local page.\n[Match]\nName={interface}\n\n[Network]\n");
    let rest = content
        .strip_prefix(&head)
        .expect("one interface, one section");
    for line in rest.split_terminator('\n') {
        let (key, value) = line.split_once('=').expect("an assignment");
        let is_known = match key {
            "DHCP" => value == "yes",
            "IPv6AcceptRA" => value == "no",
            "Gateway" | "DNS" => value.parse::<IpAddr>().is_ok(),
            "Address" => value.split_once('/').is_some_and(|(address, prefix)| {
                address.parse::<IpAddr>().is_ok() && prefix.parse::<u8>().is_ok_and(|p| p <= 128)
            }),
            _ => false,
        };
        assert!(is_known, "{line:?}");
    }
}

fn assert_wpa_supplicant(content: &str) {
    let lines: Vec<&str> = content.split('\n').collect();
    let [
        "# Set on the device's local page.",
        "network={",
        "\tscan_ssid=1",
        ssid,
        key,
        "}",
        "",
    ] = lines.as_slice()
    else {
        panic!("{content:?}");
    };
    let ssid = ssid.strip_prefix("\tssid=").expect("the network's name");
    assert!(ssid.bytes().all(|b| b.is_ascii_hexdigit()), "{ssid:?}");
    let is_key = *key == "\tkey_mgmt=NONE" || key.starts_with("\tpsk=\"") && key.ends_with('"');
    assert!(is_key && !key.contains('\r'), "{key:?}");
}
