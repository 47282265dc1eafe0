//! The live vantage point: tokio, the machine's clock, and an endpoint of the Lambda API.

use crate::clock::Clock;
use crate::control::{Control, Creation, Refusal, Settings};
use crate::endpoint::{Endpoint, OpenError, Options};
use crate::invoke::{Invocation, Invoker};
use crate::package::{Language, Package};
use crate::wire::{Keys, Pool};
use crate::{Cleaned, Facts, Sink, Target, Uri, accounts, local};
use experiment::{Change, Function, FunctionSpec, Sent, Vantage, VantageError};
use futures::StreamExt;
use model::{Span, Time};
use probe::Request;
use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64;
use record::Record;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How the names of all our functions begin.
pub(crate) const PREFIX: &str = "peek-";
/// Removals under way at once.
const REMOVALS: usize = 16;
/// Descriptors that a thousand connections and everything else need.
const DESCRIPTORS: u64 = 4096;

/// A vantage point on one target, for one study. Needs a tokio runtime with IO and time.
///
/// Dropping it ends the platform that it started; functions on other targets remain until [`Target::cleanup`].
pub struct Live {
    uri: Uri,
    study: String,
    clock: Arc<Clock>,
    random: Mutex<Pcg64>,
    names: AtomicU32,
    /// Where requests go, and for each tenant who sends them.
    pool: Pool,
    accounts: Vec<Account>,
    endpoint: Endpoint,
    runtimes: Vec<String>,
    sink: Option<Sink>,
    deployed: Mutex<BTreeMap<String, Deployed>>,
}

struct Account {
    control: Control,
    keys: Keys,
}

/// What is known of a function beside what experiments see.
#[derive(Clone, Debug, Default)]
struct Deployed {
    tenant: u32,
    /// Account id as the ARN has it; empty before creation, and where there is no ARN.
    account: String,
}

impl Live {
    /// Finds or starts the target and asks which runtimes it has.
    ///
    /// To be run by a thread that lives as long as the study, as `block_on` of the main thread does: the platform that
    /// the target `local` starts ends with it.
    pub async fn open(uri: &Uri, options: &Options) -> Result<Self, OpenError> {
        raise_descriptors();
        let clock = Arc::new(Clock::start().map_err(OpenError::Clock)?);
        let endpoint = Endpoint::open(uri, options).await?;
        let unusable = |reason| OpenError::Unusable { uri: uri.clone(), reason };
        let pool = Pool::new(endpoint.url.clone()).map_err(|error| unusable(error.to_string()))?;
        let accounts = accounts(&endpoint, &clock);
        let sink = match options.sink.or(endpoint.sink) {
            Some(address) => Some(
                Sink::start(address).await.map_err(|source| OpenError::Sink { address, source })?,
            ),
            None => None,
        };
        let mut live = Self {
            uri: uri.clone(),
            study: options.study.clone(),
            clock,
            random: Mutex::new(Pcg64::seed_from_u64(options.seed)),
            names: AtomicU32::new(0),
            pool,
            accounts,
            endpoint,
            runtimes: Vec::new(),
            sink,
            deployed: Mutex::default(),
        };
        live.runtimes = live.ask_runtimes(options).await?;
        Ok(live)
    }

    /// Process id of the platform that was started for this study; None where none was.
    pub fn platform_pid(&self) -> Option<u32> {
        self.endpoint.platform.as_ref().map(local::Platform::pid)
    }

    /// Asks which runtimes there are, which also shows whether the keys are good.
    async fn ask_runtimes(&self, options: &Options) -> Result<Vec<String>, OpenError> {
        let unusable = |reason| OpenError::Unusable { uri: self.uri.clone(), reason };
        let account = self.account(0).map_err(unusable)?;
        let role = self.role(0).map_err(unusable)?;
        let package = Package::new(Language::Python, 0);
        let package = package.map_err(|error| unusable(error.to_string()))?;
        let said = account.control.runtimes(&self.fresh_name(), (role, package.zip)).await;
        let said = said.map_err(|refusal| closed(&refusal, (&self.uri, options, 0)))?;
        for (tenant, account) in self.accounts.iter().enumerate().skip(1) {
            let known = account.control.check_key().await;
            known.map_err(|refusal| closed(&refusal, (&self.uri, options, tenant)))?;
        }
        let runtimes = Language::newest_in(&said);
        if runtimes.is_empty() {
            // It takes any name: programs that bring their own runtime are what every such platform runs.
            return Ok(vec!["provided.al2023".to_owned()]);
        }
        Ok(runtimes)
    }

    fn fresh_name(&self) -> String {
        let number = self.names.fetch_add(1, Ordering::Relaxed);
        // Random, since a resumed study counts from the beginning and a killed one left functions behind.
        format!("{PREFIX}{}-{number}-{:08x}", self.study, rand::random::<u32>())
    }

    fn deployed(&self) -> MutexGuard<'_, BTreeMap<String, Deployed>> {
        self.deployed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn account(&self, tenant: u32) -> Result<&Account, String> {
        self.accounts.get(tenant as usize).ok_or_else(|| {
            format!("tenant {tenant} is not among the {} of {}", self.accounts.len(), self.uri)
        })
    }

    fn role(&self, role: u32) -> Result<&str, String> {
        let roles = &self.endpoint.roles;
        let found = roles.get(role as usize).map(String::as_str);
        found.ok_or_else(|| format!("role {role} is not among the {} of {}", roles.len(), self.uri))
    }

    async fn create(&self, name: &str, spec: FunctionSpec) -> Result<Function, String> {
        let language = Language::of(&spec.runtime).ok_or_else(|| {
            format!("there is no probe for runtime {}, only for {:?}", spec.runtime, self.runtimes)
        })?;
        let account = self.account(spec.tenant)?;
        let role = self.role(spec.role)?;
        let package = Package::new(language, spec.code.ballast_mib).map_err(|e| e.to_string())?;
        let package_mib = package.mib();
        let mark = fresh_mark();
        // From here on the function may exist.
        self.deployed()
            .insert(name.to_owned(), Deployed { tenant: spec.tenant, ..Deployed::default() });
        let creation = Creation {
            name,
            study: &self.study,
            runtime: &spec.runtime,
            handler: language.handler(),
            settings: Settings { mark: &mark, memory_mib: spec.memory_mib, role },
            timeout_s: seconds(spec.timeout),
            zip: package.zip,
        };
        let arn = account.control.create(creation).await.map_err(|refusal| refusal.to_string())?;
        let acknowledged = self.clock.now();
        if let Some(deployed) = self.deployed().get_mut(name) {
            deployed.account = arn.split(':').nth(4).unwrap_or_default().to_owned();
        }
        let mark = format!("{mark}.{}", package.mark);
        Ok(Function { name: name.to_owned(), spec, mark, acknowledged, package_mib })
    }

    async fn change(&self, function: &mut Function, change: Change) -> Result<(), String> {
        let control = &self.account(function.spec.tenant)?.control;
        let words = |refusal: Refusal| refusal.to_string();
        let (environment, code) = function.mark.split_once('.').unwrap_or((&function.mark, ""));
        let mut spec = function.spec.clone();
        match change {
            Change::Code => {
                let language = Language::of(&spec.runtime).ok_or("there is no probe for it")?;
                let package =
                    Package::new(language, spec.code.ballast_mib).map_err(|e| e.to_string())?;
                let (mib, mark) = (package.mib(), format!("{environment}.{}", package.mark));
                control.update_code(&function.name, package.zip).await.map_err(words)?;
                (function.package_mib, function.mark) = (mib, mark);
                function.acknowledged = self.clock.now();
                return Ok(());
            }
            Change::Memory(memory_mib) => spec.memory_mib = memory_mib,
            Change::Environment => {}
            Change::Role(role) => spec.role = role,
        }
        let mark = fresh_mark();
        let role = self.role(spec.role)?;
        let settings = Settings { mark: &mark, memory_mib: spec.memory_mib, role };
        control.configure(&function.name, settings).await.map_err(words)?;
        function.acknowledged = self.clock.now();
        function.mark = format!("{mark}.{code}");
        function.spec = spec;
        Ok(())
    }

    async fn delete(&self, name: &str, tenant: u32) -> Result<(), String> {
        let account = self.account(tenant)?;
        account.control.delete(name).await.map_err(|refusal| refusal.to_string())?;
        self.deployed().remove(name);
        Ok(())
    }

    fn blank(&self, function: &Function, sent: Sent) -> Record {
        let spec = &function.spec;
        let deployed = self.deployed().get(&function.name).cloned().unwrap_or_default();
        Record {
            sandbox: self.endpoint.facts.sandbox.clone().into(),
            function: function.name.clone().into(),
            tenant: deployed.account.into(),
            role: self.role(spec.role).unwrap_or_default().into(),
            runtime: spec.runtime.clone().into(),
            memory_mib: spec.memory_mib,
            package_mib: function.package_mib,
            mark_acknowledged: function.mark.clone().into(),
            acknowledged_ns: function.acknowledged.as_nanos(),
            epoch_unix_ns: self.clock.epoch_unix_ns(),
            intended_ns: sent.intended.as_nanos(),
            forced_by: sent.forced_by,
            ..Record::default()
        }
    }
}

impl Vantage for Live {
    fn now(&self) -> Time {
        self.clock.now()
    }

    fn epoch_unix_ns(&self) -> u64 {
        self.clock.epoch_unix_ns()
    }

    async fn sleep_until(&self, at: Time) {
        self.clock.sleep_until(at).await;
    }

    fn random(&self) -> u64 {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).next_u64()
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
        let result = self.delete(&function.name, function.spec.tenant).await;
        result.map_err(|reason| wrong("remove", &function.name, reason))
    }

    async fn invoke(&self, function: &Function, request: &Request, sent: Sent) -> Record {
        // Without an intention, it is now. One that has passed stays as it was, so that no delay is hidden.
        let intended = if sent.intended == Time::ZERO { self.clock.now() } else { sent.intended };
        let sent = Sent { intended, ..sent };
        let mut record = self.blank(function, sent);
        let keys = match self.account(function.spec.tenant) {
            Ok(account) => &account.keys,
            Err(reason) => {
                record.error = reason.into();
                return record;
            }
        };
        let url = &self.endpoint.url;
        let invoker = Invoker { clock: &self.clock, url, pool: &self.pool, keys };
        let timeout = function.spec.timeout;
        let invocation = Invocation { function: &function.name, timeout, request, sent };
        // Boxed: a thousand of these may be joined.
        Box::pin(invoker.invoke(invocation)).await.fill(&mut record);
        record
    }

    fn runtimes(&self) -> Vec<String> {
        self.runtimes.clone()
    }

    fn memory_range_mib(&self) -> (u32, u32) {
        self.endpoint.memory_range_mib
    }

    fn sink(&self) -> Option<String> {
        self.sink.as_ref().map(|sink| sink.address().to_string())
    }

    fn idle_cpu(&self) -> Option<Span> {
        // Wherever else, the platform's machines are not this one.
        matches!(self.uri, Uri::Local).then(crate::machine::idle_cpu).flatten()
    }
}

impl Target for Live {
    fn uri(&self) -> &Uri {
        &self.uri
    }

    fn facts(&self) -> &Facts {
        &self.endpoint.facts
    }

    async fn cleanup(&self) -> Cleaned {
        let deployed = self.deployed().clone();
        let removals = deployed.into_iter().map(|(name, deployed)| async move {
            let result = self.delete(&name, deployed.tenant).await;
            (name, result)
        });
        let mut cleaned = Cleaned::default();
        let mut removals = futures::stream::iter(removals).buffer_unordered(REMOVALS);
        while let Some((name, result)) = removals.next().await {
            cleaned.note(name, result);
        }
        cleaned.removed.sort_unstable();
        cleaned
    }
}

impl Cleaned {
    fn note(&mut self, name: String, result: Result<(), String>) {
        match result {
            Ok(()) => self.removed.push(name),
            Err(reason) => self.left.push((name, reason)),
        }
    }
}

/// Removes the functions that studies left on a target when they were killed: those with our prefix and our tag.
///
/// Functions of a study that is under way are among them.
pub async fn clean(uri: &Uri, options: &Options) -> Result<Cleaned, OpenError> {
    let clock = Arc::new(Clock::start().map_err(OpenError::Clock)?);
    let endpoint = Endpoint::open(uri, options).await?;
    let mut cleaned = Cleaned::default();
    for (tenant, Account { control, .. }) in accounts(&endpoint, &clock).into_iter().enumerate() {
        let names = control.list(PREFIX).await;
        let names = names.map_err(|refusal| closed(&refusal, (uri, options, tenant)))?;
        for name in names {
            let result = match control.study(&name).await {
                Ok(Some(_)) => control.delete(&name).await,
                // Its name is like ours, but it is somebody else's.
                Ok(None) => continue,
                Err(refusal) => Err(refusal),
            };
            cleaned.note(name, result.map_err(|refusal| refusal.to_string()));
        }
    }
    Ok(cleaned)
}

/// Why a target cannot be used whose answer to `tenant` was a refusal.
fn closed(refusal: &Refusal, (uri, options, tenant): (&Uri, &Options, usize)) -> OpenError {
    let (uri, reason) = (uri.clone(), refusal.to_string());
    if refusal.is_of_access() {
        let place = accounts::place(&uri, &options.accounts, tenant);
        return OpenError::Refused { uri, reason, place };
    }
    OpenError::Unusable { uri, reason }
}

fn accounts(endpoint: &Endpoint, clock: &Arc<Clock>) -> Vec<Account> {
    let account = |provider: &aws_credential_types::provider::SharedCredentialsProvider| {
        let url = endpoint.url.to_string();
        let who = (provider.clone(), Arc::clone(clock));
        let control = Control::new(&url, &endpoint.region, endpoint.pace, who);
        Account { control, keys: Keys::new(endpoint.region.clone(), provider.clone()) }
    };
    endpoint.accounts.iter().map(account).collect()
}

fn wrong(operation: &'static str, function: &str, reason: String) -> VantageError {
    VantageError { operation, function: function.to_owned(), reason }
}

fn fresh_mark() -> String {
    format!("{:016x}", rand::random::<u64>())
}

/// Whole seconds, rounded up, at least one.
fn seconds(span: Span) -> i32 {
    i32::try_from(span.as_nanos().div_ceil(1_000_000_000).max(1)).unwrap_or(i32::MAX)
}

/// Lets this process have descriptors for a thousand connections, where the hard limit allows it.
fn raise_descriptors() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a valid rlimit for the whole call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return;
    }
    let wanted = limit.rlim_max.min(DESCRIPTORS);
    if limit.rlim_cur < wanted {
        limit.rlim_cur = wanted;
        // SAFETY: `limit` is a valid rlimit, and the call only reads it. Without it, a burst has fewer connections and
        // says so in its records.
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    }
}
