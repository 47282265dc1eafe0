//! The target `emulated:PROFILE`: a platform in virtual time, from the same seed always the same to the byte.
//!
//! The one place where the instrument meets the platform's half. Experiments see a vantage like any other, with a clock
//! that jumps; names, marks and wall clock are made from the seed, and nothing here looks at the machine's.

use crate::invoke::fill_response;
use crate::{Cleaned, Clock, Facts, Target, Uri};
use emulator::{Answer, Call, Creation, Deadlock, Platform, Refused, Region, Reply, Update};
use experiment::{Change, Function, FunctionSpec, Report, Sent, Vantage, VantageError};
use model::{MemoryMib, Span, Time};
use probe::Request;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use record::{Outcome, Record, Repeated, Text};
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::future::Future;
use std::path::PathBuf;

/// Attempts of one control operation, the first included.
const CONTROL_ATTEMPTS: u32 = 8;
/// Attempts of one invocation, where it may be repeated at all: as live targets have it.
const ATTEMPTS: u32 = 4;
/// Wait before the second attempt; it doubles with each further one.
const BACKOFF: Span = Span::from_millis(200);
/// What the platform may take beside the function's own limit before an answer counts as missing.
const GRACE: Span = Span::from_secs(30);
/// Size of a package with nothing but a probe in a scripting language, MiB.
const PROBE_MIB: f64 = 0.01;
/// Address of a sink that every emulated host reaches; nothing listens, since nothing is sent.
const SINK: &str = "10.255.255.254:5201";

/// A vantage point on one emulated platform, for one study.
pub struct Emulated {
    uri: Uri,
    region: Region,
    facts: Facts,
    seed: u64,
    random: RefCell<Pcg64>,
    names: Cell<u64>,
    deployed: RefCell<BTreeSet<String>>,
    /// Accounts and roles by number.
    tenants: Vec<Text>,
    roles: Vec<Text>,
    shared: RefCell<Repeated>,
}

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProfileFileError {
    /// It is neither built in nor a file.
    #[error(
        "there is no profile {name:?}{near}: built in are {known}; a file is named by a path to a .toml"
    )]
    Unknown {
        /// As given.
        name: String,
        /// Which one was probably meant, in words; empty where none is near.
        near: String,
        /// Names of those that are there.
        known: String,
    },
    /// The file cannot be read.
    #[error("cannot read profile {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no profile of an emulated platform.
    #[error("profile {name}: {fault}")]
    Profile {
        /// As given.
        name: String,
        /// Line, key and limit, in words.
        fault: String,
    },
}

fn unfit(name: &str, fault: &dyn std::fmt::Display) -> ProfileFileError {
    ProfileFileError::Profile { name: name.to_owned(), fault: fault.to_string() }
}

impl Emulated {
    /// The profile that `name` names: a built-in one, or a file.
    ///
    /// # Errors
    /// [`ProfileFileError`], with line and key where the file is wrong.
    pub fn profile(name: &str) -> Result<Platform, ProfileFileError> {
        Self::platform(name, &Self::profile_text(name)?)
    }

    /// The text of the profile that `name` names: a built-in one, or a file.
    ///
    /// # Errors
    /// [`ProfileFileError::Unknown`] and [`ProfileFileError::Read`]; the text is not looked at.
    pub fn profile_text(name: &str) -> Result<Cow<'static, str>, ProfileFileError> {
        if let Some((_, text)) = emulator::BUILT_IN.iter().find(|(known, _)| *known == name) {
            return Ok(Cow::Borrowed(text));
        }
        let path = PathBuf::from(name);
        if !name.contains('/') && path.extension().is_none_or(|it| it != "toml") {
            let known: Vec<&str> = Self::built_in().collect();
            let near = emulator::nearest(name, &known);
            return Err(ProfileFileError::Unknown {
                name: name.to_owned(),
                near: near.map_or(String::new(), |near| format!(", {near:?} is near")),
                known: known.join(", "),
            });
        }
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Cow::Owned(text)),
            Err(source) => Err(ProfileFileError::Read { path, source }),
        }
    }

    /// What a text says of a platform, in words; it may as well be a profile of `peek serve`. `name` is for errors.
    ///
    /// # Errors
    /// [`ProfileFileError::Profile`], with line and key.
    pub fn explain(name: &str, text: &str) -> Result<String, ProfileFileError> {
        Platform::explain(text).map_err(|fault| unfit(name, &fault))
    }

    /// Names of the built-in profiles.
    pub fn built_in() -> impl Iterator<Item = &'static str> {
        emulator::BUILT_IN.iter().map(|(name, _)| *name)
    }

    /// The platform that a text describes. `name` is for errors.
    ///
    /// # Errors
    /// [`ProfileFileError::Profile`], with line and key.
    pub fn platform(name: &str, text: &str) -> Result<Platform, ProfileFileError> {
        Platform::from_toml(text).map_err(|fault| unfit(name, &fault))
    }

    /// A region of this platform without functions. `uri` is how it was named; everything random comes from `seed`.
    pub fn open(uri: Uri, platform: Platform, seed: u64) -> Self {
        let model = &platform.model;
        let facts = Facts {
            sandbox: model.sandbox.clone(),
            tenants: model.tenants,
            roles: model.roles,
            clock: Clock::Apart,
            sent: "the moment in virtual time at which the request's first byte leaves".to_owned(),
            said: [
                ("profile".to_owned(), platform.scheduler.name.clone()),
                ("about".to_owned(), model.about.clone()),
                ("source".to_owned(), model.source.clone()),
            ]
            .into(),
        };
        let region = Region::new(platform, seed);
        let tenants = (0..facts.tenants).map(|tenant| region.account(tenant).into());
        let roles = (0..facts.roles).map(|role| format!("role-{role}").into());
        Self {
            uri,
            tenants: tenants.collect(),
            roles: roles.collect(),
            shared: RefCell::default(),
            region,
            facts,
            seed,
            random: RefCell::new(Pcg64::seed_from_u64(seed)),
            names: Cell::new(0),
            deployed: RefCell::default(),
        }
    }

    /// Runs a study, or whatever else measures, in virtual time.
    ///
    /// # Errors
    /// [`Deadlock`] where it waits for what will never happen.
    pub fn run<F: Future>(&self, main: F) -> Result<F::Output, Deadlock> {
        self.region.run(main)
    }

    /// The platform itself, for its truths: no experiment or analysis sees it.
    pub fn region(&self) -> &Region {
        &self.region
    }

    fn fresh_name(&self) -> String {
        let number = self.names.replace(self.names.get() + 1);
        format!("peek-{:06}-{number}", self.seed % 1_000_000)
    }

    fn fresh_mark(&self) -> String {
        format!("{:016x}", self.random())
    }

    /// A control operation, again and again while it is throttled, within bounds.
    async fn control<F: Future<Output = Result<(), Refused>>>(
        &self,
        operation: impl Fn() -> F,
    ) -> Result<(), String> {
        let mut wait = BACKOFF;
        for attempt in 1.. {
            match operation().await {
                Ok(()) => return Ok(()),
                Err(Refused::Throttled) if attempt < CONTROL_ATTEMPTS => {
                    self.region.sleep_until(self.region.now() + wait).await;
                    wait += wait;
                }
                Err(refused) => return Err(refused.to_string()),
            }
        }
        Ok(())
    }

    async fn create(&self, name: &str, spec: FunctionSpec) -> Result<Function, String> {
        let tenants = self.facts.tenants;
        if spec.tenant >= tenants {
            return Err(format!(
                "tenant {} is not among the {tenants} of {}",
                spec.tenant, self.uri
            ));
        }
        self.check_role(spec.role)?;
        let package_mib = PROBE_MIB + f64::from(spec.code.ballast_mib);
        let mark = format!("{}.{}", self.fresh_mark(), self.fresh_mark());
        let creation = Creation {
            name: name.to_owned(),
            tenant: spec.tenant,
            timeout: spec.timeout,
            version: version(&spec, &mark, package_mib),
        };
        self.control(|| self.region.create(creation.clone())).await?;
        self.deployed.borrow_mut().insert(name.to_owned());
        let acknowledged = self.region.now();
        Ok(Function { name: name.to_owned(), spec, mark, acknowledged, package_mib })
    }

    async fn change(&self, function: &mut Function, change: Change) -> Result<(), String> {
        let mut spec = function.spec.clone();
        let (mut environment, mut code) = match function.mark.split_once('.') {
            Some((environment, code)) => (environment.to_owned(), code.to_owned()),
            None => (function.mark.clone(), String::new()),
        };
        match change {
            Change::Code => code = self.fresh_mark(),
            Change::Memory(memory_mib) => spec.memory_mib = memory_mib,
            Change::Environment => {}
            Change::Role(role) => {
                self.check_role(role)?;
                spec.role = role;
            }
        }
        if change != Change::Code {
            environment = self.fresh_mark();
        }
        let mark = format!("{environment}.{code}");
        let update = version(&spec, &mark, function.package_mib);
        self.control(|| self.region.update(&function.name, update.clone())).await?;
        (function.spec, function.mark) = (spec, mark);
        function.acknowledged = self.region.now();
        Ok(())
    }

    fn check_role(&self, role: u32) -> Result<(), String> {
        let roles = self.facts.roles;
        if role < roles {
            return Ok(());
        }
        Err(format!("role {role} is not among the {roles} of {}", self.uri))
    }

    async fn delete(&self, name: &str) -> Result<(), String> {
        self.control(|| self.region.delete(name)).await?;
        self.deployed.borrow_mut().remove(name);
        Ok(())
    }

    fn blank(&self, function: &Function, sent: Sent) -> Record {
        let spec = &function.spec;
        let shared = &mut *self.shared.borrow_mut();
        Record {
            sandbox: shared.text(&self.facts.sandbox),
            function: shared.text(&function.name),
            tenant: self.tenants.get(spec.tenant as usize).cloned().unwrap_or_default(),
            role: self.roles.get(spec.role as usize).cloned().unwrap_or_default(),
            runtime: shared.text(&spec.runtime),
            memory_mib: spec.memory_mib,
            package_mib: function.package_mib,
            mark_acknowledged: shared.text(&function.mark),
            acknowledged_ns: function.acknowledged.as_nanos(),
            epoch_unix_ns: self.epoch_unix_ns(),
            intended_ns: sent.intended.as_nanos(),
            forced_by: sent.forced_by,
            ..Record::default()
        }
    }
}

impl Vantage for Emulated {
    fn now(&self) -> Time {
        self.region.now()
    }

    fn epoch_unix_ns(&self) -> u64 {
        self.region.epoch_unix_ns()
    }

    async fn sleep_until(&self, at: Time) {
        self.region.sleep_until(at).await;
    }

    fn random(&self) -> u64 {
        self.random.borrow_mut().next_u64()
    }

    async fn deploy(&self, spec: FunctionSpec) -> Result<Function, VantageError> {
        let name = self.fresh_name();
        self.create(&name, spec).await.map_err(|reason| wrong("create", &name, reason))
    }

    async fn update(&self, function: &mut Function, change: Change) -> Result<(), VantageError> {
        let result = self.change(function, change).await;
        result.map_err(|reason| wrong("update", &function.name, reason))
    }

    async fn remove(&self, function: Function) -> Result<(), VantageError> {
        let result = self.delete(&function.name).await;
        result.map_err(|reason| wrong("remove", &function.name, reason))
    }

    async fn invoke(&self, function: &Function, request: &Request, sent: Sent) -> Record {
        // Without an intention, it is now. One that has passed stays as it was, so that no delay is hidden.
        let intended = if sent.intended == Time::ZERO { self.now() } else { sent.intended };
        let sent = Sent { intended, ..sent };
        let mut record = self.blank(function, sent);
        // A request that belongs to others at one moment has no meaning later.
        let alone = request.barrier_unix_ns.is_none() && request.hold_until_unix_ns.is_none();
        let attempts = if alone { ATTEMPTS } else { 1 };
        let limit = function.spec.timeout + GRACE;
        let (mut at, mut wait) = (intended, BACKOFF);
        loop {
            record.attempts += 1;
            at = at.max(self.now());
            record.sent_ns = at.as_nanos();
            let (name, bytes) = (function.name.clone(), size(request));
            let call = Call { function: name, request: request.clone(), bytes, at, limit };
            let reply = self.region.call(call).await;
            let again = matches!(reply.answer, Answer::Refused { status: 429 | 503, .. });
            if !again || record.attempts >= attempts {
                let shared = &mut self.shared.borrow_mut();
                fill(reply, (sent.report, limit), &mut record, shared);
                return record;
            }
            at = reply.received + wait;
            wait += wait;
        }
    }

    fn runtimes(&self) -> Vec<String> {
        self.region.platform().model.runtimes.clone()
    }

    fn memory_range_mib(&self) -> (u32, u32) {
        let platform = self.region.platform();
        let limits = &platform.scheduler.limits;
        (limits.memory_min.0, limits.memory_max.0)
    }

    fn sink(&self) -> Option<String> {
        Some(SINK.to_owned())
    }

    /// An emulated platform's hosts are its own.
    fn idle_cpu(&self) -> Option<Span> {
        None
    }
}

impl Target for Emulated {
    fn uri(&self) -> &Uri {
        &self.uri
    }

    fn facts(&self) -> &Facts {
        &self.facts
    }

    async fn cleanup(&self) -> Cleaned {
        let deployed: Vec<String> = self.deployed.borrow().iter().cloned().collect();
        let mut cleaned = Cleaned::default();
        for name in deployed {
            match self.delete(&name).await {
                Ok(()) => cleaned.removed.push(name),
                Err(reason) => cleaned.left.push((name, reason)),
            }
        }
        cleaned
    }
}

/// Size of a request that is made large, bytes; of others nobody asks.
fn size(request: &Request) -> u64 {
    if request.padding.is_empty() {
        return 0;
    }
    serde_json::to_vec(request).map_or(0, |json| json.len() as u64)
}

fn version(spec: &FunctionSpec, mark: &str, package_mib: f64) -> Update {
    Update {
        runtime: spec.runtime.clone(),
        memory: MemoryMib(spec.memory_mib),
        role: spec.role,
        mark: mark.to_owned(),
        package_mib,
    }
}

/// Writes down what came back, as it would be of a live target.
fn fill(reply: Reply, (report, limit): (Report, Span), record: &mut Record, shared: &mut Repeated) {
    record.received_ns = reply.received.as_nanos();
    record.request_id = reply.request_id.into();
    record.http_status = 200;
    if let (Report::Ask, Some(said)) = (report, reply.report) {
        record.duration_ms = said.duration_ms;
        record.billed_ms = said.billed_ms;
        record.init_duration_ms = said.init_duration_ms;
        record.max_memory_mib = said.max_memory_mib;
    }
    (record.outcome, record.error) = match reply.answer {
        Answer::Response(response) => {
            fill_response(*response, record, shared);
            (Outcome::Ok, Text::default())
        }
        Answer::FunctionError(error) => (Outcome::FunctionError, error.into()),
        Answer::Refused { status, reason } => {
            record.http_status = status;
            let throttled = status == 429;
            (if throttled { Outcome::Throttled } else { Outcome::Failed }, reason.into())
        }
        Answer::Nothing => {
            record.http_status = 0;
            (Outcome::TimedOut, format!("no answer within {limit}").into())
        }
    };
}

fn wrong(operation: &'static str, function: &str, reason: String) -> VantageError {
    VantageError { operation, function: function.to_owned(), reason }
}
