//! Accounts: what each function of each tenant was billed and what it really used, day by day.
//!
//! Sums are held in memory and what has changed is appended to the day's file once a second and at the end, a line with the
//! whole sum of a function; the last line of a function counts. A server that is killed loses what the last second
//! brought, and a line that was cut off. Deliberately knows nothing of prices.

use anyhow::Context;
use jiff::Timestamp;
use model::{MemoryMib, Span, TenantId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Days that are kept: somewhat more than a year.
const DAYS: usize = 400;
/// Lines of a day's file beyond which it is written anew where most of them no longer count.
const LINES: usize = 10_000;
const ENDING: &str = ".jsonl";

/// What one function was billed and used on one day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Whose it is.
    pub tenant: TenantId,
    /// Name.
    pub function: String,
    /// Day in UTC, as in `2026-11-30`.
    pub day: String,
    /// What it adds up to.
    #[serde(flatten)]
    pub sums: Sums,
}

/// What invocations add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// Invocations that were dispatched.
    pub invocations: u64,
    /// Billed time.
    pub billed_ms: u64,
    /// Billed time by memory size: MiB times milliseconds.
    pub billed_mib_ms: u64,
    /// CPU time that instances used from one invocation's end, or the init's, to the next one's end.
    pub cpu_us: u64,
    /// CPU time that they used in their inits and after their last invocation.
    pub cpu_unbilled_us: u64,
    /// Highest memory of an instance, bytes.
    pub memory_peak_bytes: u64,
}

impl Sums {
    /// Adds what another has.
    pub fn add(&mut self, other: &Self) {
        self.invocations += other.invocations;
        self.billed_ms += other.billed_ms;
        self.billed_mib_ms += other.billed_mib_ms;
        self.cpu_us += other.cpu_us;
        self.cpu_unbilled_us += other.cpu_unbilled_us;
        self.memory_peak_bytes = self.memory_peak_bytes.max(other.memory_peak_bytes);
    }

    /// One invocation.
    pub(crate) fn invocation(billed: Span, memory: MemoryMib, cpu: Span, peak: u64) -> Self {
        let billed_ms = billed.as_nanos().div_ceil(1_000_000);
        Self {
            invocations: 1,
            billed_ms,
            billed_mib_ms: billed_ms * u64::from(memory.0),
            cpu_us: cpu.as_nanos() / 1000,
            cpu_unbilled_us: 0,
            memory_peak_bytes: peak,
        }
    }

    /// What was used outside of invocations.
    pub(crate) fn unbilled(cpu: Span, peak: u64) -> Self {
        Self { cpu_unbilled_us: cpu.as_nanos() / 1000, memory_peak_bytes: peak, ..Self::default() }
    }
}

type Key = (TenantId, String);

/// The accounts of a platform that runs.
#[derive(Debug)]
pub(crate) struct Accounts {
    directory: PathBuf,
    today: Mutex<Today>,
    accounts: Mutex<BTreeMap<Key, Arc<Account>>>,
}

/// What was added to one function's account and is not in the day's sums yet.
#[derive(Debug, Default)]
pub(crate) struct Account(Mutex<Sums>);

impl Account {
    /// Adds what the function was billed and used.
    pub fn add(&self, sums: &Sums) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).add(sums);
    }

    fn take(&self) -> Sums {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[derive(Debug, Default)]
struct Today {
    day: String,
    sums: BTreeMap<Key, Sums>,
    changed: BTreeSet<Key>,
    lines: usize,
}

impl Accounts {
    /// Opens the accounts in a directory, which is made where it is missing, and goes on where they ended.
    pub fn open(directory: &Path) -> anyhow::Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        let accounts = Self {
            directory: directory.to_owned(),
            today: Mutex::default(),
            accounts: Mutex::default(),
        };
        accounts.turn(&mut accounts.lock(), today());
        Ok(accounts)
    }

    /// The account of a function.
    pub fn account(&self, tenant: TenantId, function: &str) -> Arc<Account> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(accounts.entry((tenant, function.to_owned())).or_default())
    }

    /// Writes what has changed, and turns to another day when one has come.
    pub fn flush(&self) {
        let mut state = self.lock();
        self.collect(&mut state);
        if let Err(error) = self.write(&mut state) {
            tracing::error!(%error, "cannot write the accounts; they are kept and tried again");
            return;
        }
        let day = today();
        if day != state.day {
            self.turn(&mut state, day);
            self.forget_old();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Today> {
        self.today.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over what was added since, and forgets accounts that no instance holds.
    fn collect(&self, state: &mut Today) {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        accounts.retain(|key, account| {
            // In this order: what is added in between is found by the next turn.
            let is_held = Arc::strong_count(account) > 1;
            let sums = account.take();
            if sums != Sums::default() {
                state.sums.entry(key.clone()).or_default().add(&sums);
                state.changed.insert(key.clone());
            }
            is_held
        });
    }

    fn turn(&self, state: &mut Today, day: String) {
        let path = self.directory.join(format!("{day}{ENDING}"));
        let (rows, lines) = read_day(&path, &day);
        let sums = rows.into_iter().map(|row| ((row.tenant, row.function), row.sums)).collect();
        *state = Today { day, sums, changed: BTreeSet::new(), lines };
    }

    fn write(&self, state: &mut Today) -> io::Result<()> {
        if state.changed.is_empty() {
            return Ok(());
        }
        let path = self.directory.join(format!("{}{ENDING}", state.day));
        if state.lines + state.changed.len() > LINES.max(state.sums.len() * 4) {
            let aside = path.with_extension("new");
            let text = lines(&state.day, state.sums.iter());
            let mut options = OpenOptions::new();
            let mut file =
                options.create(true).truncate(true).write(true).mode(0o600).open(&aside)?;
            file.write_all(text.as_bytes())?;
            fs::rename(&aside, &path)?;
            state.lines = state.sums.len();
        } else {
            let changed = state.sums.iter().filter(|(key, _)| state.changed.contains(*key));
            // A line that a crash cut off ends here at the latest.
            let text = format!("\n{}", lines(&state.day, changed));
            let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
            file.write_all(text.as_bytes())?;
            state.lines += state.changed.len();
        }
        state.changed.clear();
        Ok(())
    }

    fn forget_old(&self) {
        let mut days = days(&self.directory);
        while days.len() > DAYS {
            let (_, path) = days.remove(0);
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!(path = %path.display(), %error, "cannot remove old accounts");
            }
        }
    }
}

/// All rows of the accounts in a data directory, by day, tenant and function. Those of the last second may be missing
/// while a server runs.
pub fn read(data: &Path) -> anyhow::Result<Vec<Row>> {
    let directory = data.join("accounts");
    fs::read_dir(&directory).with_context(|| {
        format!("{} has no accounts: name the server's directory with --data", data.display())
    })?;
    Ok(days(&directory).into_iter().flat_map(|(day, path)| read_day(&path, &day).0).collect())
}

/// Days and their files, oldest first.
fn days(directory: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut days: Vec<(String, PathBuf)> = entries
        .filter_map(|entry| {
            let name = entry.file_name().to_str()?.strip_suffix(ENDING)?.to_owned();
            (name.len() == 10).then(|| (name, entry.path()))
        })
        .collect();
    days.sort();
    days
}

/// Rows of a day's file, and how many lines it has. What is no row is passed over: a crash cuts lines.
fn read_day(path: &Path, day: &str) -> (Vec<Row>, usize) {
    let text = fs::read_to_string(path).unwrap_or_default();
    let mut rows: BTreeMap<Key, Row> = BTreeMap::new();
    let mut count = 0;
    for line in text.lines() {
        count += usize::from(!line.is_empty());
        if let Ok(row) = serde_json::from_str::<Row>(line)
            && row.day == day
        {
            rows.insert((row.tenant, row.function.clone()), row);
        }
    }
    (rows.into_values().collect(), count)
}

fn lines<'a>(day: &str, sums: impl Iterator<Item = (&'a Key, &'a Sums)>) -> String {
    let mut text = String::new();
    for ((tenant, function), sums) in sums {
        let row =
            Row { tenant: *tenant, function: function.clone(), day: day.to_owned(), sums: *sums };
        // Strings and numbers have a JSON form.
        text.push_str(&serde_json::to_string(&row).unwrap_or_default());
        text.push('\n');
    }
    text
}

fn today() -> String {
    Timestamp::now().strftime("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(invocations: u64) -> Sums {
        let mut sums = Sums::default();
        for _ in 0..invocations {
            let (billed, cpu) = (Span::from_micros(1_500), Span::from_micros(700));
            sums.add(&Sums::invocation(billed, MemoryMib(128), cpu, 1 << 20));
        }
        sums
    }

    // Sums go on after a restart; a cut line costs what it held, and never what was written before.
    #[test]
    fn accounts_go_on() {
        let data = tempfile::tempdir().expect("a directory");
        let directory = data.path().join("accounts");
        let tenant = TenantId::from_number(1);
        let accounts = Accounts::open(&directory).expect("opens");
        accounts.account(tenant, "f").add(&sums(2));
        accounts.flush();
        accounts.account(tenant, "f").add(&sums(1));
        accounts.account(tenant, "g").add(&Sums::unbilled(Span::from_millis(5), 7));
        accounts.flush();
        let rows = read(data.path()).expect("reads");
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].function.as_str(), rows[0].sums), ("f", sums(3)));
        assert_eq!(rows[0].sums.billed_mib_ms, 3 * 2 * 128);
        assert_eq!((rows[1].sums.cpu_unbilled_us, rows[1].sums.memory_peak_bytes), (5_000, 7));
        let path = days(&directory)[0].1.clone();
        let text = fs::read_to_string(&path).expect("a file");
        fs::write(&path, &text[..text.len() - 9]).expect("written");
        let accounts = Accounts::open(&directory).expect("opens");
        accounts.account(tenant, "f").add(&sums(1));
        accounts.flush();
        let rows = read(data.path()).expect("reads");
        assert_eq!(rows.iter().map(|row| row.sums.invocations).collect::<Vec<_>>(), [4]);
        assert!(read(&directory).expect_err("none").to_string().contains("--data"));
    }

    // A file does not grow with every second: it is written anew once most of its lines no longer count.
    #[test]
    fn files_are_bounded() {
        let data = tempfile::tempdir().expect("a directory");
        let accounts = Accounts::open(&data.path().join("accounts")).expect("opens");
        let tenant = TenantId::from_number(1);
        for _ in 0..LINES + 5 {
            accounts.account(tenant, "f").add(&sums(1));
            accounts.flush();
        }
        let path = &days(&data.path().join("accounts"))[0].1;
        assert!(fs::read_to_string(path).expect("a file").lines().count() < 20);
        let rows = read(data.path()).expect("reads");
        assert_eq!(rows[0].sums.invocations, LINES as u64 + 5);
    }
}
