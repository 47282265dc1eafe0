//! Placement by contention beside bin-packing, on one platform that differs in nothing else: AWS as it was in 2018.

use emulator::{Answer, Call, Creation, Platform, Region, Reply, Update, built_in};
use futures::future::join_all;
use model::{MemoryMib, Span, Time};
use probe::{Disk, Network, Request};
use scheduler::policy::{LeastContention, Placement, Weights};
use std::collections::BTreeMap;

/// Requests at once.
const REQUESTS: u32 = 20;

/// Hosts that one tenant may have, where contention decides.
const HOSTS: u32 = 10;

/// AWS in 2018, but for placement.
fn by_contention() -> Platform {
    let mut platform = packed();
    platform.scheduler.placement = Placement::LeastContention(LeastContention {
        max_hosts: HOSTS,
        load_limit: 0.5,
        weights: Weights { memory: 1.0, cpu: 1.0, disk: 1.0, network: 1.0 },
        disk_mib_s: platform.model.disk.write_mib_s,
        network_mbit_s: platform.model.network.mbit_s,
    });
    platform
}

fn packed() -> Platform {
    built_in("aws-2018").expect("built in").expect("valid")
}

fn creation(name: &str) -> Creation {
    let version = Update {
        runtime: "python2.7".to_owned(),
        memory: MemoryMib(128),
        role: 0,
        mark: "1.1".to_owned(),
        package_mib: 0.0,
    };
    Creation { name: name.to_owned(), tenant: 0, timeout: Span::from_secs(60), version }
}

fn call(function: &str, request: &Request, at: Time) -> Call {
    let limit = Span::from_secs(100);
    Call { function: function.to_owned(), request: request.clone(), bytes: 0, at, limit }
}

/// The answers to requests that come at once and do as `request` says from one moment on.
fn burst(region: &Region, request: Request) -> Vec<Reply> {
    let main = async {
        region.create(creation("f")).await.expect("room for one function");
        let at = Time::ZERO + Span::from_secs(60);
        let barrier = region.epoch_unix_ns() + (at + Span::from_secs(15)).as_nanos();
        let request = Request { barrier_unix_ns: Some(barrier), ..request };
        join_all((0..REQUESTS).map(|_| region.call(call("f", &request, at)))).await
    };
    region.run(main).expect("every request ends")
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let values: Vec<f64> = values.collect();
    values.iter().sum::<f64>() / values.len() as f64
}

/// The most instances on one host, mean cold start in seconds, and mean throughput of the disk or the network.
fn measure(platform: Platform, request: Request) -> (usize, f64, f64) {
    let region = Region::new(platform, 1);
    let replies = burst(&region, request);
    let mut hosts: BTreeMap<String, usize> = BTreeMap::new();
    let mut rates = Vec::new();
    for reply in &replies {
        let Answer::Response(response) = &reply.answer else { panic!("{reply:?}") };
        let identity = response.identity.as_ref().expect("it was asked for");
        *hosts.entry(identity.host_ids["instance_root_id"].clone()).or_default() += 1;
        rates.extend(response.disk.as_ref().map(|it| mean(it.write_mib_s.iter().copied())));
        let megabits =
            |it: &probe::NetworkResult| it.sent_bytes as f64 * 8e3 / it.duration_ns as f64;
        rates.extend(response.network.as_ref().map(megabits));
    }
    let cold_ms = mean(replies.iter().map(|it| it.report.expect("a report").init_duration_ms));
    let most = hosts.values().copied().max().expect("some host");
    (most, cold_ms, mean(rates.into_iter()))
}

// Twenty starts at once: packed, all are on one host and wait for each other there; by contention they are on ten, start
// in less than half of the time, and each has several times the disk and the network. The figures are in the README.
#[test]
fn starts_and_throughput_by_contention() {
    let disk = Disk { block_bytes: 1 << 20, blocks: 8, rounds: 3 };
    let network = Network { sink: "192.0.2.1:9".to_owned(), window_ms: 1_000.0 };
    let asked = [
        Request { identity: true, disk: Some(disk), ..Request::default() },
        Request { identity: true, network: Some(network), ..Request::default() },
    ];
    for request in asked {
        let (most, cold_ms, rate) = measure(packed(), request.clone());
        let (apart, cold_apart_ms, rate_apart) = measure(by_contention(), request);
        println!("packed: {most} on a host, cold start {cold_ms:.0} ms, {rate:.1} each");
        println!(
            "apart: {apart} on a host, cold start {cold_apart_ms:.0} ms, {rate_apart:.1} each"
        );
        assert_eq!((most, apart), (20, 2));
        assert!(cold_apart_ms < 0.5 * cold_ms, "{cold_apart_ms} ms and {cold_ms} ms");
        assert!(rate_apart > 3.0 * rate, "{rate_apart} and {rate}");
    }
}

// A host whose network is busy gets no new instance, although it has room; when that is over, it does.
#[test]
fn busy_hosts_are_shunned() {
    let region = Region::new(by_contention(), 1);
    let network = Network { sink: "192.0.2.1:9".to_owned(), window_ms: 10_000.0 };
    let quiet = Request { identity: true, ..Request::default() };
    let busy = Request { network: Some(network), ..quiet.clone() };
    let main = async {
        for name in ["busy", "meanwhile", "afterwards"] {
            region.create(creation(name)).await.expect("room for one function");
        }
        let at = |seconds| Time::ZERO + Span::from_secs(seconds);
        futures::join!(
            region.call(call("busy", &busy, at(60))),
            region.call(call("meanwhile", &quiet, at(65))),
            region.call(call("afterwards", &quiet, at(90))),
        )
    };
    let (busy, meanwhile, afterwards) = region.run(main).expect("every request ends");
    let host = |reply: &Reply| match &reply.answer {
        Answer::Response(response) => {
            let identity = response.identity.as_ref().expect("it was asked for");
            identity.host_ids["instance_root_id"].clone()
        }
        other => panic!("{other:?}"),
    };
    assert_ne!(host(&busy), host(&meanwhile));
    assert_eq!(host(&busy), host(&afterwards));
}
