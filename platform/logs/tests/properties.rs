//! Whatever is written in whatever order and however it is asked for, nothing is lost, doubled or out of order.

use logs::pattern::Pattern;
use logs::{Bounds, Filter, Logs, Order};
use model::TenantId;
use proptest::prelude::*;
use std::time::{Duration, SystemTime};

/// What happens to a store.
#[derive(Clone, Debug)]
enum Step {
    Write { stream: u8, at_ms: u16, bytes: u8 },
    Flush,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let write = (0..3_u8, 0..500_u16, any::<u8>()).prop_map(|(stream, at_ms, bytes)| Step::Write {
        stream,
        at_ms,
        bytes,
    });
    let step = prop_oneof![20 => write, 3 => Just(Step::Flush), 1 => Just(Step::Reopen)];
    proptest::collection::vec(step, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    // Pages of any size, forwards and backwards, are all events in the order of time, and of writing within a moment.
    #[test]
    fn pages_are_everything_in_order(steps in steps(), limit in 1..40_usize) {
        let data = tempfile::tempdir().expect("a directory");
        // Small segments, so that there are several.
        let bounds = Bounds { group_bytes: 1 << 20, ..Bounds::default() };
        let begin = SystemTime::now() - Duration::from_secs(60);
        let tenant = TenantId::from_number(7);
        let mut logs = Logs::open(data.path(), bounds).expect("opens");
        let mut written = Vec::new();
        for step in steps {
            match step {
                Step::Write { stream, at_ms, bytes } => {
                    let text = format!("{} {}", written.len(), "x".repeat(usize::from(bytes) * 20));
                    logs.stream(tenant, "g", &format!("s{stream}"))
                        .write(begin + Duration::from_millis(at_ms.into()), text.as_bytes());
                    written.push((at_ms, text));
                }
                Step::Flush => logs.flush(),
                Step::Reopen => {
                    logs.close();
                    logs = Logs::open(data.path(), bounds).expect("opens");
                }
            }
        }
        if written.is_empty() {
            return Ok(());
        }
        // A stable sort keeps the order of writing within a moment.
        written.sort_by_key(|(at_ms, _)| *at_ms);
        let expected: Vec<String> = written.into_iter().map(|(_, text)| text).collect();
        for order in [Order::Earliest, Order::Latest] {
            let pattern = Pattern::default();
            let mut filter = Filter {
                tenant, group: "g", streams: &[], prefix: "", from_ms: 0, to_ms: i64::MAX - 1,
                pattern: &pattern, order, next: None, limit,
            };
            let mut found = Vec::new();
            for _ in 0..=expected.len() {
                let page = logs.filter(&filter).expect("answers");
                found.extend(page.events.into_iter().map(|event| event.message));
                filter.next = page.next;
                if filter.next.is_none() {
                    break;
                }
            }
            if order == Order::Latest {
                found.reverse();
            }
            prop_assert_eq!(&found, &expected);
        }
    }

    // No pattern, however odd, does anything but match, not match, or be refused.
    #[test]
    fn patterns_are_read_or_refused(pattern in "[{}()\\[\\]$.a-c\"'?*% =<>!&|\\\\-]{0,40}", message in "\\PC{0,40}") {
        if let Ok(pattern) = Pattern::parse(&pattern) {
            let _ = pattern.matches(&message);
            let _ = pattern.matches("{\"a\": {\"b\": [1, \"c\"]}}");
        }
    }
}
