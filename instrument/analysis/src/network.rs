//! What an instance sends per second to the vantage point, alone and beside others.
//!
//! The rate is what the sink has read over the time until it had: what waits in buffers at the window's end is not counted
//! before it is there.

use crate::answers::Answers;
use crate::sharing::{Levels, Shared, Window, analyse as analyse_shared};
use crate::study::Study;
use record::Record;
use serde::Deserialize;

const SHARED: Shared = Shared {
    experiment: "network",
    metrics: ["network.throughput_mbit_s", "network.host_total_mbit_s"],
    unit: "Mbit/s",
    method: "bytes that a sink at the vantage point read over the time until it had",
    window,
};

/// The part of the probe's answer that is read here.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Detail {
    network: Option<Measured>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Measured {
    sent_bytes: u64,
    started_unix_ns: u64,
    duration_ns: u64,
}

/// Adds the findings of the experiment's records.
pub(crate) fn analyse(study: &Study, answers: &mut Answers) -> Option<Levels> {
    analyse_shared(study, answers, &SHARED)
}

fn window(record: &Record) -> Option<Window> {
    let network = serde_json::from_str::<Detail>(&record.detail).ok()?.network?;
    Some(Window {
        amount: network.sent_bytes as f64 * 8.0 / 1e6,
        from_unix_ns: network.started_unix_ns,
        length_ns: network.duration_ns as f64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // 25 MB in 2 s are 100 Mbit/s.
    #[test]
    fn bytes_become_megabits() {
        let detail =
            r#"{"network":{"sent_bytes":25000000,"started_unix_ns":7,"duration_ns":2000000000}}"#;
        let record = Record { detail: detail.into(), ..Record::default() };
        let found = window(&record).expect("a window");
        assert_eq!((found.amount, found.length_ns), (200.0, 2e9));
    }
}
