//! Network namespaces, entered by the calling thread and always left again.

use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Of the calling thread; `/proc/self` and `/proc/net` would name the first thread's.
const OWN: &str = "/proc/thread-self/ns/net";

/// The namespace that the calling thread is in.
pub(super) fn current() -> io::Result<OwnedFd> {
    Ok(File::open(OWN)?.into())
}

/// A new, empty namespace. It lives as long as something refers to it.
pub(super) fn create() -> io::Result<OwnedFd> {
    let home = current()?;
    // SAFETY: a new network namespace takes no descriptor from any thread.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET)? };
    let created = current();
    enter(home.as_fd())?;
    created
}

/// Runs `work` in another namespace.
///
/// Panics where the thread cannot return: it would do everything that follows in the wrong network.
pub(super) fn within<T>(
    namespace: BorrowedFd<'_>,
    work: impl FnOnce() -> io::Result<T>,
) -> io::Result<T> {
    let home = current()?;
    enter(namespace)?;
    let result = work();
    enter(home.as_fd()).expect("a namespace that was left can be entered again");
    result
}

/// Sets a kernel setting of the namespace that the calling thread is in, as in `ipv4/ip_forward`.
pub(super) fn set(name: &str, value: &str) -> io::Result<()> {
    let path = Path::new("/proc/sys/net").join(name);
    std::fs::write(&path, value)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// Reads such a setting.
pub(super) fn get(name: &str) -> io::Result<String> {
    let text = std::fs::read_to_string(Path::new("/proc/sys/net").join(name))?;
    Ok(text.trim().to_owned())
}

fn enter(namespace: BorrowedFd<'_>) -> io::Result<()> {
    Ok(move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network))?)
}
