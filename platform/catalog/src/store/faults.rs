//! The store on a disk that fails: writes cut short or lost, flushes that fail, power that goes at any point.

use super::{Batch, Durable, Store, Table, format};
use proptest::prelude::*;
use redb::backends::FileBackend;
use redb::{BackendError, Database, StorageBackend};
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

const TABLE: Table = Table::new("faults");

/// What was asked of a disk.
#[derive(Clone, Debug)]
enum Request {
    Write(u64, Vec<u8>),
    SetLen(u64),
    Sync,
}

/// A disk in memory that notes what is asked of it.
#[derive(Clone, Debug, Default)]
struct Disk(Arc<Mutex<Noted>>);

#[derive(Debug, Default)]
struct Noted {
    bytes: Vec<u8>,
    requests: Vec<Request>,
}

impl Disk {
    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().expect("no test panics here")
    }
}

fn carry_out(bytes: &mut Vec<u8>, request: &Request) {
    match request {
        Request::Write(offset, data) => {
            let from = usize::try_from(*offset).expect("small");
            bytes.resize(bytes.len().max(from + data.len()), 0);
            bytes[from..from + data.len()].copy_from_slice(data);
        }
        Request::SetLen(len) => bytes.resize(usize::try_from(*len).expect("small"), 0),
        Request::Sync => {}
    }
}

/// Locks always succeed: nobody else has this disk.
macro_rules! no_locks {
    () => {
        fn try_lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
            Ok(true)
        }
        fn try_lock_shared_range(
            &self,
            _: Bound<u64>,
            _: Bound<u64>,
        ) -> Result<bool, BackendError> {
            Ok(true)
        }
        fn lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
            Ok(())
        }
        fn lock_shared_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
            Ok(())
        }
        fn unlock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
            Ok(())
        }
    };
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.lock().bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let noted = self.lock();
        let from = usize::try_from(offset).expect("small");
        let found = noted.bytes.get(from..from + out.len());
        out.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.ask(Request::SetLen(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.ask(Request::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.ask(Request::Write(offset, data.to_vec()));
        Ok(())
    }

    no_locks!();
}

impl Disk {
    fn ask(&self, request: Request) {
        let mut noted = self.lock();
        carry_out(&mut noted.bytes, &request);
        noted.requests.push(request);
    }

    /// The disk after the power went with the first `count` requests made: what was asked since the last flush is there,
    /// cut short or lost, as `luck` has it for each.
    fn after_power_cut(&self, count: usize, mut luck: impl FnMut() -> u8) -> Self {
        let noted = self.lock();
        let asked = &noted.requests[..count];
        let flushed =
            asked.iter().rposition(|it| matches!(it, Request::Sync)).map_or(0, |at| at + 1);
        let mut bytes = Vec::new();
        for request in &asked[..flushed] {
            carry_out(&mut bytes, request);
        }
        for request in &asked[flushed..] {
            match (request, luck() % 3) {
                (_, 0) => carry_out(&mut bytes, request),
                (Request::Write(offset, data), 1) => {
                    let half = data[..data.len() / 2].to_vec();
                    carry_out(&mut bytes, &Request::Write(*offset, half));
                }
                // A file does not shrink below what is flushed into it.
                _ => {}
            }
        }
        Self(Arc::new(Mutex::new(Noted { bytes, requests: Vec::new() })))
    }
}

/// A file that fails for a while from one of its requests on.
#[derive(Debug)]
struct Faulty {
    inner: FileBackend,
    /// Writes and flushes until the first failure.
    left: Mutex<u64>,
    fault: Fault,
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Half of a write is made, then it fails.
    ShortWrite,
    /// A flush fails.
    Flush,
    /// There is no room.
    Full,
}

impl Faulty {
    /// Whether this request fails; from the first failure on, all do.
    fn fails(&self, counts: bool) -> bool {
        let mut left = self.left.lock().expect("no test panics here");
        if counts {
            *left = left.saturating_sub(1);
        }
        *left == 0
    }
}

impl StorageBackend for Faulty {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        if matches!(self.fault, Fault::Full) && self.fails(true) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.fails(matches!(self.fault, Fault::Flush)) {
            return Err(io::Error::other("the flush failed"));
        }
        self.inner.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if self.fails(matches!(self.fault, Fault::ShortWrite)) {
            if matches!(self.fault, Fault::ShortWrite) {
                self.inner.write(offset, &data[..data.len() / 2])?;
            }
            return Err(io::Error::other("the write was cut short"));
        }
        self.inner.write(offset, data)
    }

    no_locks!();
}

/// A small batch: what to put (a number of bytes) or remove, by key.
type Step = Vec<(u8, Option<u16>)>;

fn batch(step: &Step, number: usize) -> Batch {
    let mut batch = Batch::new();
    for (key, size) in step {
        match size {
            Some(size) => batch.put(TABLE, vec![*key], vec![number as u8; usize::from(*size)]),
            None => batch.remove(TABLE, vec![*key]),
        }
    }
    batch
}

type Contents = BTreeMap<Vec<u8>, Vec<u8>>;

/// What the store holds after the first 0, 1, 2, … batches.
fn histories(steps: &[Step]) -> Vec<Contents> {
    let mut all = vec![Contents::new()];
    for (number, step) in steps.iter().enumerate() {
        let mut next = all[number].clone();
        for (key, size) in step {
            match size {
                Some(size) => {
                    next.insert(vec![*key], vec![number as u8; usize::from(*size)]);
                }
                None => {
                    next.remove(&vec![*key]);
                }
            }
        }
        all.push(next);
    }
    all
}

fn contents(store: &Store) -> Contents {
    store.scan(TABLE, Bound::Unbounded, usize::MAX).expect("it can be read").into_iter().collect()
}

fn open(disk: &Disk) -> Store {
    let database = Database::builder().set_cache_size(1 << 20).create_with_backend(disk.clone());
    Store::over(Path::new("/nowhere"), database.expect("it opens")).expect("a thread")
}

fn open_faulty(path: &Path, fault: Fault, after: u64) -> Store {
    drop(format::open(path).expect("it opens"));
    let file = OpenOptions::new().read(true).write(true).open(path).expect("it is there");
    let inner = FileBackend::new(file).expect("a file");
    // What opening itself needs does not count.
    let backend = Faulty { inner, left: Mutex::new(u64::MAX), fault };
    *backend.left.lock().expect("new") = after.saturating_add(OPENING);
    let database = Database::builder().set_cache_size(1 << 20).create_with_backend(backend);
    Store::over(path, database.expect("it opens")).expect("a thread")
}

/// Writes and flushes that opening a store may need.
const OPENING: u64 = 16;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let size = prop_oneof![3 => (1..200_u16).prop_map(Some), 1 => (4000..20_000_u16).prop_map(Some), 2 => Just(None)];
    prop::collection::vec(prop::collection::vec((0..20_u8, size), 1..5), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    // Power may go after any request to the disk, with writes since the last flush lost or cut short: the store opens, holds
    // what some number of whole batches made, and no batch that was answered for is missing.
    #[test]
    fn power_may_go_at_any_point(steps in steps(), luck in prop::collection::vec(any::<u8>(), 1..64)) {
        let disk = Disk::default();
        let store = open(&disk);
        let histories = histories(&steps);
        // How many requests were made when each batch was answered.
        let mut answered = Vec::new();
        let begun = disk.lock().requests.len();
        for (number, step) in steps.iter().enumerate() {
            store.write(batch(step, number), Durable::Now).expect("nothing fails here");
            answered.push(disk.lock().requests.len());
        }
        let count = disk.lock().requests.len();
        let mut lucky = luck.iter().cycle();
        for cut in begun..=count {
            let after = disk.after_power_cut(cut, || *lucky.next().expect("endless"));
            let store = open(&after);
            let found = contents(&store);
            let least = answered.iter().filter(|at| **at <= cut).count();
            prop_assert!(
                histories[least..].contains(&found),
                "cut after {} of {} requests: {} batches were answered, and the store holds {:?}",
                cut, count, least, found
            );
        }
        drop(store);
    }

    // A disk that fails at any request: the batch is refused, what was answered stays, nothing is half there, and the store
    // goes on once the disk does.
    #[test]
    fn a_failing_disk_is_survived(
        steps in steps(),
        after in 0..40_u64,
        fault in prop_oneof![Just(Fault::ShortWrite), Just(Fault::Flush), Just(Fault::Full)],
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("store.redb");
        let store = open_faulty(&path, fault, after);
        let mut expected = Contents::new();
        for (number, step) in steps.iter().enumerate() {
            let mut next = vec![expected.clone()];
            let mut made = expected.clone();
            for (key, size) in step {
                match size {
                    Some(size) => { made.insert(vec![*key], vec![number as u8; usize::from(*size)]); }
                    None => { made.remove(&vec![*key]); }
                }
            }
            next.push(made);
            let result = store.write(batch(step, number), Durable::Now);
            let found = contents(&store);
            match result {
                Ok(()) => prop_assert_eq!(&found, &next[1], "batch {}", number),
                Err(_) => prop_assert!(next.contains(&found), "batch {}: {:?}", number, found),
            }
            expected = found;
        }
        let last = batch(&vec![(99, Some(1))], 7);
        if store.write(last.clone(), Durable::Now).is_err() {
            // The fault has come only now; then the disk works again.
            store.write(last, Durable::Now).expect("the disk works again");
        }
        drop(store);
        let store = Store::open(&path).expect("it opens");
        expected.insert(vec![99], vec![7]);
        prop_assert_eq!(contents(&store), expected);
    }
}
