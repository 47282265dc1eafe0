//! All experiments, listed in one place.

mod accounting;
mod coldstart;
mod consistency;
mod cpu;
mod disk;
mod exposure;
mod hosts;
mod identity;
mod idle;
mod isolation;
mod lifetime;
mod limits;
mod network;
mod placement;
mod scaling;
mod sharing;

use crate::bench::mark;
use crate::experiment::{About, Experiment, Unit};
use crate::scope::Scope;
use record::Record;

pub use accounting::{Accounting, AccountingStep};
pub use coldstart::{ColdStart, ColdStartStep};
pub use consistency::Consistency;
pub use cpu::{Cpu, CpuStep};
pub use disk::Disk;
pub use exposure::Exposure;
pub use hosts::Hosts;
pub use identity::{Identity, IdentityStep};
pub use idle::{Idle, IdleStage, IdleStep};
pub(crate) use idle::{busy_requests, idle_limit};
pub use isolation::Isolation;
pub use lifetime::Lifetime;
pub use limits::{Limits, LimitsStep};
pub use network::Network;
pub use placement::{Placement, PlacementStep};
pub use scaling::{Scaling, ScalingStep};

/// Which experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// [`Identity`].
    Identity,
    /// [`Isolation`].
    Isolation,
    /// [`Hosts`].
    Hosts,
    /// [`Exposure`].
    Exposure,
    /// [`ColdStart`].
    ColdStart,
    /// [`Scaling`].
    Scaling,
    /// [`Placement`].
    Placement,
    /// [`Idle`].
    Idle,
    /// [`Cpu`].
    Cpu,
    /// [`Disk`].
    Disk,
    /// [`Network`].
    Network,
    /// [`Consistency`].
    Consistency,
    /// [`Lifetime`].
    Lifetime,
    /// [`Accounting`].
    Accounting,
    /// [`Limits`].
    Limits,
}

/// Evaluates an expression with the experiment of a kind.
macro_rules! with_experiment {
    ($kind:expr, $experiment:ident => $then:expr) => {
        match $kind {
            $crate::Kind::Identity => {
                let $experiment = &$crate::Identity;
                $then
            }
            $crate::Kind::Isolation => {
                let $experiment = &$crate::Isolation;
                $then
            }
            $crate::Kind::Hosts => {
                let $experiment = &$crate::Hosts;
                $then
            }
            $crate::Kind::Exposure => {
                let $experiment = &$crate::Exposure;
                $then
            }
            $crate::Kind::ColdStart => {
                let $experiment = &$crate::ColdStart;
                $then
            }
            $crate::Kind::Scaling => {
                let $experiment = &$crate::Scaling;
                $then
            }
            $crate::Kind::Placement => {
                let $experiment = &$crate::Placement;
                $then
            }
            $crate::Kind::Idle => {
                let $experiment = &$crate::Idle;
                $then
            }
            $crate::Kind::Cpu => {
                let $experiment = &$crate::Cpu;
                $then
            }
            $crate::Kind::Disk => {
                let $experiment = &$crate::Disk;
                $then
            }
            $crate::Kind::Network => {
                let $experiment = &$crate::Network;
                $then
            }
            $crate::Kind::Consistency => {
                let $experiment = &$crate::Consistency;
                $then
            }
            $crate::Kind::Lifetime => {
                let $experiment = &$crate::Lifetime;
                $then
            }
            $crate::Kind::Accounting => {
                let $experiment = &$crate::Accounting;
                $then
            }
            $crate::Kind::Limits => {
                let $experiment = &$crate::Limits;
                $then
            }
        }
    };
}
pub(crate) use with_experiment;

impl Kind {
    /// All of them, as they are listed for a reader.
    pub const ALL: [Self; 15] = [
        Self::Identity,
        Self::Isolation,
        Self::Hosts,
        Self::Exposure,
        Self::ColdStart,
        Self::Scaling,
        Self::Placement,
        Self::Idle,
        Self::Cpu,
        Self::Disk,
        Self::Network,
        Self::Consistency,
        Self::Lifetime,
        Self::Accounting,
        Self::Limits,
    ];

    /// The one of that name; None where there is none.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.about().name == name)
    }

    /// Its name, question and needs.
    pub fn about(self) -> About {
        with_experiment!(self, experiment => experiment.about())
    }

    /// Its units of work.
    pub fn plan(self, scope: &Scope) -> Vec<Unit> {
        with_experiment!(self, experiment => {
            experiment.plan(scope).into_iter().map(|planned| planned.unit).collect()
        })
    }
}

/// The ladder, upwards in even rounds and downwards in odd ones, so that what a burst leaves behind is met by larger
/// and by smaller ones.
pub(crate) fn alternating(ladder: &[u32], round: u32) -> Vec<u32> {
    let mut ladder = ladder.to_vec();
    if round % 2 == 1 {
        ladder.reverse();
    }
    ladder
}

/// CPUs that platform and vantage point need beside the instances where they share a machine (TRUTH, 5).
const SPARE_CPUS: f64 = 0.5;

/// Says of records that they are disturbed where instances want `demand_cpus` of a machine that has too few.
pub(crate) fn note_few_cores(records: &mut [Record], shared_cores: Option<u32>, demand_cpus: f64) {
    let needed = demand_cpus + SPARE_CPUS;
    if let Some(cores) = shared_cores.filter(|cores| f64::from(*cores) < needed) {
        let reason = format!("platform and vantage point share {cores} CPUs, {needed} needed");
        mark(records, "disturbed", &reason);
    }
}

/// CPUs that stay idle at least where nobody else uses the machine: half of what is spared, since platform and vantage point
/// work too.
const IDLE_CPUS_MIN: f64 = SPARE_CPUS / 2.0;

/// Says of records that they are void where others used the CPUs of a machine that has enough of them: what instances did
/// not get then, the platform did not keep from them.
pub(crate) fn void_if_crowded(
    records: &mut [Record],
    shared_cores: Option<u32>,
    (demand_cpus, idle_cpus): (f64, Option<f64>),
) {
    let enough = shared_cores.is_some_and(|cores| f64::from(cores) >= demand_cpus + SPARE_CPUS);
    if let Some(idle) = idle_cpus.filter(|idle| enough && *idle < IDLE_CPUS_MIN) {
        let reason = format!(
            "{idle:.2} CPUs of this machine were idle, {IDLE_CPUS_MIN} needed: it is too busy to say who got what"
        );
        mark(records, "void", &reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scope::{Basis, Scale};
    use std::collections::BTreeSet;

    // Names of experiments and units are unique and safe as file names, at every scale.
    #[test]
    fn names_are_unique_and_safe() {
        let safe = |name: &str| {
            !name.is_empty()
                && !name.starts_with('.')
                && name
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-".contains(&b))
        };
        for scale in [Scale::Quick, Scale::Default, Scale::Full] {
            let scope = Scope::local(&Basis {
                scale,
                seed: 1,
                runtimes: vec!["provided.al2023".into(), "python3.11".into(), "nodejs20.x".into()],
                memory_range_mib: (128, 10_240),
                cores: 2,
                max_concurrency: 200,
                tenants: 2,
                roles: 4,
            });
            let mut names = BTreeSet::new();
            for kind in Kind::ALL {
                assert_eq!(Kind::named(kind.about().name), Some(kind));
                for unit in kind.plan(&scope) {
                    assert!(safe(&unit.name), "{}", unit.name);
                    assert!(names.insert((kind, unit.name.clone())), "{}", unit.name);
                }
            }
        }
    }
}
