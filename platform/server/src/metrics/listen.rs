//! The listener of `/metrics`: its own address, so that no tenant reaches it by the API.
//!
//! Speaks as much of HTTP/1.1 as a scrape needs, one request per connection.

use anyhow::{Context, bail};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Scrapes at once; further ones wait to be accepted.
const SCRAPES: usize = 8;
/// How long a client may take to ask, and to take the answer.
const TIME: Duration = Duration::from_secs(10);
/// Bytes of a request.
const REQUEST_BYTES: usize = 8 << 10;

/// Who may read.
#[derive(Clone, Debug)]
pub(crate) enum Access {
    /// Everybody who reaches the address, which is a loopback one.
    Anybody,
    /// Who has this token.
    Bearer(String),
}

impl Access {
    /// Who may read at this address, by the token's file where there is one.
    ///
    /// Errors: an address that others reach without a token, and a file without one.
    pub fn of(address: SocketAddr, token: Option<&Path>) -> anyhow::Result<Self> {
        match token {
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read the token in {}", path.display()))?;
                let token = text.trim();
                if token.len() < 16 || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                    bail!(
                        "{} does not hold a token of at least 16 printable characters on its one line",
                        path.display()
                    );
                }
                Ok(Self::Bearer(token.to_owned()))
            }
            None if address.ip().is_loopback() => Ok(Self::Anybody),
            None => bail!(
                "--metrics-listen {address} can be reached from other machines: name a file with a token in \
                 --metrics-token, or listen on 127.0.0.1"
            ),
        }
    }

    fn allows(&self, header: Option<&str>) -> bool {
        match self {
            Self::Anybody => true,
            Self::Bearer(token) => {
                let given = header.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or("");
                // In a time that does not depend on where the two differ.
                given.len() == token.len()
                    && std::hint::black_box(
                        given.bytes().zip(token.bytes()).fold(0, |sum, (a, b)| sum | (a ^ b)),
                    ) == 0
            }
        }
    }
}

/// Serves scrapes until it is dropped.
pub(crate) async fn serve(
    listener: TcpListener,
    access: Access,
    write: impl Fn() -> String + Send + Sync + 'static,
) {
    let (write, access) = (Arc::new(write), Arc::new(access));
    let room = Arc::new(Semaphore::new(SCRAPES));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a scrape");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (write, access) = (Arc::clone(&write), Arc::clone(&access));
        tokio::spawn(async move {
            let answered = tokio::time::timeout(TIME, answer(stream, &access, &*write)).await;
            if !matches!(answered, Ok(Ok(()))) {
                tracing::debug!("a scrape ended badly");
            }
            drop(place);
        });
    }
}

async fn answer(
    mut stream: TcpStream,
    access: &Access,
    write: &(impl Fn() -> String + Sync),
) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if request.len() >= REQUEST_BYTES || stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let head = String::from_utf8_lossy(&request).into_owned();
    let line = head.lines().next().unwrap_or("");
    let path = line.split(' ').nth(1).map(|target| target.split('?').next().unwrap_or(target));
    let authorization = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("authorization").then(|| value.trim())
    });
    let (status, kind, body) = match (line.starts_with("GET "), path) {
        _ if !access.allows(authorization) => {
            ("401 Unauthorized\r\nWWW-Authenticate: Bearer", "text/plain", "no token\n".to_owned())
        }
        (true, Some("/metrics")) => ("200 OK", "text/plain; version=0.0.4; charset=utf-8", write()),
        _ => ("404 Not Found", "text/plain", "GET /metrics\n".to_owned()),
    };
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    // An address that others reach needs a token, which must be one; and only that token opens.
    #[test]
    fn others_need_a_token() {
        let (own, all): (SocketAddr, SocketAddr) =
            (([127, 0, 0, 1], 1).into(), ([0, 0, 0, 0], 1).into());
        assert!(Access::of(own, None).is_ok_and(|access| access.allows(None)));
        let refused = Access::of(all, None).expect_err("refused").to_string();
        assert!(refused.contains("--metrics-token"), "{refused}");
        let file = tempfile::NamedTempFile::new().expect("a file");
        for (text, is_token) in
            [("short", false), ("0123456789abcdef\n", true), ("0123456789 abcdef", false)]
        {
            std::fs::write(file.path(), text).expect("written");
            assert_eq!(Access::of(all, Some(file.path())).is_ok(), is_token, "{text}");
        }
        std::fs::write(file.path(), "0123456789abcdef\n").expect("written");
        let access = Access::of(own, Some(file.path())).expect("a token");
        assert!(access.allows(Some("Bearer 0123456789abcdef")));
        for wrong in
            [None, Some("Bearer 0123456789abcdee"), Some("0123456789abcdef"), Some("Bearer ")]
        {
            assert!(!access.allows(wrong), "{wrong:?}");
        }
    }
}
