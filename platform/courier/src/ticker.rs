//! The ticks of schedules, each an event for its targets.
//!
//! A tick's events and the note that it is done are one step in the store: after a crash a tick has happened or is due.

use crate::{Courier, Letter, Lineage, Runner};
use bytes::Bytes;
use catalog::{Batch, Catalog, ScheduleEntry, ScheduleKey, ScheduleKind, ScheduleTarget};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use timetable::{Begin, Schedule, Tick, Timetable};
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// How late a tick may be where its target does not say (EventBridge, RetryPolicy, 2026-11).
const AGE_S: u32 = 86_400;
/// How often a tick is tried again where its target does not say (the same).
const RETRIES: u32 = 185;
/// Wait after a tick that could not be stored.
const AGAIN: Duration = Duration::from_secs(1);
/// Longest sleep: a clock that is set, or a machine that slept, is noticed then.
const SLEEP_MAX: Duration = Duration::from_secs(10);
/// Ticks that are stored at once.
const TICKS_AT_ONCE: usize = 1024;

/// Sees to it that schedules are kept.
pub struct Ticker<R> {
    courier: Courier<R>,
    catalog: Arc<Catalog>,
    region: String,
    changed: Arc<Changed>,
}

#[derive(Default)]
struct Changed {
    keys: Mutex<BTreeSet<ScheduleKey>>,
    woken: Notify,
}

impl<R: Runner> Ticker<R> {
    /// Keeps the catalog's schedules from now on, until the task is ended. Ticks that were missed meanwhile come at once,
    /// one for each schedule. `region` is that of the schedules' ARNs.
    pub fn start(
        courier: Courier<R>,
        catalog: Arc<Catalog>,
        region: String,
    ) -> tokio::task::JoinHandle<()> {
        let changed = Arc::new(Changed::default());
        let told = Arc::clone(&changed);
        catalog.schedules().listen(move |key| {
            told.keys.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone());
            told.woken.notify_one();
        });
        changed
            .keys
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(catalog.schedules().all());
        tokio::spawn(Arc::new(Self { courier, catalog, region, changed }).run())
    }

    async fn run(self: Arc<Self>) {
        let mut table = Timetable::default();
        let mut failures: BTreeMap<ScheduleKey, u32> = BTreeMap::new();
        loop {
            for key in std::mem::take(
                &mut *self.changed.keys.lock().unwrap_or_else(PoisonError::into_inner),
            ) {
                self.enter(&mut table, key);
            }
            let mut ticks = JoinSet::new();
            while ticks.len() < TICKS_AT_ONCE
                && let Some(tick) = table.pop(Timestamp::now())
            {
                let ticker = Arc::clone(&self);
                let failed = failures.remove(&tick.key).unwrap_or(0);
                ticks.spawn(
                    async move { ticker.tick(tick, failed).await.map_err(|key| (key, failed)) },
                );
            }
            let is_busy = ticks.len() == TICKS_AT_ONCE;
            let results = ticks.join_all().await;
            if results.iter().any(Result::is_err) {
                // Those that were not stored are not done: they are due again.
                let failed: Vec<_> = results.into_iter().filter_map(Result::err).collect();
                failures.extend(failed.iter().map(|(key, so_far)| (key.clone(), so_far + 1)));
                self.changed
                    .keys
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .extend(failed.into_iter().map(|(key, _)| key));
                tokio::time::sleep(AGAIN).await;
                continue;
            }
            let due = table.next_timeout().map(|at| at.duration_since(Timestamp::now()));
            let wait = due.map_or(SLEEP_MAX, |due| Duration::try_from(due).unwrap_or_default());
            let wait = if is_busy { Duration::ZERO } else { wait.min(SLEEP_MAX) };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.changed.woken.notified() => {}
            }
        }
    }

    /// Takes a schedule into the table as it is now.
    fn enter(&self, table: &mut Timetable<ScheduleKey>, key: ScheduleKey) {
        let known = self.catalog.schedules().get(&key);
        let Some((entry, done)) = known.filter(|(entry, _)| entry.is_enabled) else {
            return table.remove(&key);
        };
        match plan(&entry) {
            Ok(schedule) => {
                let age = entry.targets.values().filter_map(|target| target.age_s).max();
                let patience = SignedDuration::from_secs(age.unwrap_or(AGE_S).into());
                table.set(key, schedule, patience, time(done));
            }
            Err(why) => {
                tracing::error!(name = key.name, why, "a stored schedule cannot be kept");
                table.remove(&key);
            }
        }
    }

    /// Makes a tick's events durable, which failed so often before. Errors: the schedule, whose tick is still to be done.
    async fn tick(&self, tick: Tick<ScheduleKey>, failed: u32) -> Result<(), ScheduleKey> {
        let schedules = self.catalog.schedules();
        let Some((entry, _)) = schedules.get(&tick.key) else { return Ok(()) };
        let late = Timestamp::now().duration_since(tick.at);
        let (wanted, given_up): (Vec<_>, Vec<_>) =
            entry.targets.values().partition(|target| is_wanted(target, failed, late));
        for target in given_up {
            let (name, arn) = (&tick.key.name, &target.arn);
            tracing::warn!(name, arn, failed, "a tick is given up, as its RetryPolicy says");
        }
        let attempt = failed + 1;
        let letters =
            wanted.into_iter().filter_map(|target| self.letter(&entry, target, &tick, attempt));
        let mut batch = Batch::new();
        let at = tick.at.as_millisecond();
        schedules.mark_done(&mut batch, &tick.key, at);
        if let Err(error) = self.courier.0.post(batch, letters.collect()).await {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(
                error,
                name = tick.key.name,
                "a tick cannot be stored, and is tried again"
            );
            return Err(tick.key);
        }
        schedules.is_done(&entry, at);
        if tick.is_last && entry.is_removed_at_end {
            let (catalog, key) = (Arc::clone(&self.catalog), tick.key);
            let removed = tokio::task::spawn_blocking(move || catalog.schedules().remove(&key));
            if let Ok(Err(error)) = removed.await {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "a schedule that is over cannot be removed");
            }
        }
        Ok(())
    }

    fn letter(
        &self,
        entry: &ScheduleEntry,
        target: &ScheduleTarget,
        tick: &Tick<ScheduleKey>,
        attempt: u32,
    ) -> Option<Letter> {
        let Some(address) = self.courier.0.runner.resolve(&target.arn) else {
            tracing::warn!(
                name = entry.key.name,
                arn = target.arn,
                "a schedule's target does not exist"
            );
            return None;
        };
        let id = uuid::Uuid::new_v4();
        let payload = match (&target.input, entry.key.kind) {
            (Some(input), ScheduleKind::Rule) => input.clone(),
            (Some(input), ScheduleKind::Schedule) => {
                fill_in(input, &Filling { entry, region: &self.region, tick, id, attempt })
            }
            (None, _) => event(entry, &self.region, tick, id),
        };
        let mut lineage = Lineage::default();
        lineage.step(&address).ok()?;
        let trace = lineage.write(&new_trace_id());
        let request_id = uuid::Uuid::new_v4().to_string();
        Some(Letter::new(address, request_id, trace, Bytes::from(payload)))
    }
}

/// Whether a target is still to be sent a tick: how often that may fail and how late it may be, its RetryPolicy says
/// (EventBridge Scheduler user guide, "Retry policy", 2026-11). What becomes of it from then on, its function's settings of
/// asynchronous invocation say.
fn is_wanted(target: &ScheduleTarget, failed: u32, late: SignedDuration) -> bool {
    let age = SignedDuration::from_secs(target.age_s.unwrap_or(AGE_S).into());
    failed <= target.retries.unwrap_or(RETRIES) && late <= age
}

/// When a schedule is due; the reason where what is stored cannot be read.
fn plan(entry: &ScheduleEntry) -> Result<Schedule, String> {
    let zone = TimeZone::get(&entry.zone).map_err(|error| error.to_string())?;
    Ok(Schedule {
        expression: entry
            .expression
            .parse()
            .map_err(|error: timetable::ExpressionError| error.to_string())?,
        zone,
        begin: time(entry.start_unix_ms.unwrap_or(entry.anchor_unix_ms)),
        first: match entry.key.kind {
            ScheduleKind::Rule => Begin::Waits,
            ScheduleKind::Schedule => Begin::Due,
        },
        end: entry.end_unix_ms.map(time),
    })
}

fn time(unix_ms: i64) -> Timestamp {
    Timestamp::from_millisecond(unix_ms).unwrap_or(Timestamp::MAX)
}

/// ARN of a schedule.
fn arn(entry: &ScheduleEntry, region: &str) -> String {
    let ScheduleKey { tenant, kind, name } = &entry.key;
    match kind {
        ScheduleKind::Rule => format!("arn:aws:events:{region}:{tenant}:rule/{name}"),
        ScheduleKind::Schedule => {
            format!("arn:aws:scheduler:{region}:{tenant}:schedule/default/{name}")
        }
    }
}

fn seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The event that tells of a tick, as EventBridge sends it (user guide, "Scheduled events", 2026-11).
fn event(entry: &ScheduleEntry, region: &str, tick: &Tick<ScheduleKey>, id: uuid::Uuid) -> String {
    let (source, detail) = match entry.key.kind {
        ScheduleKind::Rule => ("aws.events", serde_json::json!({})),
        ScheduleKind::Schedule => ("aws.scheduler", serde_json::json!("{}")),
    };
    serde_json::json!({
        "version": "0",
        "id": id.to_string(),
        "detail-type": "Scheduled Event",
        "source": source,
        "account": entry.key.tenant.to_string(),
        "time": seconds(tick.at),
        "region": region,
        "resources": [arn(entry, region)],
        "detail": detail,
    })
    .to_string()
}

/// What Scheduler knows of one start.
struct Filling<'a> {
    entry: &'a ScheduleEntry,
    region: &'a str,
    tick: &'a Tick<ScheduleKey>,
    id: uuid::Uuid,
    attempt: u32,
}

/// The input with what Scheduler fills in (user guide, "Adding context attributes", 2026-11).
fn fill_in(input: &str, with: &Filling<'_>) -> String {
    if !input.contains("<aws.scheduler.") {
        return input.to_owned();
    }
    input
        .replace("<aws.scheduler.schedule-arn>", &arn(with.entry, with.region))
        .replace("<aws.scheduler.scheduled-time>", &seconds(with.tick.at))
        .replace("<aws.scheduler.execution-id>", &with.id.to_string())
        .replace("<aws.scheduler.attempt-number>", &with.attempt.to_string())
}

/// An X-Ray trace header of its own, not sampled.
fn new_trace_id() -> String {
    let id = uuid::Uuid::new_v4().simple().to_string();
    let seconds = Timestamp::now().as_second();
    format!("Root=1-{seconds:08x}-{};Parent={};Sampled=0", &id[..24], &id[16..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(retries: Option<u32>, age_s: Option<u32>) -> ScheduleTarget {
        ScheduleTarget { arn: "f".to_owned(), role: None, input: None, retries, age_s }
    }

    // A target's RetryPolicy bounds how often and how late it is tried; without one, EventBridge's own bounds hold.
    #[test]
    fn retry_policies_hold() {
        let second = SignedDuration::from_secs(1);
        for (target, failed, seconds) in [
            (target(Some(0), Some(60)), 0, 60),
            (target(Some(3), Some(60)), 3, 60),
            (target(None, None), 185, 86_400),
        ] {
            let late = SignedDuration::from_secs(seconds);
            assert!(is_wanted(&target, failed, late), "{target:?}");
            assert!(!is_wanted(&target, failed + 1, late), "{target:?}: too often");
            assert!(!is_wanted(&target, failed, late + second), "{target:?}: too late");
        }
    }
}
