//! One invocation: what is asked is done in the order of the request's schema.

use crate::background::Work;
use crate::http::Failed;
use crate::{clock, cpu, disk, exposure, fill, identity, network};
use probe::{Request, Response};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::io;

/// Where the instance's id is kept beside its memory, in /tmp.
const INSTANCE_FILE: &str = "peek-instance";

/// What stays from one invocation to the next.
pub struct Handler {
    init_unix_ns: u64,
    instance: String,
    mark: String,
    version: String,
    memory_mib: u32,
    initialization: String,
    invocations: u64,
    work: Option<Work>,
}

/// What could not be measured, and why, by part.
type Problems = BTreeMap<String, String>;

impl Handler {
    pub fn new(init_unix_ns: u64) -> Self {
        let variable = |name| std::env::var(name).unwrap_or_default();
        let package = variable("LAMBDA_TASK_ROOT");
        let code_mark = std::fs::read_to_string(format!("{package}/peek-mark")).unwrap_or_default();
        Self {
            init_unix_ns,
            instance: random_id(),
            mark: format!("{}.{}", variable("PEEK_MARK"), code_mark.trim()),
            version: variable("AWS_LAMBDA_FUNCTION_VERSION"),
            memory_mib: variable("AWS_LAMBDA_FUNCTION_MEMORY_SIZE").parse().unwrap_or_default(),
            initialization: variable("AWS_LAMBDA_INITIALIZATION_TYPE"),
            invocations: 0,
            work: None,
        }
    }

    pub fn handle(&mut self, event: &[u8]) -> Result<Response, Failed> {
        let (started_unix_ns, started_ns) = (clock::unix_ns(), clock::monotonic_ns());
        self.invocations += 1;
        let request: Request = serde_json::from_slice(event).map_err(|error| Failed {
            kind: "Probe.Request",
            message: format!("event is not a request of the probe: {error}"),
        })?;
        let mut problems = Problems::new();
        let mut response = Response {
            started_unix_ns,
            init_unix_ns: self.init_unix_ns,
            instance: self.instance.clone(),
            instance_tmp: note(&mut problems, "instance_tmp", self.instance_tmp())
                .unwrap_or_default(),
            invocations: self.invocations,
            runtime: "native".to_owned(),
            version: self.version.clone(),
            mark: self.mark.clone(),
            memory_mib: self.memory_mib,
            initialization: self.initialization.clone(),
            background: self.work.take().map(Work::stop),
            ..Response::default()
        };
        measure(&request, &mut response, &mut problems);
        if let Some(until) = request.hold_until_unix_ns {
            clock::sleep_until_unix_ns(until);
        }
        if let Some(ms) = request.hold_ms {
            clock::sleep_until_unix_ns(clock::unix_ns() + nanos(ms));
        }
        if let Some(message) = request.fail {
            return Err(Failed { kind: "Probe.Failed", message });
        }
        if let Some(background) = request.background {
            let work = Work::start(nanos(background.for_ms));
            self.work = note(&mut problems, "background", work);
        }
        response.problems = problems;
        response.duration_ns = clock::monotonic_ns() - started_ns;
        response.finished_unix_ns = clock::unix_ns();
        Ok(response)
    }

    fn instance_tmp(&self) -> io::Result<String> {
        let path = std::env::temp_dir().join(INSTANCE_FILE);
        match std::fs::read_to_string(&path) {
            Ok(id) => Ok(id),
            Err(_) => std::fs::write(&path, &self.instance).map(|()| self.instance.clone()),
        }
    }
}

fn measure(request: &Request, response: &mut Response, problems: &mut Problems) {
    if let Some(at) = request.barrier_unix_ns {
        clock::sleep_until_unix_ns(at);
    }
    if request.identity {
        response.identity = Some(identity::read());
    }
    if request.exposure {
        response.exposure = Some(exposure::read());
    }
    if request.disk_counters {
        response.disk_before = note(problems, "disk_counters", disk::counters());
    }
    if let Some(cpu) = &request.cpu {
        response.cpu = note(problems, "cpu", cpu::measure(cpu));
    }
    if let Some(disk) = &request.disk {
        response.disk = note(problems, "disk", disk::measure(disk));
    }
    if let Some(fill) = &request.fill {
        response.fill = note(problems, "fill", fill::measure(fill));
    }
    if let Some(network) = &request.network {
        response.network = note(problems, "network", network::measure(network));
    }
    if request.disk_counters {
        response.disk_after = note(problems, "disk_counters", disk::counters());
    }
}

fn note<T, E: Display>(problems: &mut Problems, part: &str, result: Result<T, E>) -> Option<T> {
    result.map_err(|error| problems.insert(part.to_owned(), error.to_string())).ok()
}

/// Nanoseconds of a time in milliseconds; what is negative or no number counts as none.
pub fn nanos(ms: f64) -> u64 {
    (ms * 1e6) as u64
}

/// 16 random bytes, as 32 hexadecimal digits.
fn random_id() -> String {
    let mut bytes = [0_u8; 16];
    // SAFETY: `bytes` is a valid buffer of its length for the whole call. So few bytes come whole.
    unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
