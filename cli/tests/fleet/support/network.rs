//! A network that breaks connections after so many bytes from the client.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Forwards to one address; the first `cuts` connections that bring `after` bytes are cut there.
pub(crate) struct BadNetwork {
    pub(crate) address: SocketAddr,
    cut: Arc<AtomicU64>,
    /// Bytes that came from the client, all connections together.
    carried: Arc<AtomicU64>,
}

impl BadNetwork {
    pub(crate) fn before(target: SocketAddr, cuts: u64, after: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (cut, carried) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let counters = (Arc::clone(&cut), Arc::clone(&carried));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (cut, carried) = (Arc::clone(&counters.0), Arc::clone(&counters.1));
                std::thread::spawn(move || carry(client, target, cuts, after, &cut, &carried));
            }
        });
        Self {
            address,
            cut,
            carried,
        }
    }

    pub(crate) fn cuts(&self) -> u64 {
        self.cut.load(Ordering::Relaxed)
    }

    pub(crate) fn carried(&self) -> u64 {
        self.carried.load(Ordering::Relaxed)
    }
}

fn carry(
    mut client: TcpStream,
    target: SocketAddr,
    cuts: u64,
    after: u64,
    cut: &AtomicU64,
    carried: &AtomicU64,
) {
    let Ok(mut server) = TcpStream::connect(target) else {
        return;
    };
    let (mut back, mut to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut back, &mut to);
        let _ = to.shutdown(Shutdown::Both);
    });
    let (mut buffer, mut here) = (vec![0; 16 * 1024], 0);
    while let Ok(n @ 1..) = client.read(&mut buffer) {
        here += n as u64;
        carried.fetch_add(n as u64, Ordering::Relaxed);
        if server.write_all(&buffer[..n]).is_err() {
            break;
        }
        if here >= after && cut.load(Ordering::Relaxed) < cuts {
            cut.fetch_add(1, Ordering::Relaxed);
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Both);
    let _ = client.shutdown(Shutdown::Both);
}
