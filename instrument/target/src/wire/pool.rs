//! Open connections to one endpoint, kept for the next request.

use super::connection::{Connection, Stream};
use crate::uri::{Scheme, Url};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// How long a connection may take to be set up.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Connections kept while nothing uses them.
const KEPT: usize = 1024;

/// Connections to one endpoint.
pub(crate) struct Pool {
    url: Url,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    idle: Mutex<Vec<Connection>>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("cannot connect to {0}: {1}")]
    Connect(Url, #[source] io::Error),
    #[error("cannot connect to {0} within {limit} s", limit = CONNECT_LIMIT.as_secs())]
    Slow(Url),
    #[error("host name {0:?} cannot be checked against a certificate")]
    Name(String),
    #[error("this machine has no root certificates to check {0} against; install ca-certificates")]
    NoRoots(Url),
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] tokio_rustls::rustls::Error),
}

impl Pool {
    /// A pool without any connection yet. Errors: no TLS to be had, where the endpoint needs it.
    pub(crate) fn new(url: Url) -> Result<Self, ConnectError> {
        let tls = match url.scheme {
            Scheme::Http => None,
            Scheme::Https => Some(tls(&url)?),
        };
        Ok(Self { url, tls, idle: Mutex::default() })
    }

    /// A connection that is open now: the one used last, or a new one.
    pub(crate) async fn take(&self) -> Result<Connection, ConnectError> {
        while let Some(connection) = self.pop() {
            if connection.is_quiet() {
                return Ok(connection);
            }
        }
        tokio::time::timeout(CONNECT_LIMIT, self.connect())
            .await
            .unwrap_or_else(|_| Err(ConnectError::Slow(self.url.clone())))
    }

    /// Gives back a connection whose response is complete.
    pub(crate) fn put(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT {
            idle.push(connection);
        }
    }

    fn pop(&self) -> Option<Connection> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    async fn connect(&self) -> Result<Connection, ConnectError> {
        let wrong = |error| ConnectError::Connect(self.url.clone(), error);
        let begun = Instant::now();
        let host = self.url.host.trim_matches(['[', ']']);
        let tcp = TcpStream::connect((host, self.url.port)).await.map_err(wrong)?;
        tcp.set_nodelay(true).map_err(wrong)?;
        let stream = match &self.tls {
            None => Stream::Plain(tcp),
            Some((tls, name)) => {
                Stream::Tls(Box::new(tls.connect(name.clone(), tcp).await.map_err(wrong)?))
            }
        };
        Ok(Connection::new(stream, begun.elapsed().into()))
    }
}

fn tls(url: &Url) -> Result<(TlsConnector, ServerName<'static>), ConnectError> {
    let host = url.host.trim_matches(['[', ']']).to_owned();
    let name = ServerName::try_from(host.clone()).map_err(|_| ConnectError::Name(host))?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(ConnectError::NoRoots(url.clone()));
    }
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok((TlsConnector::from(Arc::new(config)), name))
}
