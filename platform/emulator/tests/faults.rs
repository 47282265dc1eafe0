//! Thousands of small platforms with everything that can go wrong, each from a seed that a failure prints.
//!
//! The emulator itself asserts that no instance runs more invocations than it may and that no host holds more than it has; here the
//! answers are held against each other, against what was allowed to go wrong, and against the platform's own counts.

use emulator::{Answer, Answers, Call, Creation, Platform, Region, Reply, Update, built_in};
use futures::future::join_all;
use model::{MemoryMib, Span, Time};
use probe::Request;
use rand::{Rng, RngExt, SeedableRng};
use rand_pcg::Pcg64;
use scheduler::policy::{BinPack, Fixed, KeepAlive, OnePerHost, Placement, Random, Spread};
use std::collections::{BTreeMap, BTreeSet};

/// Platforms that are tried: seconds in a debug build.
const SEEDS: u64 = 2_000;
/// Longest time that a request waits for an answer.
const LIMIT: Span = Span::from_secs(400);

/// A platform of a seed: small hosts, small quotas, and faults, each of them at times none.
fn platform(random: &mut Pcg64) -> Platform {
    let mut platform = built_in("aws-2018").expect("built in").expect("valid");
    let mut share = |most: f64| {
        if random.random::<f64>() < 0.4 { 0.0 } else { most * random.random::<f64>() }
    };
    let faults = &mut platform.model.faults;
    faults.lost_request = share(0.2);
    faults.lost_reply = share(0.2);
    faults.duplicate = share(0.3);
    faults.throttled = share(0.3);
    faults.crash = share(0.3);
    faults.start_failure = share(0.3);
    let scheduler = &mut platform.scheduler;
    scheduler.hosts.memory = MemoryMib(random.random_range(1..8) * 1536);
    scheduler.hosts.idle = Span::from_secs(random.random_range(1..100));
    scheduler.limits.account_concurrency = random.random_range(1..30);
    scheduler.limits.queue = random.random_range(0..10);
    scheduler.limits.queue_wait = Span::from_secs(random.random_range(1..30));
    let memory = random.random_range(2..20) * 1536;
    scheduler.limits.memory = (random.random::<f64>() < 0.3).then_some(MemoryMib(memory));
    scheduler.scaling.max_instances =
        (random.random::<f64>() < 0.3).then(|| random.random_range(1..10));
    let max_hosts = random.random_range(1..10);
    scheduler.placement = match random.random_range(0..4) {
        0 => Placement::BinPack(BinPack),
        1 => Placement::Spread(Spread { max_hosts }),
        2 => Placement::Random(Random { max_hosts }),
        _ => Placement::OnePerHost(OnePerHost),
    };
    if random.random::<f64>() < 0.5 {
        let limit = Span::from_secs(random.random_range(1..60));
        scheduler.keep_alive = KeepAlive::Fixed(Fixed { limit });
    }
    if random.random::<f64>() < 0.3 {
        scheduler.scaling.requests_per_instance = random.random_range(2..5);
    }
    platform
}

fn version(random: &mut impl Rng, number: u32) -> Update {
    Update {
        runtime: "python2.7".to_owned(),
        memory: MemoryMib(64 * random.random_range(2..24)),
        role: 0,
        mark: format!("{number}.{number}"),
        package_mib: 0.0,
    }
}

/// What one request was, and what became of it.
struct Seen {
    function: usize,
    reply: Reply,
}

/// Some functions in two accounts, each asked a few times by each of several clients, while one of them is updated.
fn history(region: &Region, random: &mut Pcg64) -> Vec<Seen> {
    let functions: Vec<Creation> = (0..random.random_range(1..4))
        .map(|number| Creation {
            name: format!("f{number}"),
            tenant: number % 2,
            timeout: Span::from_secs(random.random_range(2..60)),
            version: version(random, number),
        })
        .collect();
    let update = version(random, 9);
    let update_at = Time::ZERO + Span::from_secs(random.random_range(5..40));
    let calls: Vec<(usize, Call)> = (0..random.random_range(5..40))
        .map(|_| {
            let function = random.random_range(0..functions.len());
            let request = Request {
                identity: true,
                hold_ms: Some(random.random_range(0.0..4_000.0)),
                ..Request::default()
            };
            let at = Time::ZERO + Span::from_millis(random.random_range(5_000..60_000));
            (
                function,
                Call { function: format!("f{function}"), request, bytes: 0, at, limit: LIMIT },
            )
        })
        .collect();
    let main = async {
        for creation in functions {
            region.create(creation).await.expect("room for three operations");
        }
        let updated = async {
            region.sleep_until(update_at).await;
            region.update("f0", update).await
        };
        let asked = join_all(calls.into_iter().map(|(function, call)| async move {
            Seen { function, reply: region.call(call).await }
        }));
        let (seen, updated) = futures::join!(asked, updated);
        updated.expect("f0 is there");
        seen
    };
    region.run(main).expect("every request ends")
}

/// What must hold of any history.
fn check(region: &Region, seen: &[Seen]) {
    let faults = region.platform().model.faults;
    let each = region.platform().scheduler.scaling.requests_per_instance as usize;
    let mut ids = BTreeSet::new();
    let mut windows: BTreeMap<&str, Vec<(u64, u64)>> = BTreeMap::new();
    let mut answers: BTreeMap<usize, Answers> = BTreeMap::new();
    for Seen { function, reply } in seen {
        let it = answers.entry(*function).or_default();
        match &reply.answer {
            Answer::Response(response) => {
                it.answered += 1;
                it.again += u32::from(reply.again);
                assert!(each > 1 || reply.again == (response.invocations > 1), "{reply:?}");
                let window = (response.started_unix_ns, response.finished_unix_ns);
                windows.entry(&response.instance).or_default().push(window);
            }
            Answer::FunctionError(error) => {
                it.failed += 1;
                assert!(error.contains("Timedout") || faults.crash > 0.0, "{error}");
            }
            Answer::Refused { status: 429, .. } => it.throttled += 1,
            Answer::Refused { status, reason } => {
                it.refused += 1;
                assert!(*status == 503 || faults.start_failure > 0.0, "{status} {reason}");
            }
            Answer::Nothing => {
                it.nothing += 1;
                assert!(faults.lost_request + faults.lost_reply > 0.0, "an answer is missing");
            }
        }
        let is_named = !reply.request_id.is_empty();
        assert_eq!(is_named, reply.answer != Answer::Nothing);
        assert!(!is_named || ids.insert(&reply.request_id), "answered twice: {}", reply.request_id);
    }
    for (instance, windows) in &windows {
        let beside = |at: u64| windows.iter().filter(|it| it.0 <= at && at < it.1).count();
        let most = windows.iter().map(|it| beside(it.0)).max();
        assert!(most <= Some(each), "{instance} ran more than {each} at once: {windows:?}");
    }
    let counts = region.counts();
    assert_eq!(counts.requests, seen.len() as u64);
    assert!(counts.instances >= windows.len() as u64);
    let most = region.platform().scheduler.limits.account_concurrency;
    let limit = region.platform().scheduler.scaling.max_instances.unwrap_or(u32::MAX);
    for (number, answers) in answers {
        let of_function = &counts.functions[&format!("f{number}")];
        assert_eq!(of_function.answers, answers, "f{number}");
        assert!(of_function.running <= most, "{} ran, {most} may", of_function.running);
        // An update may leave as many of the version before.
        let limit = limit.saturating_mul(if number == 0 { 2 } else { 1 });
        assert!(of_function.running <= limit, "{} ran, {limit} may", of_function.running);
        assert!(of_function.colevel <= of_function.running);
        assert!(of_function.coresident <= of_function.running);
    }
}

fn run(seed: u64) -> (Region, Vec<Seen>) {
    let mut random = Pcg64::seed_from_u64(seed);
    let region = Region::new(platform(&mut random), seed);
    let seen = history(&region, &mut random);
    (region, seen)
}

/// Says which seed it was when what it guards panics.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the platform of seed {} failed", self.0);
        }
    }
}

// Whatever is lost, doubled, refused or dies: every request is answered once or lost as modelled, no instance runs more
// than it may, no host holds too much, quotas hold, and the platform counts what its users see.
#[test]
fn faults_break_nothing() {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64;
    std::thread::scope(|scope| {
        for core in 0..cores {
            scope.spawn(move || {
                for seed in (core..SEEDS).step_by(cores as usize) {
                    let _seed = Seed(seed);
                    let (region, seen) = run(seed);
                    check(&region, &seen);
                }
            });
        }
    });
}

// The histories see what they are meant to: each kind of answer comes up, and most requests are answered.
#[test]
fn histories_are_telling() {
    let mut all = Answers::default();
    for seed in 0..200 {
        for Seen { reply, .. } in run(seed).1 {
            match reply.answer {
                Answer::Response(_) => all.answered += 1,
                Answer::FunctionError(_) => all.failed += 1,
                Answer::Refused { status: 429, .. } => all.throttled += 1,
                Answer::Refused { .. } => all.refused += 1,
                Answer::Nothing => all.nothing += 1,
            }
        }
    }
    let least = [all.failed, all.throttled, all.refused, all.nothing].into_iter().min();
    assert!(least > Some(20) && all.answered > 1_000, "{all:?}");
}

// The same seed gives the same history, to the last digit of every answer; another seed another one.
#[test]
fn histories_repeat() {
    let text = |seed| {
        let (region, seen) = run(seed);
        let replies: Vec<&Reply> = seen.iter().map(|seen| &seen.reply).collect();
        format!("{replies:?} {:?}", region.counts())
    };
    for seed in 0..50 {
        let _seed = Seed(seed);
        assert_eq!(text(seed), text(seed));
        assert_ne!(text(seed), text(seed + 1));
    }
}
