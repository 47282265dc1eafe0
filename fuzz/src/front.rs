//! A gateway over a catalog of its own, and an engine that answers with what it is given.

use bytes::Bytes;
use catalog::{Catalog, Function};
use gateway::{
    Accept, AccessKey, Engine, Front, Gateway, GatewayConfig, Invoke, Invoked, Limits, NotAccepted,
    PrepareFailed, ProvisionStatus, Provisioned, Reply, SharedSettings, Unsigned,
};
use model::{FunctionId, Span, TenantId};
use std::sync::Arc;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::runtime::{Builder, Runtime};

/// An engine that runs nothing: the event is the response, in pieces as long as its first byte says where pieces are taken.
pub struct Echo;

impl Engine for Echo {
    fn runtimes(&self) -> Vec<String> {
        vec!["provided.al2023".to_owned()]
    }

    async fn deploy(&self, _: Arc<Function>) -> Result<(), PrepareFailed> {
        Ok(())
    }

    async fn remove(&self, _: Arc<Function>) {}

    async fn accept(&self, _: Accept) -> Result<(), NotAccepted> {
        Ok(())
    }

    fn share(&self, _: FunctionId, _: SharedSettings) {}

    fn provision(&self, _: FunctionId, _: u32) {}

    fn provisioned(&self, _: FunctionId) -> Provisioned {
        let status = ProvisionStatus::Ready;
        Provisioned { requested: 0, allocated: 0, available: 0, status }
    }

    async fn invoke(&self, invoke: Invoke) -> Invoked {
        let reply = match invoke.stream {
            None => Reply::Payload(invoke.payload),
            Some(sink) => {
                let _is_first = sink.content_type.set(None);
                let length = usize::from(invoke.payload.first().copied().unwrap_or(0)) + 1;
                let _gone = sink.pieces.send(Bytes::new()).await;
                for piece in invoke.payload.chunks(length) {
                    let _gone = sink.pieces.send(Bytes::copy_from_slice(piece)).await;
                }
                Reply::Streamed
            }
        };
        Invoked { reply, log: Bytes::new(), duration: Span::ZERO }
    }
}

/// The gateway, and what it needs to run.
pub struct World {
    _data: TempDir,
    runtime: Runtime,
    gateway: Gateway<Echo>,
}

impl World {
    /// Without any function.
    pub fn new(unsigned: Unsigned) -> Self {
        let data = tempfile::tempdir_in("/dev/shm").expect("a temporary directory");
        let catalog = Arc::new(Catalog::open(data.path()).expect("opened"));
        let key = AccessKey {
            id: "AKIDEXAMPLE".to_owned(),
            secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
            tenant: TenantId::from_number(123_456_789_012),
        };
        let config = GatewayConfig {
            region: "us-east-1".to_owned(),
            access_keys: vec![key],
            session_secret: [7; 32],
            logs: None,
            front: Front { unsigned, ..Front::default() },
            limits: Limits::default(),
        };
        // Where all wait, time goes on by itself: a connection that is cut off for its slowness takes no real time.
        let runtime = Builder::new_current_thread().enable_all().start_paused(true).build();
        let gateway = Gateway::new(config, catalog, Arc::new(Echo));
        Self { _data: data, runtime: runtime.expect("a runtime"), gateway }
    }

    /// What the gateway says to these bytes until it closes the connection, at the latest when it has waited long enough.
    pub fn tell(&self, bytes: &[u8]) -> Vec<u8> {
        self.runtime.block_on(async {
            let (mut client, server) = duplex(1 << 20);
            let served = self.gateway.serve_connection(server);
            let asked = async {
                let _closed = client.write_all(bytes).await;
                let mut said = Vec::new();
                let _closed = client.read_to_end(&mut said).await;
                said
            };
            tokio::join!(served, asked).1
        })
    }

    /// The answer to one request: status and body.
    pub fn ask(&self, method: &str, target: &str, body: &[u8]) -> (u16, Vec<u8>) {
        let head = format!(
            "{method} {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let said = self.tell(&[head.as_bytes(), body].concat());
        let end = said.windows(4).position(|it| it == b"\r\n\r\n").expect("a whole header");
        let status = std::str::from_utf8(&said[9..12]).ok().and_then(|it| it.parse().ok());
        (status.expect("a status"), said[end + 4..].to_vec())
    }
}
