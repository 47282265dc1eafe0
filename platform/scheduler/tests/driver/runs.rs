//! Instances that take more than one request at once: what each of them runs, and what becomes of it.
//!
//! Deliberately knows nothing of where a request could have gone instead.

use super::*;

impl Driver {
    /// A request begins.
    pub(super) fn add_run(
        &mut self,
        instance: InstanceId,
        (invocation, timeout): (InvocationId, Span),
    ) {
        let book = self.runs.entry(instance).or_default();
        assert!(!book.drains, "{instance} takes {invocation} after one that did not end");
        book.runs.push(RunBook { invocation, since: self.now, timeout, finishing: false });
    }

    /// A request was answered.
    pub(super) fn note_answered(&mut self, instance: InstanceId, invocation: InvocationId) {
        let runs = self.runs.get_mut(&instance).into_iter().flat_map(|it| &mut it.runs);
        let is = |run: &&mut RunBook| run.invocation == invocation && !run.finishing;
        let Some(run) = runs.into_iter().find(is) else { return };
        run.finishing = true;
        self.open.retain(|open| *open != Open::Run(instance, invocation));
        self.open.push(Open::Finish(instance));
        self.end(invocation);
    }

    /// The place of the oldest request that was answered is free.
    pub(super) fn note_free(&mut self, instance: InstanceId) {
        let Some(book) = self.runs.get_mut(&instance) else { return };
        let Some(index) = book.runs.iter().position(|run| run.finishing) else { return };
        book.runs.remove(index);
        self.balance(instance);
        self.rest_if_empty(instance);
    }

    /// What was answered and has not asked for more by its deadline loses its place, and the instance takes no more.
    pub(super) fn note_overdue(&mut self) {
        let now = self.now;
        let over = |run: &RunBook| run.finishing && run.since + run.timeout <= now;
        let of = |(instance, book): (&InstanceId, &RunsBook)| {
            book.runs.iter().any(over).then_some(*instance)
        };
        let instances: Vec<InstanceId> = self.runs.iter().filter_map(of).collect();
        for instance in instances {
            if let Some(book) = self.runs.get_mut(&instance) {
                book.runs.retain(|run| !over(run));
                book.drains = true;
            }
            self.balance(instance);
        }
    }

    /// All that an instance runs ends with it.
    pub(super) fn end_runs(&mut self, instance: InstanceId) {
        let Some(book) = self.runs.remove(&instance) else { return };
        for run in book.runs.iter().filter(|run| !run.finishing) {
            self.end(run.invocation);
        }
    }

    pub(super) fn check_run_expires(
        &mut self,
        instance: InstanceId,
        (invocation, timeout): (InvocationId, Span),
    ) {
        let book = self.runs.get_mut(&instance).expect("an instance that runs requests");
        let is = |run: &RunBook| run.invocation == invocation && !run.finishing;
        let index = book.runs.iter().position(is).expect("a request that runs");
        let run = book.runs.remove(index);
        assert_eq!(run.timeout, timeout);
        assert!(run.since + timeout <= self.now, "{invocation} expires early");
        book.drains = true;
        self.open.retain(|open| *open != Open::Run(instance, invocation));
        self.end(invocation);
    }

    /// As many places are to become free as requests were answered.
    fn balance(&mut self, instance: InstanceId) {
        let runs = self.runs.get(&instance).into_iter().flat_map(|it| &it.runs);
        let finishing = runs.filter(|run| run.finishing).count();
        while self.open.iter().filter(|open| **open == Open::Finish(instance)).count() > finishing {
            let index = self.open.iter().position(|open| *open == Open::Finish(instance));
            self.open.remove(index.expect("one that was counted"));
        }
    }

    fn rest_if_empty(&mut self, instance: InstanceId) {
        let empty = self.runs.get(&instance).is_none_or(|it| it.runs.is_empty() && !it.drains);
        if empty && let Some(it) = self.instances.get_mut(&instance) {
            self.runs.remove(&instance);
            it.doing = Doing::Idle { since: self.now, asked_to_rest: false };
        }
    }
}
