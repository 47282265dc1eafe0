//! Disk and network throughput of an instance, by how many share the host, and of the host.

use super::Plot;
use super::canvas::Label;
use super::points::{Point, Points, points};
use crate::number::Unit;
use analysis::Finding;

/// What is drawn of one experiment.
struct Words {
    stem: &'static str,
    title: &'static str,
    verb: &'static str,
    metrics: [&'static str; 2],
    axis: &'static str,
}

const DISK: Words = Words {
    stem: "disk_colevel",
    title: "One disk, shared",
    verb: "write",
    metrics: ["disk.throughput_mib_s", "disk.host_total_mib_s"],
    axis: "MiB/s written",
};

const NETWORK: Words = Words {
    stem: "network_colevel",
    title: "One network, shared",
    verb: "send",
    metrics: ["network.throughput_mbit_s", "network.host_total_mbit_s"],
    axis: "Mbit/s sent",
};

/// Unit of colevel axes.
static WHOLE: Unit = Unit::Count;

/// Unit of throughput axes, whose name is the axis's.
static PLAIN: Unit = Unit::Plain(String::new());

/// Disk throughput; None where nothing was found.
pub(super) fn disk(findings: &[Finding]) -> Option<Plot> {
    plot(findings, &DISK)
}

/// Network throughput; None where nothing was found.
pub(super) fn network(findings: &[Finding]) -> Option<Plot> {
    plot(findings, &NETWORK)
}

fn plot(findings: &[Finding], words: &Words) -> Option<Plot> {
    let [each, sum] = words.metrics;
    let mut series: Vec<(String, Vec<Point>)> =
        points(findings, each, "colevel").into_iter().collect();
    let most = series.iter().flat_map(|(_, points)| points.iter().map(|point| point.x));
    let most = most.max_by(f64::total_cmp)?;
    for points in points(findings, sum, "colevel").into_values() {
        series.push(("the host\u{2019}s sum".into(), points));
    }
    Some(Plot {
        stem: words.stem.into(),
        title: words.title.into(),
        description: format!(
            "Throughput of each instance, and of their host, when up to {most:.0} of them {} at the same time.",
            words.verb
        ),
        caption: "What each instance gets when so many of one host are at it at the same time, and what they get together: a sum that \
                  stays level is shared out. The dashed line, where there is one, is what the target declares."
            .into(),
        drawing: Box::new(Points {
            series,
            single: Vec::new(),
            x: Label { unit: &WHOLE, name: "instances on one host at once" },
            y: Label { unit: &PLAIN, name: words.axis },
        }),
    })
}
