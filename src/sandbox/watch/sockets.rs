//! What the sockets of a network namespace hold, asked of the kernel.

use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};

/// So many sockets are not worth asking.
const FEW: u64 = 128;
/// What a socket counts as where the kernel does not tell: what it may hold as it comes.
const USUAL: u64 = 208 << 10;

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const HEADER: usize = 16;

/// A way to ask, in the namespace in which it was opened.
pub(super) struct Sockets(Option<OwnedFd>);

/// One sort of sockets: the question, where attributes begin in an answer, and which of them tells of memory.
struct Sort {
    question: Vec<u8>,
    body: usize,
    memory: u16,
}

impl Sockets {
    pub(super) fn open() -> Self {
        let (family, kind) = (AddressFamily::NETLINK, SocketType::RAW);
        Self(rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, Some(netlink::SOCK_DIAG)).ok())
    }

    /// The bytes that wait in sockets.
    pub(super) fn held(&self) -> u64 {
        // The first process of the namespace has the same network.
        let text = std::fs::read_to_string("/proc/1/net/sockstat").unwrap_or_default();
        let count = text.lines().find_map(|line| line.strip_prefix("sockets: used ")?.trim().parse().ok());
        let count: u64 = count.unwrap_or(0);
        if count <= FEW {
            return 0;
        }
        let asked = || {
            let socket = self.0.as_ref()?;
            sorts().iter().try_fold(0u64, |total, sort| Some(total.saturating_add(ask(socket, sort)?)))
        };
        asked().unwrap_or(count * USUAL)
    }
}

fn sorts() -> Vec<Sort> {
    const ALL_STATES: u32 = u32::MAX;
    const SHOW_MEMORY: u32 = 0x20;
    let mut unix = vec![libc::AF_UNIX as u8, 0, 0, 0];
    for number in [ALL_STATES, 0, SHOW_MEMORY, 0, 0] {
        unix.extend(number.to_ne_bytes());
    }
    let mut all = vec![Sort { question: unix, body: 16, memory: 5 }];
    for family in [libc::AF_INET, libc::AF_INET6] {
        for protocol in [libc::IPPROTO_TCP, libc::IPPROTO_UDP] {
            const MEMORY: u16 = 7;
            let mut question = vec![family as u8, protocol as u8, 1 << (MEMORY - 1), 0];
            question.extend(ALL_STATES.to_ne_bytes());
            question.extend([0; 48]);
            all.push(Sort { question, body: 72, memory: MEMORY });
        }
    }
    all
}

/// What sockets of one sort hold; `None` where the kernel does not know the question.
fn ask(socket: &OwnedFd, sort: &Sort) -> Option<u64> {
    const REQUEST_DUMP: u16 = 0x301;
    let mut message = ((HEADER + sort.question.len()) as u32).to_ne_bytes().to_vec();
    message.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    message.extend(REQUEST_DUMP.to_ne_bytes());
    message.extend([0; 8]);
    message.extend(&sort.question);
    rustix::net::send(socket, &message, SendFlags::empty()).ok()?;
    let (mut total, mut buffer) = (0u64, vec![0u8; 64 << 10]);
    loop {
        let (read, _) = rustix::net::recv(socket, &mut buffer[..], RecvFlags::empty()).ok()?;
        if read == 0 {
            return None;
        }
        let mut rest = &buffer[..read];
        while let Some((kind, body, next)) = message_in(rest) {
            match kind {
                DONE => return Some(total),
                ERROR => return None,
                _ => total = total.saturating_add(memory_in(body.get(sort.body..)?, sort.memory)),
            }
            rest = next;
        }
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// The kind and the body of the first message, and what follows it.
fn message_in(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let (length, kind) = (word(bytes, 0)? as usize, half(bytes, 4)?);
    let body = bytes.get(HEADER..length)?;
    Some((kind, body, bytes.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

/// What the attribute `kind` says a socket has allocated, in bytes.
fn memory_in(mut attributes: &[u8], kind: u16) -> u64 {
    while let (Some(length), Some(its)) = (half(attributes, 0), half(attributes, 2)) {
        let length = usize::from(length).max(4);
        if its == kind {
            // Received, being sent, set aside, queued to be sent, and waiting while the socket is in use.
            let [received, sent, aside, queued, waiting] =
                [0, 2, 4, 5, 7].map(|at| u64::from(word(attributes, 4 + 4 * at).unwrap_or(0)));
            return received + sent.max(queued) + aside + waiting;
        }
        let Some(next) = attributes.get(length.next_multiple_of(4)..) else { break };
        attributes = next;
    }
    0
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn the_kernel_tells_what_sockets_hold() {
        let sockets = Sockets::open();
        let socket = sockets.0.as_ref().expect("a socket");
        for sort in sorts() {
            assert!(ask(socket, &sort).is_some(), "{:?}", &sort.question[..3]);
        }
        let pairs: Vec<_> = (0..200).map(|_| UnixStream::pair().unwrap()).collect();
        for (one, _) in &pairs {
            one.set_nonblocking(true).unwrap();
            let _ = (&mut &*one).write(&[0; 128 << 10]);
        }
        let held = ask(socket, &sorts()[0]).unwrap();
        assert!(held > 20 << 20, "{held}");
    }

    #[test]
    fn cut_off_answers_are_no_panic() {
        for length in 0..40 {
            let bytes = vec![3u8; length];
            assert!(message_in(&bytes).is_none());
            assert_eq!(memory_in(&bytes, 5), 0);
        }
    }
}
