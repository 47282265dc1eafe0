//! What an instance writes per second, alone and beside others.
//!
//! The rate is that of the probe's first round of writing and synchronising, whose window follows from rate and amount.
//! Reads are in the records and in no finding: where the page cache cannot be bypassed they are the memory's speed.

use crate::answers::Answers;
use crate::sharing::{Levels, Shared, Window, analyse as analyse_shared};
use crate::study::Study;
use record::Record;
use serde::Deserialize;

const SHARED: Shared = Shared {
    experiment: "disk",
    metrics: ["disk.throughput_mib_s", "disk.host_total_mib_s"],
    unit: "MiB/s",
    method: "blocks of 512 KiB written to /tmp and synchronised",
    window,
};

/// The part of the probe's answer that is read here.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Detail {
    disk: Option<Measured>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Measured {
    write_mib_s: Vec<f64>,
    read_mib_s: Vec<f64>,
    started_unix_ns: u64,
    duration_ns: u64,
}

/// Adds the findings of the experiment's records.
pub(crate) fn analyse(study: &Study, answers: &mut Answers) -> Option<Levels> {
    analyse_shared(study, answers, &SHARED)
}

/// The window of writing: of the round's time the part that reading did not take, the amount being the same.
fn window(record: &Record) -> Option<Window> {
    let disk = serde_json::from_str::<Detail>(&record.detail).ok()?.disk?;
    let (write, read) = (*disk.write_mib_s.first()?, disk.read_mib_s.first());
    let rounds = disk.write_mib_s.len() as f64;
    let slowness = 1.0 / write + read.map_or(0.0, |read| 1.0 / read);
    let amount = disk.duration_ns as f64 / 1e9 / rounds / slowness;
    let length_ns = amount / write * 1e9;
    Some(Window { amount, from_unix_ns: disk.started_unix_ns, length_ns })
}

#[cfg(test)]
mod tests {
    use super::*;

    // 10 MiB written at 20 and read at 40 MiB/s: of 0.75 s the first 0.5 are the window.
    #[test]
    fn windows_follow_from_rates() {
        let detail = r#"{"disk":{"write_mib_s":[20.0],"read_mib_s":[40.0],"started_unix_ns":7,"duration_ns":750000000}}"#;
        let record = Record { detail: detail.into(), ..Record::default() };
        let found = window(&record).expect("a window");
        assert!((found.amount - 10.0).abs() < 1e-9);
        assert_eq!((found.from_unix_ns, found.length_ns.round()), (7, 5e8));
        assert_eq!(window(&Record::default()), None);
    }
}
