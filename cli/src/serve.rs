//! `peek serve`: the platform alone.

use anyhow::Context;
use scheduler::Profile;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Options of `peek serve`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Address to listen on; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9470", env = "PEEK_LISTEN")]
    listen: SocketAddr,
    /// Where functions, code and credentials are kept [default: /var/lib/peek as root, ~/.local/share/peek else].
    #[arg(long, value_name = "DIR", env = "PEEK_DATA")]
    data: Option<PathBuf>,
    /// How the platform behaves: `local`, `study`, or a TOML file.
    #[arg(long, value_name = "NAME|FILE", default_value = "local", env = "PEEK_PROFILE")]
    profile: String,
    /// What instances can reach: `routed` (the world, by NAT), `none`, or `auto` (routed where this machine can).
    #[arg(long, value_name = "KIND", default_value = "auto", env = "PEEK_NETWORK")]
    network: server::Network,
    /// An address (host:port) on this machine that instances may reach all the same; may be repeated.
    #[arg(long, value_name = "ADDR")]
    allow: Vec<SocketAddr>,
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
    let options = server::Options {
        listen: arguments.listen,
        data,
        profile: profile(&arguments.profile)?,
        network: arguments.network,
        allow: arguments.allow,
        journal: arguments.journal,
        starter: starter_command()?,
    };
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(std::thread::available_parallelism().map_or(2, |cores| cores.get().min(8)))
        .enable_all()
        .build()
        .context("cannot start the server's threads")?
        .block_on(server::serve(options, announce))?;
    Ok(ExitCode::SUCCESS)
}

/// The profile of this name, or in this file.
pub fn profile(name: &str) -> anyhow::Result<Profile> {
    match Profile::named(name) {
        Some(profile) => Ok(profile),
        None => {
            let text = std::fs::read_to_string(name).with_context(|| {
                format!(
                    "profile {name:?} is neither a name ({}) nor a file",
                    Profile::NAMES.join(", ")
                )
            })?;
            Profile::from_toml(&text).with_context(|| format!("cannot use profile {name}"))
        }
    }
}

/// The command by which this program becomes a starter.
fn starter_command() -> anyhow::Result<Vec<std::ffi::OsString>> {
    let this = std::env::current_exe().context("cannot find this program's own file")?;
    Ok(vec![this.into_os_string(), "starter".into()])
}

fn default_data() -> anyhow::Result<PathBuf> {
    if Path::new("/var/lib").metadata().is_ok() && server::is_root() {
        return Ok(PathBuf::from("/var/lib/peek"));
    }
    let home = std::env::var_os("HOME").context("no HOME is set: say where with --data DIR")?;
    Ok(PathBuf::from(home).join(".local/share/peek"))
}

/// Tells the user, and whoever started this, where the platform is and how to use it.
fn announce(ready: &server::Ready) {
    let server::Ready {
        endpoint,
        access_key_id,
        secret_access_key,
        region,
        account,
        limitations,
        runtimes,
    } = ready;
    for limitation in limitations {
        println!("note {limitation}");
    }
    println!("endpoint {endpoint}");
    println!("AWS_ENDPOINT_URL={endpoint}");
    println!("AWS_ACCESS_KEY_ID={access_key_id}");
    println!("AWS_SECRET_ACCESS_KEY={secret_access_key}");
    println!("AWS_DEFAULT_REGION={region}");
    let runtime = runtimes.iter().find(|it| it.starts_with("python")).map_or("python3.11", |it| it);
    println!();
    println!("With these exported, deploy and invoke a function with the AWS CLI:");
    println!(
        "  printf 'def handler(event, context):\\n    return {{\"hello\": event}}\\n' > app.py && zip app.zip app.py"
    );
    println!(
        "  aws lambda create-function --function-name hello --runtime {runtime} --handler app.handler \
         --role arn:aws:iam::{account}:role/any --zip-file fileb://app.zip"
    );
    println!(
        "  aws lambda invoke --function-name hello --cli-binary-format raw-in-base64-out --payload '{{\"n\": 1}}' /dev/stdout"
    );
    println!("ready");
}
