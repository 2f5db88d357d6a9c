//! As much of HTTP/1.1 as a device speaks.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};

use super::{Fault, Shared};

const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;

/// One request, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub method: String,
    pub path: String,
    /// Names in small letters.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

#[derive(Debug, Clone)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Response {
    pub(super) fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    pub(super) fn json(status: u16, value: &serde_json::Value) -> Self {
        Self::new(status)
            .header("content-type", "application/json")
            .body(value.to_string().into_bytes())
    }

    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(super) fn body(mut self, body: Vec<u8>) -> Self {
        self.body = body;
        self
    }
}

impl Shared {
    /// One connection, until either side ends it. `raw` is what `stream` goes over.
    pub(super) fn serve(&self, stream: impl Read + Write, raw: &TcpStream) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        while let Some(request) = read_request(&mut stream)? {
            let fault = self.fault_for(&request.path);
            self.note(request.clone());
            if matches!(fault, Some(Fault::Hang | Fault::Close)) {
                if fault == Some(Fault::Hang) {
                    // Until the device or the test gives up.
                    io::copy(&mut stream, &mut io::sink())?;
                }
                return Ok(());
            }
            let response = self.answer(&request, fault.as_ref());
            match fault {
                Some(Fault::LoseAnswer) => return Ok(()),
                Some(Fault::CutAfter(bytes)) => {
                    write_response(stream.get_mut(), &response, bytes)?;
                    return raw.shutdown(Shutdown::Both);
                }
                _ => write_response(stream.get_mut(), &response, usize::MAX)?,
            }
        }
        Ok(())
    }

    fn note(&self, request: Request) {
        self.state().requests.push(request);
        self.changed.notify_all();
    }

    fn fault_for(&self, path: &str) -> Option<Fault> {
        let faults = &mut self.state().faults;
        let index = faults.iter().position(|(from, _)| path.starts_with(from))?;
        faults.remove(index).map(|(_, fault)| fault)
    }
}

fn read_request(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        return Err(io::Error::other("no request line"));
    };
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length");
    let length = length.and_then(|v| v.parse().ok()).unwrap_or(0);
    if length > MAX_BODY_BYTES {
        return Err(io::Error::other("too large"));
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Some(Request {
        method,
        path,
        headers,
        body,
    }))
}

/// At most `max_bytes` of the body; its length is told nevertheless.
fn write_response(
    stream: &mut impl Write,
    response: &Response,
    max_bytes: usize,
) -> io::Result<()> {
    let mut head = format!("HTTP/1.1 {} .\r\n", response.status).into_bytes();
    for (name, value) in &response.headers {
        write!(head, "{name}: {value}\r\n")?;
    }
    // Neither has a body, nor a length of one.
    if !matches!(response.status, 204 | 304) {
        write!(head, "content-length: {}\r\n", response.body.len())?;
    }
    head.extend(b"\r\n");
    stream.write_all(&head)?;
    let sent = max_bytes.min(response.body.len());
    stream.write_all(&response.body[..sent])?;
    stream.flush()
}
