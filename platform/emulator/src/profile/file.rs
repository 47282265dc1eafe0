//! The file form of a profile: what is wrong with it, where, and what was probably meant.
//!
//! Deliberately knows nothing of where the text came from.

use super::{Model, Platform};
use serde::Deserialize;

/// Why a text is no profile of an emulated platform.
#[derive(Debug, thiserror::Error)]
#[error("{name}{}: {text}", line.map(|line| format!(", line {line}")).unwrap_or_default())]
pub struct ProfileError {
    /// The profile.
    pub name: String,
    /// Line, from 1, where it is known.
    pub line: Option<usize>,
    /// What is wrong, with key and limit.
    pub text: String,
}

/// The sections that are this crate's; the scheduler reads the others.
#[derive(Deserialize)]
struct File {
    emulated: Model,
}

pub(super) fn read(name: &str, text: &str) -> Result<Platform, ProfileError> {
    let wrong = |line, text| ProfileError { name: name.to_owned(), line, text };
    let scheduler = scheduler::Profile::from_toml(text).map_err(|error| match error {
        scheduler::ProfileError::Text(error) => toml_error(name, text, &error),
        error => {
            let said = error.to_string();
            let key = said.split(' ').next().unwrap_or_default();
            wrong(line_of(text, key), said.clone())
        }
    })?;
    let file: File = toml::from_str(text).map_err(|error| toml_error(name, text, &error))?;
    let platform = Platform { scheduler, model: file.emulated };
    match problem(&platform) {
        Some((key, said)) => Err(wrong(line_of(text, key), format!("{key} {said}"))),
        None => Ok(platform),
    }
}

/// A complaint of the TOML reader with its line, and the nearest name for one that is unknown.
fn toml_error(name: &str, text: &str, error: &toml::de::Error) -> ProfileError {
    let line = error.span().map(|span| text[..span.start.min(text.len())].lines().count().max(1));
    let mut said = error.message().to_owned();
    let mut quoted = said.split('`').skip(1).step_by(2);
    if said.starts_with("unknown") {
        let wrong = quoted.next().unwrap_or_default().to_owned();
        let nearest = quoted.min_by_key(|known| distance(&wrong, known)).map(str::to_owned);
        if let Some(nearest) = nearest.filter(|nearest| distance(&wrong, nearest) <= 3) {
            said = format!("unknown key `{wrong}`, did you mean `{nearest}`?");
        }
    }
    // Where a line begins, its number is one more than the lines before it.
    let begins = error.span().is_some_and(|span| {
        span.start > 0 && text.as_bytes().get(span.start - 1) == Some(&b'\n')
    });
    ProfileError {
        name: name.to_owned(),
        line: line.map(|line| if begins { line + 1 } else { line }),
        text: said,
    }
}

/// Line of `section.key`, from 1.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let (section, name) = key.rsplit_once('.')?;
    let mut inside = false;
    for (line, content) in (1..).zip(text.lines()) {
        let content = content.trim();
        if content.starts_with('[') {
            let header = content.split('#').next().unwrap_or_default().trim();
            inside = header.trim_matches(['[', ']']) == section;
        } else if inside
            && content.split_once('=').is_some_and(|(before, _)| before.trim() == name)
        {
            return Some(line);
        }
    }
    None
}

/// The first value that is out of its limits: its key, and what it is and must be.
fn problem(platform: &Platform) -> Option<(&'static str, String)> {
    let model = &platform.model;
    let parts = [
        ("emulated.faults.lost_request", model.faults.lost_request),
        ("emulated.faults.lost_reply", model.faults.lost_reply),
        ("emulated.faults.duplicate", model.faults.duplicate),
        ("emulated.faults.throttled", model.faults.throttled),
        ("emulated.faults.crash", model.faults.crash),
        ("emulated.faults.start_failure", model.faults.start_failure),
        ("emulated.cpu.ceiling_sd", model.cpu.ceiling_sd),
    ];
    let positive = [
        ("emulated.disk.write_mib_s", model.disk.write_mib_s),
        ("emulated.disk.read_mib_s", model.disk.read_mib_s),
        ("emulated.disk.instance_mib_s", model.disk.instance_mib_s.unwrap_or(1.0)),
        ("emulated.network.mbit_s", model.network.mbit_s),
        ("emulated.network.mbit_s_at_128_mib", model.network.mbit_s_at_128_mib.unwrap_or(1.0)),
        ("emulated.control.per_s", model.control.per_s),
        ("emulated.limits.payload_mib", model.limits.payload_mib),
        ("emulated.limits.memory_step_mib", f64::from(model.limits.memory_step_mib)),
        ("emulated.limits.package_mib", f64::from(model.limits.package_mib)),
        ("emulated.cpu.period_ms", model.cpu.period_ms),
        ("emulated.tenants", f64::from(model.tenants)),
        ("emulated.roles", f64::from(model.roles)),
        ("emulated.control.burst", f64::from(model.control.burst)),
    ];
    let from_zero = [
        ("emulated.hosts.uptime_min_s", model.hosts.uptime_min_s),
        ("emulated.starts.serial_ms", model.starts.serial_ms),
        ("emulated.starts.package_ms_per_mib", model.starts.package_ms_per_mib),
        ("emulated.starts.known_code_saves_ms", model.starts.known_code_saves_ms),
        ("emulated.disk.noise_mib_s", model.disk.noise_mib_s),
        ("emulated.background.for_s", model.background.for_s),
        ("emulated.background.cpus", model.background.cpus.unwrap_or(0.0)),
        ("emulated.clock.host_sd_ms", model.clock.host_sd_ms),
    ];
    let out = |list: &[(&'static str, f64)], holds: fn(f64) -> bool, limit: &str| {
        let (key, value) = list.iter().copied().find(|(_, value)| !holds(*value))?;
        Some((key, format!("is {value}, must be {limit}")))
    };
    out(&parts, |value| (0.0..=1.0).contains(&value), "from 0 to 1")
        .or_else(|| out(&positive, |value| value > 0.0 && value <= 1e9, "more than 0"))
        .or_else(|| out(&from_zero, |value| (0.0..=1e9).contains(&value), "from 0 to 1000000000"))
        .or_else(|| problem_of_lists(model))
}

fn problem_of_lists(model: &Model) -> Option<(&'static str, String)> {
    if model.hosts.uptime_max_s < model.hosts.uptime_min_s {
        let (min, max) = (model.hosts.uptime_min_s, model.hosts.uptime_max_s);
        return Some(("emulated.hosts.uptime_max_s", format!("is {max}, must be at least {min}")));
    }
    if model.clock.offset_ms.abs() > 1e9 || model.clock.drift_ppm.abs() > 1e5 {
        let text = "must be at most 1000000000, and drift_ppm at most 100000, either way";
        return Some(("emulated.clock.offset_ms", text.to_owned()));
    }
    if model.runtimes.is_empty() {
        return Some(("emulated.runtimes", "is empty, name at least one".to_owned()));
    }
    let cold = |runtime: &&String| !model.cold.iter().any(|row| row.runtime == **runtime);
    if let Some(runtime) = model.runtimes.iter().find(cold) {
        let text = format!("has no row for runtime {runtime:?} of emulated.runtimes");
        return Some(("emulated.cold", text));
    }
    if model.host.is_empty() || model.host.iter().any(|it| it.share.is_nan() || it.share <= 0.0) {
        return Some(("emulated.host.share", "must be more than 0, for one host at least".into()));
    }
    if let Some(it) = model.host.iter().find(|it| !(1..=1024).contains(&it.vcpus)) {
        return Some(("emulated.host.vcpus", format!("is {}, must be from 1 to 1024", it.vcpus)));
    }
    let known = |item: &str| probe::EXPOSURE_ITEMS.lines().any(|line| line == item);
    let unknown = model.reveal.readable.iter().find(|item| !known(item))?;
    let nearest = probe::EXPOSURE_ITEMS.lines().min_by_key(|line| distance(unknown, line));
    let text = format!(
        "names {unknown:?}, which the probe does not look at; the nearest it does is {:?}",
        nearest.unwrap_or_default()
    );
    Some(("emulated.reveal.readable", text))
}

/// Letters to change, add or leave out to make one word of the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let same = corner + usize::from(a != *b);
            corner = row[j + 1];
            row[j + 1] = same.min(row[j] + 1).min(corner + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const AWS: &str = include_str!("../../../../profiles/aws-2018.toml");

    fn complaint(from: &str, to: &str) -> String {
        assert!(AWS.contains(from), "{from} is in aws-2018.toml");
        let text = AWS.replacen(from, to, 1);
        Platform::from_toml("mine.toml", &text).expect_err(to).to_string()
    }

    fn line(of: &str) -> usize {
        AWS.lines().position(|line| line.starts_with(of)).expect("a line") + 1
    }

    // A misspelt key is refused with its line and the nearest right one, in either part of the file.
    #[test]
    fn misspelt_keys_name_the_nearest() {
        let text = complaint("offset_ms =", "ofset_ms =");
        let expected = format!("line {}: unknown key `ofset_ms`, did you mean `offset_ms`?", line("offset_ms"));
        assert_eq!(text, format!("mine.toml, {expected}"));
        let text = complaint("weight =", "wieght =");
        assert!(text.contains(&format!("line {}", line("weight"))), "{text}");
        assert!(text.ends_with("did you mean `weight`?"), "{text}");
    }

    // A value out of its limits is refused with line, key and limit, in either part of the file.
    #[test]
    fn limits_are_named() {
        let text = complaint("lost_reply = 0.0", "lost_reply = 1.5");
        let expected = "emulated.faults.lost_reply is 1.5, must be from 0 to 1";
        assert_eq!(text, format!("mine.toml, line {}: {expected}", line("lost_reply")));
        let text = complaint("overcommit = 1.0", "overcommit = 0.5");
        assert!(text.contains(&format!("line {}: hosts.overcommit is 0.5", line("overcommit"))), "{text}");
        let text = complaint("\"/proc/uptime\"", "\"/proc/uptimes\"");
        assert!(text.contains("nearest it does is \"/proc/uptime\""), "{text}");
    }

    // Figures that no latency has are refused where they stand.
    #[test]
    fn latencies_are_checked() {
        let text = complaint("median_ms = 265.21", "median_ms = 165.21");
        assert!(text.contains("line") && text.contains("must rise"), "{text}");
    }
}
