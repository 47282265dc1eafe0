//! Instances that take more than one request at once, as a platform of the emulator with known settings.

use emulator::{Answer, Call, Creation, Platform, Region, Reply, Update, built_in};
use futures::future::join_all;
use model::{MemoryMib, Span, Time};
use probe::{Cpu, Request};

/// AWS in 2018 but for so many requests on one instance, one kind of host, and CPU shares that are all alike.
fn platform(requests_per_instance: u32) -> Platform {
    let mut platform = built_in("aws-2018").expect("built in").expect("valid");
    platform.scheduler.scaling.requests_per_instance = requests_per_instance;
    platform.model.cpu.ceiling_sd = 0.0;
    platform.model.host.truncate(1);
    platform
}

/// What so many requests at once get that are all busy for a second from one moment on.
fn burst(platform: Platform, requests: u32) -> (Region, Vec<Reply>) {
    let region = Region::new(platform, 1);
    let version = Update {
        runtime: "python2.7".to_owned(),
        memory: MemoryMib(512),
        role: 0,
        mark: "1.1".to_owned(),
        package_mib: 0.0,
    };
    let creation =
        Creation { name: "f".to_owned(), tenant: 0, timeout: Span::from_secs(60), version };
    let main = async {
        region.create(creation).await.expect("room for one function");
        let at = Time::ZERO + Span::from_secs(60);
        let barrier = 1_514_764_800_000_000_000 + (at + Span::from_secs(15)).as_nanos();
        let request = Request {
            barrier_unix_ns: Some(barrier),
            cpu: Some(Cpu { window_ms: 1_000.0, threads: 0 }),
            ..Request::default()
        };
        let call = || Call {
            function: "f".to_owned(),
            request: request.clone(),
            bytes: 0,
            at,
            limit: Span::from_secs(100),
        };
        join_all((0..requests).map(|_| region.call(call()))).await
    };
    let replies = region.run(main).expect("every request ends");
    (region, replies)
}

/// Instance and CPUs' worth of time of each answer.
fn shares(replies: &[Reply]) -> Vec<(String, f64)> {
    let share = |reply: &Reply| match &reply.answer {
        Answer::Response(response) => {
            let cpu = response.cpu.as_ref().expect("a window");
            (response.instance.clone(), cpu.cpu_ns as f64 / cpu.window_ns as f64)
        }
        other => panic!("{other:?}"),
    };
    replies.iter().map(share).collect()
}

// Four requests run on one instance and have a fourth of its share each; a fifth has an instance of its own.
#[test]
fn requests_share_their_instance() {
    let alone = shares(&burst(platform(1), 1).1)[0].1;
    let (region, replies) = burst(platform(4), 5);
    let shares = shares(&replies);
    let beside = |instance: &str| shares.iter().filter(|it| it.0 == instance).count();
    let mut counts: Vec<usize> = shares.iter().map(|(instance, _)| beside(instance)).collect();
    for ((_, share), count) in shares.iter().zip(&counts) {
        assert!(
            (share * *count as f64 / alone - 1.0).abs() < 1e-3,
            "{share} of {alone} by {count}"
        );
    }
    counts.sort_unstable();
    assert_eq!(counts, [1, 4, 4, 4, 4]);
    let counted = &region.counts().functions["f"];
    assert_eq!((counted.running, counted.instances, counted.answers.again), (2, 2, 0));
}

// Each request has a bill of its own time, whoever ran beside it, and an init is on one bill for each instance.
#[test]
fn each_request_is_billed() {
    let (_, replies) = burst(platform(4), 8);
    let reports: Vec<_> = replies.iter().map(|it| it.report.expect("a report")).collect();
    for (reply, report) in replies.iter().zip(&reports) {
        let Answer::Response(response) = &reply.answer else { panic!("{reply:?}") };
        let ran_ms = response.duration_ns as f64 / 1e6;
        assert!(
            report.duration_ms >= ran_ms && report.duration_ms < ran_ms + 1_000.0,
            "{report:?}"
        );
        assert!(report.billed_ms >= report.duration_ms, "{report:?}");
    }
    assert_eq!(reports.iter().filter(|it| it.init_duration_ms > 0.0).count(), 2);
}
