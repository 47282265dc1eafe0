//! The store through its public face: what is written is found again, in bounds, after restarts and damage.

use logs::pattern::Pattern;
use logs::{Bounds, Describe, Filter, Get, Logs, LogsError, Order};
use model::{Span, TenantId};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const GROUP: &str = "/aws/lambda/f";

fn tenant() -> TenantId {
    TenantId::from_number(1)
}

fn open(directory: &Path) -> Logs {
    Logs::open(directory, Bounds::default()).expect("opens")
}

/// Milliseconds of a moment ten minutes ago, and `ms` later.
fn at(ms: u64) -> SystemTime {
    static BEGIN: std::sync::OnceLock<SystemTime> = std::sync::OnceLock::new();
    let ago = || SystemTime::now() - Duration::from_secs(600);
    *BEGIN.get_or_init(ago) + Duration::from_millis(ms)
}

fn ms(at: SystemTime) -> i64 {
    at.duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as i64
}

fn filter<'a>(pattern: &'a Pattern, limit: usize) -> Filter<'a> {
    Filter {
        tenant: tenant(),
        group: GROUP,
        streams: &[],
        prefix: "",
        from_ms: 0,
        to_ms: i64::MAX - 1,
        pattern,
        order: Order::Earliest,
        next: None,
        limit,
    }
}

/// All messages, page by page.
fn messages(logs: &Logs, filter: Filter<'_>) -> Vec<String> {
    let (mut messages, mut filter) = (Vec::new(), filter);
    for _ in 0..10_000 {
        let page = logs.filter(&filter).expect("answers");
        messages.extend(page.events.into_iter().map(|event| event.message));
        match page.next {
            Some(next) => filter.next = Some(next),
            None => return messages,
        }
    }
    panic!("pages without end");
}

fn everything(logs: &Logs) -> Vec<String> {
    messages(logs, filter(&Pattern::default(), 10_000))
}

/// Files of the group, oldest first.
fn segments(directory: &Path) -> Vec<PathBuf> {
    let group = directory.join(tenant().to_string()).join("%2faws%2flambda%2ff");
    let entries = fs::read_dir(group).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|ending| ending == "log")).collect();
    files.sort();
    files
}

// What was written is found at once, in the order of time over all streams, and again after a restart; another tenant
// finds nothing.
#[test]
fn what_is_written_is_found() {
    let data = tempfile::tempdir().expect("a directory");
    let logs = open(data.path());
    let (one, two) = (logs.stream(tenant(), GROUP, "s1"), logs.stream(tenant(), GROUP, "s2"));
    for number in 0..10 {
        let stream = if number % 2 == 0 { &one } else { &two };
        // The second stream is told later than it happened.
        stream.write(at(number * 10), format!("line {number}").as_bytes());
    }
    let expected: Vec<String> = (0..10).map(|number| format!("line {number}")).collect();
    assert_eq!(everything(&logs), expected);
    one.write(at(25), b"in between");
    logs.close();
    let logs = open(data.path());
    let mut expected = expected;
    expected.insert(3, "in between".to_owned());
    assert_eq!(everything(&logs), expected);
    let all = Pattern::default();
    for limit in 1..5 {
        assert_eq!(messages(&logs, filter(&all, limit)), expected);
        let backward = Filter { order: Order::Latest, ..filter(&all, limit) };
        let reversed: Vec<String> = expected.iter().rev().cloned().collect();
        assert_eq!(messages(&logs, backward), reversed);
    }
    let pattern = Pattern::parse("line -5").expect("a pattern");
    assert_eq!(messages(&logs, filter(&pattern, 3)).len(), 9);
    let prefix = Filter { prefix: "s2", ..filter(&pattern, 100) };
    assert_eq!(messages(&logs, prefix).len(), 4);
    let within = Filter { from_ms: ms(at(20)), to_ms: ms(at(40)), ..filter(&pattern, 100) };
    assert_eq!(messages(&logs, within), ["line 2", "line 3", "line 4"]);
    let stranger = Filter { tenant: TenantId::from_number(2), ..filter(&pattern, 1) };
    assert!(matches!(logs.filter(&stranger), Err(LogsError::NoGroup)));
}

// A stream is read forwards and backwards; a token stays the same where nothing comes, and goes on once something does.
#[test]
fn tokens_stop_at_the_ends() {
    let data = tempfile::tempdir().expect("a directory");
    let logs = open(data.path());
    let stream = logs.stream(tenant(), GROUP, "s");
    (0..10).for_each(|number| stream.write(at(number), format!("{number}").as_bytes()));
    logs.stream(tenant(), GROUP, "other").write(at(3), b"not this");
    let get = |order, position| {
        let (from_ms, to_ms) = (0, i64::MAX);
        let get = Get {
            tenant: tenant(),
            group: GROUP,
            stream: "s",
            from_ms,
            to_ms,
            order,
            position,
            limit: 4,
        };
        let page = logs.get(&get).expect("answers");
        let text: String = page.events.iter().map(|event| event.message.as_str()).collect();
        (text, page.forward, page.backward)
    };
    let (text, mut forward, backward) = get(Order::Earliest, None);
    assert_eq!(text, "0123");
    assert_eq!(get(Order::Latest, Some(backward)), (String::new(), backward, backward));
    for expected in ["4567", "89", "", ""] {
        let (text, next, _) = get(Order::Earliest, Some(forward));
        assert_eq!((text.as_str(), next == forward), (expected, expected.is_empty()));
        forward = next;
    }
    stream.write(at(20), b"new");
    assert_eq!(get(Order::Earliest, Some(forward)).0, "new");
    let (text, _, mut backward) = get(Order::Latest, None);
    assert_eq!(text, "789new");
    for expected in ["3456", "012", "", ""] {
        let (text, _, next) = get(Order::Latest, Some(backward));
        assert_eq!((text.as_str(), next == backward), (expected, expected.is_empty()));
        backward = next;
    }
    let text = forward.to_string();
    assert_eq!((text.len(), text.parse()), (56, Ok(forward)));
    assert_eq!("x".parse::<logs::Position>(), Err(()));
}

// Wherever a crash cuts the last file, what is whole before is there, and what is written after the restart is found.
#[test]
fn a_torn_end_is_cut_off() {
    let source = tempfile::tempdir().expect("a directory");
    let logs = open(source.path());
    let stream = logs.stream(tenant(), GROUP, "s");
    for number in 0..4 {
        stream.write(at(number), format!("line {number}").as_bytes());
        logs.flush();
    }
    logs.close();
    let whole = fs::read(&segments(source.path())[0]).expect("a file");
    for cut in (0..whole.len()).step_by(7) {
        let data = tempfile::tempdir().expect("a directory");
        let logs = open(data.path());
        logs.create_group(tenant(), GROUP).expect("made");
        logs.close();
        let folder = data.path().join(tenant().to_string()).join("%2faws%2flambda%2ff");
        fs::write(folder.join("00000000000000000000.log"), &whole[..cut]).expect("written");
        let logs = open(data.path());
        let stream = logs.stream(tenant(), GROUP, "s");
        stream.write(at(100), b"after");
        let found = everything(&logs);
        let expected: Vec<String> =
            (0..found.len() - 1).map(|number| format!("line {number}")).collect();
        assert_eq!(
            (&found[..found.len() - 1], found.last().map(String::as_str)),
            (&expected[..], Some("after"))
        );
        logs.close();
        assert_eq!(everything(&open(data.path())), found, "cut at {cut}");
    }
}

// A byte that a disk lost costs its frame, and nothing before or after it.
#[test]
fn damage_costs_one_frame() {
    let data = tempfile::tempdir().expect("a directory");
    let logs = open(data.path());
    let stream = logs.stream(tenant(), GROUP, "s");
    for number in 0..3 {
        stream.write(at(number), format!("line {number}").as_bytes());
        logs.flush();
    }
    logs.close();
    let path = &segments(data.path())[0];
    let mut bytes = fs::read(path).expect("a file");
    let position = bytes.windows(6).position(|text| text == b"line 1").expect("there");
    bytes[position] ^= 1;
    fs::write(path, bytes).expect("written");
    let logs = open(data.path());
    assert_eq!(everything(&logs), ["line 0", "line 2"]);
    logs.stream(tenant(), GROUP, "s").write(at(9), b"line 9");
    assert_eq!(everything(&logs), ["line 0", "line 2", "line 9"]);
}

// A group never has more on disk than its bound, and what is left is the newest.
#[test]
fn bytes_are_bounded() {
    let data = tempfile::tempdir().expect("a directory");
    let bounds = Bounds { group_bytes: 64 << 10, ..Bounds::default() };
    let logs = Logs::open(data.path(), bounds).expect("opens");
    let stream = logs.stream(tenant(), GROUP, "s");
    for number in 0..2000_u64 {
        stream.write(at(number), format!("{number:04} {}", "x".repeat(200)).as_bytes());
        if number % 10 == 9 {
            logs.flush();
            let bytes: u64 = segments(data.path())
                .iter()
                .map(|path| fs::metadata(path).expect("a file").len())
                .sum();
            assert!(bytes <= bounds.group_bytes, "{bytes} after {number}");
        }
    }
    let found = everything(&logs);
    assert!((100..400).contains(&found.len()), "{}", found.len());
    let first: usize = found[0][..4].parse().expect("a number");
    assert_eq!(found.len(), 2000 - first);
    assert_eq!(logs.counts().dropped, 0);
    assert!(logs.counts().bytes <= bounds.group_bytes);
}

// What waits to be written is bounded: what finds no room is dropped, counted, and the log says how much.
#[test]
fn what_waits_is_bounded() {
    let data = tempfile::tempdir().expect("a directory");
    let bounds = Bounds { buffer_bytes: 1000, ..Bounds::default() };
    let logs = Logs::open(data.path(), bounds).expect("opens");
    // Nobody but this test writes out.
    logs.close();
    let stream = logs.stream(tenant(), GROUP, "s");
    (0..20).for_each(|number| stream.write(at(number), &[b'x'; 100]));
    let found = everything(&logs);
    assert_eq!(found.len(), 11);
    assert_eq!(found[10], "[peek] 10 lines dropped: more than 1000 bytes waited to be written");
    assert_eq!(logs.counts().dropped, 10);
    stream.write(at(100), b"room again");
    assert_eq!(everything(&logs).len(), 12);
}

// Events beyond the age, or a group's own retention, are not shown and their files go.
#[test]
fn age_is_bounded() {
    let data = tempfile::tempdir().expect("a directory");
    let bounds = Bounds { age: Span::from_secs(3600), ..Bounds::default() };
    let logs = Logs::open(data.path(), bounds).expect("opens");
    let stream = logs.stream(tenant(), GROUP, "s");
    stream.write(SystemTime::now() - Duration::from_secs(3700), b"old");
    stream.write(SystemTime::now() - Duration::from_secs(3500), b"young");
    assert_eq!(everything(&logs), ["young"]);
    logs.set_retention(tenant(), GROUP, Some(3)).expect("set");
    let about = |logs: &Logs| {
        let describe = Describe { prefix: "/aws", contains: "", after: None, limit: 50 };
        logs.describe_groups(tenant(), &describe).0[0].retention_days
    };
    assert_eq!(about(&logs), Some(3));
    logs.close();
    let logs = Logs::open(data.path(), bounds).expect("opens");
    assert_eq!(about(&logs), Some(3));
    let none = Bounds { age: Span::from_millis(1), ..bounds };
    logs.close();
    let logs = Logs::open(data.path(), none).expect("opens");
    std::thread::sleep(Duration::from_millis(5));
    logs.set_retention(tenant(), GROUP, None).expect("set");
    assert_eq!(segments(data.path()), Vec::<PathBuf>::new());
}

// Groups and streams are made, described and removed; a removed one comes again when something is written.
#[test]
fn groups_and_streams_come_and_go() {
    let data = tempfile::tempdir().expect("a directory");
    let logs = open(data.path());
    for name in ["b", "a", "c/d"] {
        logs.create_group(tenant(), name).expect("made");
    }
    assert!(matches!(logs.create_group(tenant(), "a"), Err(LogsError::GroupExists)));
    let long = logs.create_group(tenant(), &"/".repeat(100)).expect_err("refused").to_string();
    assert!(long.contains("at most 200"), "{long}");
    let describe = |logs: &Logs, after| {
        let describe = Describe { prefix: "", contains: "", after, limit: 2 };
        let (groups, more) = logs.describe_groups(tenant(), &describe);
        (groups.iter().map(|group| group.name.to_string()).collect::<Vec<_>>(), more.is_some())
    };
    assert_eq!(describe(&logs, None), (vec!["a".into(), "b".into()], true));
    assert_eq!(describe(&logs, Some("b")), (vec!["c/d".into()], false));
    let stream = logs.stream(tenant(), "a", "s");
    stream.write(at(0), b"one");
    logs.delete_stream(tenant(), "a", "s").expect("removed");
    assert!(matches!(logs.delete_stream(tenant(), "a", "s"), Err(LogsError::NoStream)));
    let events = |logs: &Logs| {
        let pattern = Pattern::default();
        messages(logs, Filter { group: "a", ..filter(&pattern, 10) })
    };
    assert_eq!(events(&logs), Vec::<String>::new());
    stream.write(at(1), b"two");
    assert_eq!(events(&logs), ["two"]);
    logs.close();
    let logs = open(data.path());
    assert_eq!(events(&logs), ["two"]);
    logs.delete_group(tenant(), "a").expect("removed");
    assert!(matches!(logs.delete_group(tenant(), "a"), Err(LogsError::NoGroup)));
    assert_eq!(describe(&open(data.path()), None), (vec!["b".into(), "c/d".into()], false));
    logs.stream(tenant(), "a", "s").write(at(2), b"three");
    assert_eq!(events(&logs), ["three"]);
}

// A file that is none of the store's is left alone, and a directory that cannot be made is said.
#[test]
fn strange_files_are_left_alone() {
    let data = tempfile::tempdir().expect("a directory");
    let logs = open(data.path());
    logs.stream(tenant(), GROUP, "s").write(at(0), b"one");
    logs.close();
    let folder = segments(data.path())[0].parent().expect("a folder").to_owned();
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join("notes.txt"))
        .and_then(|mut file| file.write_all(b"mine"))
        .expect("written");
    assert_eq!(everything(&open(data.path())), ["one"]);
    assert!(folder.join("notes.txt").exists());
    assert!(Logs::open(&folder.join("notes.txt"), Bounds::default()).is_err());
}
