//! What is saved below a directory, by inotify.

use crate::function::left_out;
use anyhow::Context;
use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init};
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::io::unix::AsyncFd;

/// How long nothing may be saved before what was saved counts: editors and compilers write several files.
const QUIET: Duration = Duration::from_millis(120);
/// After so long it counts anyhow.
const PATIENCE: Duration = Duration::from_secs(3);
/// Most directories that are watched.
const DIRECTORIES: usize = 20_000;
/// Bytes for events that are read at once.
const EVENT_BYTES: usize = 16 << 10;

/// A directory, with all below it, or a file, that is watched.
#[derive(Debug)]
pub struct Watch {
    inotify: AsyncFd<OwnedFd>,
    root: PathBuf,
    /// The one name that counts, where a file is watched: the watch is on its directory, since editors replace files.
    only: Option<String>,
}

impl Watch {
    /// Watches a directory or a file.
    ///
    /// Errors: the kernel has no watches left (`fs.inotify.max_user_watches`, `max_user_instances`).
    pub fn new(path: &Path) -> anyhow::Result<Self> {
        let (root, only) = if path.is_file() {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
            (path.parent().unwrap_or(Path::new("/")).to_owned(), name)
        } else {
            (path.to_owned(), None)
        };
        let inotify = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
            .context("cannot watch files: raise fs.inotify.max_user_instances with sysctl")?;
        // SAFETY: the descriptor is the value's own and is closed with it; nothing replaces it meanwhile.
        let inotify = unsafe { AsyncFd::register(inotify) }.context("cannot watch files")?;
        let watch = Self { inotify, root, only };
        watch
            .look()
            .context("cannot watch files: raise fs.inotify.max_user_watches with sysctl")?;
        Ok(watch)
    }

    /// Returns once something was saved that belongs to a function, and nothing more has been for a moment.
    pub async fn changed(&mut self) -> io::Result<()> {
        while !self.next().await? {}
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            match tokio::time::timeout(QUIET, self.next()).await {
                Ok(more) => drop(more?),
                Err(_) => break,
            }
        }
        // New directories are watched too; those that are have their watch already.
        self.look()
    }

    /// Waits for events and takes them. Whether one of them counts.
    async fn next(&mut self) -> io::Result<bool> {
        let mut guard = self.inotify.readable().await?;
        let mut buffer = [MaybeUninit::uninit(); EVENT_BYTES];
        let mut reader = Reader::new(self.inotify.get_ref(), &mut buffer);
        let mut counts = false;
        loop {
            match reader.next() {
                Ok(event) => {
                    let name = event.file_name().map(|name| name.to_string_lossy().into_owned());
                    // An overflow or a directory's own end has no name: whatever it was, it is worth a look.
                    counts |= name.is_none_or(|name| self.is_meant(&name))
                        && !event.events().contains(ReadFlags::IGNORED);
                }
                Err(rustix::io::Errno::AGAIN) => break,
                Err(error) => return Err(error.into()),
            }
        }
        guard.clear_ready();
        Ok(counts)
    }

    fn is_meant(&self, name: &str) -> bool {
        if let Some(only) = &self.only {
            return name == only;
        }
        // What editors leave for a moment.
        let is_passing = name.ends_with('~')
            || name.ends_with(".swp")
            || name.ends_with(".tmp")
            || name == "4913";
        !is_passing && (!left_out(name) || name == "target")
    }

    fn look(&self) -> io::Result<()> {
        let mut open = vec![self.root.clone()];
        let mut watched = 0;
        while let Some(directory) = open.pop() {
            let flags = WatchFlags::CLOSE_WRITE
                | WatchFlags::CREATE
                | WatchFlags::DELETE
                | WatchFlags::MOVED_FROM
                | WatchFlags::MOVED_TO
                | WatchFlags::ONLYDIR;
            match add_watch(self.inotify.get_ref(), &directory, flags) {
                Ok(_) => watched += 1,
                Err(
                    rustix::io::Errno::NOENT
                    | rustix::io::Errno::NOTDIR
                    | rustix::io::Errno::ACCESS,
                ) => continue,
                Err(error) => return Err(error.into()),
            }
            if self.only.is_some() || watched >= DIRECTORIES {
                return Ok(());
            }
            open.extend(below(&directory));
        }
        Ok(())
    }
}

/// The directories right below one that are worth watching: of a compiler's output, only where cargo-lambda leaves
/// programs.
fn below(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok);
    let is_target = directory.file_name().is_some_and(|name| name == "target");
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            if is_target {
                return name == "lambda";
            }
            let is_rust = name == "target" && directory.join("Cargo.toml").exists();
            is_rust || (!left_out(&name) && name != "node_modules")
        })
        .map(|entry| entry.path())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // A save in a directory that is new counts, what editors and caches leave does not.
    #[tokio::test]
    async fn saves_are_seen() {
        let root = std::env::temp_dir().join(format!("peek-watch-{}", std::process::id()));
        fs::create_dir_all(root.join("__pycache__")).expect("made");
        let mut watch = Watch::new(&root).expect("watched");
        let save = |name: &str| fs::write(root.join(name), "x").expect("written");
        save("app.py~");
        save("__pycache__/app.pyc");
        save("x.swp");
        let none = tokio::time::timeout(Duration::from_millis(300), watch.changed()).await;
        assert!(none.is_err(), "an editor's file counted");
        fs::create_dir(root.join("lib")).expect("made");
        tokio::time::timeout(Duration::from_secs(20), watch.changed())
            .await
            .expect("seen")
            .expect("read");
        save("lib/x.py");
        tokio::time::timeout(Duration::from_secs(20), watch.changed())
            .await
            .expect("seen")
            .expect("read");
        fs::remove_dir_all(root).expect("removed");
    }
}
