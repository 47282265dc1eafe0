//! The I/O test of co-residency: one instance writes to disk, and the others of its burst watch the host's counters.
//!
//! The paper (section 4.1) lets one function write a random number of bytes and another read the global disk counters
//! before and after. Here each round has several *slots*, in some of which, in an order drawn anew, one instance
//! writes; every instance reads the counters at the beginning of each slot. Instances are the same throughout, since each slot
//! asks as many as there are, so that the slots without a write tell what else moves on a disk. Whether the test is right
//! is the analysis's to say, by the hosts' names.

use crate::bench::{Bench, Shot, setting};
use crate::vantage::{Sent, Vantage};
use futures::future::join_all;
use model::Span;
use probe::{Disk, Request};
use record::{Forced, Outcome, Record};

/// Slots of a round after the first, in which nobody writes: whether somebody does, in random order.
const WRITES: [bool; 3] = [true, true, false];

/// What is written in one slot, MiB: far more than else moves on a disk in that time, far less than any /tmp holds.
pub(super) const WRITTEN_MIB: u64 = 16;

/// Waves of requests of one round: the first slot, the others, and a last look.
pub(super) const WAVES: u32 = WRITES.len() as u32 + 2;

/// One round.
pub(super) async fn round<V: Vantage>(bench: &Bench<'_, V>, round: u32) -> Vec<Record> {
    let scope = bench.scope;
    let spec = bench.spec(scope.runtime(), scope.memory_min_mib);
    let function = match bench.deploy(spec).await {
        Ok(function) => function,
        Err(record) => return vec![Record { round, ..*record }],
    };
    let instances = scope.identity.pair_instances;
    let writes = bench.shuffled(WRITES.to_vec());
    let mut records = Vec::new();
    for (slot, writes) in [false].into_iter().chain(writes).chain([false]).enumerate() {
        let intended = bench.soon(instances);
        let hold = scope.hold.of(instances);
        let until = intended + hold;
        // The writer begins when everybody has read the counters, and leaves half of the slot for the writing.
        let middle = intended + Span::from_nanos(hold.as_nanos() / 2);
        let written = if writes { WRITTEN_MIB } else { 0 };
        let shot = Shot {
            phase: "watch",
            round,
            setting: setting([
                ("slot", slot.to_string()),
                ("written_mib", written.to_string()),
                ("concurrency", instances.to_string()),
            ]),
            request: Request { disk_counters: true, ..bench.held(until) },
            sent: Sent {
                intended,
                forced_by: if slot == 0 { Forced::FreshFunction } else { Forced::Nothing },
                ..Sent::default()
            },
        };
        let write = Disk { block_bytes: 1 << 20, blocks: written, rounds: 1 };
        let writer = Shot {
            phase: "write",
            request: Request {
                barrier_unix_ns: Some(bench.unix_ns(middle)),
                disk: Some(write),
                ..bench.held(until)
            },
            ..shot.clone()
        };
        let of = |sequence| if sequence == 0 && written > 0 { &writer } else { &shot };
        let sent = (0..instances).map(|sequence| bench.send(&function, of(sequence), sequence));
        let answers = join_all(sent).await;
        let blind = !answers.iter().any(tells_counters);
        records.extend(answers);
        if blind {
            // Nobody can watch: the analysis says so, and there is no more to see.
            break;
        }
    }
    bench.remove(function).await;
    records
}

/// Whether the answer holds the counters of any disk.
fn tells_counters(record: &Record) -> bool {
    let detail = serde_json::from_str::<probe::Response>(&record.detail).unwrap_or_default();
    record.outcome == Outcome::Ok && detail.disk_before.is_some_and(|disks| !disks.is_empty())
}
