//! A connection that a test can cut: a listener on this machine that passes everything on to a socket.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// The listener, and both ends of what goes through it.
pub struct Proxy {
    port: u16,
    open: Arc<Mutex<Vec<(TcpStream, UnixStream)>>>,
    gone: Arc<AtomicBool>,
}

impl Proxy {
    /// Listens on a free port of the loopback, and passes on to `socket`.
    pub fn to(socket: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (open, to) = (Arc::new(Mutex::new(Vec::new())), socket.to_owned());
        let (all, gone) = (Arc::clone(&open), Arc::new(AtomicBool::new(false)));
        let is_gone = Arc::clone(&gone);
        std::thread::spawn(move || accept(&listener, &to, &all, &is_gone));
        Self { port, open, gone }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address of a PostgreSQL behind this, given the one by which it is reached directly.
    pub fn before(&self, direct: &str) -> String {
        let (before, _) = direct.split_once("?host=").expect("an address");
        before.replace("localhost", &format!("127.0.0.1:{}", self.port()))
    }

    /// Cuts every connection, and every one that is made from here on.
    pub fn go(&mut self) {
        self.gone.store(true, Ordering::SeqCst);
        self.cut();
    }

    /// Cuts every connection that is open now.
    pub fn cut(&mut self) {
        for (near, far) in self.open.lock().expect("the connections").drain(..) {
            let _ = (near.shutdown(Shutdown::Both), far.shutdown(Shutdown::Both));
        }
    }
}

fn accept(
    listener: &TcpListener,
    to: &PathBuf,
    open: &Mutex<Vec<(TcpStream, UnixStream)>>,
    gone: &AtomicBool,
) {
    for near in listener.incoming().flatten() {
        if gone.load(Ordering::SeqCst) {
            continue;
        }
        let Ok(far) = UnixStream::connect(to) else { continue };
        let again = || Some((near.try_clone().ok()?, far.try_clone().ok()?));
        let (Some(kept), Some((mut from, mut back))) = (again(), again()) else { continue };
        open.lock().expect("the connections").push(kept);
        let (mut near, mut far) = (near, far);
        std::thread::spawn(move || pass(&mut from, &mut far));
        std::thread::spawn(move || pass(&mut back, &mut near));
    }
}

fn pass(from: &mut impl Read, to: &mut impl Write) {
    let _ = std::io::copy(from, to);
}
