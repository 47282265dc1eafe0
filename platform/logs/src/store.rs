//! All log groups, and the thread that writes.

use crate::bounds::Bounds;
use crate::error::LogsError;
use crate::files::Spare;
use crate::group::{Flushed, Group};
use crate::segment::unix_ms;
use crate::stream::Stream;
use model::TenantId;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

/// How long lines wait to be written together: what a crash of the server may lose.
pub const FLUSH: Duration = Duration::from_millis(500);
/// How often bounds are looked after.
const HOUSEKEEPING: Duration = Duration::from_secs(10);
/// How long a group's index stays in memory unasked.
const INDEX_IDLE: Duration = Duration::from_secs(60);
/// Bytes of a group's name: what a file's name can hold.
const NAME_BYTES: usize = 200;

/// The logs of a platform. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Logs {
    pub(crate) shared: Arc<Shared>,
    writer: Arc<Mutex<Option<JoinHandle<()>>>>,
}

/// What was written, and what was not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lines written to files.
    pub lines: u64,
    /// Lines dropped, since too much waited to be written or the files could not be written.
    pub dropped: u64,
    /// Bytes on disk.
    pub bytes: u64,
}

type Groups = BTreeMap<(TenantId, Arc<str>), Arc<Group>>;

#[derive(Debug)]
pub(crate) struct Shared {
    pub bounds: Bounds,
    directory: PathBuf,
    groups: RwLock<Groups>,
    work: Mutex<Work>,
    wake: Condvar,
    waiting_bytes: AtomicUsize,
    lines: AtomicU64,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct Work {
    dirty: Vec<Arc<Group>>,
    is_stopping: bool,
    is_urgent: bool,
}

impl Logs {
    /// Opens the logs in a directory, which is made where it is missing. Their files are looked at when somebody asks.
    pub fn open(directory: &Path, bounds: Bounds) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            bounds,
            directory: directory.to_owned(),
            groups: RwLock::new(find(directory)?),
            work: Mutex::default(),
            wake: Condvar::new(),
            waiting_bytes: AtomicUsize::new(0),
            lines: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        });
        let writer = Arc::clone(&shared);
        let writer =
            std::thread::Builder::new().name("logs".to_owned()).spawn(move || writer.write_on())?;
        Ok(Self { shared, writer: Arc::new(Mutex::new(Some(writer))) })
    }

    /// A stream of a group. Both are there once something is written.
    pub fn stream(&self, tenant: TenantId, group: &str, stream: &str) -> Stream {
        let group = self.shared.group_or_new(tenant, group);
        Stream::new(Arc::clone(&self.shared), group, stream)
    }

    /// Writes out what waits and ends the thread that does so. What is written later is written by [`Self::flush`].
    pub fn close(&self) {
        self.shared.lock_work().is_stopping = true;
        self.shared.wake.notify_one();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if writer.is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("the writer of logs broke off");
        }
        self.flush();
    }

    /// Writes out what waits.
    pub fn flush(&self) {
        let dirty = std::mem::take(&mut self.shared.lock_work().dirty);
        dirty.iter().for_each(|group| self.shared.flush(group));
    }

    /// What was written, and what was not.
    pub fn counts(&self) -> Counts {
        Counts {
            lines: self.shared.lines.load(Ordering::Relaxed),
            dropped: self.shared.dropped.load(Ordering::Relaxed),
            bytes: self.shared.bytes(),
        }
    }

    /// Makes a log group. Errors: it is there, or the tenant has too many, or its name is too long.
    pub fn create_group(&self, tenant: TenantId, name: &str) -> Result<(), LogsError> {
        let shared = &self.shared;
        if shared.directory_of(tenant, name).is_none() {
            return Err(LogsError::Invalid(format!(
                "logGroupName is too long for this platform: at most {NAME_BYTES} characters, each '/' counting as three."
            )));
        }
        let limit = shared.bounds.groups;
        if shared.count_groups(tenant) >= limit {
            return Err(LogsError::TooManyGroups { limit });
        }
        let group = shared.group_or_new(tenant, name);
        let mut files = group.lock_files();
        if group.exists.load(Ordering::Relaxed) {
            return Err(LogsError::GroupExists);
        }
        files.make().map_err(|source| LogsError::Io { what: "make", source })?;
        group.exists.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Removes a log group with all that is in it. It comes again when its function writes.
    pub fn delete_group(&self, tenant: TenantId, name: &str) -> Result<(), LogsError> {
        let group = self.group(tenant, name)?;
        group.delete().map_err(|source| LogsError::Io { what: "remove", source })
    }

    /// Removes a stream with what it has so far.
    pub fn delete_stream(
        &self,
        tenant: TenantId,
        name: &str,
        stream: &str,
    ) -> Result<(), LogsError> {
        let group = self.group(tenant, name)?;
        if !self.has_stream(&group, stream)? {
            return Err(LogsError::NoStream);
        }
        let mut files = group.lock_files();
        files
            .remove_stream(&self.shared.bounds, stream)
            .map_err(|source| LogsError::Io { what: "write", source })?;
        group.note(&files);
        Ok(())
    }

    /// Says for how many days a group's events are kept, at most as long as the platform's bounds; None for these.
    pub fn set_retention(
        &self,
        tenant: TenantId,
        name: &str,
        days: Option<u32>,
    ) -> Result<(), LogsError> {
        let group = self.group(tenant, name)?;
        let mut files = group.lock_files();
        files.set_retention(days).map_err(|source| LogsError::Io { what: "write", source })?;
        files.trim(&self.shared.bounds, unix_ms(SystemTime::now()));
        group.note(&files);
        Ok(())
    }

    /// A group that is there, with all written that waited.
    pub(crate) fn group(&self, tenant: TenantId, name: &str) -> Result<Arc<Group>, LogsError> {
        let group = self.shared.find(tenant, name).ok_or(LogsError::NoGroup)?;
        self.shared.flush(&group);
        match group.exists.load(Ordering::Relaxed) {
            true => Ok(group),
            false => Err(LogsError::NoGroup),
        }
    }

    /// The groups of a tenant that are there, in the order of their names.
    pub(crate) fn groups(&self, tenant: TenantId) -> Vec<Arc<Group>> {
        let groups = self.shared.groups.read().unwrap_or_else(PoisonError::into_inner);
        let from = (tenant, Arc::from(""));
        let own = groups.range(from..).take_while(|((owner, _), _)| *owner == tenant);
        own.map(|(_, group)| Arc::clone(group)).collect()
    }
}

impl Shared {
    /// Takes room in the buffers for text, where there is some.
    pub fn take_room(&self, bytes: usize, lines: u64) -> bool {
        let limit = self.bounds.buffer_bytes;
        let before = self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes > limit {
            self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.dropped.fetch_add(lines, Ordering::Relaxed);
            return false;
        }
        if before < limit / 2 && before + bytes >= limit / 2 {
            self.lock_work().is_urgent = true;
            self.wake.notify_one();
        }
        true
    }

    /// Has a group written soon, that had nothing to write before.
    pub fn dirty(&self, group: &Arc<Group>) {
        let mut work = self.lock_work();
        work.dirty.push(Arc::clone(group));
        // One that has more to do wakes by itself.
        if work.dirty.len() == 1 {
            self.wake.notify_one();
        }
    }

    pub fn flush(&self, group: &Group) {
        let (Flushed { bytes, lines }, written) = group.flush(&self.bounds);
        self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
        match written {
            Ok(()) => self.lines.fetch_add(lines, Ordering::Relaxed),
            Err(error) => {
                tracing::warn!(group = &*group.name, lines, %error, "cannot write logs: dropped");
                self.dropped.fetch_add(lines, Ordering::Relaxed)
            }
        };
    }

    fn lock_work(&self) -> std::sync::MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, tenant: TenantId, name: &str) -> Option<Arc<Group>> {
        let groups = self.groups.read().unwrap_or_else(PoisonError::into_inner);
        groups.get(&(tenant, Arc::from(name))).cloned()
    }

    fn group_or_new(&self, tenant: TenantId, name: &str) -> Arc<Group> {
        if let Some(group) = self.find(tenant, name) {
            return group;
        }
        let name: Arc<str> = name.into();
        // A name that no file can have keeps nothing on disk: writing it fails and is counted.
        let directory = self.directory_of(tenant, &name).unwrap_or_default();
        let mut groups = self.groups.write().unwrap_or_else(PoisonError::into_inner);
        let group = groups.entry((tenant, Arc::clone(&name)));
        Arc::clone(group.or_insert_with(|| Arc::new(Group::new(name, directory, false))))
    }

    fn count_groups(&self, tenant: TenantId) -> usize {
        let groups = self.groups.read().unwrap_or_else(PoisonError::into_inner);
        let own = groups.range((tenant, Arc::from(""))..);
        let own = own.take_while(|((owner, _), _)| *owner == tenant);
        own.filter(|(_, group)| group.exists.load(Ordering::Relaxed)).count()
    }

    fn directory_of(&self, tenant: TenantId, name: &str) -> Option<PathBuf> {
        let file = encode(name);
        (file.len() <= NAME_BYTES && !file.is_empty())
            .then(|| self.directory.join(tenant.to_string()).join(file))
    }

    fn bytes(&self) -> u64 {
        let groups = self.groups.read().unwrap_or_else(PoisonError::into_inner);
        groups.values().map(|group| group.bytes.load(Ordering::Relaxed)).sum()
    }

    /// The life of the thread that writes.
    fn write_on(&self) {
        let mut cleaned = None;
        loop {
            let (dirty, is_stopping) = self.wait();
            dirty.iter().for_each(|group| self.flush(group));
            if is_stopping {
                return;
            }
            if cleaned.is_none_or(|at: Instant| at.elapsed() >= HOUSEKEEPING) {
                self.keep_house();
                cleaned = Some(Instant::now());
            }
        }
    }

    /// Waits until there is something to write, and a moment more so that much is written at once.
    fn wait(&self) -> (Vec<Arc<Group>>, bool) {
        let mut work = self.lock_work();
        if work.dirty.is_empty() && !work.is_stopping {
            let waited = self.wake.wait_timeout(work, HOUSEKEEPING);
            work = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let until = Instant::now() + FLUSH;
        while !work.is_stopping && !work.is_urgent && !work.dirty.is_empty() {
            let Some(left) = until.checked_duration_since(Instant::now()) else { break };
            let waited = self.wake.wait_timeout(work, left);
            work = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        work.is_urgent = false;
        (std::mem::take(&mut work.dirty), work.is_stopping)
    }

    /// Takes away what is too old or too much, and forgets indexes that nobody asks for.
    fn keep_house(&self) {
        let groups: Vec<Arc<Group>> = {
            let groups = self.groups.read().unwrap_or_else(PoisonError::into_inner);
            groups.values().cloned().collect()
        };
        let now_ms = unix_ms(SystemTime::now());
        for group in &groups {
            let mut files = group.lock_files();
            files.trim(&self.bounds, now_ms);
            if files.touched.elapsed() >= INDEX_IDLE {
                files.forget();
            }
            group.note(&files);
        }
        let mut total = self.bytes();
        while total > self.bounds.total_bytes {
            let oldest = groups
                .iter()
                .filter_map(|group| Some((group.lock_files().oldest_ms(Spare::Nothing)?, group)));
            let Some((_, group)) = oldest.min_by_key(|(written_ms, _)| *written_ms) else { return };
            let mut files = group.lock_files();
            let before = files.bytes();
            files.remove_oldest();
            total -= before - files.bytes();
            group.note(&files);
        }
    }
}

/// The groups that a directory has: a folder per tenant, in it a folder per group.
fn find(directory: &Path) -> io::Result<Groups> {
    fs::create_dir_all(directory)?;
    let mut groups = Groups::new();
    for tenant in fs::read_dir(directory)?.flatten() {
        let Some(id) = tenant.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        for group in fs::read_dir(tenant.path())?.flatten() {
            let Some(name) = group.file_name().to_str().and_then(decode) else { continue };
            let name: Arc<str> = name.into();
            let group = Group::new(Arc::clone(&name), group.path(), true);
            groups.insert((id, name), Arc::new(group));
        }
    }
    Ok(groups)
}

/// A group's name as a file's: what is no letter, digit, `-` or `_` as `%` and two hexadecimal digits.
fn encode(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 8);
    for byte in name.bytes() {
        match byte {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'_' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02x}")),
        }
    }
    out
}

fn decode(name: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::new(), name.as_bytes());
    while let [first, tail @ ..] = rest {
        rest = tail;
        match first {
            b'%' => {
                let (digits, tail) = rest.split_at_checked(2)?;
                bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
                rest = tail;
            }
            byte => bytes.push(*byte),
        }
    }
    String::from_utf8(bytes).ok()
}
