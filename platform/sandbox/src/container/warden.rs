//! What looks after the processes of a sandbox that has extensions: starts them and the runtime, signals them, and tells
//! how each has ended.
//!
//! It stands where the runtime stands in other sandboxes: behind all walls, and its end is the end of all. Deliberately
//! knows nothing of the Runtime API, and decides nothing: the server does.

use super::channel::{Channel, Received};
use super::child::PACKAGE;
use super::protocol::{self, Command, Failure, Order, Process, Status, Step};
use super::system::{self, Program};
use rustix::event::{PollFd, PollFlags, poll};
use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

/// Variables that are the runtime's alone (AWS Lambda developer guide, "Extensions API", "Permissions and configuration",
/// 2026-11).
const RUNTIME_VARIABLES: [&str; 10] = [
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_XRAY_CONTEXT_MISSING",
    "AWS_XRAY_DAEMON_ADDRESS",
    "LAMBDA_RUNTIME_DIR",
    "LAMBDA_TASK_ROOT",
    "_AWS_XRAY_DAEMON_ADDRESS",
    "_AWS_XRAY_DAEMON_PORT",
    "_HANDLER",
];

/// Where an extension begins.
const ROOT: &str = "/";

/// What there is to start, and what was started.
#[derive(Debug)]
pub(super) struct Warden<'a> {
    server: Channel,
    arguments: &'a [&'a CStr],
    extensions: &'a [&'a CStr],
    environment: &'a [&'a CStr],
    /// Of the runtime, and of extensions.
    output: OwnedFd,
    extension_output: OwnedFd,
    alive: Vec<(i32, Process)>,
}

/// Looks after the sandbox until the server lets go of it. Returns where that is impossible.
pub(super) fn watch(
    server: Channel,
    command: &Command,
    strings: &[u8],
    (output, extension_output): (OwnedFd, OwnedFd),
) -> Result<(), (Channel, Failure)> {
    let all = match protocol::strings(strings) {
        Ok(all) => all,
        Err(error) => return Err((server, Failure::new("no valid arguments", &error))),
    };
    let parts = all.split_at_checked(command.arguments).and_then(|(arguments, rest)| {
        let (extensions, environment) = rest.split_at_checked(command.extensions)?;
        Some((arguments, extensions, environment))
    });
    let Some((arguments, extensions, environment)) = parts else {
        let failure = Failure { step: "fewer arguments than promised".to_owned(), errno: 0 };
        return Err((server, failure));
    };
    let alive = Vec::new();
    let mut warden =
        Warden { server, arguments, extensions, environment, output, extension_output, alive };
    warden.run().map_err(|failure| (warden.server, failure))
}

impl Warden<'_> {
    fn run(&mut self) -> Result<(), Failure> {
        // What loses its parent is reaped here: the first process waits for this one alone.
        system::process_control(libc::PR_SET_CHILD_SUBREAPER, 1)
            .step(|| "cannot reap the processes of extensions".to_owned())?;
        let signals = system::signal_descriptor(&[libc::SIGCHLD])
            .step(|| "cannot be told of ended processes".to_owned())?;
        self.tell(&Status::Supervised, None);
        for index in 0..self.extensions.len() {
            self.start(Process::Extension(index));
        }
        let mut buffer = [0; 1024];
        loop {
            let mut polled = [
                PollFd::new(&signals, PollFlags::IN),
                PollFd::from_borrowed_fd(self.server.as_fd(), PollFlags::IN),
            ];
            // An interrupted wait is tried again by the loop.
            let _ready = poll(&mut polled, None);
            self.reap(&signals);
            match self.server.try_receive(&mut buffer) {
                Ok(None) => {}
                Ok(Some(Received::Message(length, _))) => {
                    if let Ok((order, _)) = protocol::decode(&buffer[..length]) {
                        self.obey(order);
                    }
                }
                Ok(Some(Received::End)) | Err(_) => return Ok(()),
            }
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Start => self.start(Process::Runtime),
            Order::Signal { process, signal } => {
                // One that was reaped is not in the list, and its number may be another's.
                if let Some((pid, _)) = self.alive.iter().find(|(_, it)| *it == process) {
                    system::signal_process(*pid, signal);
                }
            }
            Order::Socket => match socket() {
                Ok(socket) => self.tell(&Status::Socket, Some(socket)),
                Err(failure) => self.tell(&Status::Failed(failure), None),
            },
        }
    }

    /// Starts a process, or says that it could not be.
    fn start(&mut self, process: Process) {
        let (arguments, directory, output) = match process {
            Process::Runtime => (self.arguments, PACKAGE, &self.output),
            Process::Extension(index) => {
                (&self.extensions[index..=index], ROOT, &self.extension_output)
            }
        };
        let is_given = |variable: &&&CStr| match process {
            Process::Runtime => true,
            Process::Extension(_) => !is_of_runtime(variable),
        };
        let environment = self.environment.iter().filter(is_given).copied().collect();
        let program = Program { arguments: arguments.to_vec(), environment };
        let mut failure = None;
        // Sees what the child has written, as it borrows this process's memory.
        let run = || {
            let prepared = rustix::process::chdir(directory)
                .map_err(std::io::Error::from)
                .and_then(|()| system::duplicate_to(output.as_fd(), 1))
                .and_then(|()| system::duplicate_to(output.as_fd(), 2));
            failure = Some(prepared.err().unwrap_or_else(|| system::execute(&program)));
        };
        let launched = system::run_borrowing(run);
        let failed = match (launched, failure) {
            (Ok(pid), None) => {
                self.alive.push((pid, process));
                return;
            }
            (Err(error), _) | (_, Some(error)) => error,
        };
        let errno = failed.raw_os_error().unwrap_or(0);
        self.tell(&Status::NotStarted { process, errno }, None);
    }

    fn reap(&mut self, signals: &OwnedFd) {
        let mut drained = [0; 512];
        // The count of signals means nothing; every ended child is asked for.
        while rustix::io::read(signals, &mut drained).is_ok() {}
        while let Some((pid, status)) = system::reap() {
            if let Some(index) = self.alive.iter().position(|(it, _)| *it == pid) {
                let (_, process) = self.alive.swap_remove(index);
                self.tell(&Status::Exited { process, status }, None);
            }
        }
    }

    fn tell(&self, status: &Status, beside: Option<OwnedFd>) {
        let beside = beside.as_ref().map(AsFd::as_fd);
        // A server that is gone needs no answer.
        let _gone = self.server.send(&[&protocol::encode(status)], beside.as_slice());
    }
}

/// A stream socket in the sandbox's network, nonblocking and connected to nothing.
fn socket() -> Result<OwnedFd, Failure> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)
        .step(|| "cannot make a socket in the sandbox".to_owned())
}

fn is_of_runtime(variable: &CStr) -> bool {
    let text = variable.to_bytes();
    RUNTIME_VARIABLES
        .iter()
        .any(|name| text.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.starts_with(b"=")))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Variables are the runtime's by their whole name.
    #[test]
    fn variables_of_the_runtime() {
        assert!(is_of_runtime(c"_HANDLER=app.handler"));
        assert!(is_of_runtime(c"LAMBDA_TASK_ROOT="));
        assert!(!is_of_runtime(c"LAMBDA_TASK_ROOTS=1"));
        assert!(!is_of_runtime(c"AWS_LAMBDA_RUNTIME_API=127.0.0.1:9001"));
    }
}
