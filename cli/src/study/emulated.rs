//! A study in virtual time: the same experiments, records and report, on a platform that is a profile.

use super::{
    Arguments, Beside, Files, Keeping, Measured, Resumption, beside, describe,
    measure as measure_on, plan, stop_asked,
};
use crate::directory::{Directory, Study};
use crate::truth;
use anyhow::Context;
use experiment::Ended;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use target::{Emulated, Uri};

/// An emulated platform, and what the study will do there.
pub(super) struct Opened {
    target: Emulated,
    pub(super) plan: experiment::Study,
}

/// Makes the platform that the study names.
pub(super) fn open(study: &Study, max_concurrency: u32) -> anyhow::Result<Opened> {
    let uri: Uri = study.target.parse().context("cannot use the study's target")?;
    let platform = Emulated::profile(&study.profile)?;
    // Half of the quota, as everywhere.
    let quota = platform.scheduler.limits.account_concurrency / 2;
    let target = Emulated::open(uri, platform, study.seed);
    let plan = plan(study, &target, max_concurrency.min(quota))?;
    Ok(Opened { target, plan })
}

/// Does the study, or does it again up to where it was stopped and from there on for the first time.
pub(super) fn measure(
    arguments: &Arguments,
    directory: &Directory,
    mut study: Study,
    runtime: &tokio::runtime::Runtime,
) -> anyhow::Result<Measured> {
    let Opened { target, plan } = open(&study, arguments.max_concurrency)?;
    describe(&mut study, &target);
    directory.save(&study)?;
    let stopped = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stopped);
    runtime.spawn(async move {
        stop_asked().await;
        told.store(true, Ordering::Relaxed);
    });
    // Looked at whenever the study goes on: in virtual time that is all the time.
    let stop = poll_fn(move |_| match stopped.load(Ordering::Relaxed) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    });
    let (measured, reading) = std::thread::scope(|scope| {
        let (beside, thread) = Beside::begin(scope, directory.records());
        let keeping = Keeping::Beside(beside);
        let files = Files::new(directory, study, &plan, (Resumption::Replay, keeping));
        let measured = target.run(measure_on(&target, &plan, files, stop));
        // What the other thread says comes first: where it fails, this one fails for want of it.
        let reading = beside::end(thread)?;
        anyhow::Ok((measured??, reading))
    })?;
    let mut measured = measured;
    measured.study.virtual_ms = target.region().now().as_nanos() / 1_000_000;
    if measured.ended == Ended::Complete {
        let (platform, counts) = (target.region().platform(), target.region().counts());
        // A platform that ran for days is large itself.
        drop(target);
        measured.study.truths = truth::of_thinned(&platform, &counts, &reading.thinned);
        measured.reading = Some(reading);
    }
    Ok(measured)
}
