//! The listener: connections with limits, and an end that cuts nobody off who is being answered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use axum::Router;
use axum::extract::ConnectInfo;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tower::ServiceExt;

use super::{Service, live, router};

/// Connections at a time.
const CONNECTIONS: usize = 1024;
/// How long a client may take to send the head of a request.
const HEAD: Duration = Duration::from_secs(15);
/// Bytes of a request's head.
const HEAD_BYTES: usize = 64 << 10;
/// How long requests under way get when the service ends.
const GRACE: Duration = Duration::from_secs(20);
/// How long is waited after the machine refused a connection, for want of files as a rule.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves on `listener` until `end` comes; then takes no more connections, ends the streams, and waits for the answers under way.
///
/// # Errors
/// Where the service cannot be put together.
pub async fn serve(listener: TcpListener, service: Service, end: impl Future<Output = ()>) -> Result<()> {
    let (pulse, beat) = live::pulse(service.store.clone());
    let app = router(service, pulse)?;
    let beating = tokio::spawn(beat.run());
    answer(listener, app, async {
        end.await;
        // The streams see that the pulse is gone, and end.
        beating.abort();
    })
    .await
}

/// Answers by `app` until `end` comes; then takes no more connections, and waits for the answers under way.
///
/// # Errors
/// Where there is no room for connections any more, which never happens.
pub(super) async fn answer(listener: TcpListener, app: Router, end: impl Future<Output = ()>) -> Result<()> {
    let graceful = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut end = std::pin::pin!(end);
    loop {
        let place = tokio::select! {
            place = room.clone().acquire_owned() => place?,
            () = &mut end => break,
        };
        let (stream, from) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!("a connection was not taken: {error}");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            },
            () = &mut end => break,
        };
        let _ = stream.set_nodelay(true);
        let app = app.clone();
        let answer = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
            let mut request: Request = request.map(axum::body::Body::new);
            request.extensions_mut().insert(ConnectInfo::<SocketAddr>(from));
            app.clone().oneshot(request)
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .max_buf_size(HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), answer);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            let _place = place;
            if let Err(error) = connection.await {
                tracing::debug!(%from, "a connection broke: {error}");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(GRACE, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests were not answered in time");
    }
    Ok(())
}
