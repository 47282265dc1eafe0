//! Runtimes: the interpreters of this machine, our clients of the Runtime API for them, and the environment they run in.
//!
//! Deliberately knows nothing of sandboxes: it names programs, arguments, files and variables, and starts only
//! interpreters themselves, to ask for their version and to compile a client.

mod discover;
mod environment;
mod install;

pub use discover::{Interpreter, Language, Runtimes};
pub use environment::{
    Credentials, FunctionVariables, Initialization, ReservedError, TASK_ROOT, function_environment,
    instance_environment,
};
pub use install::{InstallError, Launch, RUNTIME_DIRECTORY};
