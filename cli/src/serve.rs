//! `peek serve`: the platform alone.

use crate::client::default_data;
use anyhow::Context;
use scheduler::Profile;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// Options of `peek serve`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9470", env = "PEEK_LISTEN")]
    listen: SocketAddr,
    /// Port to listen on instead of ADDR's; 0 takes a free one.
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Where functions, code and credentials are kept [default: /var/lib/peek as root, ~/.local/share/peek else].
    #[arg(long, value_name = "DIR", env = "PEEK_DATA")]
    data: Option<PathBuf>,
    /// Accounts that have an access key; those that DIR/credentials.json lacks are made and kept there.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    tenants: u32,
    /// File with the access keys, of the form of DIR/credentials.json and of mode 0600, instead of that one.
    #[arg(long, value_name = "FILE", conflicts_with = "access_key_id")]
    credentials: Option<PathBuf>,
    /// Id of the one access key, instead of those in DIR. Its secret is better in a variable, PEEK_SERVE_SECRET_ACCESS_KEY:
    /// command lines can be seen by all.
    #[arg(long, value_name = "ID", requires = "secret_access_key")]
    access_key_id: Option<String>,
    /// Secret of that key.
    #[arg(long, value_name = "SECRET", requires = "access_key_id")]
    secret_access_key: Option<String>,
    /// Take requests without a signature, and those of unknown keys, as the first account's. On loopback only.
    #[arg(long)]
    no_auth: bool,
    /// Serve through TLS by this certificate, with those between it and its root, in PEM form.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Private key of that certificate, in PEM form.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Serve through TLS by a certificate that is made and kept in DIR; clients have to be told to trust it.
    #[arg(long, conflicts_with_all = ["tls_cert", "tls_key"])]
    tls_self_signed: bool,
    /// How the platform behaves: `local`, `study`, or a TOML file.
    #[arg(long, value_name = "NAME|FILE", default_value = "local", env = "PEEK_PROFILE")]
    profile: String,
    /// What instances can reach: `routed` (the world, by NAT), `none`, or `auto` (routed where this machine can).
    #[arg(long, value_name = "KIND", default_value = "auto", env = "PEEK_NETWORK")]
    network: server::Network,
    /// An address (host:port) on this machine that instances may reach all the same; may be repeated.
    #[arg(long, value_name = "ADDR")]
    allow: Vec<SocketAddr>,
    /// Address to serve Prometheus's metrics on, at /metrics; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", env = "PEEK_METRICS_LISTEN")]
    metrics_listen: Option<SocketAddr>,
    /// File with the bearer token that reads the metrics; needed where ADDR is not a loopback one.
    #[arg(long, value_name = "FILE", requires = "metrics_listen")]
    metrics_token: Option<PathBuf>,
    /// OpenTelemetry collector that spans of invocations are sent to, by OTLP over HTTP, as http://127.0.0.1:4318.
    #[arg(long, value_name = "URL", env = "PEEK_OTLP_ENDPOINT")]
    otlp_endpoint: Option<server::OtlpEndpoint>,
    /// Megabytes of log lines that are kept of one function; the oldest go.
    #[arg(long, value_name = "MB", default_value_t = 32, value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    log_megabytes: u64,
    /// The same of all functions together.
    #[arg(long, value_name = "MB", default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..=1 << 24))]
    log_megabytes_total: u64,
    /// Days for which log lines are kept.
    #[arg(long, value_name = "DAYS", default_value_t = 14, value_parser = clap::value_parser!(u64).range(1..=3653))]
    log_days: u64,
    /// Write what the platform really does, as JSON lines, for holding measurements against it.
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
}

/// Runs the platform until SIGTERM or SIGINT.
pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let data = match arguments.data {
        Some(data) => data,
        None => default_data()?,
    };
    let observe = server::Observe {
        log_bounds: server::LogBounds {
            group_bytes: arguments.log_megabytes << 20,
            total_bytes: arguments.log_megabytes_total << 20,
            age: model::Span::from_secs(arguments.log_days * 24 * 3600),
            ..server::LogBounds::default()
        },
        metrics_listen: arguments.metrics_listen,
        metrics_token: arguments.metrics_token,
        otlp_endpoint: arguments.otlp_endpoint,
    };
    let options = server::Options {
        listen: SocketAddr::new(
            arguments.listen.ip(),
            arguments.port.unwrap_or(arguments.listen.port()),
        ),
        data,
        tenants: arguments.tenants,
        keys: match (arguments.credentials, arguments.access_key_id, arguments.secret_access_key) {
            (Some(file), ..) => server::Keys::File(file),
            (None, Some(id), Some(secret)) => server::Keys::Given { id, secret },
            _ => server::Keys::Own,
        },
        unsigned: match arguments.no_auth {
            true => server::Unsigned::First,
            false => server::Unsigned::Refused,
        },
        tls: match (arguments.tls_cert, arguments.tls_key) {
            (Some(certificate), Some(key)) => server::Tls::Files { certificate, key },
            _ if arguments.tls_self_signed => server::Tls::SelfSigned,
            _ => server::Tls::None,
        },
        profile: profile(&arguments.profile)?,
        network: arguments.network,
        allow: arguments.allow,
        observe,
        journal: arguments.journal,
        starter: starter_command()?,
    };
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads())
        .enable_all()
        .build()
        .context("cannot start the server's threads")?
        .block_on(server::serve(options, announce))?;
    Ok(ExitCode::SUCCESS)
}

/// Threads of the server: one for two CPUs, eight at most. Functions need the others; and where there are several, each
/// message from a client or a function wakes one more than it needs, which finds nothing to do: on two CPUs that took a
/// sixth of the server's time.
fn threads() -> usize {
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    (cpus / 2).clamp(1, 8)
}

/// The profile of this name, or in this file.
pub fn profile(name: &str) -> anyhow::Result<Profile> {
    let profile = read_profile(name)?;
    server::check(&profile).with_context(|| format!("cannot serve profile {name}"))?;
    Ok(profile)
}

fn read_profile(name: &str) -> anyhow::Result<Profile> {
    match name {
        "local" => Ok(Profile::default()),
        "study" => Ok(Profile::study()),
        file => {
            let text = std::fs::read_to_string(file).with_context(|| {
                format!(
                    "profile {file:?} is neither a name (local, study) nor a file that can be read"
                )
            })?;
            Profile::from_toml(&text).with_context(|| format!("cannot use profile {file}"))
        }
    }
}

/// The command by which this program becomes a starter.
fn starter_command() -> anyhow::Result<Vec<std::ffi::OsString>> {
    let this = std::env::current_exe().context("cannot find this program's own file")?;
    Ok(vec![this.into_os_string(), "starter".into()])
}

/// Tells the user, and whoever started this, where the platform is and how to use it.
///
/// The lines up to the last `AWS_` one are read by programs; none of them changes its form.
fn announce(ready: &server::Ready) {
    let (smallest, largest) = ready.memory_mib;
    println!("sandbox {}", ready.sandbox);
    println!("memory_mib {smallest} {largest}");
    if !ready.limitations.is_empty() {
        println!("limitations {}", ready.limitations.join(" | "));
    }
    if let Some(address) = ready.host_address {
        println!("host_address {address}");
    }
    if let Some(metrics) = &ready.metrics {
        println!("metrics {metrics}");
    }
    println!("AWS_DEFAULT_REGION={}", ready.region);
    println!("AWS_REGION={}", ready.region);
    println!("AWS_ENDPOINT_URL={}", ready.endpoint);
    println!("endpoint {}", ready.endpoint);
    if let Some(bundle) = &ready.bundle {
        println!("AWS_CA_BUNDLE={}", bundle.display());
    }
    for key in &ready.access_keys {
        println!("AWS_ACCESS_KEY_ID={}", key.id);
        println!("AWS_SECRET_ACCESS_KEY={}", key.secret);
    }
    println!();
    println!("With these exported, deploy and invoke a function with the AWS CLI:");
    let python = ready.runtimes.iter().rfind(|runtime| runtime.starts_with("python"));
    let runtime = python.map_or("provided.al2023", |runtime| runtime);
    let account = ready.access_keys.first().map(|key| key.tenant.to_string()).unwrap_or_default();
    println!(
        "  printf 'def handler(event, context):\\n    return {{\"hello\": event}}\\n' > app.py && zip app.zip app.py"
    );
    println!(
        "  aws lambda create-function --function-name hello --runtime {runtime} --handler app.handler \\\n    \
         --role arn:aws:iam::{account}:role/any --zip-file fileb://app.zip"
    );
    println!(
        "  aws lambda invoke --function-name hello --cli-binary-format raw-in-base64-out \\\n    \
         --payload '{{\"n\": 1}}' /dev/stdout"
    );
    println!("ready");
}

#[cfg(test)]
mod tests {
    use super::*;

    // A profile by which instances take several requests at once is refused with its setting and what to do instead.
    #[test]
    fn several_requests_at_once_are_refused() {
        let text = include_str!("../../profiles/local.toml");
        let file = std::env::temp_dir().join(format!("several-{}.toml", std::process::id()));
        let section = "[scaling]\nrequests_per_instance = 8\n\n[cpu]";
        std::fs::write(&file, text.replacen("[cpu]", section, 1)).expect("written");
        let refused = profile(&file.to_string_lossy()).expect_err("refused");
        std::fs::remove_file(&file).expect("removed");
        let refused = format!("{refused:#}");
        for words in ["scaling.requests_per_instance is 8", "set it to 1", "emulated:FILE"] {
            assert!(refused.contains(words), "{refused}");
        }
        assert!(profile("local").is_ok() && profile("study").is_ok());
    }
}
