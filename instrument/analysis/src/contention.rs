//! How much neighbours slow an instance down at worst, over all that a host's instances share.
//!
//! Of each resource, memory size and colevel: what an instance gets alone over what one gets beside others, in the mean. The
//! worst of these ratios is the finding, with the interval of that one. Deliberately knows nothing of what is shared.

use crate::answers::Answers;
use crate::finding::Finding;
use crate::sharing::Levels;
use crate::statistics::{CLUSTERS_MIN, bootstrap};
use std::collections::BTreeMap;

const METRIC: &str = "contention.worst_slowdown";

/// What instances got in one round, alone and beside others.
#[derive(Default)]
struct Round {
    alone: Vec<f64>,
    shared: Vec<f64>,
}

/// One resource at one memory size and colevel.
struct Slowdown {
    experiment: &'static str,
    colevel: u32,
    rounds: Vec<Round>,
    ratio: f64,
}

/// Adds the finding, from what each resource's analysis found of each instance.
pub(crate) fn analyse(resources: &[Option<Levels>], answers: &mut Answers) {
    let levels: Vec<&Levels> = resources.iter().flatten().collect();
    let Some(first) = levels.first() else { return };
    let slowdowns = levels.iter().flat_map(|levels| slowdowns(levels));
    // A colevel that came about by failures in a few rounds says little, and would win by chance.
    let enough = |slowdown: &Slowdown| {
        slowdown.rounds.iter().filter(|round| !round.shared.is_empty()).count() >= CLUSTERS_MIN
    };
    let (full, few): (Vec<_>, Vec<_>) = slowdowns.partition(enough);
    let worst = |found: Vec<Slowdown>| found.into_iter().max_by(|a, b| a.ratio.total_cmp(&b.ratio));
    let Some(worst) = worst(full).or_else(|| worst(few)) else {
        let finding = Finding::new(first.experiment, METRIC, "ratio");
        let why = "no two instances were seen to share a host while they measured what one gets alone too";
        answers.add_unknown(finding, why);
        return;
    };
    let method = format!(
        "{} of one instance alone over that of each of {} on one host, in the mean: the worst of all resources, \
         sizes and colevels",
        worst.experiment, worst.colevel
    );
    let rows = worst.rounds.iter().map(|round| round.alone.len() + round.shared.len()).sum();
    let finding = Finding::new(worst.experiment, METRIC, "ratio")
        .with_method(&method, rows)
        .with_clusters("round", worst.rounds.len())
        .with_number(worst.ratio);
    answers.add_with(finding, bootstrap::interval(&worst.rounds, ratio));
}

fn slowdowns(levels: &Levels) -> Vec<Slowdown> {
    let beside = levels.each.iter().filter(|((_, colevel), _)| *colevel > 1);
    let slowdown = |((memory_mib, colevel), shared): (&(u32, u32), &BTreeMap<u32, Vec<f64>>)| {
        let alone = levels.each.get(&(*memory_mib, 1))?;
        let mut rounds: BTreeMap<u32, Round> = BTreeMap::new();
        for (round, rates) in alone {
            rounds.entry(*round).or_default().alone.clone_from(rates);
        }
        for (round, rates) in shared {
            rounds.entry(*round).or_default().shared.clone_from(rates);
        }
        let rounds: Vec<Round> = rounds.into_values().collect();
        let ratio = ratio(&rounds.iter().collect::<Vec<_>>())?;
        Some(Slowdown { experiment: levels.experiment, colevel: *colevel, rounds, ratio })
    };
    beside.filter_map(slowdown).collect()
}

/// Mean alone over mean beside others.
fn ratio(rounds: &[&Round]) -> Option<f64> {
    let mean = |rates: fn(&Round) -> &Vec<f64>| {
        let rows: usize = rounds.iter().map(|round| rates(round).len()).sum();
        let sum: f64 = rounds.iter().flat_map(|round| rates(round)).sum();
        (rows > 0).then(|| sum / rows as f64)
    };
    let (alone, shared) = (mean(|round| &round.alone)?, mean(|round| &round.shared)?);
    (shared > 0.0).then(|| alone / shared)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Value;

    fn levels(experiment: &'static str, of: &[(u32, f64)], rounds: u32) -> Option<Levels> {
        let mut levels = Levels { experiment, ..Levels::default() };
        for (colevel, rate) in of {
            let each = (0..rounds).map(|round| (round, vec![*rate; *colevel as usize])).collect();
            levels.each.insert((128, *colevel), each);
        }
        Some(levels)
    }

    fn found(resources: &[Option<Levels>]) -> Vec<Finding> {
        let mut answers = Answers::default();
        analyse(resources, &mut answers);
        answers.into_parts().0
    }

    // The worst of all resources and colevels is found and named.
    #[test]
    fn the_worst_is_found() {
        let cpu = levels("cpu", &[(1, 0.25), (6, 0.17)], 12);
        let network = levels("network", &[(1, 560.0), (2, 280.0), (20, 28.0)], 12);
        let found = found(&[cpu, None, network]);
        assert_eq!(found[0].value, Value::Number(20.0));
        assert_eq!(found[0].experiment, "network");
        assert!(found[0].method.contains("each of 20"), "{}", found[0].method);
    }

    // What only a few rounds saw does not win over what was seen in full.
    #[test]
    fn rare_levels_do_not_win() {
        let mut network = levels("network", &[(1, 500.0), (6, 80.0)], 12).unwrap();
        network.each.insert((128, 5), [(3, vec![1.0; 5])].into());
        assert_eq!(found(&[Some(network)])[0].value, Value::Number(6.25));
    }

    // Without neighbours there is no slowdown, and without any such experiment no finding.
    #[test]
    fn nothing_beside_is_unknown() {
        let found_alone = found(&[levels("disk", &[(1, 80.0)], 12)]);
        assert_eq!(found_alone[0].value, Value::Null);
        assert_eq!(found(&[None, None]).len(), 0);
    }
}
