//! Tests of whole studies on an emulated platform: in two orders, and killed or stopped anywhere.

use crate::truth::trial;
use crate::{price, spent};
use analysis::{Finding, Value};
use experiment::{Ended, Kind, MemoryTime, Scale, Sink, Study, Unit, run_study};
use futures::future::{Either, select};
use model::{Span, Time};
use record::Record;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use target::Emulated;

/// A sink that outlives whoever fills it, as files do.
#[derive(Clone, Default)]
struct Kept {
    units: BTreeMap<(String, String), Vec<Record>>,
    finished: Rc<Cell<usize>>,
}

impl Sink for Kept {
    type Error = Infallible;

    fn is_finished(&self, experiment: &str, unit: &str) -> bool {
        self.units.contains_key(&(experiment.to_owned(), unit.to_owned()))
    }

    fn earlier(&mut self, experiment: &str) -> Result<Vec<Record>, Infallible> {
        let own = self.units.iter().filter(|((name, _), _)| name == experiment);
        Ok(own.flat_map(|(_, records)| records).cloned().collect())
    }

    fn started(&mut self, experiment: &str, unit: &Unit) {
        assert!(!self.is_finished(experiment, &unit.name), "{experiment}/{} again", unit.name);
    }

    fn progress(&mut self, _: Span, _: Span) {}

    fn finished(
        &mut self,
        experiment: &str,
        unit: &Unit,
        records: Vec<Record>,
    ) -> Result<(), Infallible> {
        let name = (experiment.to_owned(), unit.name.clone());
        assert!(self.units.insert(name, records).is_none(), "{} twice", unit.name);
        self.finished.set(self.finished.get() + 1);
        Ok(())
    }

    fn problem(&mut self, _: &str, _: &str) {}
}

impl Kept {
    fn names(&self) -> Vec<&(String, String)> {
        self.units.keys().collect()
    }

    /// Every instance and every request is in one unit only.
    fn assert_nothing_twice(&self) {
        let mut requests = BTreeSet::new();
        for record in self.units.values().flatten().filter(|it| !it.request_id.is_empty()) {
            let request = (&record.function, &record.request_id, record.sent_ns);
            assert!(requests.insert(request), "{request:?} twice");
        }
    }
}

fn small(target: &Emulated, seed: u64) -> Study {
    let kinds = [Kind::Identity, Kind::Isolation, Kind::Hosts, Kind::Exposure, Kind::Scaling];
    let mut study = trial::study(target, &kinds);
    study.scope.seed = seed;
    study.scope.identity.rounds = 2;
    study.scope.isolation.rounds = 3;
    study.scope.hosts.rounds = 2;
    study.scope.exposure.rounds = 2;
    study.scope.scaling.rounds = 2;
    study.scope.scaling.concurrency = vec![5, 10];
    study
}

fn finish(study: &Study, kept: &mut Kept) {
    // A platform of its own, as after a reboot.
    let target = trial::seeded(&[], 8);
    let Ok(ended) = target.run(run_study(&target, study, kept, pending())).expect("it ends");
    assert_eq!(ended, Ended::Complete);
}

fn whole(study: &Study) -> (Kept, Span) {
    let target = trial::platform(&[]);
    let mut kept = Kept::default();
    let Ok(ended) = target.run(run_study(&target, study, &mut kept, pending())).expect("it ends");
    assert_eq!(ended, Ended::Complete);
    let took = target.region().now().since(Time::ZERO);
    (kept, took)
}

// Stopped after any unit, a study is finished by a second one: the same units, and none of them twice.
#[test]
fn studies_stopped_between_units_are_finished() {
    let study = small(&trial::platform(&[]), 7);
    let (all, _) = whole(&study);
    for units in 1..all.units.len() {
        let target = trial::platform(&[]);
        let mut kept = Kept::default();
        let finished = Rc::clone(&kept.finished);
        let stop = poll_fn(|_| match finished.get() >= units {
            true => Poll::Ready(()),
            false => Poll::Pending,
        });
        let Ok(ended) = target.run(run_study(&target, &study, &mut kept, stop)).expect("it ends");
        assert_eq!((ended, kept.units.len()), (Ended::Stopped, units));
        finish(&study, &mut kept);
        assert_eq!(kept.names(), all.names(), "{units}");
        kept.assert_nothing_twice();
    }
}

// Killed at any moment, in the middle of whatever and without a word, the same holds.
#[test]
fn killed_studies_are_finished() {
    let study = small(&trial::platform(&[]), 7);
    let (all, took) = whole(&study);
    // A prime number of moments, so that they fall into every part of a round.
    for moment in 1..29_u64 {
        let target = trial::platform(&[]);
        let mut kept = Kept::default();
        let at = Time::from_nanos(took.as_nanos() / 29 * moment);
        let killed = target.run(async {
            let region = target.region().clone();
            let work = pin!(run_study(&target, &study, &mut kept, pending()));
            matches!(select(work, pin!(region.sleep_until(at))).await, Either::Right(_))
        });
        assert_eq!(killed, Ok(true), "{moment}");
        let done = kept.units.len();
        assert!(done < all.units.len());
        finish(&study, &mut kept);
        assert_eq!(kept.names(), all.names(), "{moment}");
        kept.assert_nothing_twice();
    }
}

// What a study is charged by the price list is what its plan expected, less the moments until held requests run.
#[test]
fn plans_know_what_is_charged() {
    let study = small(&trial::platform(&[]), 7);
    let units = || study.plan().into_iter().flat_map(|planning| planning.units);
    let used: MemoryTime = units().map(|unit| unit.used).sum();
    let expected_usd = price::aws_usd(units().map(|unit| unit.invocations).sum(), used.gib_s());
    let records: Vec<Record> = whole(&study).0.units.into_values().flatten().collect();
    let part = records.iter().map(spent::charged_usd).sum::<f64>() / expected_usd;
    assert!((0.9..=1.0).contains(&part), "{part}");
}

/// Findings by metric and setting.
fn by_name(study: &Study) -> BTreeMap<String, Finding> {
    let found = trial::found(&trial::platform(&[]), study);
    let name = |finding: &Finding| format!("{} {:?}", finding.metric, finding.setting);
    found.into_iter().map(|finding| (name(&finding), finding)).collect()
}

// All experiments in one order and in another find the same words, and intervals that overlap.
#[test]
fn orders_do_not_matter() {
    let target = trial::platform(&[]);
    let in_order = |seed| {
        let mut study = trial::of_scale(Scale::Quick, &target, &Kind::ALL);
        study.scope.seed = seed;
        study
    };
    let (one, other) = (in_order(1), in_order(2));
    assert_ne!(one.order(), other.order());
    let (one, other) = (by_name(&one), by_name(&other));
    let (mut words, mut intervals, mut apart) = (0, 0, Vec::new());
    for (name, finding) in &one {
        let Some(beside) = other.get(name) else { continue };
        if let (Value::Word(word), Value::Word(same)) = (&finding.value, &beside.value) {
            assert_eq!(word, same, "{name}");
            words += 1;
        }
        if let (Some((low, high)), Some((least, most))) = (finding.ci95, beside.ci95) {
            let below = |end: Option<f64>, start: Option<f64>| {
                end.zip(start).is_some_and(|(end, start)| end < start)
            };
            intervals += 1;
            if below(high, least) || below(most, low) {
                apart.push(name);
            }
        }
    }
    assert!(words >= 3 && intervals >= 50, "{words} words, {intervals} intervals");
    // Two intervals of 95 % each for one truth miss each other in one of about 170 cases.
    assert!(apart.len() * 50 <= intervals, "{} of {intervals}: {apart:?}", apart.len());
}
