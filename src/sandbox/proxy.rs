//! The way out for jobs that may reach package registries: a CONNECT proxy in this process.
//!
//! A job has a network namespace of its own with nothing in it but loopback. The launcher opens a listener there and hands it over;
//! this process accepts on it and decides per connection: the host must be a registry of the user's package clients, the name that the
//! TLS handshake asks for must be the same, and the address, resolved once, must be a public one. Nothing else leads out: no DNS, no
//! plain HTTP.

use std::io;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

use self::audit::Audit;
use super::registries::Registries;
use crate::outcome::Connections;

mod audit;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;

/// The port on the job's own loopback.
pub(super) const PORT: u16 = 51_790;
/// The longest head of a request, in bytes.
const HEAD: usize = 8 << 10;
/// The longest first message of a TLS handshake, in bytes.
const HELLO: usize = 64 << 10;
/// How long each step before the data may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Connections of one job at a time.
const CONNECTIONS: usize = 128;
/// What one job may send, in bytes: requests are small, and what is sent is what could leak.
const MOST_UP: u64 = 64 << 20;
/// What one job may receive, in bytes.
const MOST_DOWN: u64 = 8 << 30;

/// Sends the descriptor of a listener over `to`. For the launcher.
pub(super) fn hand_over(listener: BorrowedFd<'_>, to: &UnixStream) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [listener];
    if !control.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(io::Error::other("no room for a descriptor"));
    }
    sendmsg(to, &[IoSlice::new(b"l")], &mut control, SendFlags::empty())?;
    Ok(())
}

/// Takes the listener that the launcher sent before it started the command.
fn take_over(from: &UnixStream) -> Result<TcpListener> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0u8; 1];
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    recvmsg(from.as_fd(), &mut [io::IoSliceMut::new(&mut byte)], &mut control, flags)
        .context("the launcher sent no listener")?;
    let fd: Option<OwnedFd> = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    let listener = std::net::TcpListener::from(fd.context("the launcher sent no listener")?);
    listener.set_nonblocking(true)?;
    Ok(TcpListener::from_std(listener)?)
}

/// A job's way out; closed with everything that goes through it when dropped.
#[derive(Debug)]
pub(super) struct Gate {
    tasks: JoinSet<()>,
    stop: oneshot::Sender<()>,
    audit: Audit,
}

impl Gate {
    /// Serves what comes to `listener`.
    fn on(listener: TcpListener, registries: Arc<Registries>) -> Self {
        let (mut tasks, audit) = (JoinSet::new(), Audit::default());
        let (stop, stopped) = oneshot::channel();
        tasks.spawn(serve(listener, registries, audit.clone(), stopped));
        Self { tasks, stop, audit }
    }

    /// Closes it, and tells what went through it.
    pub(super) async fn close(mut self) -> Vec<Connections> {
        drop(self.stop);
        while self.tasks.join_next().await.is_some() {}
        self.audit.close()
    }
}

/// Opens the gate of a job whose launcher has sent its listener over `from`.
pub(super) fn open(from: &UnixStream, registries: Arc<Registries>) -> Result<Gate> {
    Ok(Gate::on(take_over(from)?, registries))
}
/// What all connections of a job share.
struct Shared {
    registries: Arc<Registries>,
    audit: Audit,
    up: AtomicU64,
    down: AtomicU64,
    room: Semaphore,
}

async fn serve(
    listener: TcpListener,
    registries: Arc<Registries>,
    audit: Audit,
    mut stopped: oneshot::Receiver<()>,
) {
    let shared = Arc::new(Shared {
        registries,
        audit,
        up: AtomicU64::new(0),
        down: AtomicU64::new(0),
        room: Semaphore::new(CONNECTIONS),
    });
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => { connections.spawn(audited(stream, Arc::clone(&shared))); }
                Err(error) => {
                    tracing::info!(target: "regreen::registries", %error, "a job's connection was lost");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = connections.join_next() => {}
            _ = &mut stopped => break,
        }
    }
    // What is still open ends here, and is told like the others.
    connections.shutdown().await;
}

async fn audited(mut stream: TcpStream, shared: Arc<Shared>) {
    let Ok(_room) = shared.room.acquire().await else { return };
    let mut story = shared.audit.begin();
    if let Err(error) = connection(&mut stream, &shared, &mut story).await {
        story.refused = Some(format!("{error:#}"));
    }
}

async fn connection(client: &mut TcpStream, shared: &Shared, story: &mut audit::Story) -> Result<()> {
    let (head, early) = timeout(PATIENCE, head(client)).await.context("no request in time")??;
    let (host, port) = match target(&head) {
        Ok(found) => found,
        Err(error) => return refuse(client, 405, error).await,
    };
    story.target = format!("{host}:{port}");
    if !shared.registries.allows(&host, port) {
        let error = anyhow::anyhow!(
            "{host}:{port} is no package registry of this user (sandbox.registries adds some)"
        );
        return refuse(client, 403, error).await;
    }
    let (mut server, address) = match reach(&host, port, shared.registries.private).await {
        Ok(reached) => reached,
        Err(error) => return refuse(client, 502, error).await,
    };
    story.address = Some(address);
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    let hello =
        timeout(PATIENCE, hello(client, early, &host)).await.context("no TLS handshake in time")??;
    spend(&shared.up, hello.len() as u64, MOST_UP)?;
    server.write_all(&hello).await?;
    story.up = hello.len() as u64;
    let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
    let (up, down) = tokio::join!(
        pump(from_client, to_server, &shared.up, MOST_UP, &mut story.up),
        pump(from_server, to_client, &shared.down, MOST_DOWN, &mut story.down),
    );
    up.and(down)
}

async fn refuse(client: &mut TcpStream, status: u16, error: anyhow::Error) -> Result<()> {
    let text = format!("regreen: {error:#}\n");
    let length = text.len();
    let answer = format!(
        "HTTP/1.1 {status} Refused\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}"
    );
    let _ = client.write_all(answer.as_bytes()).await;
    let _ = client.shutdown().await;
    Err(error)
}

/// The head of a request, and what came after it.
async fn head(client: &mut (impl AsyncRead + Unpin)) -> Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            return Ok((String::from_utf8(bytes).context("the request is no text")?, rest));
        }
        if bytes.len() > HEAD {
            bail!("the request's head is too long");
        }
        if client.read_buf(&mut bytes).await? == 0 {
            bail!("the request ended early");
        }
    }
}

/// The host and the port that a request asks for.
fn target(head: &str) -> Result<(String, u16)> {
    let mut words = head.lines().next().unwrap_or_default().split(' ');
    if words.next() != Some("CONNECT") {
        bail!("only TLS connections lead out (CONNECT)");
    }
    let (host, port) = words.next().and_then(|target| target.rsplit_once(':')).context("no host and port")?;
    let port = port.parse().context("no port")?;
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    if host.is_empty() || !host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
    {
        bail!("no host name");
    }
    Ok((host, port))
}

/// Connects to a host, whose name is resolved once. Addresses that are not public count as not there, unless they are allowed.
async fn reach(host: &str, port: u16, private: bool) -> Result<(TcpStream, SocketAddr)> {
    let found = timeout(PATIENCE, tokio::net::lookup_host((host, port)))
        .await
        .context("the name's address did not come")?;
    let found: Vec<SocketAddr> = found.with_context(|| format!("{host} has no address"))?.collect();
    let usable: Vec<SocketAddr> =
        found.iter().copied().filter(|at| private || is_public(at.ip())).take(8).collect();
    if usable.is_empty() {
        bail!("{host} leads to a private address (sandbox.private_registries allows them)");
    }
    let mut last = None;
    for address in usable {
        match timeout(PATIENCE, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok((stream, address)),
            Ok(Err(error)) => last = Some(error.to_string()),
            Err(_) => last = Some("no answer".to_owned()),
        }
    }
    bail!("{host} cannot be reached: {}", last.unwrap_or_default())
}

/// Reads the first message of the TLS handshake, and compares the name in it with `host`.
async fn hello(client: &mut (impl AsyncRead + Unpin), early: Vec<u8>, host: &str) -> Result<Vec<u8>> {
    let mut acceptor = Acceptor::default();
    let (mut all, mut fed) = (early, 0);
    loop {
        while fed < all.len() {
            match acceptor.read_tls(&mut &all[fed..]).context("no TLS handshake")? {
                0 => break,
                read => fed += read,
            }
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => {
                let hello = accepted.client_hello();
                let name = hello.server_name().map(|name| name.trim_end_matches('.').to_ascii_lowercase());
                return match name {
                    Some(name) if name == host => Ok(all),
                    Some(name) => bail!("the handshake asks for {name:?} at {host}"),
                    None => bail!("the handshake names no host"),
                };
            }
            Ok(None) => {}
            Err((error, _)) => bail!("no TLS handshake: {error}"),
        }
        if all.len() > HELLO {
            bail!("the handshake's first message is too long");
        }
        if client.read_buf(&mut all).await? == 0 {
            bail!("the connection ended before its handshake");
        }
    }
}

/// Carries one direction to its end; what the whole job carried counts against `most`.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl tokio::io::AsyncWrite + Unpin,
    used: &AtomicU64,
    most: u64,
    told: &mut u64,
) -> Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        // A connection that its client breaks off is an end like another.
        let read = from.read(&mut buffer).await.unwrap_or(0);
        if read == 0 {
            let _ = to.shutdown().await;
            return Ok(());
        }
        let within = spend(used, read as u64, most);
        if within.is_err() || to.write_all(&buffer[..read]).await.is_err() {
            let _ = to.shutdown().await;
            return within;
        }
        *told += read as u64;
    }
}

fn spend(used: &AtomicU64, bytes: u64, most: u64) -> Result<()> {
    if used.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes) > most {
        bail!("the job carried more than {most} bytes");
    }
    Ok(())
}

/// Whether an address is neither this machine's, nor a private network's, nor one for special purposes.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => {
            if let Some(v4) = v6.to_ipv4_mapped() {
                return is_public_v4(v4);
            }
            let parts = v6.segments();
            let inner =
                |high: u16, low: u16| is_public_v4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
            match parts {
                [0x64, 0xff9b, 0, 0, 0, 0, high, low] => inner(high, low),
                [0x2002, high, low, ..] => inner(high, low),
                // The address space in use, without Teredo.
                [first, second, ..] => first & 0xe000 == 0x2000 && !(first == 0x2001 && second == 0),
            }
        }
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (b == 18 || b == 19)))
}

#[cfg(test)]
mod tests;
