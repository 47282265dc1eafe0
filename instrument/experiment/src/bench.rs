//! What an experiment works at: it deploys, sends and removes, and writes down where each record belongs.
//!
//! Deliberately knows nothing of any one experiment.

use crate::experiment::Unit;
use crate::scope::Scope;
use crate::vantage::{Code, Function, FunctionSpec, Sent, Vantage};
use futures::StreamExt;
use futures::future::{join, join_all};
use model::{Span, Time};
use probe::Request;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64Mcg;
use record::{Labels, Outcome, Record, Text, Texts};
use std::cell::RefCell;
use std::future::Future;

/// What was varied, by name, as a record holds it.
pub(crate) type Setting = Labels;

/// Functions that are created or removed at once, so that many do not take minutes and a control plane is not flooded.
pub(crate) const CONTROL_CONCURRENCY: usize = 8;

/// Send lag that never voids a round, and the part of the statistic that does not either; the larger counts.
const LAG_ALLOWED: Span = Span::from_millis(1);
const LAG_ALLOWED_FRACTION: u64 = 20;

/// Records that are passed on together, before their unit is finished.
const PART: usize = 8 * 1024;

/// One unit of work: where, of what scope, and what earlier units found.
pub struct Bench<'a, V> {
    /// Where requests are sent and timed.
    pub vantage: &'a V,
    /// How much is done.
    pub scope: &'a Scope,
    /// The unit that is done.
    pub unit: &'a Unit,
    /// Records of this experiment's finished units; empty where the experiment does not adapt.
    pub earlier: &'a [Record],
    random: RefCell<Pcg64Mcg>,
    problems: RefCell<Vec<String>>,
    /// Names of phases.
    words: RefCell<Texts>,
    /// Records that wait to be passed on.
    passed: RefCell<Vec<Record>>,
    pass: Option<&'a dyn Fn(Vec<Record>)>,
}

/// One request, and where its record belongs.
#[derive(Clone, Debug)]
pub(crate) struct Shot {
    pub phase: &'static str,
    pub round: u32,
    pub setting: Setting,
    pub request: Request,
    pub sent: Sent,
}

/// What one try at a round gave.
pub(crate) struct Try {
    pub records: Vec<Record>,
    /// What the round is to measure takes about this long.
    pub statistic: Span,
    /// Until when instances were to be held together, where they were.
    pub held_until: Option<Time>,
}

impl Try {
    /// A function could not be created.
    pub fn failed(record: Record, round: u32) -> Self {
        let records = vec![Record { round, ..record }];
        Self { records, statistic: Span::ZERO, held_until: None }
    }
}

impl<'a, V: Vantage> Bench<'a, V> {
    /// A bench for one unit of an experiment; the seed, the experiment and the unit determine its random numbers.
    pub fn new(vantage: &'a V, scope: &'a Scope, experiment: &str, unit: &'a Unit) -> Self {
        let name = format!("{experiment}/{}", unit.name);
        Self {
            vantage,
            scope,
            unit,
            earlier: &[],
            random: RefCell::new(generator(scope.seed, &name)),
            problems: RefCell::default(),
            words: RefCell::default(),
            passed: RefCell::default(),
            pass: None,
        }
    }

    /// The same with records of the experiment's finished units.
    pub fn after(self, earlier: &'a [Record]) -> Self {
        Self { earlier, ..self }
    }

    /// The same where parts of a unit's records go before it is finished.
    pub fn passing(self, pass: &'a dyn Fn(Vec<Record>)) -> Self {
        Self { pass: Some(pass), ..self }
    }

    /// Takes a record of a unit whose records are too many to be held until it is finished.
    pub(crate) fn pass_on(&self, record: Record) {
        let mut passed = self.passed.borrow_mut();
        passed.push(record);
        if let (PART.., Some(pass)) = (passed.len(), self.pass) {
            pass(std::mem::take(&mut passed));
        }
    }

    /// What was taken by [`Self::pass_on`] and has not gone: the unit's last records.
    pub(crate) fn not_passed(&self) -> Vec<Record> {
        self.passed.take()
    }

    /// What went wrong, in words.
    pub fn problems(self) -> Vec<String> {
        self.problems.into_inner()
    }

    pub(crate) fn problem(&self, text: String) {
        self.problems.borrow_mut().push(text);
    }

    pub(crate) fn shuffled<T>(&self, mut items: Vec<T>) -> Vec<T> {
        items.shuffle(&mut *self.random.borrow_mut());
        items
    }

    /// Wall clock at `at`, as a barrier or hold names it.
    pub(crate) fn unix_ns(&self, at: Time) -> u64 {
        self.vantage.epoch_unix_ns().saturating_add(at.as_nanos())
    }

    /// The next moment at which `requests` can be sent together and on time.
    pub(crate) fn soon(&self, requests: u32) -> Time {
        self.vantage.now() + self.scope.lead.of(requests)
    }

    /// Who and where, held until `until` together with the others.
    pub(crate) fn held(&self, until: Time) -> Request {
        Request {
            identity: true,
            hold_until_unix_ns: Some(self.unix_ns(until)),
            ..Request::default()
        }
    }

    pub(crate) async fn rest(&self, span: Span) {
        self.vantage.sleep_until(self.vantage.now() + span).await;
    }

    /// Creates a function with unique code. A failure is a problem and the record that tells of it.
    pub(crate) async fn deploy(&self, spec: FunctionSpec) -> Result<Function, Box<Record>> {
        let before = self.vantage.now();
        self.vantage.deploy(spec.clone()).await.map_err(|error| {
            self.problem(error.to_string());
            let now = self.vantage.now().as_nanos();
            Box::new(Record {
                phase: "deploy".into(),
                function: error.function.clone().into(),
                runtime: spec.runtime.into(),
                memory_mib: spec.memory_mib,
                epoch_unix_ns: self.vantage.epoch_unix_ns(),
                intended_ns: before.as_nanos(),
                sent_ns: before.as_nanos(),
                received_ns: now,
                attempts: 1,
                outcome: Outcome::Failed,
                error: error.to_string().into(),
                ..Record::default()
            })
        })
    }

    /// Creates several functions, a few at a time, in the order given.
    pub(crate) async fn deploy_all(
        &self,
        specs: Vec<FunctionSpec>,
    ) -> Vec<Result<Function, Box<Record>>> {
        futures::stream::iter(specs)
            .map(|spec| self.deploy(spec))
            .buffered(CONTROL_CONCURRENCY)
            .collect()
            .await
    }

    /// Removes a function; a failure is a problem, and the study tries again at the unit's end.
    pub(crate) async fn remove(&self, function: Function) {
        if let Err(error) = self.vantage.remove(function).await {
            self.problem(error.to_string());
        }
    }

    /// Removes several functions, a few at a time.
    pub(crate) async fn remove_all(&self, functions: Vec<Function>) {
        futures::stream::iter(functions)
            .map(|function| self.remove(function))
            .buffered(CONTROL_CONCURRENCY)
            .collect::<()>()
            .await;
    }

    /// A function of this study in the first account and role.
    pub(crate) fn spec(&self, runtime: &str, memory_mib: u32) -> FunctionSpec {
        FunctionSpec {
            runtime: runtime.to_owned(),
            memory_mib,
            timeout: self.scope.timeout,
            code: Code::default(),
            role: 0,
            tenant: 0,
        }
    }

    /// Sends one request and labels its record.
    pub(crate) async fn send(&self, function: &Function, shot: &Shot, sequence: u32) -> Record {
        let record = self.vantage.invoke(function, &shot.request, shot.sent).await;
        Record {
            round: shot.round,
            setting: shot.setting.clone(),
            phase: self.words.borrow_mut().shared(shot.phase),
            sequence,
            ..record
        }
    }

    /// Sends `count` requests at the one instant that the shot intends.
    pub(crate) async fn burst(&self, function: &Function, shot: &Shot, count: u32) -> Vec<Record> {
        join_all((0..count).map(|sequence| self.send(function, shot, sequence))).await
    }

    /// Does some work, and says how many CPUs of the machine were idle on average from `from` to the end of it; None
    /// where nobody knows.
    pub(crate) async fn with_idle_cpus<T>(
        &self,
        from: Time,
        work: impl Future<Output = T>,
    ) -> (T, Option<f64>) {
        let look = || self.vantage.idle_cpu().map(|idle| (self.vantage.now(), idle));
        let first = async {
            self.vantage.sleep_until(from).await;
            look()
        };
        let (done, first) = join(work, first).await;
        let cpus = first.zip(look()).and_then(|((since, before), (until, after))| {
            let took = until.since(since).as_secs_f64();
            (took > 0.0).then(|| (after - before).as_secs_f64() / took)
        });
        (done, cpus)
    }

    /// Does a round, and once more where the first try is void: a request was sent later than intended by more than 1 ms
    /// and 5 % of the statistic, an instance started after the moment until which all were held, or the round says so
    /// itself.
    ///
    /// The try's number, 0 or 1, is passed in: a second one should hold twice as long. Records of a void try stay, and
    /// say why in their setting `void`; a second try has setting `attempt` = 1, and is void by send lag or its own word
    /// alone.
    pub(crate) async fn sound(&self, round: impl AsyncFn(u32) -> Try) -> Vec<Record> {
        let Try { mut records, statistic, held_until } = round(0).await;
        let late = || held_until.and_then(|at| late(&records, at, self.unix_ns(at)));
        let own =
            || records.iter().find_map(|record| record.setting.get("void").map(Text::to_string));
        let reason = lagging(&records, statistic).or_else(late).or_else(own);
        let Some(reason) = reason else { return records };
        mark(&mut records, "void", &reason);
        let Try { records: mut second, statistic, .. } = round(1).await;
        mark(&mut second, "attempt", "1");
        if let Some(reason) = lagging(&second, statistic) {
            mark(&mut second, "void", &reason);
        }
        records.append(&mut second);
        records
    }
}

/// A generator whose numbers depend on the seed and on a name, whatever ran before.
pub(crate) fn generator(seed: u64, name: &str) -> Pcg64Mcg {
    // FNV-1a (offset basis and prime of the 64-bit variant).
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    Pcg64Mcg::seed_from_u64(seed ^ hash)
}

/// A setting of named values.
pub(crate) fn setting<const N: usize>(values: [(&str, String); N]) -> Setting {
    values.into()
}

/// Adds one value to the setting of each record.
pub(crate) fn mark(records: &mut [Record], name: &str, value: &str) {
    // Records of one burst have the same setting, before and after.
    let (name, value) = (Text::from(name), Text::from(value));
    let mut last: Option<(Setting, Setting)> = None;
    for record in records {
        if last.as_ref().is_none_or(|(before, _)| *before != record.setting) {
            let before = record.setting.clone();
            record.setting.insert(name.clone(), value.clone());
            last = Some((before, record.setting.clone()));
        } else if let Some((_, after)) = &last {
            record.setting.clone_from(after);
        }
    }
}

/// Why the worst send lag voids these records, if it does.
pub(crate) fn lagging<'r>(
    records: impl IntoIterator<Item = &'r Record>,
    statistic: Span,
) -> Option<String> {
    let allowed = LAG_ALLOWED.max(Span::from_nanos(statistic.as_nanos() / LAG_ALLOWED_FRACTION));
    let lag = |record: &Record| Span::from_nanos(record.sent_ns.saturating_sub(record.intended_ns));
    let sent = records.into_iter().filter(|record| record.sent_ns > 0);
    let worst = sent.map(lag).max().unwrap_or(Span::ZERO);
    (worst > allowed).then(|| format!("send lag {worst}, allowed {allowed}"))
}

/// Why the common moment voids these records: an instance made for a request sent before it started after it.
pub(crate) fn late(
    records: &[Record],
    held_until: Time,
    held_until_unix_ns: u64,
) -> Option<String> {
    let new = records.iter().filter(|record| {
        record.outcome == Outcome::Ok
            && record.instance_invocations == 1
            && record.intended_ns < held_until.as_nanos()
    });
    let last = new.map(|record| record.started_unix_ns).max()?;
    let by = Span::from_nanos(last.saturating_sub(held_until_unix_ns));
    (by > Span::ZERO).then(|| format!("an instance started {by} after the common moment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(intended_ms: u64, sent_ms: u64) -> Record {
        Record {
            intended_ns: Span::from_millis(intended_ms).as_nanos(),
            sent_ns: Span::from_millis(sent_ms).as_nanos(),
            ..Record::default()
        }
    }

    // The larger of 1 ms and 5 % of the statistic is allowed, and no more.
    #[test]
    fn lag_is_judged_by_the_statistic() {
        let records = [sent(10, 10), sent(10, 13)];
        assert!(lagging(&records, Span::from_millis(20)).is_some());
        assert_eq!(lagging(&records, Span::from_millis(60)), None);
    }

    // Only an instance made for the burst makes it late: a queued request may start whenever it likes.
    #[test]
    fn queued_requests_are_not_late() {
        let started = |instance_invocations, started_unix_ns| Record {
            outcome: Outcome::Ok,
            instance_invocations,
            started_unix_ns,
            ..Record::default()
        };
        assert_eq!(late(&[started(1, 50), started(2, 150)], Time::from_nanos(100), 100), None);
        assert!(late(&[started(1, 150)], Time::from_nanos(100), 100).is_some());
    }

    // Random choices depend on the seed and the name only.
    #[test]
    fn generators_are_named() {
        let draw = |seed, name: &str| rand::Rng::next_u64(&mut generator(seed, name));
        assert_eq!(draw(1, "idle/search"), draw(1, "idle/search"));
        assert_ne!(draw(1, "idle/search"), draw(2, "idle/search"));
        assert_ne!(draw(1, "idle/search"), draw(1, "idle/confirm"));
    }
}
