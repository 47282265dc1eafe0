//! CPU share against memory size, and beside busy neighbours.

use super::canvas::Label;
use super::points::{Point, Points, points};
use super::{DOTS_MOST, Plot, spread};
use crate::number::Unit;
use analysis::Finding;
use record::{Outcome, Record};

/// Unit of memory axes.
static MIB: Unit = Unit::Mib;

/// Unit of colevel axes.
static WHOLE: Unit = Unit::Count;

/// The vertical axis.
const SHARE: Label<'static> = Label { unit: &Unit::Cpus, name: "CPU time per second" };

/// CPU share of an instance alone, by memory; None where nothing was found.
pub(super) fn by_memory(findings: &[Finding], records: &[&Record]) -> Option<Plot> {
    let points = points(findings, "cpu.share", "memory_mib").remove("")?;
    Some(Plot {
        stem: "cpu_memory".into(),
        title: "More memory, more CPU".into(),
        description: format!("CPU share of one instance alone against its memory size, {} sizes.", points.len()),
        caption: "Each faint dot is one instance, busy for one window; full dots are the estimates with their intervals. The dashed \
                  line, where there is one, is what the target declares."
            .into(),
        drawing: Box::new(Points {
            series: vec![("found".into(), points)],
            single: spread(&single(records), DOTS_MOST),
            x: Label { unit: &MIB, name: "memory size" },
            y: SHARE,
        }),
    })
}

/// CPU share beside busy neighbours, by colevel; None where nothing was found.
pub(super) fn by_colevel(findings: &[Finding]) -> Option<Plot> {
    let series: Vec<(String, Vec<Point>)> =
        points(findings, "cpu.share_shared", "colevel").into_iter().collect();
    let most = series
        .iter()
        .flat_map(|(_, points)| points.iter().map(|p| p.x))
        .fold(None, |a: Option<f64>, b| Some(a.map_or(b, |a| a.max(b))))?;
    Some(Plot {
        stem: "cpu_colevel".into(),
        title: "Beside busy neighbours".into(),
        description: format!("CPU share of each instance when up to {most:.0} of them are busy on one host."),
        caption: "What each instance still gets when so many of them compute on one host at the same time. The dashed line, where there \
                  is one, is what the target declares."
            .into(),
        drawing: Box::new(Points { series, single: Vec::new(), x: Label { unit: &WHOLE, name: "busy instances on one host" }, y: SHARE }),
    })
}

/// Memory and share of each instance that was measured alone.
fn single(records: &[&Record]) -> Vec<(f64, f64)> {
    let alone = records.iter().filter(|r| r.outcome == Outcome::Ok && r.phase == "alone");
    alone
        .filter_map(|record| {
            let detail: serde_json::Value = serde_json::from_str(&record.detail).ok()?;
            let cpu = detail.get("cpu")?;
            let (used, window) = (cpu.get("cpu_ns")?.as_f64()?, cpu.get("window_ns")?.as_f64()?);
            (used > 0.0 && window > 0.0).then(|| (f64::from(record.memory_mib), used / window))
        })
        .collect()
}
