//! Connections: accepting them, HTTP/1.1 or HTTP/2 on each, and cutting off those that are slow or stuck.
//!
//! Deliberately knows nothing of what is asked over them.

use crate::engine::Engine;
use crate::gateway::Gateway;
use crate::stall::Stall;
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

/// Bytes of a request's header.
const HEADER_BYTES: u32 = 64 << 10;
/// Lines of a request's header.
const HEADER_LINES: usize = 100;
/// Requests at once on one HTTP/2 connection.
const STREAMS: u32 = 256;
/// Window of one HTTP/2 stream and of a connection: a small payload needs no second round trip.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// How long running requests may go on once a shutdown was asked for.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);
/// Pause after a failed accept, as when descriptors have run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

impl<E: Engine> Gateway<E> {
    /// Serves the listener's connections until `shutdown` is done; then lets running requests end, for ten seconds.
    pub async fn serve(&self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        self.serve_by(listener, None, shutdown).await;
    }

    /// The same, through TLS where an acceptor is given.
    pub async fn serve_by(
        &self,
        listener: TcpListener,
        tls: Option<TlsAcceptor>,
        shutdown: impl Future<Output = ()>,
    ) {
        let (stop, stopped) = watch::channel(false);
        let mut shutdown = pin!(shutdown);
        loop {
            let connections = self.inner.connections.clone();
            let accept = async {
                let room = connections.acquire_owned().await;
                (listener.accept().await, room)
            };
            let (accepted, room) = tokio::select! {
                accepted = accept => accepted,
                () = &mut shutdown => break,
            };
            match accepted {
                Ok((stream, _)) => {
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "cannot set TCP_NODELAY");
                    }
                    let (gateway, stopped, tls) = (self.clone(), stopped.clone(), tls.clone());
                    tokio::spawn(async move {
                        match tls {
                            None => gateway.serve_until(stream, stopped).await,
                            Some(tls) => gateway.serve_tls(&tls, stream, stopped).await,
                        }
                        drop(room);
                    });
                }
                Err(error) => accept_failed(&error).await,
            }
        }
        drop(listener);
        drop(stopped);
        stop.send_replace(true);
        if tokio::time::timeout(SHUTDOWN_GRACE, stop.closed()).await.is_err() {
            tracing::warn!("connections are still busy: they are dropped");
        }
    }

    /// Agrees on keys, in the time that a request's header may take, then serves.
    async fn serve_tls(
        &self,
        tls: &TlsAcceptor,
        stream: TcpStream,
        stopped: watch::Receiver<bool>,
    ) {
        match tokio::time::timeout(self.inner.limits.header_time, tls.accept(stream)).await {
            Ok(Ok(stream)) => Box::pin(self.serve_until(stream, stopped)).await,
            Ok(Err(error)) => tracing::debug!(%error, "a connection did not get through TLS"),
            Err(_) => tracing::debug!("a connection took too long for TLS"),
        }
    }

    /// Serves one connection to its end.
    pub async fn serve_connection(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) {
        let (_stop, stopped) = watch::channel(false);
        self.serve_until(stream, stopped).await;
    }

    async fn serve_until(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        mut stopped: watch::Receiver<bool>,
    ) {
        let limits = &self.inner.limits;
        let asked = AtomicBool::new(false);
        let service = service_fn(|request: Request<Incoming>| {
            asked.store(true, Ordering::Relaxed);
            let gateway = self.clone();
            async move { Ok::<_, Infallible>(gateway.handle(request).await) }
        });
        let builder = self.builder();
        let io = TokioIo::new(Stall::new(stream, limits.stall_time));
        let mut connection = pin!(builder.serve_connection(io, service));
        let mut first_request = pin!(tokio::time::sleep(limits.header_time));
        let (mut is_watched, mut is_stopping) = (true, false);
        loop {
            tokio::select! {
                result = &mut connection => {
                    if let Err(error) = result {
                        tracing::debug!(error, "a connection ended badly");
                    }
                    return;
                }
                () = &mut first_request, if is_watched => {
                    if !asked.load(Ordering::Relaxed) {
                        tracing::debug!("a connection sent no request in time");
                        return;
                    }
                    is_watched = false;
                }
                result = stopped.changed(), if !is_stopping => {
                    is_stopping = true;
                    if result.is_ok() {
                        connection.as_mut().graceful_shutdown();
                    }
                }
            }
        }
    }

    fn builder(&self) -> Builder<TokioExecutor> {
        let limits = &self.inner.limits;
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.header_time)
            .max_buf_size(HEADER_BYTES as usize)
            .max_headers(HEADER_LINES);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(limits.header_time)
            .keep_alive_timeout(limits.stall_time)
            .max_header_list_size(HEADER_BYTES)
            .max_concurrent_streams(STREAMS)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW);
        builder
    }
}

async fn accept_failed(error: &io::Error) {
    tracing::warn!(%error, "cannot accept a connection");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}
