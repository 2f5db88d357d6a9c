//! A bad network between device and control plane: a TCP proxy that can refuse, stall, slow down and cut.
//!
//! It carries bytes and knows nothing of TLS. It counts what went through, so a story can tell a resumed download
//! from a repeated one. Threads end when their sockets do; dropping the proxy closes everything.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const CHUNK_BYTES: usize = 16 * 1024;
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// How the network is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Weather {
    #[default]
    Fair,
    /// So many bytes a second towards the device, over all connections.
    Slow { bytes_per_s: u64 },
    /// Connections stay open and nothing comes through.
    Stalled,
    /// New connections are closed at once; open ones are cut.
    Down,
}

/// One connection; forgotten when both of its directions have ended.
#[derive(Debug)]
struct Carried {
    id: u64,
    directions: u8,
    device: TcpStream,
    control: TcpStream,
}

#[derive(Debug)]
struct State {
    weather: Weather,
    target: u16,
    open: Vec<Carried>,
    /// Cut everything once this many bytes have gone to the device, then go on as before.
    cut_at: Option<u64>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    to_device: AtomicU64,
    from_device: AtomicU64,
    connections: AtomicU64,
    closed: AtomicBool,
}

/// The proxy; it listens on a free port of the loopback.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddr,
}

impl Proxy {
    /// Leads to `target` on the loopback.
    pub fn to(target: u16) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                weather: Weather::Fair,
                target,
                open: Vec::new(),
                cut_at: None,
            }),
            changed: Condvar::new(),
            to_device: AtomicU64::new(0),
            from_device: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if accepting.closed.load(Ordering::Relaxed) {
                    return;
                }
                accepting.carry(stream);
            }
        });
        Ok(Self { shared, address })
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Leads new connections elsewhere: a control plane that was started again has another port.
    pub fn lead_to(&self, target: u16) {
        self.shared.lock().target = target;
    }

    /// Changes the weather, at once and for open connections too.
    pub fn set(&self, weather: Weather) {
        self.shared.lock().weather = weather;
        self.shared.changed.notify_all();
        if weather == Weather::Down {
            self.cut();
        }
    }

    /// Breaks every open connection.
    pub fn cut(&self) {
        self.shared.cut(&mut self.shared.lock());
    }

    /// Breaks every open connection when `bytes` more have gone to the device.
    pub fn cut_after(&self, bytes: u64) {
        let at = self.to_device() + bytes;
        self.shared.lock().cut_at = Some(at);
    }

    /// The cut asked for by [`Proxy::cut_after`] has not come yet.
    pub fn cut_is_pending(&self) -> bool {
        self.shared.lock().cut_at.is_some()
    }

    /// Bytes carried to the device so far, TLS and all.
    pub fn to_device(&self) -> u64 {
        self.shared.to_device.load(Ordering::Relaxed)
    }

    /// Bytes carried from the device so far.
    pub fn from_device(&self) -> u64 {
        self.shared.from_device.load(Ordering::Relaxed)
    }

    /// How many connections were made.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Relaxed);
        self.set(Weather::Down);
        // Wakes the accepting thread, which then sees that it is over.
        let _ = TcpStream::connect_timeout(&self.address, CONNECT_WITHIN);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cut(&self, state: &mut State) {
        for carried in state.open.drain(..) {
            let _ = carried.device.shutdown(Shutdown::Both);
            let _ = carried.control.shutdown(Shutdown::Both);
        }
        self.changed.notify_all();
    }

    fn carry(self: &Arc<Self>, device: TcpStream) {
        let id = self.connections.fetch_add(1, Ordering::Relaxed);
        let target = {
            let state = self.lock();
            if state.weather == Weather::Down {
                return;
            }
            SocketAddr::from(([127, 0, 0, 1], state.target))
        };
        let Ok(control) = TcpStream::connect_timeout(&target, CONNECT_WITHIN) else {
            return;
        };
        let _ = device.set_nodelay(true);
        let _ = control.set_nodelay(true);
        let copies = (device.try_clone(), control.try_clone());
        let (Ok(device_copy), Ok(control_copy)) = copies else {
            return;
        };
        self.lock().open.push(Carried {
            id,
            directions: 2,
            device: device_copy,
            control: control_copy,
        });
        let copies = (device.try_clone(), control.try_clone());
        let (Ok(from_device), Ok(to_control)) = copies else {
            self.cut(&mut self.lock());
            return;
        };
        let (down, up) = (Arc::clone(self), Arc::clone(self));
        std::thread::spawn(move || {
            down.pump(control, device, &down.to_device, true);
            down.direction_ended(id);
        });
        std::thread::spawn(move || {
            up.pump(from_device, to_control, &up.from_device, false);
            up.direction_ended(id);
        });
    }

    fn direction_ended(&self, id: u64) {
        let mut state = self.lock();
        if let Some(carried) = state.open.iter_mut().find(|c| c.id == id) {
            carried.directions -= 1;
        }
        state.open.retain(|carried| carried.directions > 0);
    }

    fn pump(&self, mut from: TcpStream, mut to: TcpStream, count: &AtomicU64, limited: bool) {
        let mut buffer = vec![0; CHUNK_BYTES];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let pause = self.wait_for_passage(length, limited);
            if to.write_all(&buffer[..length]).is_err() {
                break;
            }
            let total = count.fetch_add(length as u64, Ordering::Relaxed) + length as u64;
            if limited {
                self.cut_if_due(total);
            }
            std::thread::sleep(pause);
        }
        let _ = to.shutdown(Shutdown::Write);
    }

    /// Holds the bytes while stalled; says how long they take otherwise.
    fn wait_for_passage(&self, length: usize, limited: bool) -> Duration {
        let mut state = self.lock();
        while state.weather == Weather::Stalled && !self.closed.load(Ordering::Relaxed) {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        match state.weather {
            Weather::Slow { bytes_per_s } if limited => {
                Duration::from_micros(length as u64 * 1_000_000 / bytes_per_s.max(1))
            }
            _ => Duration::ZERO,
        }
    }

    fn cut_if_due(&self, total: u64) {
        let mut state = self.lock();
        if state.cut_at.is_some_and(|at| total >= at) {
            state.cut_at = None;
            self.cut(&mut state);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends back what it gets.
    fn echo() -> u16 {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    let mut writer = stream.try_clone().unwrap();
                    let _ = io::copy(&mut stream, &mut writer);
                });
            }
        });
        port
    }

    fn connect(proxy: &Proxy) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", proxy.port())).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        stream
    }

    #[test]
    fn bytes_pass_and_are_counted() {
        let proxy = Proxy::to(echo()).unwrap();
        let mut stream = connect(&proxy);
        stream.write_all(b"hello").unwrap();
        let mut back = [0; 5];
        stream.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"hello");
        assert_eq!((proxy.from_device(), proxy.connections()), (5, 1));
    }

    #[test]
    fn a_cut_comes_after_so_many_bytes_and_the_next_connection_works() {
        let proxy = Proxy::to(echo()).unwrap();
        proxy.cut_after(100_000);
        let mut stream = connect(&proxy);
        let mut writer = stream.try_clone().unwrap();
        std::thread::spawn(move || {
            let _ = writer.write_all(&vec![7; 1_000_000]);
        });
        let mut got = Vec::new();
        let _ = stream.read_to_end(&mut got);
        assert!(got.len() < 1_000_000, "{}", got.len());
        let mut next = connect(&proxy);
        next.write_all(b"x").unwrap();
        next.read_exact(&mut [0]).unwrap();
    }

    #[test]
    fn nothing_passes_while_it_is_down_and_everything_afterwards() {
        let proxy = Proxy::to(echo()).unwrap();
        proxy.set(Weather::Down);
        let mut closed = connect(&proxy);
        let _ = closed.write_all(b"x");
        assert!(matches!(closed.read(&mut [0]), Ok(0) | Err(_)));
        proxy.set(Weather::Fair);
        let mut open = connect(&proxy);
        open.write_all(b"x").unwrap();
        open.read_exact(&mut [0]).unwrap();
    }

    #[test]
    fn what_was_stalled_comes_through_later() {
        let proxy = Proxy::to(echo()).unwrap();
        proxy.set(Weather::Stalled);
        let mut stream = connect(&proxy);
        stream.write_all(b"x").unwrap();
        stream
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        assert!(stream.read(&mut [0]).is_err());
        proxy.set(Weather::Fair);
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        stream.read_exact(&mut [0]).unwrap();
    }
}
