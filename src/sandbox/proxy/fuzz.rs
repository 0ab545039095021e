//! What must hold of whatever a job sends to the proxy.

use super::{head, hello, target};

/// Reads `bytes` as a request and the handshake that follows it.
pub(crate) fn request(bytes: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let mut client = bytes;
        let Ok((text, early)) = head(&mut client).await else { return };
        assert!(text.ends_with("\r\n\r\n") && bytes.starts_with(text.as_bytes()));
        let Ok((host, _)) = target(&text) else { return };
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b);
        assert!(!host.is_empty() && host.bytes().all(allowed), "{host:?} is no host name");
        if let Ok(told) = hello(&mut client, early, &host).await {
            // What goes on to the server is what the client sent, nothing more and nothing else.
            assert!(bytes[text.len()..].starts_with(&told));
            let told = String::from_utf8_lossy(&told).to_ascii_lowercase();
            assert!(told.contains(&host), "the handshake does not have {host:?}");
        }
    });
}
