//! Whole replays of small traces whose outcome can be worked out by hand.

use model::{MemoryMib, Span};
use replay::{Choice, Defaults, Delay, Engine, Functions, Problems, Timing, Totals, TraceError};
use scheduler::Profile;
use std::path::{Path, PathBuf};

const AZURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/azure");

fn timing(cold_ms: u64) -> Timing {
    Timing {
        cold: Delay::Constant(Span::from_millis(cold_ms)),
        warm: Delay::Constant(Span::ZERO),
        host: Delay::Constant(Span::ZERO),
    }
}

fn run(
    path: &Path,
    policies: &[&str],
    cold_ms: u64,
) -> Result<(Vec<Totals>, Problems, Functions), TraceError> {
    let mut problems = Problems::default();
    let mut source = replay::open(path, Defaults::default())?;
    let engine = |name: &&str| {
        let profile = Choice::parse(name).expect("a policy").apply(&Profile::default());
        Engine::new(name, profile, timing(cold_ms), 1)
    };
    let mut engines: Vec<Engine> = policies.iter().map(engine).collect();
    let functions = replay::replay(source.as_mut(), &mut engines, &mut problems)?;
    Ok((engines.iter().map(Engine::totals).collect(), problems, functions))
}

fn table(directory: &tempfile::TempDir, text: &str) -> PathBuf {
    let path = directory.path().join("trace.csv");
    std::fs::write(&path, text).expect("a writable directory");
    path
}

const HEAD: &str = "time_s,function,tenant,duration_ms,memory_mib\n";

// Cold starts, latencies, memory and bills of four invocations are those that one works out by hand.
#[test]
fn a_small_trace_adds_up() {
    let directory = tempfile::tempdir().expect("a directory");
    let text = format!(
        "{HEAD}0,f,t,1000,100\n10,f,t,1000,100\n200,f,t,1000,100\n200.5,g,t,500,50\n301,f,t,1000,100\n"
    );
    let (totals, problems, functions) =
        run(&table(&directory, &text), &["fixed:60", "none"], 500).expect("a trace");
    assert_eq!((problems.rows, functions.len()), (0, 2));
    let fixed = &totals[0];
    assert_eq!((fixed.invocations, fixed.cold, fixed.warm), (5, 4, 1));
    assert_eq!(
        (fixed.start_ms.p50, fixed.start_ms.max, fixed.response_ms.max),
        (500.0, 500.0, 1500.0)
    );
    // f: 0 to 71 s, 200 to 261.5 s; g: 200.5 to 261.5 s, and at 301 s the trace ends.
    assert!(
        (fixed.memory.instances_mib_s - 100.0 * (71.0 + 61.5) - 50.0 * 61.0).abs() < 1e-6,
        "{fixed:?}"
    );
    assert!((fixed.memory.busy_mib_s - 100.0 * 3.0 - 50.0 * 0.5).abs() < 1e-6);
    assert!((fixed.memory.starting_mib_s - 100.0 * 1.0 - 50.0 * 0.5).abs() < 1e-6);
    let billed = (100.0 * (4.0 + 3.0 * 0.5) + 50.0 * (0.5 + 0.5)) / 1024.0;
    assert!((fixed.billed_gb_s - billed).abs() < 1e-9, "{} {billed}", fixed.billed_gb_s);
    let none = &totals[1];
    assert_eq!((none.cold, none.warm, none.memory.idle_mib_s), (5, 0, 0.0));
}

// A row that cannot be read is reported with its line and counted, and the rest is replayed.
#[test]
fn unreadable_rows_are_reported() {
    let directory = tempfile::tempdir().expect("a directory");
    let text = format!(
        "{HEAD}0,f,t,1000,100\nx,f,t,1,1\n3,f,t\n5,f,t,1,200\n4,f,t,1,100\n6,,t,1,100\n7,f,t,1,100\n"
    );
    let (totals, problems, _) = run(&table(&directory, &text), &["fixed"], 0).expect("a trace");
    assert_eq!((totals[0].invocations, problems.rows, problems.changed), (3, 4, 1));
    let lines: Vec<&str> =
        problems.first.iter().filter_map(|it| it.rsplit("trace.csv:").next()).collect();
    assert_eq!(
        lines,
        [
            "3: time_s is \"x\", must be a number from 0 to 315360000",
            "4: memory_mib is \"\", must be a number from 0 to 4294967295",
            "5: memory_mib is 200, was 100: that stays",
            "6: time_s is 4, after 5: rows must be in the order of time",
            "7: function is empty",
        ]
    );
}

// A column of another name is refused, and the nearest one that is known is named.
#[test]
fn columns_are_checked() {
    let directory = tempfile::tempdir().expect("a directory");
    let error = |head: &str| run(&table(&directory, head), &[], 0).expect_err(head).to_string();
    let text = error("time_s,function,tenant,duration_ms,memory_mi\n");
    assert!(text.ends_with("column \"memory_mi\" is not known, \"memory_mib\" is near; known are time_s, function, tenant, duration_ms, memory_mib, cold_extra_ms"), "{text}");
    assert!(
        error("time_s,function,tenant,duration_ms\n").ends_with("column \"memory_mib\" is missing")
    );
}

// The Azure layout: every invocation of both days is there, in order, and memory is the application's.
#[test]
fn azure_days_are_read() {
    let mut source = replay::open(Path::new(AZURE), Defaults::default()).expect("the data set");
    let (mut functions, mut problems) = (Functions::default(), Problems::default());
    let mut arrivals = Vec::new();
    while let Some(arrival) = source.next(&mut functions, &mut problems).expect("the data set") {
        arrivals.push(arrival);
    }
    let daily: u64 =
        std::fs::read_to_string(format!("{AZURE}/invocations_per_function_md.anon.d01.csv"))
            .expect("day 1")
            .lines()
            .skip(1)
            .flat_map(|line| line.split(',').skip(4).map(|it| it.parse::<u64>().expect("a count")))
            .sum();
    let first = arrivals.iter().filter(|it| it.at.as_secs_f64() < 86_400.0).count() as u64;
    assert_eq!(first, daily);
    assert!(arrivals.len() as u64 > daily && arrivals.is_sorted_by_key(|it| it.at));
    assert_eq!((problems.rows, functions.len()), (0, 3));
    let memory: Vec<MemoryMib> = (0..3).map(|it| functions.facts(it).memory).collect();
    assert_eq!(memory, [MemoryMib(120), MemoryMib(171), MemoryMib(380)]);
    let queue = arrivals.iter().filter(|it| it.function == 2);
    let longest = queue.map(|it| it.duration).max().expect("some");
    assert!((Span::from_secs(5)..=Span::from_secs(15)).contains(&longest), "{longest}");
}

// What a data set leaves out, and rows that are broken, are reported; the defaults stand for the former.
#[test]
fn azure_gaps_are_reported() {
    let directory = tempfile::tempdir().expect("a directory");
    let name = "invocations_per_function_md.anon.d01.csv";
    let text = std::fs::read_to_string(format!("{AZURE}/{name}")).expect("day 1");
    let broken = text.replacen(",1,", ",many,", 3).replacen(",many,", ",1,", 1);
    std::fs::write(directory.path().join(name), broken).expect("a writable directory");
    let (totals, problems, functions) = run(directory.path(), &["fixed"], 0).expect("a trace");
    assert_eq!((problems.rows, problems.changed, functions.len()), (1, 6, 3));
    assert!(
        problems.first[0]
            .ends_with("d01.csv:2: minute 1 is \"many\", must be a whole number from 0"),
        "{:?}",
        problems.first
    );
    assert!(totals[0].invocations > 0);
    let empty = tempfile::tempdir().expect("a directory");
    assert!(matches!(run(empty.path(), &[], 0), Err(TraceError::Nothing { .. })));
}

// On a timer of half an hour the histogram saves the memory of a long keep-alive, and most cold starts of a short one.
#[test]
fn policies_trade_memory_for_cold_starts() {
    let policies = ["fixed:600", "fixed:14400", "histogram", "memory_pressure"];
    let (totals, ..) = run(Path::new(AZURE), &policies, 500).expect("the data set");
    let [short, long, histogram, pressure] = totals.as_slice() else { panic!("four policies") };
    assert!(totals.iter().all(|it| it.cold + it.warm == it.invocations && it.rejected == 0));
    assert!(long.cold < short.cold && long.memory.idle_mib_s > short.memory.idle_mib_s);
    assert!(histogram.cold < short.cold, "{} of {}", histogram.cold, short.cold);
    assert!(histogram.memory.idle_mib_s < long.memory.idle_mib_s);
    assert!(pressure.cold <= long.cold);
}

// The same trace and seed give the same figures.
#[test]
fn replays_are_the_same() {
    let once =
        || run(Path::new(AZURE), &["memoryless:300", "bimodal"], 100).expect("the data set").0;
    assert_eq!(once(), once());
}
