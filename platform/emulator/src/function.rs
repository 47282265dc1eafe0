//! Functions as the control operations see them: created, changed, removed; and the versions that instances run.

use crate::latency::Latency;
use crate::region::{Region, State};
use model::{FunctionId, MemoryMib, RoleId, Span, TenantId, Time};
use scheduler::{Epoch, Event, FunctionSettings};
use std::collections::BTreeMap;
use std::rc::Rc;

/// Account id of the first tenant.
const FIRST_TENANT: u64 = 100_000_000_001;

/// A function to create.
#[derive(Clone, Debug, PartialEq)]
pub struct Creation {
    /// Name; unique.
    pub name: String,
    /// Account, from 0.
    pub tenant: u32,
    /// Limit of one invocation.
    pub timeout: Span,
    /// The rest, which updates change.
    pub version: Update,
}

/// What a function is from some moment on.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// Runtime.
    pub runtime: String,
    /// Memory.
    pub memory: MemoryMib,
    /// Role, from 0.
    pub role: u32,
    /// Mark of its environment, a dot, and that of its code.
    pub mark: String,
    /// Size of its package, MiB.
    pub package_mib: f64,
}

/// Why a control operation was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Too many operations in too short a time; it may be tried again.
    #[error("TooManyRequestsException: rate exceeded")]
    Throttled,
    /// It can never be done.
    #[error("{0}")]
    Invalid(String),
}

/// A function that exists.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) id: FunctionId,
    pub(crate) tenant: u32,
    pub(crate) timeout: Span,
    pub(crate) epoch: Epoch,
    /// When its last update was acknowledged; None where there was none.
    pub(crate) updated: Option<Time>,
}

/// All functions, and every version that an instance may still run.
#[derive(Debug, Default)]
pub(crate) struct Functions {
    pub(crate) by_name: BTreeMap<String, Function>,
    pub(crate) versions: BTreeMap<(FunctionId, Epoch), Rc<Version>>,
    pub(crate) next: u64,
}

/// A state of a function's code and settings.
#[derive(Debug, PartialEq)]
pub(crate) struct Version {
    pub(crate) function: String,
    pub(crate) epoch: Epoch,
    pub(crate) state: Update,
}

impl Version {
    /// The mark of its code.
    pub(crate) fn code(&self) -> &str {
        self.state.mark.split_once('.').map_or("", |(_, code)| code)
    }
}

/// Tokens for control operations.
#[derive(Debug)]
pub(crate) struct Bucket {
    pub(crate) tokens: f64,
    pub(crate) at: model::Time,
}

impl Region {
    /// Creates a function; returns when it can be invoked.
    ///
    /// # Errors
    /// [`Refused`], by rate or by a limit of the profile.
    pub async fn create(&self, creation: Creation) -> Result<(), Refused> {
        self.control(|model| model.control.create).await?;
        self.state.borrow_mut().create(creation)
    }

    /// Changes a function; returns when the platform acknowledges it.
    ///
    /// # Errors
    /// [`Refused`], by rate, by a limit of the profile, or since there is no such function.
    pub async fn update(&self, name: &str, update: Update) -> Result<(), Refused> {
        self.control(|model| model.control.update).await?;
        self.state.borrow_mut().update(name, update)
    }

    /// Removes a function.
    ///
    /// # Errors
    /// [`Refused`], by rate, or since there is no such function.
    pub async fn delete(&self, name: &str) -> Result<(), Refused> {
        self.control(|model| model.control.delete).await?;
        self.state.borrow_mut().delete(name)
    }

    /// Has so many instances of a function kept ready from now on; returns when the platform acknowledges it, before they
    /// are.
    ///
    /// # Errors
    /// [`Refused`], by rate, or since there is no such function.
    pub async fn provision(&self, name: &str, count: u32) -> Result<(), Refused> {
        self.control(|model| model.control.update).await?;
        let mut state = self.state.borrow_mut();
        let function = state.functions.by_name.get(name).ok_or_else(|| unknown(name))?.id;
        state.feed(Event::ProvisionedChanged { function, count });
        Ok(())
    }

    /// Passes the rate limit and lets the operation's time pass.
    async fn control(
        &self,
        latency: impl Fn(&crate::profile::Model) -> Latency,
    ) -> Result<(), Refused> {
        let (allowed, until) = {
            let mut state = self.state.borrow_mut();
            let allowed = state.take_token();
            let latency = latency(&state.platform.model);
            let took = latency.draw(&mut state.random);
            (allowed, state.now + took)
        };
        self.sleep_until(until).await;
        allowed
    }
}

impl State {
    fn take_token(&mut self) -> Result<(), Refused> {
        let control = &self.platform.model.control;
        let bucket = &mut self.bucket;
        let refilled = self.now.since(bucket.at).as_secs_f64() * control.per_s;
        bucket.tokens = (bucket.tokens + refilled).min(f64::from(control.burst));
        bucket.at = self.now;
        if bucket.tokens < 1.0 {
            return Err(Refused::Throttled);
        }
        bucket.tokens -= 1.0;
        Ok(())
    }

    fn create(&mut self, creation: Creation) -> Result<(), Refused> {
        let Creation { name, tenant, timeout, version } = creation;
        self.check(&version)?;
        let longest = self.platform.scheduler.limits.timeout_max;
        if timeout > longest || timeout == Span::ZERO {
            return Err(invalid(format!("timeout {timeout} is not within {longest}")));
        }
        if self.functions.by_name.contains_key(&name) {
            return Err(invalid(format!("function {name} exists already")));
        }
        self.functions.next += 1;
        let id = FunctionId(self.functions.next);
        let epoch = Epoch(1);
        let settings = settings(id, (tenant, timeout), &version);
        let function = Function { id, tenant, timeout, epoch, updated: None };
        self.keep_version(id, Version { function: name.clone(), epoch, state: version });
        self.functions.by_name.insert(name, function);
        self.feed(Event::Deployed { function: id, epoch, settings });
        Ok(())
    }

    fn update(&mut self, name: &str, update: Update) -> Result<(), Refused> {
        self.check(&update)?;
        let now = self.now;
        let function = self.functions.by_name.get_mut(name).ok_or_else(|| unknown(name))?;
        function.updated = Some(now);
        function.epoch = Epoch(function.epoch.0 + 1);
        let (id, epoch) = (function.id, function.epoch);
        let settings = settings(id, (function.tenant, function.timeout), &update);
        self.keep_version(id, Version { function: name.to_owned(), epoch, state: update });
        self.feed(Event::ConfigChanged { function: id, epoch, settings });
        Ok(())
    }

    fn delete(&mut self, name: &str) -> Result<(), Refused> {
        let function = self.functions.by_name.remove(name).ok_or_else(|| unknown(name))?;
        let all = (function.id, Epoch(0))..=(function.id, function.epoch);
        let gone: Vec<_> = self.functions.versions.range(all).map(|(key, _)| *key).collect();
        for key in gone {
            self.functions.versions.remove(&key);
        }
        self.feed(Event::Removed { function: function.id });
        Ok(())
    }

    fn check(&self, version: &Update) -> Result<(), Refused> {
        let (limits, model) = (&self.platform.scheduler.limits, &self.platform.model);
        let (memory, step) = (version.memory, model.limits.memory_step_mib);
        let (min, max) = (limits.memory_min, limits.memory_max);
        if !(min..=max).contains(&memory) || memory.0 % step != 0 {
            return Err(invalid(format!(
                "memory {memory} is not from {min} to {max} in steps of {step} MiB"
            )));
        }
        if version.package_mib > f64::from(model.limits.package_mib) {
            let (size, limit) = (version.package_mib, model.limits.package_mib);
            return Err(invalid(format!("package is {size:.1} MiB, limit is {limit} MiB")));
        }
        if !model.runtimes.contains(&version.runtime) {
            let (runtime, all) = (&version.runtime, model.runtimes.join(", "));
            return Err(invalid(format!("runtime {runtime} is none of {all}")));
        }
        Ok(())
    }

    fn keep_version(&mut self, id: FunctionId, version: Version) {
        self.functions.versions.insert((id, version.epoch), Rc::new(version));
    }
}

/// The account of a tenant.
pub(crate) fn tenant_id(tenant: u32) -> TenantId {
    TenantId::from_number(FIRST_TENANT + u64::from(tenant))
}

fn settings(
    function: FunctionId,
    (tenant, timeout): (u32, Span),
    version: &Update,
) -> FunctionSettings {
    FunctionSettings {
        tenant: tenant_id(tenant),
        role: RoleId(u64::from(version.role)),
        memory: version.memory,
        timeout,
        group: function,
        reserved_concurrency: None,
        isolation: None,
    }
}

fn invalid(text: String) -> Refused {
    Refused::Invalid(format!("InvalidParameterValueException: {text}"))
}

fn unknown(name: &str) -> Refused {
    Refused::Invalid(format!("ResourceNotFoundException: function {name} is not there"))
}
