//! What an experiment is to the study: a name, a question, units of work, and how to do one of them.
//!
//! Deliberately knows nothing of any one experiment, nor of the order in which they run.

use crate::bench::Bench;
use crate::memory_time::MemoryTime;
use crate::scope::Scope;
use crate::vantage::Vantage;
use model::Span;
use record::Record;
use std::future::Future;

/// One experiment: straight-line async code over a [`Vantage`].
pub trait Experiment {
    /// What one unit of work varies.
    type Step;

    /// Its name, question and needs.
    fn about(&self) -> About;

    /// Its units of work in the order in which they must run. The same scope gives the same plan.
    fn plan(&self, scope: &Scope) -> Vec<Planned<Self::Step>>;

    /// Does one unit of work and returns its records, complete but for experiment and unit, which the study fills.
    ///
    /// Never fails: a function that cannot be created is a record of phase `deploy` and a problem.
    fn run<V: Vantage>(
        &self,
        bench: &Bench<'_, V>,
        step: &Self::Step,
    ) -> impl Future<Output = Vec<Record>>;
}

/// What is known of an experiment before it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// Name, as in `idle`.
    pub name: &'static str,
    /// The question it answers.
    pub question: &'static str,
    /// How it is measured here, in words for the report.
    pub method: &'static str,
    /// How Wang et al. (ATC 2018) did it; empty where they did not.
    pub paper_design: &'static str,
    /// What must hold before it starts.
    pub needs: &'static [Need],
    /// What it leaves on the platform after its functions are removed, in words; empty where nothing.
    pub leaves: &'static str,
    /// Whether its later units look at the records of its earlier ones.
    pub adapts: bool,
}

/// A precondition of an experiment. The study sees to all of them in one way: functions of earlier experiments are
/// removed, and a probe shows that they answer no more, or the idle limit passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing else of ours is active.
    QuietPlatform,
    /// No instance of ours rests on a host that it may use.
    EmptyHosts,
}

/// A unit of work: done whole or not at all, and never twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Name, unique in its experiment, and a safe file name: lowercase letters, digits, `.` and `-`.
    pub name: String,
    /// Functions it creates at most, repetitions of void rounds aside.
    pub functions: u64,
    /// Invocations it makes at most, repetitions of void rounds aside.
    pub invocations: u64,
    /// Memory and running time of these invocations, what happens before a function's handler not counted: what a plan
    /// can expect to be billed. Requests that are held count from their sending.
    pub used: MemoryTime,
    /// How long it is expected to take.
    pub expected: Span,
}

/// A unit with what it varies.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned<Step> {
    /// The unit.
    pub unit: Unit,
    /// What it varies.
    pub step: Step,
}
