//! The way to a model's server, which may be as bad as the network: closed, cut, slow, silent or without end.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What becomes of a connection.
#[derive(Debug, Clone, Copy)]
pub enum Line {
    /// It is closed before anything is said.
    Closed,
    /// It is closed after so many bytes of the answer.
    Cut(usize),
    /// The answer comes byte by byte.
    Bytewise,
    /// Nothing ever comes.
    Silent,
    /// An answer begins and never ends, though something always comes.
    Endless,
}

/// How often something comes of an answer without end.
const BEAT: Duration = Duration::from_millis(50);

/// A relay to a server. It ends with the process: nobody else has its port.
pub struct Relay {
    address: SocketAddr,
    lines: Arc<Mutex<VecDeque<Line>>>,
}

impl Relay {
    /// Stands in front of the server at `base_url`. The first connections go as `lines` say, the others as they should.
    pub fn start(base_url: &str, lines: &[Line]) -> Self {
        let server: SocketAddr =
            base_url.strip_prefix("http://").expect("a plain address").parse().expect("an address");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let lines = Arc::new(Mutex::new(lines.iter().copied().collect::<VecDeque<_>>()));
        let shared = Arc::clone(&lines);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let line = shared.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                // Whoever hangs up ends it, on either side.
                std::thread::spawn(move || drop(carry(client, server, line)));
            }
        });
        Self { address, lines }
    }

    /// Its own address.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From here on every connection goes as it should.
    pub fn behave(&self) {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

fn carry(mut client: TcpStream, server: SocketAddr, line: Option<Line>) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    match line {
        Some(Line::Closed) => return client.shutdown(Shutdown::Both),
        Some(Line::Silent) => return std::io::copy(&mut client, &mut std::io::sink()).map(drop),
        Some(Line::Endless) => return chatter(client),
        Some(Line::Cut(_) | Line::Bytewise) | None => {}
    }
    let mut server = TcpStream::connect(server)?;
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    match line {
        Some(Line::Cut(after)) => {
            std::io::copy(&mut (&mut server).take(after as u64), &mut client)?;
        }
        Some(Line::Bytewise) => {
            let mut byte = [0];
            while server.read(&mut byte)? == 1 {
                client.write_all(&byte)?;
            }
        }
        _ => drop(std::io::copy(&mut server, &mut client)?),
    }
    server.shutdown(Shutdown::Both)?;
    client.shutdown(Shutdown::Both)
}

/// Begins an answer and goes on until the client has had enough.
fn chatter(mut client: TcpStream) -> std::io::Result<()> {
    let mut reader = client.try_clone()?;
    std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let start = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_test_1\",\"type\":\"message\",\"role\":\"assistant\",\"content\":[],\"usage\":{\"input_tokens\":11,\"output_tokens\":1}}}\n\n";
    let ping = "event: ping\ndata: {\"type\":\"ping\"}\n\n";
    client.write_all(head.as_bytes())?;
    let mut next = start;
    loop {
        client.write_all(format!("{:x}\r\n{next}\r\n", next.len()).as_bytes())?;
        next = ping;
        std::thread::sleep(BEAT);
    }
}
