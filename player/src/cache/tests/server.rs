//! A small HTTP server on a free loopback port, which misbehaves as it is told.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Nothing in here waits for longer.
const PATIENCE: Duration = Duration::from_secs(20);
pub(super) const ETAG: &str = "\"v1\"";

/// How one request is answered.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    /// As a good server does, ranges included.
    Whole(Vec<u8>),
    /// Another content under another ETag, and the connection ends after so many bytes.
    CutOther(Vec<u8>, usize),
    /// The connection ends after so many bytes of the body.
    Cut(Vec<u8>, usize),
    IgnoreRange(Vec<u8>),
    /// Asked for a range, it gives one from another place.
    OtherRange(Vec<u8>),
    /// Without a length, in one chunk.
    Chunked(Vec<u8>),
    /// After so many bytes nothing more comes.
    Hang(Vec<u8>, usize),
    Status(u16),
    Redirect(&'static str),
}

#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) path: String,
    pub(super) headers: BTreeMap<String, String>,
}

impl Request {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    fn range_from(&self) -> Option<usize> {
        let range = self.header("range")?.strip_prefix("bytes=")?;
        range.strip_suffix('-')?.parse().ok()
    }
}

#[derive(Default)]
struct State {
    /// The last answer of a path stays.
    answers: Mutex<BTreeMap<String, VecDeque<Answer>>>,
    requests: Mutex<Vec<Request>>,
    stop: AtomicBool,
}

pub(super) struct Server {
    address: SocketAddr,
    state: Arc<State>,
    /// Dropped, it ends those that hang.
    _open: Sender<()>,
}

impl Server {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state: Arc<State> = Arc::default();
        let (open, ended) = channel();
        let ended = Arc::new(Mutex::new(ended));
        let shared = state.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.stop.load(Ordering::Relaxed) {
                    return;
                }
                let (state, ended) = (shared.clone(), ended.clone());
                thread::spawn(move || serve(&state, &ended, stream.unwrap()));
            }
        });
        Self {
            address,
            state,
            _open: open,
        }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(super) fn answer(&self, path: &str, answers: impl IntoIterator<Item = Answer>) {
        let answers = answers.into_iter().collect();
        let mut all = self.state.answers.lock().unwrap();
        all.insert(path.to_owned(), answers);
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.state.requests.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::Relaxed);
        // Wakes the listener.
        let _ = TcpStream::connect(self.address);
    }
}

/// One request; the connection is closed after it.
fn serve(state: &State, ended: &Mutex<Receiver<()>>, stream: TcpStream) -> Option<()> {
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    let request = read_request(&stream)?;
    let answer = {
        let mut all = state.answers.lock().unwrap();
        let answers = all.get_mut(&request.path);
        match answers {
            Some(answers) if answers.len() > 1 => answers.pop_front()?,
            Some(answers) => answers.front()?.clone(),
            None => Answer::Status(404),
        }
    };
    state.requests.lock().unwrap().push(request.clone());
    respond(&request, &answer, stream, ended)
}

fn read_request(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next()?.ok()?;
    let path = first.split(' ').nth(1)?.to_owned();
    let mut headers = BTreeMap::new();
    for line in lines {
        let line = line.ok()?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    Some(Request { path, headers })
}

fn respond(
    request: &Request,
    answer: &Answer,
    mut stream: TcpStream,
    ended: &Mutex<Receiver<()>>,
) -> Option<()> {
    let from = request.range_from().filter(|_| {
        let condition = request.header("if-range");
        condition.is_none_or(|etag| etag == ETAG)
    });
    let full = |body: &[u8], etag: &str| {
        let length = body.len();
        format!("HTTP/1.1 200 OK\r\nETag: {etag}\r\nContent-Length: {length}\r\n")
    };
    let part = |body: &[u8], from: usize| {
        let (last, length) = (body.len() - 1, body.len());
        let rest = length - from;
        format!(
            "HTTP/1.1 206 Partial Content\r\nETag: {ETAG}\r\nContent-Length: {rest}\r\n\
             Content-Range: bytes {from}-{last}/{length}\r\n"
        )
    };
    let (head, body) = match answer {
        Answer::Whole(body) | Answer::Cut(body, _) | Answer::Hang(body, _) => match from {
            Some(from) if from < body.len() => (part(body, from), body[from..].to_vec()),
            Some(_) => (status_line(416), Vec::new()),
            None => (full(body, ETAG), body.clone()),
        },
        Answer::OtherRange(body) if from.is_some() => (part(body, 1), body[1..].to_vec()),
        Answer::IgnoreRange(body) | Answer::OtherRange(body) => (full(body, ETAG), body.clone()),
        Answer::CutOther(body, _) => (full(body, "\"old\""), body.clone()),
        Answer::Chunked(body) => {
            let mut chunk = format!("{:x}\r\n", body.len()).into_bytes();
            chunk.extend(body);
            chunk.extend(b"\r\n0\r\n\r\n");
            let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n";
            (head.to_owned(), chunk)
        }
        Answer::Status(code) => (status_line(*code), Vec::new()),
        Answer::Redirect(to) => (
            format!("{}Location: {to}\r\n", status_line(302)),
            Vec::new(),
        ),
    };
    let head = format!("{head}Connection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    let length = match answer {
        Answer::Cut(_, length) | Answer::CutOther(_, length) | Answer::Hang(_, length) => *length,
        _ => body.len(),
    };
    stream.write_all(&body[..length.min(body.len())]).ok()?;
    if matches!(answer, Answer::Hang(..)) {
        let ended = ended.lock().unwrap().recv_timeout(PATIENCE);
        assert_eq!(ended, Err(RecvTimeoutError::Disconnected));
    }
    Some(())
}

fn status_line(code: u16) -> String {
    format!("HTTP/1.1 {code} As Told\r\nContent-Length: 0\r\n")
}
