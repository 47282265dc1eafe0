//! Zips as clients and attackers make them, and what becomes of them.

use catalog::{Catalog, PackageError, PackageLimits};
use proptest::prelude::*;
use std::fs;
use std::io::{Cursor, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use tempfile::TempDir;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// One entry of a zip: name, mode with its type, content.
type Entry<'a> = (&'a str, u32, &'a [u8]);

const FILE: u32 = 0o100_644;
const LINK: u32 = 0o120_777;

fn zip_of(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, mode, content) in entries {
        let options = SimpleFileOptions::default().unix_permissions(mode & 0o777);
        if mode & 0o170_000 == LINK & 0o170_000 {
            let target = std::str::from_utf8(content).expect("a path");
            writer.add_symlink(*name, target, options).expect("a link");
        } else {
            writer.start_file(*name, options).expect("an entry");
            writer.write_all(content).expect("content");
        }
    }
    writer.finish().expect("a zip").into_inner()
}

/// Overwrites the Unix mode of every entry in the central directory.
fn set_modes(zip: &mut [u8], mode: u32) {
    let starts: Vec<_> =
        (0..zip.len() - 4).filter(|&at| zip[at..at + 4] == *b"PK\x01\x02").collect();
    for at in starts {
        zip[at + 38..at + 42].copy_from_slice(&(mode << 16).to_le_bytes());
    }
}

fn store_with(zip: &[u8], limits: PackageLimits) -> (TempDir, Result<PathBuf, PackageError>) {
    let data = tempfile::tempdir().expect("a directory");
    let catalog = Catalog::open_with(data.path(), limits).expect("a catalog");
    let stored = catalog.store_package(zip);
    let aside = fs::read_dir(data.path().join("aside")).expect("a directory").count();
    assert_eq!(aside, 0, "nothing is left aside");
    let packages = fs::read_dir(data.path().join("packages")).expect("a directory").count();
    assert_eq!(packages, usize::from(stored.is_ok()), "a package is there whole or not at all");
    (data, stored.map(|package| package.directory))
}

fn refused(zip: &[u8]) -> PackageError {
    store_with(zip, PackageLimits::default()).1.expect_err("refused")
}

// A package keeps its files, their content and whether they can be executed; nobody can write them.
#[test]
fn files_keep_content_and_execute_bit() {
    let zip = zip_of(&[
        ("bootstrap", 0o100_755, b"#!/bin/sh\n"),
        ("lib/data.txt", 0o100_600, b"data"),
        ("lib/deep/er/x", FILE, b""),
    ]);
    let (_data, directory) = store_with(&zip, PackageLimits::default());
    let directory = directory.expect("stored");
    let mode =
        |name: &str| fs::metadata(directory.join(name)).expect(name).permissions().mode() & 0o7777;
    assert_eq!(mode("bootstrap"), 0o555);
    assert_eq!(mode("lib/data.txt"), 0o444);
    for directory in ["lib/deep", ".", "..", "../.."] {
        assert_eq!(mode(directory), 0o755, "{directory}");
    }
    assert_eq!(mode("../../../catalog.redb"), 0o600, "it may hold secrets");
    assert_eq!(fs::read(directory.join("lib/data.txt")).expect("readable"), b"data");
    let owner = fs::metadata(directory.join("bootstrap")).expect("there").uid();
    let own = fs::metadata(directory.join("..")).expect("there").uid();
    assert_eq!(owner, own, "files belong to the platform");
}

// A link inside the package is kept; it may go up as long as it stays inside.
#[test]
fn links_inside_are_kept() {
    let zip = zip_of(&[
        ("lib/real.so.1", FILE, b"so"),
        ("lib/real.so", LINK, b"real.so.1"),
        ("bin/tool", LINK, b"../lib/./real.so"),
    ]);
    let (_data, directory) = store_with(&zip, PackageLimits::default());
    let directory = directory.expect("stored");
    assert_eq!(fs::read(directory.join("bin/tool")).expect("follows"), b"so");
}

// Links that leave the package are refused, also by way of another link, also in a circle.
#[test]
fn links_that_leave_are_refused() {
    let links: &[&[Entry<'_>]] = &[
        &[("f", FILE, b""), ("a", LINK, b"/etc/passwd")],
        &[("f", FILE, b""), ("a", LINK, b"..")],
        &[("f", FILE, b""), ("d/a", LINK, b"../../x")],
        &[("f", FILE, b""), ("d/up", LINK, b".."), ("b", LINK, b"d/up/..")],
        &[("f", FILE, b""), ("a", LINK, b"b"), ("b", LINK, b"a")],
    ];
    for entries in links {
        let error = refused(&zip_of(entries));
        assert!(matches!(error, PackageError::LinkOutside { .. }), "{entries:?}: {error}");
    }
}

// An entry cannot be written through a link or a file of the same package.
#[test]
fn entries_do_not_go_through_links() {
    let zip = zip_of(&[("d/real", FILE, b""), ("l", LINK, b"d"), ("l/x", FILE, b"")]);
    assert!(matches!(refused(&zip), PackageError::ThroughFile { .. }));
    let zip = zip_of(&[("d", FILE, b""), ("d/x", FILE, b"")]);
    assert!(matches!(refused(&zip), PackageError::ThroughFile { .. }));
}

// Paths that climb out, start at the root or cannot be names are refused.
#[test]
fn paths_outside_are_refused() {
    let long = "x".repeat(256);
    for name in ["../x", "a/../../x", "a/../b", "/etc/x", "a\0b", long.as_str()] {
        let error = refused(&zip_of(&[(name, FILE, b"")]));
        assert!(matches!(error, PackageError::Outside { .. }), "{name:?}: {error}");
    }
}

// A name has 255 bytes and a path 2,048 at most: at the limit an entry is stored, one byte past it is refused.
#[test]
fn names_and_paths_have_limits() {
    let name = |bytes: usize| "x".repeat(bytes);
    let path = |bytes: usize| format!("{}{}", (name(127) + "/").repeat(15), name(bytes - 15 * 128));
    for (good, bad) in [(name(255), name(256)), (path(2048), path(2049))] {
        let (_data, stored) = store_with(&zip_of(&[(&good, FILE, b"1")]), PackageLimits::default());
        let directory = stored.unwrap_or_else(|error| panic!("{} bytes: {error}", good.len()));
        assert_eq!(fs::read(directory.join(&good)).expect("there"), b"1");
        let error = refused(&zip_of(&[(&bad, FILE, b"1")]));
        assert!(matches!(error, PackageError::Outside { .. }), "{} bytes: {error}", bad.len());
    }
}

// Two entries for one path are refused, however they are spelled.
#[test]
fn duplicates_are_refused() {
    for twice in [["a/b", "a//b"], ["a", "./a"]] {
        let error = refused(&zip_of(&[(twice[0], FILE, b"1"), (twice[1], FILE, b"2")]));
        assert!(matches!(error, PackageError::Duplicate { .. }), "{twice:?}: {error}");
    }
    let mut zip = zip_of(&[("aaaa", FILE, b"1"), ("bbbb", FILE, b"2")]);
    while let Some(at) = zip.windows(4).position(|window| window == b"bbbb") {
        zip[at..at + 4].copy_from_slice(b"aaaa");
    }
    assert!(matches!(refused(&zip), PackageError::Duplicate { .. }));
}

// Devices, pipes and sockets are refused.
#[test]
fn special_files_are_refused() {
    for mode in [0o020_666, 0o060_666, 0o010_666, 0o140_777] {
        let mut zip = zip_of(&[("x", FILE, b"")]);
        set_modes(&mut zip, mode);
        assert!(matches!(refused(&zip), PackageError::Special { .. }), "{mode:o}");
    }
}

// A regular file that names a link's target in PKWARE's Unix field is a hard link, and refused.
#[test]
fn hard_links_are_refused() {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let mut options = zip::write::FileOptions::<zip::write::ExtendedFileOptions>::default();
    let field = [&[0_u8; 12][..], b"/etc/shadow"].concat();
    options.add_extra_field(0xface, &field, true).expect("a field");
    writer.start_file("x", options).expect("an entry");
    let mut zip = writer.finish().expect("a zip").into_inner();
    while let Some(at) = zip.windows(2).position(|window| window == 0xface_u16.to_le_bytes()) {
        zip[at..at + 2].copy_from_slice(&0x000d_u16.to_le_bytes());
    }
    set_modes(&mut zip, FILE);
    assert!(matches!(refused(&zip), PackageError::HardLink { .. }));
}

// Sizes are counted as they unpack, whatever the directory says, so a bomb stops at the limit.
#[test]
fn bombs_stop_at_the_limit() {
    let limits = PackageLimits { unpacked_bytes: 1 << 20, ..PackageLimits::default() };
    let mut zip = zip_of(&[("zeros", FILE, &vec![0; (1 << 20) + 1])]);
    assert!(zip.len() < 10_000, "it is a bomb");
    let error = store_with(&zip, limits).1.expect_err("refused");
    assert!(matches!(error, PackageError::UnpackedTooLarge { limit } if limit == 1 << 20));
    let size = u32::try_from((1 << 20) + 1).expect("fits").to_le_bytes();
    while let Some(at) = zip.windows(4).position(|window| window == size) {
        zip[at..at + 4].copy_from_slice(&1_u32.to_le_bytes());
    }
    store_with(&zip, limits).1.expect_err("a lie about the size is refused");
}

// A zip over its size limit, with too many entries, with none, or that is none, is refused.
#[test]
fn limits_and_broken_zips() {
    let small = PackageLimits { zipped_bytes: 10, ..PackageLimits::default() };
    let zip = zip_of(&[("x", FILE, b"")]);
    let error = store_with(&zip, small).1.expect_err("refused");
    assert!(matches!(error, PackageError::ZippedTooLarge { limit: 10, .. }));
    let few = PackageLimits { entries: 2, ..PackageLimits::default() };
    let error = store_with(&zip_of(&[("a/b/c", FILE, b"")]), few).1.expect_err("refused");
    assert!(matches!(error, PackageError::TooManyEntries { limit: 2 }));
    assert!(matches!(refused(&zip_of(&[])), PackageError::Empty));
    assert!(matches!(refused(b""), PackageError::NotZip { .. }));
    assert!(matches!(refused(b"PK\x03\x04 not really"), PackageError::NotZip { .. }));
    let mut broken = zip_of(&[("x", FILE, b"some content that is long enough to matter")]);
    broken[40] ^= 0xff;
    assert!(matches!(refused(&broken), PackageError::NotZip { .. }));
}

// An encrypted entry is refused by what it is.
#[test]
fn encrypted_entries_are_refused() {
    let mut zip = zip_of(&[("x", FILE, b"secret")]);
    zip[6] |= 1;
    let at = zip.windows(4).position(|window| window == b"PK\x01\x02").expect("a directory");
    zip[at + 8] |= 1;
    assert!(matches!(refused(&zip), PackageError::Unsupported { .. }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    // Flipped bytes of a good zip never panic, and never leave anything behind.
    #[test]
    fn damaged_zips_do_no_harm(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut zip = zip_of(&[
            ("bootstrap", 0o100_755, b"#!/bin/sh\nexec true\n"),
            ("lib/x", FILE, b"content content content content"),
            ("lib/l", LINK, b"x"),
        ]);
        for (at, byte) in flips {
            let at = at.index(zip.len());
            zip[at] = byte;
        }
        let limits = PackageLimits { unpacked_bytes: 1 << 16, ..PackageLimits::default() };
        let (_data, _) = store_with(&zip, limits);
    }
}
