//! A mail server on loopback that keeps what it takes, and can be told to do otherwise.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fleet_control::mail::{Encryption, MailServer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

pub(crate) const USER: &str = "fleet";
pub(crate) const SECRET: &str = "post horn";
/// `\0fleet\0post horn`
const LOGIN: &str = "AUTH PLAIN AGZsZWV0AHBvc3QgaG9ybg==";

/// A message as it came.
#[derive(Debug)]
pub(crate) struct Mail {
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    pub(crate) data: String,
}

impl Mail {
    /// One that stands there once.
    pub(crate) fn header(&self, name: &str) -> String {
        let (head, _) = self.data.split_once("\r\n\r\n").unwrap();
        let head = head.replace("\r\n ", " ");
        let found: Vec<_> = head
            .split("\r\n")
            .filter_map(|line| line.split_once(": "))
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .collect();
        assert_eq!(found.len(), 1, "{name} in {head}");
        found[0].1.to_owned()
    }

    /// The plain text.
    pub(crate) fn text(&self) -> String {
        self.part("text/plain")
    }

    pub(crate) fn html(&self) -> String {
        self.part("text/html")
    }

    fn part(&self, media: &str) -> String {
        let content = format!("Content-Type: {media}");
        let (_, rest) = self.data.split_once(&content).unwrap();
        let (head, body) = rest.split_once("\r\n\r\n").unwrap();
        let (body, _) = body.split_once("\r\n--").unwrap();
        if head.contains("quoted-printable") {
            return decoded(body);
        }
        assert!(head.contains("7bit"), "{head}");
        body.replace("\r\n", "\n")
    }

    /// The only address of a page in its text.
    pub(crate) fn link(&self) -> String {
        let text = self.text();
        let links: Vec<_> = text
            .lines()
            .filter(|line| line.starts_with("https://"))
            .collect();
        assert_eq!(links.len(), 1, "{text}");
        links[0].to_owned()
    }
}

/// Of quoted-printable (RFC 2045, §6.7).
fn decoded(body: &str) -> String {
    let joined = body.replace("=\r\n", "").replace("\r\n", "\n");
    let mut parts = joined.split('=');
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend(part[2..].bytes());
    }
    String::from_utf8(bytes).unwrap()
}

/// What it does instead of taking everything.
#[derive(Debug, Clone, Default)]
enum Mood {
    #[default]
    Good,
    /// Ends each connection before it has said a word.
    Away,
    /// Answers a command that begins like this with that.
    Says(&'static str, &'static str),
    /// Takes a message, and is gone before it has said so.
    Forgetful,
}

struct Office {
    mood: Mutex<Mood>,
    encryption: Encryption,
    tls: Option<Arc<ServerConfig>>,
    /// Whether nobody sends without having logged in.
    login: bool,
    taken: Mutex<Sender<Mail>>,
}

pub(crate) struct PostOffice {
    pub(crate) address: SocketAddr,
    office: Arc<Office>,
    came: Mutex<Receiver<Mail>>,
}

impl PostOffice {
    /// One without TLS that takes mail from everybody.
    pub(crate) fn new() -> Self {
        Self::with(Encryption::None, None, false)
    }

    /// One that people have to log in to, with a certificate for `localhost`.
    pub(crate) fn secure(encryption: Encryption, tls: Arc<ServerConfig>) -> Self {
        Self::with(encryption, Some(tls), true)
    }

    fn with(encryption: Encryption, tls: Option<Arc<ServerConfig>>, login: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (send, came) = channel();
        let office = Arc::new(Office {
            mood: Mutex::default(),
            encryption,
            tls,
            login,
            taken: Mutex::new(send),
        });
        let post = Self {
            address: listener.local_addr().unwrap(),
            office: Arc::clone(&office),
            came: Mutex::new(came),
        };
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let office = Arc::clone(&office);
                std::thread::spawn(move || office.receive(stream));
            }
        });
        post
    }

    /// For the settings of a control plane that sends by this one.
    pub(crate) fn server(&self) -> MailServer {
        let sender = "Fleet <fleet@example.org>".parse().unwrap();
        MailServer::new(&self.address.to_string(), Encryption::None, None, sender).unwrap()
    }

    pub(crate) fn goes_away(&self) {
        self.be(Mood::Away);
    }

    pub(crate) fn comes_back(&self) {
        self.be(Mood::Good);
    }

    pub(crate) fn says(&self, command: &'static str, answer: &'static str) {
        self.be(Mood::Says(command, answer));
    }

    pub(crate) fn is_forgetful(&self) {
        self.be(Mood::Forgetful);
    }

    fn be(&self, mood: Mood) {
        *self.office.mood.lock().unwrap() = mood;
    }

    pub(crate) fn next(&self) -> Mail {
        let came = self.came.lock().unwrap();
        came.recv_timeout(Duration::from_secs(30)).unwrap()
    }

    /// Whether nothing has come that was not looked at.
    pub(crate) fn is_quiet(&self) -> bool {
        self.came.lock().unwrap().try_recv().is_err()
    }
}

impl Office {
    fn mood(&self) -> Mood {
        self.mood.lock().unwrap().clone()
    }

    /// Whatever breaks off is the other side's to judge.
    fn receive(&self, tcp: TcpStream) -> Option<()> {
        if matches!(self.mood(), Mood::Away) {
            return None;
        }
        if self.encryption == Encryption::Implicit {
            return self.talk(BufReader::new(self.wrap(tcp)?), true);
        }
        let mut stream = BufReader::new(tcp);
        say(&mut stream, "220 post office")?;
        if self.encryption != Encryption::StartTls {
            return self.talk(stream, false);
        }
        let mut line = String::new();
        // Until it is encrypted.
        loop {
            line.clear();
            stream.read_line(&mut line).ok().filter(|read| *read > 0)?;
            match line.trim() {
                "STARTTLS" if self.tls.is_some() => {
                    say(&mut stream, "220 go on")?;
                    return self.talk(BufReader::new(self.wrap(stream.into_inner())?), false);
                }
                ehlo if ehlo.starts_with("EHLO") => {
                    let offer = self.tls.as_ref().map_or("250 8BITMIME", |_| "250 STARTTLS");
                    say(&mut stream, &format!("250-post office\r\n{offer}"))?;
                }
                _ => say(&mut stream, "530 STARTTLS first")?,
            }
        }
    }

    fn wrap(&self, tcp: TcpStream) -> Option<StreamOwned<ServerConnection, TcpStream>> {
        let connection = ServerConnection::new(Arc::clone(self.tls.as_ref()?)).ok()?;
        Some(StreamOwned::new(connection, tcp))
    }

    fn talk<S: Read + Write>(&self, mut stream: BufReader<S>, greet: bool) -> Option<()> {
        if greet {
            say(&mut stream, "220 post office")?;
        }
        let (mut known, mut from, mut to) = (!self.login, String::new(), Vec::new());
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).ok().filter(|read| *read > 0)?;
            let line = line.trim_end();
            if let Mood::Says(command, answer) = self.mood()
                && line.starts_with(command)
            {
                say(&mut stream, answer)?;
                continue;
            }
            let answer = match line.split([' ', ':']).next().unwrap() {
                "EHLO" if self.login => "250-post office\r\n250 AUTH PLAIN",
                "EHLO" => "250-post office\r\n250 8BITMIME",
                "AUTH" if line == LOGIN => {
                    known = true;
                    "235 welcome"
                }
                "AUTH" => "535 5.7.8 wrong user or password",
                "MAIL" if !known => "530 5.7.0 who are you",
                "MAIL" => {
                    (from, to) = (within(line), Vec::new());
                    "250 ok"
                }
                "RCPT" => {
                    to.push(within(line));
                    "250 ok"
                }
                "DATA" => {
                    say(&mut stream, "354 go on")?;
                    let data = message(&mut stream)?;
                    let mail = Mail {
                        from: from.clone(),
                        to: std::mem::take(&mut to),
                        data,
                    };
                    self.taken.lock().unwrap().send(mail).ok()?;
                    if matches!(self.mood(), Mood::Forgetful) {
                        return None;
                    }
                    "250 taken"
                }
                "RSET" => "250 ok",
                "QUIT" => {
                    say(&mut stream, "221 farewell")?;
                    return None;
                }
                _ => "500 what",
            };
            say(&mut stream, answer)?;
        }
    }
}

fn say<S: Read + Write>(stream: &mut BufReader<S>, text: &str) -> Option<()> {
    let stream = stream.get_mut();
    write!(stream, "{text}\r\n").ok()?;
    stream.flush().ok()
}

/// The address between angle brackets.
fn within(line: &str) -> String {
    let (_, rest) = line.split_once('<').unwrap();
    rest.split_once('>').unwrap().0.to_owned()
}

/// Up to the line with nothing but a dot; a dot that begins a line was doubled on its way.
fn message<S: Read>(stream: &mut BufReader<S>) -> Option<String> {
    let mut data = String::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok().filter(|read| *read > 0)?;
        if line == ".\r\n" {
            return Some(data);
        }
        data += line.strip_prefix('.').unwrap_or(&line);
    }
}
