//! Any bytes as a code package: refused or unpacked, never a panic, and never a file outside the package's own folder.

#![no_main]

use catalog::{Catalog, PackageLimits};
use libfuzzer_sys::fuzz_target;
use std::path::Path;
use std::sync::LazyLock;
use tempfile::TempDir;

/// Small, so that bombs are met early.
const LIMITS: PackageLimits =
    PackageLimits { zipped_bytes: 64 << 10, unpacked_bytes: 256 << 10, entries: 64 };

static WORLD: LazyLock<(TempDir, Catalog)> = LazyLock::new(|| {
    let outside = tempfile::tempdir().expect("a temporary directory");
    std::fs::create_dir(outside.path().join("data")).expect("made");
    let catalog = Catalog::open_with(&outside.path().join("data"), LIMITS).expect("opened");
    (outside, catalog)
});

/// Bytes of all files below a folder; links are not followed.
fn bytes_below(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).expect("a folder that is unpacked can be read");
    entries
        .map(|entry| {
            let entry = entry.expect("an entry");
            let kind = entry.file_type().expect("its kind");
            assert!(kind.is_dir() || kind.is_file() || kind.is_symlink(), "{:?}", entry.path());
            match kind.is_dir() {
                true => bytes_below(&entry.path()),
                false if kind.is_file() => entry.metadata().expect("its size").len(),
                false => 0,
            }
        })
        .sum()
}

fuzz_target!(|zip: &[u8]| {
    let (outside, catalog) = &*WORLD;
    if let Ok(package) = catalog.store_package(zip) {
        assert!(bytes_below(&package.directory) <= LIMITS.unpacked_bytes);
        catalog.collect_packages().expect("removed again");
    }
    let beside = std::fs::read_dir(outside.path()).expect("the folder around").count();
    assert_eq!(beside, 1, "something was written outside");
});
