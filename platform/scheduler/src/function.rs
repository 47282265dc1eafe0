//! Functions: their versions, what waits for them and which instances are theirs.
//!
//! Deliberately knows nothing of hosts.

use crate::chain::Chain;
use crate::instance::State;
use crate::line::Line;
use crate::past::Past;
use crate::policy::Habit;
use crate::provision::Provision;
use crate::scheduler::Scheduler;
use crate::timers::Slot;
use crate::{Epoch, FunctionSettings, Rejection, StopReason};
use model::{FunctionId, InstanceId, InvocationId, Span, Time};

/// How long an instance that has answered counts as one that will soon be idle.
///
/// From response to `next` a runtime takes well under a millisecond, unless extensions or work of its own hold it up. A
/// native instance starts in about five milliseconds: who waits that long before it starts one loses at most as much again.
pub(crate) const GRACE: Span = Span::from_millis(5);

/// One function as it is now: what each invocation needs, in two cache lines, and the way to the rest.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Function {
    pub(crate) timeout: Span,
    /// The limit that its invocations count against.
    pub(crate) quota: u32,
    /// Of its invocations in flight, so many do not count against that limit: instances are provisioned for them.
    pub(crate) covered: u32,
    /// Whether instances are provisioned for it, or still are there.
    pub(crate) has_provision: bool,
    /// Grows with each state of any function; an instance of another revision is outdated.
    pub(crate) revision: u64,
    /// Revision with which it was deployed: invocations on older instances belong to a function that is gone.
    pub(crate) born: u64,
    /// Invocations accepted and not ended.
    pub(crate) in_flight: u32,
    /// Instances of this revision that will yet become ready.
    pub(crate) starting: u32,
    /// Instances of this revision, those that are stopping not included.
    pub(crate) live: u32,
    /// Instances of this revision that answered less than [`GRACE`] ago (or a little more, until somebody looks) and are
    /// not idle yet, by when they answered.
    pub(crate) coming: Chain,
    /// Idle instances, the most recently idle last.
    pub(crate) idle: Chain,
    /// Those that wait, if any do.
    pub(crate) queue: Option<Box<Queue>>,
    pub(crate) details: Box<Details>,
}

/// What invocations on idle instances need not know of a function.
#[derive(Debug)]
pub(crate) struct Details {
    pub(crate) epoch: Epoch,
    pub(crate) settings: FunctionSettings,
    /// What is kept ready for it.
    pub(crate) provision: Option<Box<Provision>>,
    /// Whether it is in the line for room.
    pub(crate) short: bool,
    /// Instances that run requests and have room for more, the one that took one last at the end.
    pub(crate) open: Chain,
    pub(crate) queue_slot: Slot,
    pub(crate) grace_slot: Slot,
    /// The version before this one, while it is still used.
    pub(crate) past: Option<Box<Past>>,
    /// When it is invoked, where keep-alive learns that.
    pub(crate) habit: Option<Box<Habit>>,
    /// Since when nothing of it is in flight, where that is learnt.
    pub(crate) quiet: Option<Time>,
    /// When an instance is to be started ahead; [`Time::MAX`] for never.
    pub(crate) ahead: Time,
    pub(crate) ahead_slot: Slot,
}

/// The invocations of a function that wait, by age.
#[derive(Debug)]
pub(crate) struct Queue {
    line: Line<Waiting>,
}

/// An invocation that waits for an instance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    pub(crate) invocation: InvocationId,
    pub(crate) since: Time,
}

impl Function {
    /// Whether invocations wait for which no instance is being started or coming, where each takes so many at once.
    pub(crate) fn lacks_starts(&self, each: u32) -> bool {
        self.queued() > self.starting as usize * each as usize + self.coming.len()
    }

    /// Whether as many invocations wait as may, while no instance has room.
    pub(crate) fn is_crowded(&self, queue: u32) -> bool {
        self.queued() >= queue as usize && self.details.open.is_empty()
    }

    /// How many instances that were provisioned for it are idle.
    pub(crate) fn provisioned_idle(&self) -> usize {
        self.details.provision.as_ref().map_or(0, |it| it.idle.len())
    }

    /// How many invocations wait.
    pub(crate) fn queued(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.line.len())
    }

    /// All that wait, oldest first.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = (u64, Waiting)> + '_ {
        self.queue.iter().flat_map(|queue| queue.line.iter())
    }

    /// Who has waited longest.
    pub(crate) fn first_waiting(&self) -> Option<(u64, Waiting)> {
        self.queue.as_ref()?.line.oldest()
    }

    /// Who came last.
    pub(crate) fn last_waiting(&self) -> Option<(u64, Waiting)> {
        self.queue.as_ref()?.line.youngest()
    }

    /// Puts an invocation at the end of the queue.
    pub(crate) fn enqueue(&mut self, sequence: u64, waiting: Waiting) {
        let queue = self.queue.get_or_insert_with(|| Box::new(Queue { line: Line::new() }));
        queue.line.push(sequence, waiting);
    }

    /// Takes an invocation out of the queue.
    pub(crate) fn dequeue(&mut self, sequence: u64) -> Option<Waiting> {
        let queue = self.queue.as_mut()?;
        let waiting = queue.line.remove(sequence);
        if queue.line.is_empty() {
            self.queue = None;
        }
        waiting
    }
}

impl Scheduler {
    pub(crate) fn deploy(
        &mut self,
        function: FunctionId,
        epoch: Epoch,
        settings: FunctionSettings,
    ) {
        if self.functions.get(function).is_some() {
            self.change(function, epoch, settings);
            return;
        }
        let revision = self.sequence();
        let state = Function {
            timeout: settings.timeout,
            quota: 0,
            covered: 0,
            has_provision: false,
            revision,
            born: revision,
            in_flight: 0,
            starting: 0,
            live: 0,
            coming: Chain::default(),
            idle: Chain::default(),
            queue: None,
            details: Box::new(Details {
                epoch,
                settings: settings.clone(),
                provision: None,
                short: false,
                open: Chain::default(),
                queue_slot: Slot::default(),
                grace_slot: Slot::default(),
                past: None,
                habit: None,
                quiet: None,
                ahead: Time::MAX,
                ahead_slot: Slot::default(),
            }),
        };
        self.functions.insert(function, state);
        self.join_group(function, &settings);
    }

    pub(crate) fn change(
        &mut self,
        function: FunctionId,
        epoch: Epoch,
        settings: FunctionSettings,
    ) {
        let revision = self.sequence();
        let Some(state) = self.functions.get_mut(function) else { return self.late() };
        if epoch < state.details.epoch {
            return self.late();
        }
        let old = state.details.settings.clone();
        let moved = settings.isolation != old.isolation;
        let new = match epoch == state.details.epoch {
            // What an instance was made with cannot change under it.
            true => FunctionSettings {
                timeout: settings.timeout,
                group: settings.group,
                reserved_concurrency: settings.reserved_concurrency,
                isolation: settings.isolation,
                ..old.clone()
            },
            false => settings,
        };
        self.leave_group(function, &old);
        self.join_group(function, &new);
        let Some(state) = self.functions.get_mut(function) else { return };
        state.timeout = new.timeout;
        state.details.settings = new;
        if epoch > state.details.epoch {
            let before = std::mem::replace(&mut state.details.epoch, epoch);
            self.outdate(function, revision, Some((before, old)));
        } else if moved {
            self.outdate(function, revision, None);
        }
        self.cover(function);
    }

    /// Turns away from all instances that are there: idle ones go, others when they can take an invocation. Where it is
    /// known what they were `before`, the profile may let them be used a little longer.
    fn outdate(
        &mut self,
        function: FunctionId,
        revision: u64,
        before: Option<(Epoch, FunctionSettings)>,
    ) {
        self.retire(function, before);
        let Some(state) = self.functions.get_mut(function) else { return };
        state.revision = revision;
        state.starting = 0;
        state.live = 0;
        self.provision_outdated(function);
        while let Some(instance) = self.functions.get(function).and_then(|it| it.coming.oldest()) {
            self.unlist(instance);
        }
        while let Some(instance) =
            self.functions.get(function).and_then(|it| it.details.open.oldest())
        {
            self.unlist(instance);
        }
    }

    pub(crate) fn remove(&mut self, function: FunctionId) {
        let Some(state) = self.functions.get(function) else { return self.late() };
        let waiting: Vec<u64> = state.waiting().map(|(sequence, _)| sequence).collect();
        let listed = state.idle.iter(&self.instances).chain(state.coming.iter(&self.instances));
        let mut listed: Vec<InstanceId> = listed.map(|(instance, _)| instance).collect();
        listed.extend(state.details.open.iter(&self.instances).map(|(instance, _)| instance));
        listed.extend(self.past_idle(function));
        listed.extend(self.all_provisioned_idle(function));
        for sequence in waiting {
            self.reject_queued(function, sequence, Rejection::NoFunction);
        }
        for instance in listed {
            let idle =
                self.instances.get(instance).is_some_and(|it| matches!(it.state, State::Idle(_)));
            match idle {
                true => self.reclaim(instance, StopReason::Removed),
                false => self.unlist(instance),
            }
        }
        let Some(state) = self.functions.get(function) else { return };
        let settings = state.details.settings.clone();
        self.leave_group(function, &settings);
        let Some(state) = self.functions.remove(function) else { return };
        if state.details.short {
            self.machine.short.retain(|&other| other != function);
        }
    }

    /// Stops counting the instances of a function that answered too long ago to be waited for.
    pub(crate) fn lose_patience(&mut self, function: FunctionId) {
        while let Some(instance) = self.functions.get(function).and_then(|it| it.coming.oldest()) {
            match self.instances.get(instance) {
                Some(it) if it.since + GRACE <= self.now => self.unlist(instance),
                _ => return,
            }
        }
    }
}
