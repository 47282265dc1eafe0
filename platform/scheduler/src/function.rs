//! Functions and the accounts that own them: versions and concurrency.
//!
//! Deliberately knows nothing of hosts.

use crate::line::Line;
use crate::scheduler::Scheduler;
use crate::timers::Alarm;
use crate::{Epoch, FunctionSettings, Rejection, StopReason};
use model::{FunctionId, InstanceId, InvocationId, Span, TenantId, Time};

/// How long an instance that has answered counts as one that will soon be idle.
///
/// From response to `next` a runtime takes well under a millisecond, unless extensions or work of its own hold it up. A
/// native instance starts in about five milliseconds: who waits that long before it starts one loses at most as much again.
pub(crate) const GRACE: Span = Span::from_millis(5);

/// One function as it is now.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) epoch: Epoch,
    pub(crate) settings: FunctionSettings,
    /// Grows with each state of any function; an instance of another revision is outdated.
    pub(crate) revision: u64,
    /// Revision with which it was deployed: invocations on older instances belong to a function that is gone.
    pub(crate) born: u64,
    /// Invocations accepted and not ended.
    pub(crate) in_flight: u32,
    /// Instances of this revision that will yet become ready.
    pub(crate) starting: u32,
    /// Instances of this revision that have answered and are not idle yet, by when they answered.
    pub(crate) finishing: Line<Time>,
    pub(crate) grace_due: Option<Time>,
    /// Invocations that wait, by age.
    pub(crate) queue: Line<Waiting>,
    pub(crate) queue_due: Option<Time>,
    /// Idle instances, the most recently idle last.
    pub(crate) idle: Line<InstanceId>,
    /// Whether it is in the line for room.
    pub(crate) short: bool,
}

/// An invocation that waits for an instance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub(crate) invocation: InvocationId,
    pub(crate) since: Time,
}

/// Concurrency of one tenant.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// Sum of the reserved concurrency of its functions.
    reserved: u64,
    /// Invocations in flight of functions without reserved concurrency.
    in_flight: u64,
    /// Functions, so that an account without any is forgotten.
    functions: u64,
}

impl Function {
    /// Whether invocations wait for which no instance is being started or coming.
    pub(crate) fn lacks_starts(&self, now: Time) -> bool {
        // Most often nothing waits, and who is coming need not be counted.
        self.queue.len() > self.starting as usize
            && self.queue.len() > self.starting as usize + self.coming(now).len()
    }

    /// When the instances answered that will soon be idle: those that are within [`GRACE`].
    pub(crate) fn coming(&self, now: Time) -> impl ExactSizeIterator<Item = Time> + '_ {
        let past = self.finishing.partition_point(|since| since + GRACE <= now);
        self.finishing.iter().skip(past).map(|(_, since)| since)
    }
}

impl Scheduler {
    pub(crate) fn deploy(
        &mut self,
        function: FunctionId,
        epoch: Epoch,
        settings: FunctionSettings,
    ) {
        if self.functions.contains_key(&function) {
            self.change(function, epoch, settings);
            return;
        }
        let revision = self.sequence();
        self.join_account(&settings, 0);
        let state = Function {
            epoch,
            settings,
            revision,
            born: revision,
            in_flight: 0,
            starting: 0,
            finishing: Line::new(),
            grace_due: None,
            queue: Line::new(),
            queue_due: None,
            idle: Line::new(),
            short: false,
        };
        self.functions.insert(function, state);
    }

    pub(crate) fn change(
        &mut self,
        function: FunctionId,
        epoch: Epoch,
        settings: FunctionSettings,
    ) {
        let revision = self.sequence();
        let Some(state) = self.functions.get_mut(&function) else { return self.late() };
        if epoch < state.epoch {
            return self.late();
        }
        let old = state.settings.clone();
        let in_flight = state.in_flight;
        if epoch == state.epoch {
            // What an instance was made with cannot change under it.
            state.settings.timeout = settings.timeout;
            state.settings.reserved_concurrency = settings.reserved_concurrency;
        } else {
            state.settings = settings;
            state.epoch = epoch;
            state.revision = revision;
            state.starting = 0;
            state.finishing = Line::new();
        }
        let new = state.settings.clone();
        let idle: Vec<InstanceId> = if state.revision == revision {
            state.idle.iter().map(|(_, instance)| instance).collect()
        } else {
            vec![]
        };
        self.leave_account(&old, in_flight);
        self.join_account(&new, in_flight);
        for instance in idle {
            self.reclaim(instance, StopReason::Outdated);
        }
        self.cover(function);
    }

    pub(crate) fn remove(&mut self, function: FunctionId) {
        let Some(state) = self.functions.get_mut(&function) else { return self.late() };
        let waiting: Vec<u64> = state.queue.iter().map(|(sequence, _)| sequence).collect();
        let idle: Vec<InstanceId> = state.idle.iter().map(|(_, instance)| instance).collect();
        for sequence in waiting {
            self.reject_queued(function, sequence, Rejection::NoFunction);
        }
        for instance in idle {
            self.reclaim(instance, StopReason::Removed);
        }
        let Some(mut state) = self.functions.remove(&function) else { return };
        self.timers.set(Alarm::Queue(function), &mut state.queue_due, None);
        self.timers.set(Alarm::Grace(function), &mut state.grace_due, None);
        self.leave_account(&state.settings, state.in_flight);
        if state.short {
            self.machine.short.retain(|&other| other != function);
        }
    }

    /// Whether one more invocation is within the quotas.
    pub(crate) fn admit(&self, state: &Function) -> Result<(), Rejection> {
        if let Some(reserved) = state.settings.reserved_concurrency {
            if state.in_flight >= reserved {
                return Err(Rejection::ReservedConcurrency);
            }
        } else {
            let limit = u64::from(self.profile.limits.account_concurrency);
            let account = self.accounts.get(&state.settings.tenant);
            let (reserved, in_flight) = account.map_or((0, 0), |a| (a.reserved, a.in_flight));
            if in_flight >= limit.saturating_sub(reserved) {
                return Err(Rejection::AccountConcurrency);
            }
        }
        if state.queue.len() >= self.profile.limits.queue as usize && state.idle.is_empty() {
            return Err(Rejection::Queue);
        }
        Ok(())
    }

    /// Counts an invocation of a function that was admitted.
    pub(crate) fn count_in(&mut self, tenant: TenantId, reserved: Option<u32>) {
        if reserved.is_none()
            && let Some(account) = self.accounts.get_mut(&tenant)
        {
            account.in_flight += 1;
        }
    }

    /// Counts an invocation that ended, unless its function is gone since.
    pub(crate) fn count_out(&mut self, function: FunctionId, revision: u64) {
        let Some(state) = self.functions.get_mut(&function) else { return };
        if revision < state.born {
            return;
        }
        state.in_flight -= 1;
        if state.settings.reserved_concurrency.is_none()
            && let Some(account) = self.accounts.get_mut(&state.settings.tenant)
        {
            account.in_flight -= 1;
        }
    }

    fn join_account(&mut self, settings: &FunctionSettings, in_flight: u32) {
        let account = self.accounts.entry(settings.tenant).or_default();
        account.functions += 1;
        match settings.reserved_concurrency {
            Some(reserved) => account.reserved += u64::from(reserved),
            None => account.in_flight += u64::from(in_flight),
        }
    }

    fn leave_account(&mut self, settings: &FunctionSettings, in_flight: u32) {
        let Some(account) = self.accounts.get_mut(&settings.tenant) else { return };
        account.functions -= 1;
        match settings.reserved_concurrency {
            Some(reserved) => account.reserved -= u64::from(reserved),
            None => account.in_flight -= u64::from(in_flight),
        }
        if account.functions == 0 {
            self.accounts.remove(&settings.tenant);
        }
    }
}
