//! The probe in native Rust: a Lambda function without a runtime of anybody else's.
//!
//! Blocking, single-threaded but where a measurement needs threads, and small, so that a cold start is the platform's.
//! Deliberately knows nothing of who asks or why.

mod background;
mod clock;
mod cpu;
mod disk;
mod exposure;
mod fill;
mod handler;
mod http;
mod identity;
mod network;

use handler::Handler;
use http::Runtime;
use std::process::ExitCode;

fn main() -> ExitCode {
    let init_unix_ns = clock::unix_ns();
    let address = std::env::var("AWS_LAMBDA_RUNTIME_API").unwrap_or_default();
    let Ok(address) = address.parse() else {
        return refuse(&format!("AWS_LAMBDA_RUNTIME_API is {address:?}, not ADDRESS:PORT"));
    };
    let mut handler = Handler::new(init_unix_ns);
    let mut runtime = Runtime::new(address);
    loop {
        let event = match runtime.next() {
            Ok(event) => event,
            Err(error) => return refuse(&format!("cannot get the next event: {error}")),
        };
        let reply = handler.handle(&event.body);
        let posted = match reply {
            Ok(response) => runtime.respond(&event.id, &response),
            Err(failed) => runtime.fail(&event.id, &failed),
        };
        if let Err(error) = posted {
            return refuse(&format!("cannot post the response: {error}"));
        }
    }
}

fn refuse(reason: &str) -> ExitCode {
    eprintln!("probe: {reason}");
    ExitCode::FAILURE
}
