//! TLS for the API: a certificate of the user's, or one that the server makes for itself.

use crate::identity::write_secret;
use anyhow::{Context, bail};
use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Life of a certificate of our own: what browsers and AWS's tools take at most is 398 days (CA/Browser Forum, ballot SC31).
const LIFE_DAYS: u64 = 397;
/// It is made anew when so much of that is over.
const RENEW_AFTER: Duration = Duration::from_secs(330 * 86_400);
/// Protocols that clients may choose from, the better first (ALPN, RFC 7301).
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];
/// What precedes the names in a certificate of our own.
const NAMES: &str = "# names: ";

/// Whether the API is spoken through TLS, and with which certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Tls {
    /// In the open.
    #[default]
    None,
    /// By these files in PEM form: the certificate with those between it and its root, and its key.
    Files {
        /// Certificates.
        certificate: PathBuf,
        /// Private key.
        key: PathBuf,
    },
    /// By a certificate that the server makes, keeps in its data directory, and makes anew before it ends.
    SelfSigned,
}

/// TLS as a server uses it.
pub struct Served {
    /// Takes connections.
    pub acceptor: TlsAcceptor,
    /// The certificate that clients have to be told to trust; None where they may trust its root anyhow.
    pub bundle: Option<PathBuf>,
}

/// Makes ready what is asked for; None where that is nothing.
pub fn open(tls: &Tls, data: &Path, listen: SocketAddr) -> anyhow::Result<Option<Served>> {
    let (certificate, key, bundle) = match tls {
        Tls::None => return Ok(None),
        Tls::Files { certificate, key } => (certificate.clone(), key.clone(), None),
        Tls::SelfSigned => {
            let (certificate, key) = self_signed(data, listen)?;
            (certificate.clone(), key, Some(certificate))
        }
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&certificate)
        .and_then(Iterator::collect)
        .with_context(|| format!("cannot read certificates from {}", certificate.display()))?;
    if chain.is_empty() {
        bail!("{} holds no certificate in PEM form", certificate.display());
    }
    let private = PrivateKeyDer::from_pem_file(&key)
        .with_context(|| format!("cannot read a private key in PEM form from {}", key.display()))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .context("cannot set up TLS")?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .with_context(|| format!("{} and {} do not fit", certificate.display(), key.display()))?;
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
    Ok(Some(Served { acceptor: TlsAcceptor::from(Arc::new(config)), bundle }))
}

/// The certificate and key of our own: those of an earlier start, or new ones.
fn self_signed(data: &Path, listen: SocketAddr) -> anyhow::Result<(PathBuf, PathBuf)> {
    let (certificate, key) = (data.join("tls-certificate.pem"), data.join("tls-key.pem"));
    let names = names(listen);
    let is_young = fs::metadata(&certificate).and_then(|file| file.modified()).is_ok_and(|made| {
        SystemTime::now().duration_since(made).is_ok_and(|age| age < RENEW_AFTER)
    });
    let has_all = fs::read_to_string(&certificate).is_ok_and(|text| {
        let first =
            text.lines().next().and_then(|line| line.strip_prefix(NAMES)).unwrap_or_default();
        let held: BTreeSet<&str> = first.split(' ').collect();
        names.iter().all(|name| held.contains(name.as_str()))
    });
    if is_young && has_all && key.exists() {
        return Ok((certificate, key));
    }
    let (certificate_text, key_text) = make(&names).context("cannot make a certificate")?;
    write_secret(&key, &key_text)?;
    write_secret(&certificate, &format!("{NAMES}{}\n{certificate_text}", names.join(" ")))?;
    Ok((certificate, key))
}

/// The names by which clients may call a server that listens there.
fn names(listen: SocketAddr) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    if !listen.ip().is_unspecified() {
        names.push(listen.ip().to_string());
    }
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let is_name = |text: &str| {
        !text.is_empty() && text.bytes().all(|it| it.is_ascii_alphanumeric() || b"-.".contains(&it))
    };
    if is_name(host.trim()) {
        names.push(host.trim().to_owned());
    }
    names.sort();
    names.dedup();
    names
}

/// A certificate for these names and its key, in PEM form.
fn make(names: &[String]) -> anyhow::Result<(String, String)> {
    let key = rcgen::KeyPair::generate()?;
    let mut parameters = rcgen::CertificateParams::new(names.to_vec())?;
    parameters.distinguished_name.push(rcgen::DnType::CommonName, "peek serve");
    // It stands for itself, and for no other.
    parameters.is_ca = rcgen::IsCa::ExplicitNoCa;
    let now = SystemTime::now();
    parameters.not_before = (now - Duration::from_secs(86_400)).into();
    parameters.not_after = (now + Duration::from_secs(LIFE_DAYS * 86_400)).into();
    let certificate = parameters.self_signed(&key)?;
    Ok((pem("CERTIFICATE", certificate.der()), pem("PRIVATE KEY", &key.serialize_der())))
}

/// Bytes in PEM form (RFC 7468).
fn pem(label: &str, bytes: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::prelude::BASE64_STANDARD.encode(bytes);
    let lines: Vec<&str> =
        (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    // A certificate of our own is kept from start to start, made anew for a name that it lacks, and its key is its owner's.
    #[test]
    fn a_certificate_is_made_and_kept() {
        let data = tempfile::tempdir().expect("a temporary directory");
        let here: SocketAddr = "127.0.0.1:1".parse().expect("an address");
        let served = open(&Tls::SelfSigned, data.path(), here).expect("made").expect("TLS");
        let path = served.bundle.expect("to be trusted");
        let first = fs::read(&path).expect("a file");
        let mode =
            fs::metadata(data.path().join("tls-key.pem")).expect("a key").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        open(&Tls::SelfSigned, data.path(), here).expect("kept");
        assert_eq!(fs::read(&path).expect("a file"), first);
        open(&Tls::SelfSigned, data.path(), "192.0.2.1:1".parse().expect("an address"))
            .expect("anew");
        assert_ne!(fs::read(&path).expect("a file"), first);
    }

    // What is no certificate, or no key, or another's key, is refused by its file's name.
    #[test]
    fn wrong_files_are_refused() {
        let data = tempfile::tempdir().expect("a temporary directory");
        let here: SocketAddr = "127.0.0.1:1".parse().expect("an address");
        let file = |name: &str, text: &str| {
            let path = data.path().join(name);
            fs::write(&path, text).expect("written");
            path
        };
        let (one, key) = make(&names(here)).expect("made");
        let (_, other) = make(&names(here)).expect("made");
        let (one, key) = (file("one.pem", &one), file("key.pem", &key));
        let (other, none) = (file("other.pem", &other), file("none.pem", "no PEM"));
        let refused = |certificate: &Path, key: &Path| {
            let tls = Tls::Files { certificate: certificate.to_owned(), key: key.to_owned() };
            open(&tls, data.path(), here).err().map(|error| format!("{error:#}"))
        };
        assert_eq!(refused(&one, &key), None);
        assert!(refused(&none, &key).expect("refused").contains("none.pem"));
        assert!(refused(&one, &none).expect("refused").contains("none.pem"));
        assert!(refused(&one, &other).expect("refused").contains("do not fit"));
    }
}
