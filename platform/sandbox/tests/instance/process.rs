//! A sandbox that is none: a child process on loopback.

use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process, pidfd_open};
use sandbox::container::{Cause, Control, Exit, Processes, Running};
use sandbox::{Grace, Usage};
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A child process that is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    pidfd: AsyncFd<OwnedFd>,
    exit: tokio::sync::OnceCell<Exit>,
}

impl Process {
    /// Runs a command with the Runtime API of a fresh listener in its environment.
    #[expect(clippy::zombie_processes, reason = "`exited` waits for it by its pidfd")]
    pub fn spawn(mut command: Command) -> Running<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        listener.set_nonblocking(true).expect("nonblocking");
        let address = listener.local_addr().expect("bound").to_string();
        let (read, write) =
            rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("pipe");
        rustix::io::ioctl_fionbio(&read, true).expect("nonblocking");
        let child = command
            .env("AWS_LAMBDA_RUNTIME_API", address)
            .stdin(Stdio::null())
            .stdout(write.try_clone().expect("descriptor"))
            .stderr(write)
            .spawn()
            .expect("spawns");
        let pid = Pid::from_child(&child);
        let pidfd = pidfd_open(pid, PidfdFlags::NONBLOCK).expect("alive");
        // SAFETY: an owned descriptor stays open, and the same, until it is dropped.
        let pidfd = unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) };
        let pidfd = pidfd.expect("epoll");
        let control = Self { pid, pidfd, exit: tokio::sync::OnceCell::new() };
        Running { listener, output: read, control, log: None, beside: None }
    }
}

impl Control for Process {
    fn freeze(&self) -> io::Result<()> {
        Ok(kill_process(self.pid, Signal::STOP)?)
    }

    fn thaw(&self) -> io::Result<()> {
        Ok(kill_process(self.pid, Signal::CONT)?)
    }

    fn apply_ceiling(&self) -> io::Result<()> {
        Ok(())
    }

    fn usage(&self) -> Usage {
        Usage::default()
    }

    fn processes(&self) -> Option<&std::sync::Arc<Processes>> {
        None
    }

    async fn exited(&self) -> Exit {
        *self
            .exit
            .get_or_init(|| async {
                let mut status = None;
                while status.is_none() {
                    let _readable = self.pidfd.readable().await;
                    let id = WaitId::PidFd(self.pidfd.get_ref().as_fd());
                    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
                    status = rustix::process::waitid(id, options).expect("a child");
                }
                let status = status.expect("loop ended");
                Exit {
                    process: sandbox::container::Process::Runtime,
                    status: status.exit_status(),
                    signal: status.terminating_signal(),
                    cause: Cause::Own,
                }
            })
            .await
    }

    async fn destroy(self, grace: Grace) {
        if grace.0 > model::Span::ZERO {
            let _gone = kill_process(self.pid, Signal::TERM);
            let _timeout = tokio::time::timeout(grace.0.into(), self.exited()).await;
        }
        let _gone = kill_process(self.pid, Signal::KILL);
        self.exited().await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.exit.get().is_none() {
            let _gone = kill_process(self.pid, Signal::KILL);
        }
    }
}
