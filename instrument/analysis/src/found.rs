//! For tests: what one analysis finds in records of its own.
//!
//! Deliberately knows nothing of hosts: what names them is another analysis's answer.

use crate::answers::Answers;
use crate::finding::Finding;
use crate::placed::HostSource;
use crate::study::Study;
use record::Record;

/// The first finding of this metric.
pub(crate) fn found(
    analyse: impl FnOnce(&Study, &mut Answers),
    records: &[Record],
    metric: &str,
) -> Finding {
    let study = Study::of_records(records.iter().collect(), HostSource::None);
    let mut answers = Answers::default();
    analyse(&study, &mut answers);
    let (findings, _) = answers.into_parts();
    findings.into_iter().find(|it| it.metric == metric).unwrap_or_else(|| panic!("{metric}"))
}
