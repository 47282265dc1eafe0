//! The files of several layers as one tree: later ones over earlier ones.
//!
//! Files are linked, not copied, so that a merged tree costs its directories only. Deliberately follows no link: a layer's
//! links mean something within a sandbox alone.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

/// Lays the tree `from` over what is in `into`, both directories. A directory is joined with one of its name; anything else
/// takes the place of what is there.
pub(super) fn lay_over(from: &Path, into: &Path) -> io::Result<()> {
    // No recursion: a package may have a thousand directories within each other.
    let mut directories = vec![(from.to_owned(), into.to_owned())];
    while let Some((from, into)) = directories.pop() {
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            let (source, target) = (entry.path(), into.join(entry.file_name()));
            let kind = entry.file_type()?;
            let is_joined = make_room(&target, kind.is_dir())?;
            if kind.is_dir() {
                if !is_joined {
                    fs::create_dir(&target)?;
                    super::open_to_all(&target)?;
                }
                directories.push((source, target));
            } else if kind.is_symlink() {
                symlink(fs::read_link(&source)?, &target)?;
            } else {
                // Some file systems have no hard links, and all that have them have a limit of them.
                fs::hard_link(&source, &target)
                    .or_else(|_| fs::copy(&source, &target).map(drop))?;
            }
        }
    }
    Ok(())
}

/// Removes what is at `target`, unless it is a directory and another is to be joined with it: then true.
fn make_room(target: &Path, for_directory: bool) -> io::Result<bool> {
    match fs::symlink_metadata(target) {
        Ok(there) if there.is_dir() && for_directory => Ok(true),
        Ok(there) if there.is_dir() => fs::remove_dir_all(target).map(|()| false),
        Ok(_) => fs::remove_file(target).map(|()| false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Bytes of all files of a tree, as they count against a package's limit.
pub(super) fn bytes(tree: &Path) -> io::Result<u64> {
    let (mut sum, mut directories) = (0_u64, vec![tree.to_owned()]);
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            match entry.metadata()? {
                found if found.is_dir() => directories.push(entry.path()),
                found => sum = sum.saturating_add(found.len()),
            }
        }
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Later files win over earlier ones, directories are joined, and nothing is followed or written through.
    #[test]
    fn later_layers_win() {
        let world = tempfile::tempdir().expect("directory");
        let at = |path: &str| world.path().join(path);
        for directory in ["a/both", "a/gone/deep", "b/both", "b/link", "into", "outside"] {
            fs::create_dir_all(at(directory)).expect("directory");
        }
        for (path, text) in [
            ("a/both/one", "a"),
            ("a/both/two", "a"),
            ("a/gone/deep/file", "a"),
            ("b/both/two", "b"),
            ("b/gone", "b is a file"),
            ("b/link/file", "b"),
        ] {
            fs::write(at(path), text).expect("file");
        }
        symlink(at("outside"), at("a/link")).expect("link");
        lay_over(&at("a"), &at("into")).expect("first");
        lay_over(&at("b"), &at("into")).expect("second");
        let read = |path: &str| fs::read_to_string(at(path)).expect("file");
        assert_eq!(read("into/both/one"), "a");
        assert_eq!(read("into/both/two"), "b");
        assert_eq!(read("a/both/two"), "a", "an earlier layer stays what it is");
        assert_eq!(read("into/gone"), "b is a file");
        assert_eq!(read("into/link/file"), "b");
        assert!(fs::read_dir(at("outside")).expect("directory").next().is_none(), "not followed");
        assert_eq!(bytes(&at("b")).expect("walks"), 1 + 11 + 1);
    }
}
