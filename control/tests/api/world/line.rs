//! A line to PostgreSQL's Unix socket that can be cut, as if the server were gone, without taking it from other tests.

use std::io::copy;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use tempfile::TempDir;

const SOCKET: &str = ".s.PGSQL.5432";

pub(crate) struct Line {
    folder: TempDir,
    server: PathBuf,
    /// Both ends of each connection; `None` while the line is cut.
    open: Mutex<Option<Vec<UnixStream>>>,
}

impl Line {
    /// To the server with its socket in this folder.
    pub(super) fn to(server: &Path) -> Arc<Self> {
        let folder = TempDir::new().unwrap();
        let listener = UnixListener::bind(folder.path().join(SOCKET)).unwrap();
        let line = Arc::new(Self {
            folder,
            server: server.join(SOCKET),
            open: Mutex::new(Some(Vec::new())),
        });
        let accepting = Arc::downgrade(&line);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Some(line) = accepting.upgrade() else {
                    return;
                };
                line.connect(client);
            }
        });
        line
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Ends all connections, and those that come.
    pub(crate) fn cut(&self) {
        for stream in self.open.lock().unwrap().take().into_iter().flatten() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    pub(crate) fn mend(&self) {
        *self.open.lock().unwrap() = Some(Vec::new());
    }

    fn connect(&self, client: UnixStream) {
        let mut open = self.open.lock().unwrap();
        let Some(open) = open.as_mut() else { return };
        let server = UnixStream::connect(&self.server).unwrap();
        for (from, to) in [(&client, &server), (&server, &client)] {
            let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
            thread::spawn(move || {
                let _ = copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Both);
            });
        }
        open.extend([client, server]);
    }
}
