//! What is kept and shown of what happens: logs, accounts and metrics, opened together and looked after together.

use crate::accounts::Accounts;
use crate::metrics::{self, Access};
use crate::platform::{Ledger, Platform};
use crate::spans::{OtlpEndpoint, Spans};
use anyhow::Context;
use logs::{Bounds, Logs};
use sandbox::Kind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// How often accounts are written: what a killed server may lose of them.
const ACCOUNTS: Duration = Duration::from_secs(1);

/// What is to be kept and shown.
#[derive(Clone, Debug, Default)]
pub struct Observe {
    /// How much of what functions write is kept.
    pub log_bounds: Bounds,
    /// Address of `/metrics`; None for none.
    pub metrics_listen: Option<SocketAddr>,
    /// File with the token that reads `/metrics`.
    pub metrics_token: Option<PathBuf>,
    /// Collector that spans are sent to; None for none.
    pub otlp_endpoint: Option<OtlpEndpoint>,
}

/// What was opened for it.
pub(crate) struct Observer {
    pub logs: Logs,
    accounts: Arc<Accounts>,
    metrics: Option<(TcpListener, Access)>,
    otlp_endpoint: Option<OtlpEndpoint>,
}

impl Observer {
    /// Opens files in a data directory, and the metrics' address.
    pub async fn open(data: &Path, observe: Observe) -> anyhow::Result<Self> {
        let Observe { log_bounds, metrics_listen, metrics_token, otlp_endpoint } = observe;
        let metrics = match metrics_listen {
            None => None,
            Some(address) => {
                let access = Access::of(address, metrics_token.as_deref())?;
                let listener = TcpListener::bind(address).await.with_context(|| {
                    format!(
                        "cannot listen on {address}: choose another address with --metrics-listen"
                    )
                })?;
                Some((listener, access))
            }
        };
        let directory = data.join("logs");
        let logs = Logs::open(&directory, log_bounds)
            .with_context(|| format!("cannot open the logs in {}", directory.display()))?;
        let accounts = Arc::new(Accounts::open(&data.join("accounts"))?);
        Ok(Self { logs, accounts, metrics, otlp_endpoint })
    }

    /// What the platform writes to.
    pub fn ledger(&self, region: &str) -> Ledger {
        let spans = self.otlp_endpoint.clone().map(|endpoint| Spans::open(endpoint, region));
        Ledger::new(self.logs.clone(), Arc::clone(&self.accounts), spans, region)
    }

    /// URL of the metrics, where there are some.
    pub fn metrics_url(&self) -> anyhow::Result<Option<String>> {
        let Some((listener, _)) = &self.metrics else { return Ok(None) };
        let address = listener.local_addr().context("cannot read the metrics' address")?;
        Ok(Some(format!("http://{address}/metrics")))
    }

    /// Serves metrics and writes accounts until what it returns is dropped.
    pub fn watch<K: Kind>(self, platform: &Arc<Platform<K>>) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        if let Some((listener, access)) = self.metrics {
            let platform = Arc::clone(platform);
            tasks.spawn(metrics::serve(listener, access, move || platform.write_metrics()));
        }
        tasks.spawn(write_accounts(self.accounts));
        tasks
    }
}

async fn write_accounts(accounts: Arc<Accounts>) {
    let mut every = tokio::time::interval(ACCOUNTS);
    loop {
        every.tick().await;
        let accounts = Arc::clone(&accounts);
        // It waits for a disk.
        if let Err(error) = tokio::task::spawn_blocking(move || accounts.flush()).await {
            tracing::error!(%error, "writing the accounts broke off");
        }
    }
}
