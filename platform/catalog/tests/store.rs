//! The store and its one writer: order, durability, many callers at once, old and newer formats.

use catalog::{Batch, Catalog, Durable, OpenError, OpenStoreError, State, Store, Table, Version};
use model::{FunctionId, TenantId};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::ops::Bound;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

const TABLE: Table = Table::new("test");
const OTHER: Table = Table::new("other");

fn open(directory: &Path) -> Store {
    Store::open(&directory.join("catalog.redb")).expect("a store")
}

fn put(key: &str, value: &str) -> Batch {
    let mut batch = Batch::new();
    batch.put(TABLE, key, value);
    batch
}

fn contents(store: &Store, table: Table) -> BTreeMap<Vec<u8>, Vec<u8>> {
    store.scan(table, Bound::Unbounded, usize::MAX).expect("read").into_iter().collect()
}

// Many callers at once are all answered, and what each was told is there, is there after the store was opened again.
#[test]
fn many_callers_share_a_flush() {
    let data = tempfile::tempdir().expect("a directory");
    let store = open(data.path());
    std::thread::scope(|scope| {
        for caller in 0..16 {
            let store = store.clone();
            scope.spawn(move || {
                for number in 0..20 {
                    let batch = put(&format!("{caller:02}-{number:02}"), "there");
                    store.write(batch, Durable::Now).expect("written");
                }
            });
        }
    });
    drop(store);
    let store = open(data.path());
    assert_eq!(contents(&store, TABLE).len(), 16 * 20);
}

struct Woken(std::thread::Thread);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

// A receipt can be awaited by a task as well as waited for by a thread.
#[test]
fn receipts_are_futures() {
    let data = tempfile::tempdir().expect("a directory");
    let store = open(data.path());
    let mut receipt = pin!(store.submit(put("a", "1"), Durable::Now));
    let waker: Waker = Arc::new(Woken(std::thread::current())).into();
    let mut context = Context::from_waker(&waker);
    let result = loop {
        match receipt.as_mut().poll(&mut context) {
            Poll::Ready(result) => break result,
            Poll::Pending => std::thread::park(),
        }
    };
    result.expect("written");
    assert_eq!(store.get(TABLE, b"a").expect("read").as_deref(), Some(b"1".as_slice()));
}

// A write that is dropped before its receipt was looked at is made all the same, also one that was for later.
#[test]
fn writes_outlive_their_receipts() {
    let data = tempfile::tempdir().expect("a directory");
    let store = open(data.path());
    drop(store.submit(put("a", "1"), Durable::Later));
    drop(store.submit(put("b", "2"), Durable::Later));
    drop(store);
    let store = open(data.path());
    assert_eq!(contents(&store, TABLE).len(), 2);
}

// A page begins where it is told to, in the order of the keys, and is as long as asked for.
#[test]
fn scans_go_on_where_they_ended() {
    let data = tempfile::tempdir().expect("a directory");
    let store = open(data.path());
    let mut batch = Batch::new();
    for key in ["b", "a", "c", "d"] {
        batch.put(TABLE, key, "");
    }
    batch.put(OTHER, "z", "");
    store.write(batch, Durable::Now).expect("written");
    let keys = |from| -> Vec<Vec<u8>> {
        let entries = store.scan(TABLE, from, 2).expect("read");
        entries.into_iter().map(|(key, _)| key).collect()
    };
    assert_eq!(keys(Bound::Unbounded), [b"a".to_vec(), b"b".to_vec()]);
    assert_eq!(keys(Bound::Excluded(b"b")), [b"c".to_vec(), b"d".to_vec()]);
    assert_eq!(keys(Bound::Included(b"d")), [b"d".to_vec()]);
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, u8),
    Remove(u8),
    Raise(u8, u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..8_u8, any::<u8>()).prop_map(|(key, value)| Step::Put(key, value)),
        (0..8_u8).prop_map(Step::Remove),
        (0..4_u8, 0..50_u64).prop_map(|(key, to)| Step::Raise(key, to)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    // Whatever batches are written, the store holds what a map would, before and after it is opened again.
    #[test]
    fn the_store_is_a_map(batches in prop::collection::vec(prop::collection::vec(step(), 0..6), 0..8)) {
        let data = tempfile::tempdir().expect("a directory");
        let store = open(data.path());
        let (mut map, mut counters) = (BTreeMap::new(), BTreeMap::<Vec<u8>, u64>::new());
        for (at, steps) in batches.iter().enumerate() {
            let mut batch = Batch::new();
            for step in steps {
                match *step {
                    Step::Put(key, value) => {
                        batch.put(TABLE, [key], [value]);
                        map.insert(vec![key], vec![value]);
                    }
                    Step::Remove(key) => {
                        batch.remove(TABLE, [key]);
                        map.remove([key].as_slice());
                    }
                    Step::Raise(key, to) if to > 0 => {
                        batch.raise(OTHER, [key], to);
                        let now = counters.entry(vec![key]).or_default();
                        *now = to.max(*now);
                    }
                    Step::Raise(..) => {}
                }
            }
            let durable = if at % 2 == 0 { Durable::Now } else { Durable::Later };
            store.write(batch, durable).expect("written");
        }
        let check = |store: &Store| {
            assert_eq!(contents(store, TABLE), map);
            let numbers = contents(store, OTHER).into_iter();
            let numbers: BTreeMap<_, _> =
                numbers.map(|(key, value)| (key, catalog::number(&value))).collect();
            assert_eq!(numbers, counters);
        };
        check(&store);
        drop(store);
        check(&open(data.path()));
    }
}

// A copy of the file taken while writers write, as a crash leaves it, opens; whatever was acknowledged before is in it.
#[test]
fn a_copy_at_any_moment_has_what_was_acknowledged() {
    let data = tempfile::tempdir().expect("a directory");
    let store = open(data.path());
    for round in 0..10 {
        let receipts: Vec<_> = (0..50)
            .map(|number| store.submit(put(&format!("{round}-{number}"), "x"), Durable::Now))
            .collect();
        let known = contents(&store, TABLE).len();
        let mut acknowledged = 0;
        for receipt in receipts {
            receipt.wait().expect("written");
            acknowledged += 1;
        }
        assert_eq!(acknowledged, 50);
        let copy = tempfile::tempdir().expect("a directory");
        fs::copy(data.path().join("catalog.redb"), copy.path().join("catalog.redb"))
            .expect("copied");
        let after = contents(&open(copy.path()), TABLE).len();
        assert!(after >= known && after == (round + 1) * 50, "{after} of {}", (round + 1) * 50);
    }
}

// A write larger than a whole group is made; so is one after it.
#[test]
fn large_writes_are_made() {
    let data = tempfile::tempdir().expect("a directory");
    let store = open(data.path());
    let mut batch = Batch::new();
    batch.put(TABLE, "large", vec![7; 20 << 20]);
    store.write(batch, Durable::Now).expect("written");
    store.write(put("small", "1"), Durable::Now).expect("written");
    let large = store.get(TABLE, b"large").expect("read").expect("there");
    assert_eq!(large.len(), 20 << 20);
}

// The store of one process is refused to another.
#[test]
fn a_store_is_opened_once() {
    let data = tempfile::tempdir().expect("a directory");
    let _store = open(data.path());
    let again = Store::open(&data.path().join("catalog.redb"));
    assert!(matches!(again, Err(OpenStoreError::InUse { .. })));
}

/// Unpacks a data directory that a program of format 0 has written: two accounts with three functions, of which one has
/// tags and a second package, and a fourth that was deleted.
fn format_0() -> tempfile::TempDir {
    let data = tempfile::tempdir().expect("a directory");
    let zip = include_bytes!("data/format-0.zip");
    zip::ZipArchive::new(Cursor::new(zip))
        .and_then(|mut archive| archive.extract(data.path()))
        .expect("unpacked");
    data
}

// A data directory from before there were versions opens with every function, its tags and its code, and numbers go on.
#[test]
fn a_directory_of_format_0_is_migrated() {
    let data = format_0();
    for _ in 0..2 {
        let catalog = Catalog::open(data.path()).expect("migrated");
        let tenant = TenantId::from_number(123_456_789_012);
        let found: Vec<_> =
            catalog.all().iter().map(|f| (f.id, f.group, f.version, f.epoch)).collect();
        let latest = |id, epoch| (FunctionId(id), FunctionId(id), Version::Latest, epoch);
        assert_eq!(found, [latest(1, 1), latest(2, 2), latest(3, 1)]);
        let entry = catalog.entry(tenant, "tagged").expect("there");
        assert_eq!(entry.attachments.tags["team"], "a");
        assert_eq!(entry.latest.environment["KEY"], "value");
        assert_eq!(entry.latest.state, State::Active);
        let code = fs::read_to_string(entry.latest.code_directory.join("app.py")).expect("code");
        assert_eq!(code, "two");
        let other = catalog.get(TenantId::from_number(210_987_654_321), "plain").expect("there");
        assert!(matches!(other.state, State::Failed { .. }));
    }
    let store = open(data.path());
    let last = store.get(Table::new("counters"), b"last_function").expect("read").expect("there");
    assert_eq!(catalog::number(&last), 4, "the number of the deleted one is not given out again");
}

/// Writes `value` where a program of format 0 had its function `key`.
fn spoil(data: &Path, key: &str, value: &[u8]) {
    const OLD: redb::TableDefinition<'_, &str, &[u8]> = redb::TableDefinition::new("functions");
    let database = redb::Database::open(data.join("catalog.redb")).expect("a store");
    let write = database.begin_write().expect("begun");
    write.open_table(OLD).expect("a table").insert(key, value).expect("stored");
    write.commit().expect("committed");
}

// A directory that cannot be migrated is refused, naming the entry, and stays as it was for the program that wrote it.
#[test]
fn what_cannot_be_migrated_is_left_alone() {
    let data = format_0();
    spoil(data.path(), "123456789012/broken", b"{ half");
    let before = fs::read_dir(data.path().join("packages")).expect("read").count();
    let error = Catalog::open(data.path()).expect_err("refused");
    assert!(matches!(&error, OpenError::Open(OpenStoreError::Older { found: 0, .. })), "{error}");
    assert!(error.to_string().contains("123456789012/broken"), "{error}");
    assert_eq!(fs::read_dir(data.path().join("packages")).expect("read").count(), before);
    let database = redb::Database::open(data.path().join("catalog.redb")).expect("a store");
    let read = redb::ReadableDatabase::begin_read(&database).expect("begun");
    let old: redb::TableDefinition<'_, &str, &[u8]> = redb::TableDefinition::new("functions");
    let table = read.open_table(old).expect("as it was");
    assert_eq!(redb::ReadableTableMetadata::len(&table).expect("a number"), 4);
}

// A store of a newer format is refused with what to do, and nothing in it is touched.
#[test]
fn a_newer_format_is_refused() {
    let data = tempfile::tempdir().expect("a directory");
    drop(open(data.path()));
    {
        const FORMAT: redb::TableDefinition<'_, &str, u64> = redb::TableDefinition::new("format");
        let database = redb::Database::open(data.path().join("catalog.redb")).expect("a store");
        let write = database.begin_write().expect("begun");
        write.open_table(FORMAT).expect("a table").insert("version", 99).expect("stored");
        write.commit().expect("committed");
    }
    let error = Catalog::open(data.path()).expect_err("refused");
    assert!(matches!(&error, OpenError::Open(OpenStoreError::Newer { found: 99, .. })), "{error}");
    for word in ["format 99", "run the peek that wrote it"] {
        assert!(error.to_string().contains(word), "{error}");
    }
}
