//! What names the host.
//!
//! A candidate (a source of [`Record::host_ids`]) is looked at over all instances of the study, whatever the experiment:
//! - it must be readable on every instance, and the same whenever the same instance is asked again;
//! - one that differs for every instance names the instance, not its host;
//! - one that is the same for all instances is either the name of the only host or made up: nothing can tell which, so
//!   the answer is `unknown` where no other candidate is left, unless instances see CPUs of different models or were
//!   started on kernels of different ages ([`several_hosts`]): these have several hosts, and the name is made up;
//! - one whose value follows from the function names the function (or its runtime or size), unless the kernel
//!   or the control groups of the host make it ([`MADE_BY_HOST`]): these cannot know the function;
//! - one that two instances never share at one instant may name a slot that is used again, as addresses and control
//!   groups are; only what the host makes is believed without that, and the answer is `unknown` where nothing else is left.
//!
//! Of what is left, the grouping on which most candidates agree wins, of equals the first in the order of [`SOURCES`].
//! Deliberately knows nothing of what a value looks like.

mod coresidency;

use crate::answers::Answers;
use crate::finding::Finding;
use crate::placed::{HostSource, together};
use crate::study::{Study, is_sound};
use record::{Outcome, Record};
use std::collections::{BTreeMap, BTreeSet};

const EXPERIMENT: &str = "identity";

/// Sources in the order of preference, as METRICS lists them.
const SOURCES: [&str; 6] = ["instance_root_id", "cgroup", "env", "boot_id", "machine_id", "ip"];

/// Sources that the host's kernel or its root control group makes.
const MADE_BY_HOST: [&str; 2] = ["instance_root_id", "boot_id"];

/// Kernels whose start times differ by no more are taken for one, s: clocks and uptimes are read one after the other.
const SAME_START_S: f64 = 2.0;

/// What a candidate turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    /// Not readable on every instance.
    Missing,
    /// Changes while the instance stays.
    Unsteady,
    /// Differs for every instance.
    NamesInstance,
    /// The same everywhere.
    Constant,
    /// Follows from the function.
    NamesFunction,
    /// Never shared at one instant.
    NamesSlot,
    /// Groups instances: for each instance, in order, the number of its group.
    NamesHost(Vec<usize>),
}

impl Verdict {
    fn why(&self) -> &'static str {
        match self {
            Self::Missing => "is not readable on every instance",
            Self::Unsteady => "changes while the instance stays",
            Self::NamesInstance => "differs for every instance",
            Self::Constant => "is the same for all instances",
            Self::NamesFunction => "follows from the function",
            Self::NamesSlot => "is never shared by two instances at one instant",
            Self::NamesHost(_) => "groups instances otherwise than other names do",
        }
    }
}

/// What names the host, by all records of the study.
pub(crate) fn host_source(records: &[&Record]) -> HostSource {
    chosen(&verdicts(&identified(records)))
        .map_or(HostSource::None, |source| HostSource::Named(source.to_owned()))
}

/// Adds the finding, where identities were asked for in an experiment of that name.
pub(crate) fn analyse(study: &Study, answers: &mut Answers) {
    if study.of(EXPERIMENT, answers).is_empty() {
        return;
    }
    coresidency::analyse(study, answers);
    let records = identified(&study.records);
    let instances: BTreeSet<&str> = records.iter().map(|record| record.instance.as_str()).collect();
    let finding = Finding::new(EXPERIMENT, "identity.host_id_source", "word").with_method(
        "names that instances can read, by how they group instances that run at one instant and are asked \
         twice",
        records.len(),
    );
    let verdicts = verdicts(&records);
    if let HostSource::Named(source) = &study.host {
        let other: Vec<_> = verdicts.iter().filter(|(other, _)| other != source).collect();
        for (other, verdict) in other {
            if let (Verdict::NamesHost(groups), Some((_, Verdict::NamesHost(found)))) =
                (verdict, verdicts.iter().find(|(name, _)| name == source))
                && groups != found
            {
                let text = format!(
                    "identity.host_id_source: {other} groups instances otherwise than {source} does; more \
                     rounds with more instances each would tell which of the two is the host"
                );
                answers.note(EXPERIMENT, &text);
            }
        }
        answers.add(finding.with_word(source));
        return;
    }
    let reasons: Vec<String> = verdicts
        .iter()
        .filter(|(_, verdict)| *verdict != Verdict::Missing)
        .map(|(source, verdict)| format!("{source} {}", verdict.why()))
        .collect();
    let reasons =
        if reasons.is_empty() { "no name is readable".to_owned() } else { reasons.join(", ") };
    let Some(finding) = by_counters(study, answers, finding, &reasons) else { return };
    let constant = verdicts.iter().any(|(_, verdict)| *verdict == Verdict::Constant)
        && !several_hosts(&records);
    if instances.len() < 2 {
        let why = "fewer than two instances answered; see the failures for the reason";
        answers.add_unknown(finding, why);
    } else if constant {
        let why = format!(
            "{reasons}: either one host took all instances, or the name is made up; more instances at once \
             than one host can take would tell"
        );
        answers.add_unknown(finding, &why);
    } else if verdicts.iter().any(|(_, verdict)| *verdict == Verdict::NamesSlot) {
        let why = format!(
            "{reasons}: where each instance has a host of its own such a name may be the host's; a platform on \
             which instances meet would tell"
        );
        answers.add_unknown(finding, &why);
    } else {
        let text = format!(
            "identity.host_id_source: nothing names the host: {reasons}; what is asked per host cannot be \
             known here without a side channel"
        );
        answers.note(EXPERIMENT, &text);
        answers.add(finding.with_word("none"));
    }
}

/// Whether the instances can only have been on more than one host: their CPUs are of different models, or groups of them
/// have kernels that started at different times, each group at one.
fn several_hosts(records: &[&Record]) -> bool {
    let models: BTreeSet<&str> = records
        .iter()
        .map(|record| record.cpu_model.as_str())
        .filter(|it| !it.is_empty())
        .collect();
    if models.len() > 1 {
        return true;
    }
    let mut started: BTreeMap<&str, f64> = BTreeMap::new();
    for record in records.iter().filter(|record| record.uptime_s > 0.0) {
        let at_s = record.started_unix_ns as f64 / 1e9 - record.uptime_s;
        started.entry(&record.instance).or_insert(at_s);
    }
    let mut started: Vec<f64> = started.into_values().collect();
    started.sort_by(f64::total_cmp);
    // Sandboxes with a kernel each start theirs apart: only a start that several instances share is a host's.
    let shared = started.chunk_by(|a, b| b - a <= SAME_START_S).filter(|group| group.len() > 1);
    shared.count() > 1
}

/// Adds the finding where the disk counters tell something of it; gives it back where they do not.
fn by_counters(
    study: &Study,
    answers: &mut Answers,
    finding: Finding,
    reasons: &str,
) -> Option<Finding> {
    match coresidency::channel(study) {
        coresidency::Channel::Works => {
            let text = format!(
                "identity.host_id_source: {reasons}; who shares a host can be told by the disk counters, pair by pair, \
                 but hosts have no names, so that what is asked per host is not known"
            );
            answers.note(EXPERIMENT, &text);
            answers.add(finding.with_word("io_side_channel"));
            None
        }
        coresidency::Channel::Everywhere => {
            let why = format!(
                "{reasons}; everybody sees every write in the disk counters: either one host took all instances, or \
                 the counters are of more than a host"
            );
            answers.add_unknown(finding, &why);
            None
        }
        coresidency::Channel::Silent => Some(finding),
    }
}

/// Answered records of instances whose identity was asked.
fn identified<'a>(records: &[&'a Record]) -> Vec<&'a Record> {
    let asked = |record: &&Record| {
        record.outcome == Outcome::Ok
            && !record.instance.is_empty()
            && (!record.host_ids.is_empty() || record.experiment == EXPERIMENT)
            && is_sound(record)
    };
    records.iter().copied().filter(asked).collect()
}

/// Records with the number of each one's instance, instances in ascending order of their names.
struct Numbered<'a> {
    records: Vec<(&'a Record, usize)>,
    instances: usize,
}

impl<'a> Numbered<'a> {
    fn of(records: &[&'a Record]) -> Self {
        // Names by their beginnings first, so that few of a million need be looked up.
        let beginning = |name: &str| {
            let mut bytes = [0; 8];
            bytes.iter_mut().zip(name.bytes()).for_each(|(byte, own)| *byte = own);
            u64::from_be_bytes(bytes)
        };
        let name = |at: usize| records[at].instance.as_str();
        let mut order: Vec<(u64, usize)> =
            (0..records.len()).map(|at| (beginning(name(at)), at)).collect();
        order.sort_unstable_by(|one, other| {
            one.0.cmp(&other.0).then_with(|| name(one.1).cmp(name(other.1)))
        });
        let mut numbered: Vec<_> = records.iter().map(|record| (*record, 0)).collect();
        let mut instances = 0;
        for same in order.chunk_by(|one, other| one.0 == other.0 && name(one.1) == name(other.1)) {
            for (_, at) in same {
                numbered[*at].1 = instances;
            }
            instances += 1;
        }
        Self { records: numbered, instances }
    }
}

fn verdicts(records: &[&Record]) -> Vec<(&'static str, Verdict)> {
    let numbered = Numbered::of(records);
    SOURCES.into_iter().map(|source| (source, verdict(source, &numbered))).collect()
}

fn verdict(source: &str, Numbered { records, instances }: &Numbered) -> Verdict {
    let mut values: Vec<&str> = vec![""; *instances];
    for (record, number) in records {
        let Some(value) = record.host_ids.get(source).filter(|value| !value.is_empty()) else {
            return Verdict::Missing;
        };
        if values[*number].is_empty() {
            values[*number] = value;
        } else if values[*number] != value {
            return Verdict::Unsteady;
        }
    }
    let distinct = values.iter().collect::<BTreeSet<_>>().len();
    if *instances < 2 {
        return Verdict::Missing;
    } else if distinct == 1 {
        return Verdict::Constant;
    } else if distinct == *instances {
        return Verdict::NamesInstance;
    }
    if !MADE_BY_HOST.contains(&source) {
        let mut by_function: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        let mut by_value: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
        for (record, number) in records {
            by_function.entry(&record.function).or_default().insert(values[*number]);
            by_value.entry(values[*number]).or_default().push(record);
        }
        if by_function.len() > 1 && by_function.values().all(|values| values.len() == 1) {
            return Verdict::NamesFunction;
        }
        if !by_value.values().any(|records| together(records).len() > 1) {
            return Verdict::NamesSlot;
        }
    }
    Verdict::NamesHost(numbered(values.into_iter()))
}

/// Groups by number, in the order in which they first appear, so that equal groupings are equal lists.
fn numbered<'a>(values: impl Iterator<Item = &'a str>) -> Vec<usize> {
    let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
    values
        .map(|value| {
            let next = numbers.len();
            *numbers.entry(value).or_insert(next)
        })
        .collect()
}

fn chosen(verdicts: &[(&'static str, Verdict)]) -> Option<&'static str> {
    let mut best: Option<(&'static str, usize)> = None;
    for (source, verdict) in verdicts {
        if !matches!(verdict, Verdict::NamesHost(_)) {
            continue;
        }
        let agree = verdicts.iter().filter(|(_, other)| other == verdict).count();
        if best.is_none_or(|(_, most)| agree > most) {
            best = Some((source, agree));
        }
    }
    best.map(|(source, _)| source)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Value;

    /// Four rounds of twelve instances, five to a host, asked twice; `names` gives source and value by round and number.
    fn records(names: impl Fn(u32, u32) -> Vec<(&'static str, String)>) -> Vec<Record> {
        let mut records = Vec::new();
        for round in 0..4 {
            for phase in ["launch", "again"] {
                let start = u64::from(round) * 1000 + if phase == "again" { 500 } else { 0 };
                records.extend((0..12).map(|number| {
                    Record {
                        experiment: EXPERIMENT.into(),
                        round,
                        phase: phase.into(),
                        function: format!("function-{round}").into(),
                        outcome: Outcome::Ok,
                        instance: format!("{round}-{number}").into(),
                        started_unix_ns: start + u64::from(number),
                        finished_unix_ns: start + 100,
                        host_ids: names(round, number)
                            .into_iter()
                            .map(|(source, value)| (source.to_owned(), value))
                            .collect(),
                        ..Record::default()
                    }
                }));
            }
        }
        records
    }

    fn found(records: &[Record]) -> (Value, String) {
        let (findings, problems) = crate::analyse(records);
        let finding = findings.iter().find(|one| one.metric == "identity.host_id_source").unwrap();
        (finding.value.clone(), problems.into_iter().map(|problem| problem.text).collect())
    }

    fn word(records: &[Record]) -> Value {
        found(records).0
    }

    fn is(word: &str) -> Value {
        Value::Word(word.to_owned())
    }

    // AWS in 2018: the root id groups instances, the address agrees, the control group is the instance's own.
    #[test]
    fn root_ids_group_instances() {
        let records = records(|round, number| {
            let host = (round * 12 + number) / 5;
            vec![
                ("instance_root_id", format!("sandbox-root-{host}")),
                ("cgroup", format!("/sandbox-root-{host}/sandbox-{round}-{number}")),
                ("ip", format!("10.0.0.{host}")),
                ("machine_id", "image".to_owned()),
            ]
        });
        assert_eq!(word(&records), is("instance_root_id"));
    }

    // Hosts that are kernels: each has its own boot id, and addresses are slots that are used again in each round.
    #[test]
    fn boot_ids_name_hosts() {
        let records = records(|_, number| {
            vec![
                ("boot_id", format!("host-{}", number / 5)),
                ("ip", format!("10.0.0.{number}")),
                ("machine_id", "image".to_owned()),
            ]
        });
        assert_eq!(word(&records), is("boot_id"));
    }

    // A host per round and function is still named by its kernel, though a name in the environment would not count.
    #[test]
    fn one_host_per_function_is_believed_of_the_kernel_only() {
        let boot = records(|round, _| vec![("boot_id", format!("host-{round}"))]);
        assert_eq!(word(&boot), is("boot_id"));
        let env = records(|round, _| vec![("env", format!("function-{round}"))]);
        assert_eq!(word(&env), is("none"));
    }

    // A microVM for each instance: every name is the instance's own, so nothing names the host.
    #[test]
    fn unique_names_are_the_instances_own() {
        let records = records(|round, number| vec![("boot_id", format!("{round}-{number}"))]);
        let (value, problems) = found(&records);
        assert_eq!(value, is("none"));
        assert!(problems.contains("boot_id differs for every instance"), "{problems}");
    }

    // One machine without cells, or a made-up name: nothing can tell, and the problem says what would.
    #[test]
    fn one_name_for_all_is_unknown() {
        let records = records(|round, number| {
            vec![("boot_id", "same".to_owned()), ("cgroup", format!("/{round}-{number}"))]
        });
        let (value, problems) = found(&records);
        assert_eq!(value, is("unknown"));
        assert!(problems.contains("boot_id is the same for all instances"), "{problems}");
    }

    // Nothing readable.
    #[test]
    fn nothing_readable_is_none() {
        let (value, problems) = found(&records(|_, _| Vec::new()));
        assert_eq!(value, is("none"));
        assert!(problems.contains("no name is readable"), "{problems}");
    }

    // A name that changes between two questions to one instance is none.
    #[test]
    fn changing_names_are_refused() {
        let mut records = records(|_, number| vec![("ip", format!("10.0.0.{}", number / 5))]);
        assert_eq!(word(&records), is("ip"));
        for record in records.iter_mut().filter(|record| record.phase == "again") {
            record.host_ids.insert("ip".to_owned(), "10.9.9.9".to_owned());
        }
        assert_eq!(word(&records), is("none"));
    }

    // Two names that agree outvote one that comes first in the order.
    #[test]
    fn agreement_outvotes_order() {
        let records = records(|round, number| {
            let host = (round * 12 + number) / 5;
            vec![
                ("instance_root_id", format!("half-{}", number % 2)),
                ("boot_id", format!("boot-{host}")),
                ("ip", format!("10.0.0.{host}")),
            ]
        });
        assert_eq!(word(&records), is("boot_id"));
    }
}
