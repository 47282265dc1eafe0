//! Keeps the server's secrets in its own memory.

use anyhow::Context;

/// Has the kernel write no core file of this process, and let no other process of the same user look into it.
///
/// What it starts by another program is not bound by it. Call before secrets are read.
pub fn keep_to_oneself() -> anyhow::Result<()> {
    // SAFETY: PR_SET_DUMPABLE takes an integer and touches no memory of ours.
    let done = unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) };
    match done {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()).context("cannot forbid core files of the server"),
    }
}

/// Whether this process may do everything.
///
/// Asked of the kernel itself: the files of a process that keeps to itself belong to root in /proc, whoever runs it.
pub fn is_root() -> bool {
    // SAFETY: geteuid takes nothing, cannot fail and touches no memory of ours.
    unsafe { libc::geteuid() == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    // After the call the kernel says that no core file would be written.
    #[test]
    fn no_core_files_are_written() {
        keep_to_oneself().expect("allowed to everyone");
        // SAFETY: PR_GET_DUMPABLE takes nothing and touches no memory of ours.
        assert_eq!(unsafe { libc::prctl(libc::PR_GET_DUMPABLE, 0, 0, 0, 0) }, 0);
    }
}
