use rustls::ClientConnection;
use rustls::pki_types::ServerName;

use super::*;

/// The first message of a handshake that asks for `name`.
fn hello_for(name: &str) -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let mut client =
        ClientConnection::new(Arc::new(config), ServerName::try_from(name.to_owned()).unwrap()).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

/// A server that answers whatever comes with `served`, and says what came.
async fn server() -> (u16, tokio::task::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = vec![0; 1 << 16];
        let read = stream.read(&mut bytes).await.unwrap();
        stream.write_all(b"served").await.unwrap();
        bytes.truncate(read);
        bytes
    });
    (port, served)
}

/// The proxy on a port of this machine.
async fn proxy(registries: Registries) -> (u16, Gate) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (port, Gate::on(listener, Arc::new(registries)))
}

/// Asks the proxy for `target`, sends `bytes` once it agrees, and gives the status line and what came after the answer's head.
async fn through(proxy: u16, request: &str, bytes: &[u8]) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(("127.0.0.1", proxy)).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let (answer, mut rest) = head(&mut stream).await.unwrap();
    let status = answer.lines().next().unwrap().to_owned();
    if status.contains(" 200 ") {
        stream.write_all(bytes).await.unwrap();
    }
    let _ = stream.read_to_end(&mut rest).await;
    (status, rest)
}

fn connect(port: u16) -> String {
    format!("CONNECT localhost:{port} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n")
}

#[tokio::test]
async fn a_registry_is_reached_with_its_own_name_in_the_handshake() {
    let (port, served) = server().await;
    let (proxy, gate) = proxy(Registries::of([("localhost".into(), port)], true)).await;
    let hello = hello_for("localhost");
    let (status, answer) = through(proxy, &connect(port), &hello).await;
    assert!(status.contains(" 200 "), "{status}");
    assert_eq!(answer, b"served");
    assert_eq!(served.await.unwrap(), hello, "the handshake arrives as it was sent");
    let told = gate.close().await;
    let [one] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((one.target.clone(), one.count), (format!("localhost:{port}"), 1));
    assert_eq!((one.up, one.down, &one.refused), (hello.len() as u64, 6, &None));
    assert!(one.address.as_ref().is_some_and(|address| address.ends_with(&format!(":{port}"))), "{one:?}");
}

#[tokio::test]
async fn another_name_in_the_handshake_reaches_nobody() {
    for bytes in [hello_for("elsewhere.example"), b"GET / HTTP/1.1\r\n\r\n".to_vec(), vec![0; 100_000]] {
        let (port, served) = server().await;
        let (proxy, gate) = proxy(Registries::of([("localhost".into(), port)], true)).await;
        let (status, answer) = through(proxy, &connect(port), &bytes).await;
        assert!(status.contains(" 200 "), "{status}");
        assert_eq!(answer, b"", "something came back");
        assert_eq!(served.await.unwrap(), b"", "something arrived");
        let told = gate.close().await;
        assert!(told[0].refused.as_ref().is_some_and(|why| why.contains("handshake")), "{told:?}");
    }
}

#[tokio::test]
async fn other_hosts_ports_addresses_and_methods_are_refused() {
    let (port, served) = server().await;
    let places = || [("localhost".to_owned(), port)];
    let (open, gate) = proxy(Registries::of(places(), true)).await;
    let other = if port == 1024 { 1025 } else { port - 1 };
    for (request, wanted) in [
        (format!("CONNECT elsewhere.example:{port} HTTP/1.1\r\n\r\n"), " 403 "),
        (format!("CONNECT localhost:{other} HTTP/1.1\r\n\r\n"), " 403 "),
        (format!("CONNECT 127.0.0.1:{port} HTTP/1.1\r\n\r\n"), " 403 "),
        (format!("GET http://localhost:{port}/ HTTP/1.1\r\n\r\n"), " 405 "),
        ("CONNECT [::1]:443 HTTP/1.1\r\n\r\n".to_owned(), " 405 "),
        ("CONNECT localhost HTTP/1.1\r\n\r\n".to_owned(), " 405 "),
    ] {
        let (status, _) = through(open, &request, b"").await;
        assert!(status.contains(wanted), "{request:?}: {status}");
    }
    let told = gate.close().await;
    assert_eq!(told.iter().map(|one| one.count).sum::<u64>(), 6);
    assert!(told.iter().all(|one| one.refused.is_some() && one.address.is_none()), "{told:?}");
    // The same place, with private addresses forbidden.
    let (closed, _gate) = proxy(Registries::of(places(), false)).await;
    let (status, text) = through(closed, &connect(port), b"").await;
    assert!(status.contains(" 502 "), "{status}");
    assert!(String::from_utf8_lossy(&text).contains("private address"));
    assert!(!served.is_finished());
    served.abort();
}

#[tokio::test]
async fn what_a_job_carries_is_bounded() {
    let used = AtomicU64::new(0);
    let (mut sent, mut told) = (Vec::new(), 0);
    let data = vec![7u8; 200_000];
    assert!(pump(data.as_slice(), &mut sent, &used, 150_000, &mut told).await.is_err());
    assert!(sent.len() <= 150_000 && told == sent.len() as u64);
    assert!(pump(&b"more"[..], &mut sent, &used, 150_000, &mut told).await.is_err());
}

#[test]
fn only_public_addresses_are_public() {
    for private in [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "64:ff9b::a00:1",
        "2002:7f00:1::",
        "2001:0:1::",
    ] {
        assert!(!is_public(private.parse().unwrap()), "{private}");
    }
    for public in
        ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
    {
        assert!(is_public(public.parse().unwrap()), "{public}");
    }
}

#[tokio::test]
async fn what_a_job_asks_for_in_a_loop_is_told_in_a_few_lines() {
    let (proxy, gate) = proxy(Registries::of([], true)).await;
    for round in 0..200 {
        let host = if round < 100 { "same.example".to_owned() } else { format!("{round}.example") };
        through(proxy, &format!("CONNECT {host}:443 HTTP/1.1\r\n\r\n"), b"").await;
    }
    // A connection that asks for nothing, and is open still.
    let _silent = TcpStream::connect(("127.0.0.1", proxy)).await.unwrap();
    let told = gate.close().await;
    assert!(told.len() <= 66, "{}", told.len());
    assert_eq!((told[0].target.as_str(), told[0].count), ("same.example:443", 100));
    assert!(told.iter().any(|one| one.target == "other places" && one.count > 30), "{told:?}");
}
