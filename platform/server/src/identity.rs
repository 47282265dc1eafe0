//! What a data directory keeps of the server itself: its lock, its id, its credentials.

use anyhow::{Context, bail};
use gateway::AccessKey;
use model::TenantId;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// The right to be the one server of a data directory, held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Makes the data directory where it is missing, and locks it.
pub fn lock(data: &Path) -> anyhow::Result<Lock> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data)
        .with_context(|| format!("cannot make the data directory {}", data.display()))?;
    let path = data.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(Lock { _file: file }),
        Err(TryLockError::WouldBlock) => bail!(
            "another peek serve uses {}: stop it, or choose another place with --data",
            data.display()
        ),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

/// The id that stands in the names of all that this server makes on the machine: eight hexadecimal digits.
pub fn server_id(data: &Path) -> anyhow::Result<String> {
    let path = data.join("server-id");
    if let Ok(id) = fs::read_to_string(&path) {
        let id = id.trim();
        if id.len() == 8 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(id.to_owned());
        }
        bail!("{} does not hold eight hexadecimal digits: put back what it held", path.display());
    }
    let id = uuid::Uuid::new_v4().simple().to_string()[..8].to_owned();
    write_secret(&path, &id)?;
    Ok(id)
}

/// One access key as the credentials file holds it.
#[derive(Debug, Serialize, Deserialize)]
struct StoredKey {
    access_key_id: String,
    secret_access_key: String,
    account: TenantId,
}

/// The access keys of this platform. The first start makes one, of account 123456789012.
pub fn credentials(data: &Path) -> anyhow::Result<Vec<AccessKey>> {
    let path = data.join("credentials.json");
    let stored: Vec<StoredKey> = match fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text)
            .with_context(|| format!("{} is not a list of access keys", path.display()))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let first = vec![new_key(TenantId::from_number(123_456_789_012))];
            let text = serde_json::to_string_pretty(&first).context("keys have a JSON form")?;
            write_secret(&path, &text)?;
            first
        }
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read {}", path.display()));
        }
    };
    if stored.is_empty() {
        bail!("{} holds no access key: remove it, and the next start makes one", path.display());
    }
    let key = |it: StoredKey| AccessKey {
        id: it.access_key_id,
        secret: it.secret_access_key,
        tenant: it.account,
    };
    Ok(stored.into_iter().map(key).collect())
}

/// A key in the form that AWS's have: an id of twenty letters and digits, a secret of forty.
fn new_key(account: TenantId) -> StoredKey {
    let digits = |count: usize| {
        let text: String = (0..3).map(|_| uuid::Uuid::new_v4().simple().to_string()).collect();
        text[..count].to_owned()
    };
    StoredKey {
        access_key_id: format!("AKIA{}", digits(16).to_uppercase()),
        secret_access_key: digits(40),
        account,
    }
}

/// Writes a file that only its owner may read, whole or not at all.
fn write_secret(path: &Path, text: &str) -> anyhow::Result<()> {
    let aside = path.with_extension("new");
    // What a crash left of an earlier attempt has the mode of that attempt.
    let _ = fs::remove_file(&aside);
    OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(&aside)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&aside, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    // The second start finds the keys and the id of the first, and nobody else can read them.
    #[test]
    fn a_data_directory_keeps_its_identity() {
        let data = tempfile::tempdir().expect("a temporary directory");
        let first = (credentials(data.path()).expect("keys"), server_id(data.path()).expect("id"));
        let second = (credentials(data.path()).expect("keys"), server_id(data.path()).expect("id"));
        assert_eq!(first, second);
        let mode = fs::metadata(data.path().join("credentials.json")).expect("file").permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
    }

    // A data directory has one server at a time.
    #[test]
    fn a_locked_directory_is_refused() {
        let data = tempfile::tempdir().expect("a temporary directory");
        let held = lock(data.path()).expect("the first lock");
        assert!(lock(data.path()).is_err());
        drop(held);
        lock(data.path()).expect("the lock is free again");
    }
}
