//! Whose certificates are trusted: the system's, and those of a file.

use anyhow::{Context, bail};
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// TLS for a client that trusts the system's certificates and those in `file`, and in the one that AWS_CA_BUNDLE names.
pub fn configuration(file: Option<&Path>) -> anyhow::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let bundle = std::env::var_os("AWS_CA_BUNDLE").filter(|path| !path.is_empty());
    for path in file.into_iter().chain(bundle.as_ref().map(Path::new)) {
        let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect)
            .with_context(|| format!("cannot read certificates from {}", path.display()))?;
        if certificates.is_empty() {
            bail!("{} holds no certificate in PEM form", path.display());
        }
        for certificate in certificates {
            let added = roots.add(certificate);
            added.with_context(|| {
                format!("{} holds a certificate that cannot be trusted", path.display())
            })?;
        }
    }
    Ok(ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .context("cannot set up TLS")?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
