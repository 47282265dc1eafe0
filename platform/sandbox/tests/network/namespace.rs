//! A network namespace with a thread in it that does what it is told.

use rustix::thread::{UnshareFlags, gettid, unshare_unsafe};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::process::Command;
use std::sync::mpsc::{Sender, channel};

type Work = Box<dyn FnOnce() + Send>;

/// A namespace; gone when dropped, unless something else refers to it.
pub struct Namespace {
    work: Sender<Work>,
    thread_id: i32,
    file: File,
}

impl Namespace {
    pub fn new() -> Self {
        let (work, todo) = channel::<Work>();
        let (ready, made) = channel();
        std::thread::spawn(move || {
            // SAFETY: a new network namespace takes no descriptor from any thread.
            unsafe { unshare_unsafe(UnshareFlags::NEWNET).expect("root") };
            let file = File::open("/proc/thread-self/ns/net").expect("proc");
            ready.send((gettid().as_raw_nonzero().get(), file)).expect("awaited");
            while let Ok(work) = todo.recv() {
                work();
            }
        });
        let (thread_id, file) = made.recv().expect("made");
        Self { work, thread_id, file }
    }

    /// For `ip link set netns`.
    pub fn thread_id(&self) -> i32 {
        self.thread_id
    }

    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Runs `work` in the namespace.
    pub fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = channel();
        let work = Box::new(move || {
            let _gone = done.send(work());
        });
        self.work.send(work).expect("thread lives");
        result.recv().expect("work ended without panic")
    }
}

/// Runs `ip` in the calling thread's namespace. Returns what it says.
pub fn ip(arguments: &str) -> String {
    output("ip", arguments)
}

/// Runs a program of /usr/sbin. Returns what it says.
pub fn output(program: &str, arguments: &str) -> String {
    let mut command = Command::new(format!("/usr/sbin/{program}"));
    let output = command.args(arguments.split(' ')).output().expect("runs");
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {arguments}: {message}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
