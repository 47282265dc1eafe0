//! What a data directory keeps of the server itself: its lock, its id, its credentials.

use anyhow::{Context, bail};
use gateway::AccessKey;
use model::TenantId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
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

/// What a running server says of itself to clients on this machine, in `endpoint.json`. Gone when it is dropped.
#[derive(Debug)]
pub struct Said {
    path: std::path::PathBuf,
}

impl Drop for Said {
    fn drop(&mut self) {
        // What is left by a failure here is not believed: nobody holds the lock.
        let _ = fs::remove_file(&self.path);
    }
}

/// Says where the API is: its URL, the region to sign for, and a certificate to trust where the system's are not enough.
pub fn say_endpoint(
    data: &Path,
    endpoint: &str,
    region: &str,
    certificate: Option<&Path>,
) -> anyhow::Result<Said> {
    let path = data.join("endpoint.json");
    let said = serde_json::json!({"endpoint": endpoint, "region": region, "ca": certificate});
    write_secret(&path, &said.to_string())?;
    Ok(Said { path })
}

/// One access key as the credentials file holds it.
#[derive(Debug, Serialize, Deserialize)]
struct StoredKey {
    access_key_id: String,
    secret_access_key: String,
    account: TenantId,
}

/// Account of the first access key that is made; further ones count up from it. AWS's own documents use it as an example.
const FIRST_ACCOUNT: u64 = 123_456_789_012;

/// The access keys of this platform, of at least so many accounts. Those that are missing are made and kept; none is
/// ever removed.
pub fn credentials(data: &Path, tenants: u32) -> anyhow::Result<Vec<AccessKey>> {
    let path = data.join("credentials.json");
    let mut stored: Vec<StoredKey> = match fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text)
            .with_context(|| format!("{} is not a list of access keys", path.display()))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read {}", path.display()));
        }
    };
    if add_missing(&mut stored, tenants.max(1)) == Missing::Added {
        let text = serde_json::to_string_pretty(&stored).context("keys have a JSON form")?;
        write_secret(&path, &text)?;
    }
    let key = |it: StoredKey| AccessKey {
        id: it.access_key_id,
        secret: it.secret_access_key,
        tenant: it.account,
    };
    Ok(stored.into_iter().map(key).collect())
}

/// Whether keys had to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Missing {
    Nothing,
    Added,
}

/// Adds a key for each account that is missing.
fn add_missing(stored: &mut Vec<StoredKey>, tenants: u32) -> Missing {
    let mut accounts: BTreeSet<TenantId> = stored.iter().map(|key| key.account).collect();
    let mut missing = Missing::Nothing;
    let mut number = FIRST_ACCOUNT;
    while accounts.len() < tenants as usize {
        let account = TenantId::from_number(number);
        if accounts.insert(account) {
            stored.push(new_key(account));
            missing = Missing::Added;
        }
        number += 1;
    }
    missing
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

/// What temporary access keys are made from: 32 random bytes, made at the first start and kept.
pub fn session_secret(data: &Path) -> anyhow::Result<[u8; 32]> {
    let path = data.join("session-secret");
    if let Ok(text) = fs::read_to_string(&path) {
        let bytes = hex::decode(text.trim()).ok().and_then(|bytes| bytes.try_into().ok());
        return bytes.with_context(|| {
            format!(
                "{} does not hold 64 hexadecimal digits: remove it, and temporary keys that were given out end",
                path.display()
            )
        });
    }
    let mut secret = [0; 32];
    secret[..16].copy_from_slice(uuid::Uuid::new_v4().as_bytes());
    secret[16..].copy_from_slice(uuid::Uuid::new_v4().as_bytes());
    write_secret(&path, &hex::encode(secret))?;
    Ok(secret)
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
        let first =
            (credentials(data.path(), 1).expect("keys"), server_id(data.path()).expect("id"));
        let second =
            (credentials(data.path(), 1).expect("keys"), server_id(data.path()).expect("id"));
        assert_eq!(first, second);
        let mode = fs::metadata(data.path().join("credentials.json")).expect("file").permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
    }

    // What a server says of itself is for its owner alone, and goes with it.
    #[test]
    fn a_server_says_where_it_is() {
        let data = tempfile::tempdir().expect("a temporary directory");
        let path = data.path().join("endpoint.json");
        let said =
            say_endpoint(data.path(), "http://127.0.0.1:1", "us-east-1", None).expect("said");
        let text = fs::read_to_string(&path).expect("a file");
        assert!(text.contains(r#""endpoint":"http://127.0.0.1:1""#), "{text}");
        assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, 0o600);
        drop(said);
        assert!(!path.exists());
    }

    // Temporary keys outlive a restart: what they are made from is kept, whole, for its owner alone.
    #[test]
    fn the_session_secret_is_kept() {
        let data = tempfile::tempdir().expect("a temporary directory");
        let first = session_secret(data.path()).expect("made");
        assert_eq!(session_secret(data.path()).expect("kept"), first);
        let path = data.path().join("session-secret");
        assert_eq!(fs::metadata(&path).expect("file").permissions().mode() & 0o777, 0o600);
        fs::write(&path, "short").expect("written");
        assert!(session_secret(data.path()).is_err());
    }

    // More tenants get keys of their own beside those that are there, and fewer take none away.
    #[test]
    fn tenants_are_added_and_kept() {
        let data = tempfile::tempdir().expect("a temporary directory");
        let first = credentials(data.path(), 1).expect("keys");
        let three = credentials(data.path(), 3).expect("keys");
        let accounts: BTreeSet<_> = three.iter().map(|key| key.tenant).collect();
        assert_eq!((three.len(), accounts.len(), &three[..1]), (3, 3, &first[..]));
        assert_eq!(credentials(data.path(), 1).expect("keys"), three);
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
