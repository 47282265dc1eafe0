//! The study: which experiments, in which order, and what happens between them.
//!
//! Deliberately knows nothing of any one experiment, nor of where records are kept.

use crate::bench::{Bench, generator, mark};
use crate::experiment::{Experiment, Unit};
use crate::experiments::{Kind, idle_limit, with_experiment};
use crate::ledger::Ledger;
use crate::scope::Scope;
use crate::vantage::{Sent, Vantage};
use futures::future::{Either, select};
use model::Span;
use probe::Request;
use rand::seq::SliceRandom;
use record::{Outcome, Record, Text};
use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;

/// What to do: experiments and how much of each.
#[derive(Clone, Debug, PartialEq)]
pub struct Study {
    /// How much.
    pub scope: Scope,
    /// Which; each once.
    pub experiments: Vec<Kind>,
}

/// What one experiment of a study will do.
#[derive(Clone, Debug, PartialEq)]
pub struct Planning {
    /// Which experiment.
    pub kind: Kind,
    /// Its units of work, in order.
    pub units: Vec<Unit>,
}

/// Where the records of a study go, and where those of an interrupted run come from.
pub trait Sink {
    /// Why a record could not be read or kept. It ends the study.
    type Error;

    /// Whether this unit was finished in an earlier run; it is then skipped.
    fn is_finished(&self, experiment: &str, unit: &str) -> bool;

    /// Records of this experiment's units that an earlier run finished.
    ///
    /// # Errors
    /// Where they cannot be read.
    fn earlier(&mut self, experiment: &str) -> Result<Vec<Record>, Self::Error>;

    /// A unit begins; it should take about [`Unit::expected`].
    fn started(&mut self, experiment: &str, unit: &Unit);

    /// Of the expected time of all units, this much is done, units of earlier runs included.
    fn progress(&mut self, done: Span, expected: Span);

    /// Some records of a unit that is under way, since it has too many to be held until it is finished. They count only
    /// once it is. Returns those that it does not take: they come again with the last ones.
    ///
    /// # Errors
    /// Where they cannot be written.
    fn part(
        &mut self,
        _experiment: &str,
        _unit: &Unit,
        records: Vec<Record>,
    ) -> Result<Vec<Record>, Self::Error> {
        Ok(records)
    }

    /// A unit is finished; its records, after those that were taken in parts, must be kept before this returns. There
    /// may be none.
    ///
    /// # Errors
    /// Where they cannot be kept.
    fn finished(
        &mut self,
        experiment: &str,
        unit: &Unit,
        records: Vec<Record>,
    ) -> Result<(), Self::Error>;

    /// Something could not be measured or removed, and why.
    fn problem(&mut self, experiment: &str, text: &str);
}

/// How a study ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Every unit is finished.
    Complete,
    /// It was stopped; the unit that was under way left no records, and a later run can do the rest.
    Stopped,
}

impl Study {
    /// Experiments in the order in which they run, drawn by the seed.
    pub fn order(&self) -> Vec<Kind> {
        let mut order = self.experiments.clone();
        order.sort_unstable();
        order.dedup();
        order.shuffle(&mut generator(self.scope.seed, "order"));
        order
    }

    /// What will be done, in order.
    pub fn plan(&self) -> Vec<Planning> {
        let planning = |kind: Kind| Planning { kind, units: kind.plan(&self.scope) };
        self.order().into_iter().map(planning).collect()
    }
}

/// Runs a study, or the rest of one: units that the sink says are finished are skipped.
///
/// Between experiments all functions are removed, and the next one waits until a removed function answers no more or the
/// idle limit has passed; where that fails its records say so in setting `disturbed`. When `stop` completes, the unit
/// under way is given up; its functions are removed before this returns.
///
/// # Errors
/// Only the sink's. A platform's failures are records and problems.
pub async fn run_study<V: Vantage, S: Sink>(
    vantage: &V,
    study: &Study,
    sink: &mut S,
    stop: impl Future<Output = ()>,
) -> Result<Ended, S::Error> {
    let ledger = Ledger::new(vantage);
    let units = study.plan().into_iter().flat_map(|planning| planning.units);
    let mut run = Run {
        ledger: &ledger,
        scope: &study.scope,
        sink,
        done: Span::ZERO,
        expected: units.fold(Span::ZERO, |sum, unit| sum + unit.expected),
        idle_limit: study.scope.idle.range.1,
    };
    let ended = match select(pin!(run.all(study.order())), pin!(stop)).await {
        Either::Left((result, _)) => result.map(|()| Ended::Complete),
        Either::Right(((), _)) => Ok(Ended::Stopped),
    };
    for error in ledger.clear().await {
        sink.problem("study", &error.to_string());
    }
    ended
}

/// What the study writes on the records of a unit.
#[derive(Clone, Copy)]
struct Label<'a> {
    experiment: &'a str,
    unit: &'a Unit,
    /// Whether the platform was quiet, where that was asked.
    quiet: &'a Option<Result<(), String>>,
}

impl Label<'_> {
    fn on(self, mut records: Vec<Record>) -> Vec<Record> {
        // One text for all of them.
        let (experiment, unit) = (Text::from(self.experiment), Text::from(&self.unit.name));
        for record in &mut records {
            record.experiment.clone_from(&experiment);
            record.unit.clone_from(&unit);
        }
        if let Some(Err(disturbed)) = self.quiet {
            mark(&mut records, "disturbed", disturbed);
        }
        records
    }
}

/// The way of a unit's records to the sink before the unit is finished.
struct Parts<'a, S: Sink> {
    sink: RefCell<&'a mut S>,
    label: Label<'a>,
    /// What the sink did not take, or why it failed.
    left: RefCell<Result<Vec<Record>, S::Error>>,
}

impl<'a, S: Sink> Parts<'a, S> {
    fn new(sink: &'a mut S, label: Label<'a>) -> Self {
        Self { sink: RefCell::new(sink), label, left: RefCell::new(Ok(Vec::new())) }
    }

    fn take(&self, records: Vec<Record>) {
        let Label { experiment, unit, .. } = self.label;
        let mut left = self.left.borrow_mut();
        // After a failure nothing more is written: the study ends with it once the unit is done.
        let Ok(all) = left.as_mut() else { return };
        match self.sink.borrow_mut().part(experiment, unit, self.label.on(records)) {
            Ok(back) => all.extend(back),
            Err(error) => *left = Err(error),
        }
    }

    fn end(self) -> Result<Vec<Record>, S::Error> {
        self.left.into_inner()
    }
}

struct Run<'a, V, S> {
    ledger: &'a Ledger<'a, V>,
    scope: &'a Scope,
    sink: &'a mut S,
    done: Span,
    expected: Span,
    /// How long to wait at most for old instances to go: the limit found, or the longest delay that is searched.
    idle_limit: Span,
}

impl<V: Vantage, S: Sink> Run<'_, V, S> {
    async fn all(&mut self, order: Vec<Kind>) -> Result<(), S::Error> {
        for kind in order {
            with_experiment!(kind, experiment => Box::pin(self.experiment(experiment)).await)?;
        }
        Ok(())
    }

    async fn experiment<E: Experiment>(&mut self, experiment: &E) -> Result<(), S::Error> {
        let about = experiment.about();
        let mut earlier = if about.adapts { self.sink.earlier(about.name)? } else { Vec::new() };
        let mut quiet = None;
        for planned in experiment.plan(self.scope) {
            let unit = planned.unit;
            if !self.sink.is_finished(about.name, &unit.name) {
                if quiet.is_none() && !about.needs.is_empty() {
                    quiet = Some(self.wait_until_quiet().await);
                }
                self.sink.started(about.name, &unit);
                let label = Label { experiment: about.name, unit: &unit, quiet: &quiet };
                let parts = Parts::new(&mut *self.sink, label);
                let pass = |records| parts.take(records);
                let bench = Bench::new(self.ledger, self.scope, about.name, &unit)
                    .after(&earlier)
                    .passing(&pass);
                let last = experiment.run(&bench, &planned.step).await;
                let problems = bench.problems();
                let mut records = parts.end()?;
                records.extend(label.on(last));
                for text in problems {
                    self.sink.problem(about.name, &text);
                }
                self.clear(about.name).await;
                if about.adapts {
                    earlier.extend_from_slice(&records);
                }
                self.sink.finished(about.name, &unit, records)?;
            }
            self.done += unit.expected;
            self.sink.progress(self.done, self.expected);
        }
        if let Some(limit) = idle_limit(&earlier) {
            self.idle_limit = limit;
        }
        Ok(())
    }

    async fn clear(&mut self, experiment: &str) {
        for error in self.ledger.clear().await {
            self.sink.problem(experiment, &error.to_string());
        }
    }

    /// Waits until functions of earlier experiments answer no more, or for the idle limit; an error says what disturbs.
    async fn wait_until_quiet(&mut self) -> Result<(), String> {
        let begin = self.ledger.now();
        let deadline = begin + self.idle_limit;
        if !self.ledger.clear().await.is_empty() {
            self.ledger.sleep_until(deadline).await;
            return Err("functions of an earlier experiment could not be removed".into());
        }
        let Some(removed) = self.ledger.last_removed() else { return Ok(()) };
        loop {
            self.ledger.sleep_until(self.ledger.now() + self.scope.settle).await;
            let now = self.ledger.now();
            let sent = Sent { intended: now, ..Sent::default() };
            let record = self.ledger.invoke(&removed, &Request::default(), sent).await;
            if !matches!(record.outcome, Outcome::Ok | Outcome::FunctionError) {
                return Ok(());
            }
            if now >= deadline {
                return Err(format!("a removed function still answers after {}", now.since(begin)));
            }
        }
    }
}
