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
    if path.exists() {
        return server_id_in(data);
    }
    let id = uuid::Uuid::new_v4().simple().to_string()[..8].to_owned();
    write_secret(&path, &id)?;
    Ok(id)
}

/// The id that a data directory has. Errors: it has none.
pub fn server_id_in(data: &Path) -> anyhow::Result<String> {
    let path = data.join("server-id");
    let id =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let id = id.trim();
    if id.len() != 8 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        bail!("{} does not hold eight hexadecimal digits: put back what it held", path.display());
    }
    Ok(id.to_owned())
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

/// Says where the API is: its URL, the region to sign for, a certificate to trust where the system's are not enough, and
/// the file with the keys where there is one.
pub fn say_endpoint(
    data: &Path,
    endpoint: &str,
    region: &str,
    (certificate, credentials): (Option<&Path>, Option<&Path>),
) -> anyhow::Result<Said> {
    let path = data.join("endpoint.json");
    let said = serde_json::json!({
        "endpoint": endpoint, "region": region, "ca": certificate, "credentials": credentials,
    });
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

/// Where access keys come from.
#[derive(Clone, PartialEq, Eq)]
pub enum Keys {
    /// The data directory's own: made where they are missing, and kept.
    Own,
    /// A file of the user's, of the same form; nothing is written to it.
    File(std::path::PathBuf),
    /// One key, of the first account.
    Given {
        /// Its id.
        id: String,
        /// Its secret.
        secret: String,
    },
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Own => f.write_str("Own"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Given { id, .. } => f.debug_tuple("Given").field(id).finish(),
        }
    }
}

/// The access keys from there, of at least so many accounts, and the file that holds them.
///
/// Errors: a file that others may read, that is none, or that lacks accounts; a secret that is too short to be one.
pub fn access_keys(
    data: &Path,
    keys: &Keys,
    tenants: u32,
) -> anyhow::Result<(Vec<AccessKey>, Option<std::path::PathBuf>)> {
    match keys {
        Keys::Own => Ok((credentials(data, tenants)?, Some(data.join("credentials.json")))),
        Keys::Given { id, secret } => {
            if tenants > 1 {
                bail!(
                    "one access key is one account's: leave --tenants out, or name a --credentials file"
                );
            }
            if id.is_empty() || id.contains(['/', ',', ' ']) || secret.len() < SECRET_MIN {
                bail!(
                    "an access key id has no `/`, `,` or blank, and its secret at least {SECRET_MIN} letters"
                );
            }
            let tenant = TenantId::from_number(FIRST_ACCOUNT);
            Ok((vec![AccessKey { id: id.clone(), secret: secret.clone(), tenant }], None))
        }
        Keys::File(path) => {
            let mode = fs::metadata(path).map(|file| std::os::unix::fs::MetadataExt::mode(&file));
            let mode = mode.with_context(|| format!("cannot read {}", path.display()))?;
            if mode & 0o077 != 0 {
                bail!("{} can be read by others: chmod 600 {0}", path.display());
            }
            let text = fs::read_to_string(path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            let stored: Vec<StoredKey> = serde_json::from_str(&text).with_context(|| {
                format!(
                    "{} is not a list of access keys, as in [{{\"access_key_id\": …, \"secret_access_key\": …, \"account\": …}}]",
                    path.display()
                )
            })?;
            let accounts: BTreeSet<TenantId> = stored.iter().map(|key| key.account).collect();
            if accounts.len() < tenants.max(1) as usize {
                bail!("{} has keys of {} accounts, not {tenants}", path.display(), accounts.len());
            }
            Ok((stored.into_iter().map(key).collect(), Some(path.clone())))
        }
    }
}

/// Least letters of a secret that is given: half of those that AWS's have.
const SECRET_MIN: usize = 20;

fn key(stored: StoredKey) -> AccessKey {
    AccessKey { id: stored.access_key_id, secret: stored.secret_access_key, tenant: stored.account }
}

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
pub fn write_secret(path: &Path, text: &str) -> anyhow::Result<()> {
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
        let said = say_endpoint(data.path(), "http://127.0.0.1:1", "us-east-1", (None, None))
            .expect("said");
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

    // Keys of the user's are taken from a file that is nobody else's, or as they are given; what cannot be used is refused.
    #[test]
    fn keys_can_be_given() {
        let data = tempfile::tempdir().expect("a temporary directory");
        let own = credentials(data.path(), 2).expect("keys");
        let path = data.path().join("mine.json");
        fs::copy(data.path().join("credentials.json"), &path).expect("copied");
        let keys = Keys::File(path.clone());
        assert_eq!(access_keys(data.path(), &keys, 2).expect("keys"), (own, Some(path.clone())));
        assert!(access_keys(data.path(), &keys, 3).is_err());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("changed");
        let error = access_keys(data.path(), &keys, 1).expect_err("refused").to_string();
        assert!(error.contains("chmod 600"), "{error}");
        let given = |secret: &str| Keys::Given { id: "MINE".to_owned(), secret: secret.to_owned() };
        let (keys, file) = access_keys(data.path(), &given(&"s".repeat(20)), 1).expect("a key");
        assert_eq!((keys[0].id.as_str(), file), ("MINE", None));
        assert!(access_keys(data.path(), &given("short"), 1).is_err());
        assert!(!format!("{:?}", given("secret-secret-secret")).contains("secret-"));
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
