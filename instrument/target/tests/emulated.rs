//! Studies of emulated platforms are the same to the byte, by seed and profile, whatever else the machine does.

use experiment::{Basis, Kind, Scale, Scope, Sink, Study, Unit, Vantage, run_study};
use model::Span;
use record::{Record, WriteError};
use std::collections::BTreeMap;
use std::fs;
use std::future::pending;
use std::path::{Path, PathBuf};
use std::thread;
use target::{Emulated, Target, Uri};

/// Writes each unit to its file, as `peek study` does.
struct Files<'d> {
    directory: &'d Path,
}

impl Sink for Files<'_> {
    type Error = WriteError;

    fn is_finished(&self, _: &str, _: &str) -> bool {
        false
    }

    fn earlier(&mut self, _: &str) -> Result<Vec<Record>, WriteError> {
        Ok(Vec::new())
    }

    fn started(&mut self, _: &str, _: &Unit) {}

    fn progress(&mut self, _: Span, _: Span) {}

    fn finished(
        &mut self,
        experiment: &str,
        unit: &Unit,
        records: Vec<Record>,
    ) -> Result<(), WriteError> {
        record::write_unit(self.directory, experiment, &unit.name, &records).map(|_| ())
    }

    fn problem(&mut self, _: &str, _: &str) {}
}

/// Record files of a quick study: path to bytes.
fn study(profile: &str, seed: u64) -> BTreeMap<PathBuf, Vec<u8>> {
    let directory = tempfile::tempdir().expect("a writable directory");
    let platform = Emulated::profile(profile).expect("built in");
    let target = Emulated::open(Uri::Emulated(profile.to_owned()), platform, seed);
    let scope = Scope::cloud(&Basis {
        scale: Scale::Quick,
        seed,
        runtimes: target.runtimes(),
        memory_range_mib: target.memory_range_mib(),
        cores: 2,
        max_concurrency: 200,
        tenants: target.facts().tenants,
        roles: target.facts().roles,
    });
    let study = Study { scope, experiments: Kind::ALL.to_vec() };
    let mut files = Files { directory: directory.path() };
    target
        .run(run_study(&target, &study, &mut files, pending()))
        .expect("it ends")
        .expect("written");
    let mut found = BTreeMap::new();
    for folder in fs::read_dir(directory.path()).expect("there").flatten() {
        for file in fs::read_dir(folder.path()).expect("a folder").flatten() {
            let path = file.path();
            let name = path.strip_prefix(directory.path()).expect("below").to_owned();
            found.insert(name, fs::read(&path).expect("readable"));
        }
    }
    found
}

// The same seed and profile give the same files, byte for byte, alone or beside studies of other threads; another seed does
// not.
#[test]
fn record_files_are_the_same_to_the_byte() {
    for profile in Emulated::built_in() {
        let (one, beside, other) = thread::scope(|scope| {
            let one = scope.spawn(move || study(profile, 7));
            let beside = scope.spawn(move || study(profile, 7));
            let other = scope.spawn(move || study(profile, 8));
            let join = |it: thread::ScopedJoinHandle<'_, _>| it.join().expect("no panic");
            (join(one), join(beside), join(other))
        });
        assert!(one.len() > 20, "{profile}: {} files", one.len());
        for (name, bytes) in &one {
            assert!(beside.get(name) == Some(bytes), "{profile}: {} differs", name.display());
        }
        assert_eq!(one.len(), beside.len());
        assert_ne!(one, other, "{profile}");
    }
    let alone = study("aws-2018", 7);
    let again = study("aws-2018", 7);
    assert!(alone == again);
}
