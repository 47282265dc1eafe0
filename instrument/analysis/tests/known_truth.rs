//! Records from models with known values: each analysis must find the values, by the criterion of its class.
//!
//! Coverage of 95 % intervals is judged over 200 seeds by the 0.1 % point of a binomial of 0.95, which is 179.

mod modelled;

use analysis::{Finding, Value, analyse};
use modelled::{Hosts, Keeping, Placing, Run, WAY_NS};
use rand::RngExt;
use record::{Outcome, Record};

const SEEDS: u64 = 200;
const COVERED_MIN: usize = 179;

fn find<'a>(findings: &'a [Finding], metric: &str) -> &'a Finding {
    findings
        .iter()
        .find(|finding| finding.metric == metric)
        .unwrap_or_else(|| panic!("no {metric}"))
}

fn number(finding: &Finding) -> f64 {
    match finding.value {
        Value::Number(number) => number,
        _ => panic!("{} is {:?}", finding.metric, finding.value),
    }
}

fn word(findings: &[Finding], metric: &str) -> String {
    match &find(findings, metric).value {
        Value::Word(word) => word.clone(),
        other => panic!("{metric} is {other:?}"),
    }
}

fn covers(finding: &Finding, truth: f64) -> bool {
    let (low, high) = finding.ci95.unwrap_or_else(|| panic!("{} has no interval", finding.metric));
    low.is_none_or(|low| low <= truth) && high.is_none_or(|high| truth <= high)
}

/// Relative errors' median and 95th percentile.
fn errors(values: &[f64], truth: f64) -> (f64, f64) {
    let mut errors: Vec<f64> = values.iter().map(|value| (value / truth - 1.0).abs()).collect();
    errors.sort_by(f64::total_cmp);
    (errors[errors.len() / 2], errors[errors.len() * 95 / 100])
}

// Cold starts as on AWS in 2018: every interval covers; of 400, the median is within 2 and 10 %, the mean within 5 and
// 15 %.
#[test]
fn cold_starts_are_found() {
    // Standard normal points of 50, 95 and 99 %.
    let quantile = |z: f64| 0.4 + 189.9 + 75.3 * (1.29 * z).exp();
    assert_eq!(WAY_NS, 400_000);
    let truths = [
        ("coldstart.latency_ms.p50", quantile(0.0)),
        ("coldstart.latency_ms.p95", quantile(1.644_853_6)),
        ("coldstart.latency_ms.p99", quantile(2.326_347_9)),
        ("coldstart.latency_ms.mean", 0.4 + 189.9 + 75.3 * (1.29_f64 * 1.29 / 2.0).exp()),
    ];
    let mut covered = [0; 4];
    let mut found: [Vec<f64>; 4] = Default::default();
    for seed in 0..SEEDS {
        let rounds = if seed < 40 { 400 } else { 100 };
        let mut records = Run::new(seed).coldstarts(rounds);
        records.retain(|record| record.phase == "cold");
        let (findings, _) = analyse(&records);
        for (index, (metric, truth)) in truths.iter().enumerate() {
            let finding = find(&findings, metric);
            covered[index] += usize::from(covers(finding, *truth));
            if rounds == 400 {
                found[index].push(number(finding));
            }
        }
    }
    for (index, (metric, _)) in truths.iter().enumerate() {
        // The mean of so skewed a distribution is covered a little less, by any method without a model: 0.92.
        let least = if metric.ends_with("mean") { 170 } else { COVERED_MIN };
        assert!(covered[index] >= least, "{metric}: {} of {SEEDS}", covered[index]);
    }
    let (middle, high) = errors(&found[0], truths[0].1);
    assert!(middle <= 0.02 && high <= 0.1, "median: {middle} {high}");
    let (middle, high) = errors(&found[3], truths[3].1);
    assert!(middle <= 0.05 && high <= 0.15, "mean: {middle} {high}");
}

// Warm starts that come in twos per round: the clock-free figure covers, and the latency holds its clock's bound.
#[test]
fn warm_starts_are_found() {
    // 3 ms and the product of two lognormals of median 1 ms.
    let truth = 4.0;
    let (mut latencies, mut overheads) = (0, 0);
    for seed in 0..SEEDS {
        let mut records = Run::new(seed).coldstarts(60);
        records.retain(|record| record.phase == "warm");
        let (findings, _) = analyse(&records);
        latencies += usize::from(covers(find(&findings, "warmstart.latency_ms.p50"), truth + 0.4));
        overheads += usize::from(covers(find(&findings, "warmstart.overhead_ms.p50"), truth + 0.8));
    }
    assert!(latencies >= COVERED_MIN && overheads >= COVERED_MIN, "{latencies} {overheads}");
}

// A request meant to be cold that meets an instance prepared ahead is in no figure, and said.
#[test]
fn prepared_instances_are_not_cold() {
    let mut records = Run::new(1).coldstarts(20);
    for record in records.iter_mut().filter(|record| record.phase == "cold" && record.round < 5) {
        record.init_unix_ns -= 60_000_000_000;
    }
    let (findings, problems) = analyse(&records);
    assert_eq!(find(&findings, "coldstart.latency_ms.p50").n, 15);
    assert!(
        problems.iter().any(|problem| problem.text.contains("5 of 20 requests meant to be cold"))
    );
}

// Timeouts rank above everything: they move the median up, and make the tail unknown rather than short.
#[test]
fn failures_are_never_dropped() {
    let mut records = Run::new(1).coldstarts(100);
    let median = |records: &[Record]| number(find(&analyse(records).0, "coldstart.latency_ms.p50"));
    let before = median(&records);
    let failed = records.iter_mut().filter(|record| record.phase == "cold" && record.round < 30);
    failed.for_each(|record| record.outcome = Outcome::TimedOut);
    assert!(median(&records) > before);
    let (findings, _) = analyse(&records);
    assert_eq!(find(&findings, "coldstart.latency_ms.p95").value, Value::Null);
    assert_eq!(find(&findings, "failures.fraction").value, Value::Number(0.1));
}

// Void rounds and functions that were never created are in no figure, and said.
#[test]
fn void_rounds_are_left_out() {
    let mut records = Run::new(1).coldstarts(20);
    for record in records.iter_mut().filter(|record| record.round == 3) {
        record.setting.insert("void".to_owned(), "send lag 9 ms".to_owned());
    }
    records.push(Record {
        experiment: "coldstart".into(),
        phase: "deploy".into(),
        error: "no".into(),
        ..Record::default()
    });
    let (findings, problems) = analyse(&records);
    assert_eq!(find(&findings, "coldstart.latency_ms.p50").n, 19);
    assert_eq!(find(&findings, "failures.fraction").value, Value::Number(0.0));
    assert!(problems.iter().any(|problem| problem.text.contains("send lag 9 ms")));
    assert!(problems.iter().any(|problem| problem.text.contains("1 functions were not created")));
}

// Hosts of any size and every policy: the word, the bracket and the counts are right, and unknown is the only miss.
#[test]
fn placement_is_found() {
    let (mut unknown, mut all) = (0, 0);
    for seed in 0..60 {
        let mut run = Run::new(seed);
        let memory_mib = 128 * run.random.random_range(10..30);
        let placing = match seed % 4 {
            0 => Placing::BinPack,
            1 => Placing::Spread { hosts: run.random.random_range(2..20) },
            2 => Placing::Random { hosts: run.random.random_range(5..20) },
            _ => Placing::OnePerHost,
        };
        let records = Hosts::new(placing, memory_mib).fills(&mut run, 3);
        let (findings, problems) = analyse(&records);
        let found = word(&findings, "placement.policy");
        let truth = match placing {
            Placing::BinPack => "bin_pack",
            Placing::Spread { .. } => "spread",
            Placing::Random { .. } => "random",
            Placing::OnePerHost => "one_per_host",
        };
        all += 1;
        if found == "unknown" {
            unknown += 1;
            assert!(problems.iter().any(|problem| problem.text.starts_with("placement.policy:")));
        } else {
            assert_eq!(found, truth, "{placing:?}, seed {seed}");
        }
        if placing == Placing::BinPack {
            let memory = find(&findings, "placement.host_memory_mib");
            assert_eq!(number(memory), f64::from(memory_mib / 128 * 128), "seed {seed}");
            let (low, high) = memory.ci95.unwrap();
            assert_eq!(high.unwrap() - low.unwrap(), 128.0);
        }
    }
    assert!(unknown * 20 <= all, "{unknown} of {all} unknown");
}

// Where nothing names the host, everything per host is null with a reason.
#[test]
fn nameless_hosts_give_nulls() {
    let mut run = Run::new(1);
    let mut records = Hosts::new(Placing::BinPack, 1536).fills(&mut run, 2);
    records.iter_mut().for_each(|record| record.host_ids.clear());
    let (findings, problems) = analyse(&records);
    assert_eq!(word(&findings, "placement.policy"), "unknown");
    assert_eq!(find(&findings, "placement.host_memory_mib").value, Value::Null);
    assert!(problems.iter().any(|problem| problem.text.contains("nothing names the host")));
}

// A fixed limit: the word, and brackets that hold the limit and are at most 2 % wide, whatever else ends instances.
#[test]
fn fixed_limits_are_found() {
    for seed in 0..SEEDS {
        let mut run = Run::new(seed);
        let limit_s = run.random.random_range(2.0..15.0);
        let (findings, _) = analyse(&Keeping::Fixed { limit_s }.records(&mut run));
        for metric in ["idle.first_loss_s", "idle.max_idle_s"] {
            let finding = find(&findings, metric);
            assert!(
                covers(finding, limit_s),
                "{metric}: {:?}, {limit_s}, seed {seed}",
                finding.ci95
            );
            let (low, high) = finding.ci95.unwrap();
            assert!(high.unwrap() - low.unwrap() <= 0.02 * limit_s, "{metric}, seed {seed}");
        }
        let found = word(&findings, "idle.policy");
        assert!(found == "fixed" || found == "unknown", "{found}, seed {seed}");
    }
}

// Halving pools: the word, and the interval within 10 %.
#[test]
fn halving_is_found() {
    let mut close = 0;
    for seed in 0..8 {
        let mut run = Run::new(seed);
        let interval_s = run.random.random_range(2.0..4.0);
        let keeping = Keeping::Halving { interval_s, floor: 2, limit_s: 3.0 * interval_s };
        let (findings, _) = analyse(&keeping.records(&mut run));
        assert_eq!(word(&findings, "idle.policy"), "halving", "seed {seed}");
        let found = number(find(&findings, "idle.halving_interval_s"));
        close += u32::from((found / interval_s - 1.0).abs() <= 0.1);
        assert!(covers(find(&findings, "idle.max_idle_s"), 3.0 * interval_s), "seed {seed}");
    }
    assert!(close >= 7, "{close} of 8");
}

// Instances that end at any time alike, or at once, never get a limit's word.
#[test]
fn other_keeping_gets_no_wrong_word() {
    for seed in 0..60 {
        let mut run = Run::new(seed);
        let mean_s = run.random.random_range(2.0..15.0);
        let (findings, _) = analyse(&Keeping::Memoryless { mean_s }.records(&mut run));
        let found = word(&findings, "idle.policy");
        assert!(found == "random" || found == "unknown", "{found}, seed {seed}");
        let mut records = Keeping::None.records(&mut run);
        assert_eq!(word(&analyse(&records).0, "idle.policy"), "unknown");
        // That a request at once meets a new instance tells that nothing is kept.
        let mut warm = run.coldstarts(5);
        warm.iter_mut().for_each(|record| record.instance_invocations = 1);
        records.extend(warm);
        assert_eq!(word(&analyse(&records).0, "idle.policy"), "none");
    }
}

/// One instance's window of 400 ms beginning at `begin_ns`, in which it gets `share` of a CPU by turns of 10 ms.
fn window(begin_ns: u64, share: f64) -> String {
    let turns: Vec<String> = (0..40)
        .map(|turn| {
            let from = turn * 10_000_000_u64;
            format!("[{from},{}]", from + (share * 1e7) as u64)
        })
        .collect();
    format!(
        r#"{{"cpu":{{"window_ns":400000000,"started_unix_ns":{begin_ns},"threads":1,"cpu_ns":{},"ran":[{}]}}}}"#,
        (share * 4e8) as u64,
        turns.join(",")
    )
}

fn measured(run: &mut Run, request: modelled::Request, share: f64, late_ns: u64) -> Record {
    let record = run.record(request);
    let detail = window(record.started_unix_ns + late_ns, share);
    Record { detail: detail.into(), ..record }
}

// CPU shares, alone with 3 % of noise per instance, and beside others with noise per host: found within 2 and 5 %, by
// the colevel as it really was, and covered.
#[test]
fn cpu_shares_are_found() {
    let (mut alone, mut shared, mut found) = (0, 0, Vec::new());
    for seed in 0..SEEDS {
        let mut run = Run::new(seed);
        let mut records = Vec::new();
        for round in 0..20 {
            let noise = |run: &mut Run| 1.0 + 0.06 * (run.random.random::<f64>() - 0.5);
            let request = |phase, number: u32, host| modelled::Request {
                experiment: "cpu",
                phase,
                round,
                function: format!("{phase}-{round}"),
                instance: format!("{phase}-{round}-{number}"),
                memory_mib: 256,
                setting: vec![("colevel", "6".to_owned())],
                served: 1,
                run_ns: 400_000_000,
                host: Some(format!("{round}-{host}")),
                ..modelled::Request::default()
            };
            let share = 0.25 * noise(&mut run);
            records.push(measured(&mut run, request("alone", 0, 0), share, 0));
            // Six were meant to share a host; four did, and two another one.
            let per_host = [noise(&mut run), noise(&mut run)];
            for number in 0..6 {
                let host = usize::from(number > 3);
                let share = 0.2 * per_host[host];
                let late_ns = u64::from(number) * 1_000_000;
                records.push(measured(&mut run, request("shared", number, host), share, late_ns));
            }
            run.now_ns += 1_000_000_000;
        }
        let (findings, _) = analyse(&records);
        let share = find(&findings, "cpu.share");
        alone += usize::from(covers(share, 0.25));
        found.push(number(share));
        let levels: Vec<_> =
            findings.iter().filter(|finding| finding.metric == "cpu.share_shared").collect();
        let colevels: Vec<_> =
            levels.iter().map(|finding| finding.setting["colevel"].as_u64()).collect();
        assert_eq!(colevels, [Some(2), Some(4)]);
        shared += usize::from(covers(levels[1], 0.2));
        assert!((number(find(&findings, "cpu.fairness")) - 1.0).abs() < 0.01);
    }
    assert!(alone >= COVERED_MIN && shared >= COVERED_MIN, "{alone} {shared}");
    let (middle, high) = errors(&found, 0.25);
    assert!(middle <= 0.02 && high <= 0.1, "{middle} {high}");
}

// The same records in any order give the same findings.
#[test]
fn order_of_records_does_not_matter() {
    let mut run = Run::new(1);
    let mut records = Hosts::new(Placing::BinPack, 1536).fills(&mut run, 2);
    records.extend(run.coldstarts(15));
    let found = analyse(&records);
    records.reverse();
    assert!(analyse(&records) == found);
}
