//! The file form of a profile: the emulator's sections beside the scheduler's, and their limits.
//!
//! Deliberately knows nothing of where the text came from.

use super::{Model, Platform, decides};
use scheduler::{Profile, ProfileError, ProfileText};
use serde::Deserialize;

/// The section that is this crate's; the scheduler reads the others.
const SECTION: &str = "emulated";

#[derive(Deserialize)]
struct File {
    emulated: Model,
}

/// A profile in words, whether it has an emulated part or is one of `peek serve`.
pub(super) fn explain(text: &str) -> Result<String, ProfileError> {
    let parsed = ProfileText::parse(text)?;
    parsed.only(&[Profile::SECTIONS, &[SECTION]])?;
    match parsed.line(SECTION) {
        Some(_) => Ok(read(text)?.in_words()),
        None => Ok(decides::of(&Profile::from_text(&parsed)?)),
    }
}

pub(super) fn read(text: &str) -> Result<Platform, ProfileError> {
    let text = ProfileText::parse(text)?;
    text.only(&[Profile::SECTIONS, &[SECTION]])?;
    let scheduler = Profile::from_text(&text)?;
    let file: File = text.read(&[SECTION])?;
    let platform = Platform { scheduler, model: file.emulated };
    match problem(&platform) {
        Some(Problem { key, value, limit }) => Err(text.fault(key, value, &limit)),
        None => Ok(platform),
    }
}

/// A value out of its limits.
struct Problem {
    key: &'static str,
    value: String,
    limit: String,
}

fn wrong(key: &'static str, value: impl ToString, limit: impl ToString) -> Option<Problem> {
    Some(Problem { key, value: value.to_string(), limit: limit.to_string() })
}

/// The first value that is out of its limits.
fn problem(platform: &Platform) -> Option<Problem> {
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
        ("emulated.change.idle_limit_s", model.change.map_or(1.0, |it| it.idle_limit_s)),
    ];
    let from_zero = [
        ("emulated.hosts.uptime_min_s", model.hosts.uptime_min_s),
        ("emulated.starts.serial_ms", model.starts.serial_ms),
        ("emulated.starts.package_ms_per_mib", model.starts.package_ms_per_mib),
        ("emulated.starts.known_code_saves_ms", model.starts.known_code_saves_ms),
        ("emulated.disk.noise_mib_s", model.disk.noise_mib_s),
        ("emulated.disk.variation_sd", model.disk.variation_sd),
        ("emulated.network.variation_sd", model.network.variation_sd),
        ("emulated.background.for_s", model.background.for_s),
        ("emulated.background.cpus", model.background.cpus.unwrap_or(0.0)),
        ("emulated.clock.host_sd_ms", model.clock.host_sd_ms),
        ("emulated.clock.step_at_s", model.clock.step_at_s),
        ("emulated.change.at_s", model.change.map_or(0.0, |it| it.at_s)),
    ];
    let out = |list: &[(&'static str, f64)], holds: fn(f64) -> bool, limit: &str| {
        let (key, value) = list.iter().copied().find(|(_, value)| !holds(*value))?;
        wrong(key, value, limit)
    };
    out(&parts, |value| (0.0..=1.0).contains(&value), "from 0 to 1")
        .or_else(|| out(&positive, |value| value > 0.0 && value <= 1e9, "more than 0"))
        .or_else(|| out(&from_zero, |value| (0.0..=1e9).contains(&value), "from 0 to 1000000000"))
        .or_else(|| problem_of_lists(model))
}

fn problem_of_lists(model: &Model) -> Option<Problem> {
    let (min, max) = (model.hosts.uptime_min_s, model.hosts.uptime_max_s);
    if max < min || max > 1e9 {
        return wrong("emulated.hosts.uptime_max_s", max, format!("from {min} to 1000000000"));
    }
    let clock = &model.clock;
    if !(-1e9..=1e9).contains(&clock.offset_ms) {
        return wrong("emulated.clock.offset_ms", clock.offset_ms, "at most 1000000000 either way");
    }
    if !(-1e9..=1e9).contains(&clock.step_ms) {
        return wrong("emulated.clock.step_ms", clock.step_ms, "at most 1000000000 either way");
    }
    if !(-1e5..=1e5).contains(&clock.drift_ppm) {
        return wrong("emulated.clock.drift_ppm", clock.drift_ppm, "at most 100000 either way");
    }
    if model.runtimes.is_empty() {
        return wrong("emulated.runtimes", "empty", "one name at least");
    }
    let has_row = |runtime: &String| model.cold.iter().any(|row| row.runtime == *runtime);
    if let Some(runtime) = model.runtimes.iter().find(|runtime| !has_row(runtime)) {
        let limit = format!("one row at least for {runtime:?}, which emulated.runtimes has");
        return wrong("emulated.cold", "without a row", limit);
    }
    if model.host.is_empty() {
        return wrong("emulated.host", "empty", "one kind at least");
    }
    if let Some(it) = model.host.iter().find(|it| !(it.share > 0.0 && it.share <= 1e9)) {
        return wrong("emulated.host.share", it.share, "more than 0");
    }
    if let Some(it) = model.host.iter().find(|it| !(1..=1024).contains(&it.vcpus)) {
        return wrong("emulated.host.vcpus", it.vcpus, "from 1 to 1024");
    }
    let items = || probe::EXPOSURE_ITEMS.lines();
    let unknown = model.reveal.readable.iter().find(|item| !items().any(|line| line == **item))?;
    let alike = |line: &&str| line.bytes().zip(unknown.bytes()).take_while(|(a, b)| a == b).count();
    let nearest = items().max_by_key(alike).unwrap_or_default();
    wrong(
        "emulated.reveal.readable",
        format!("{unknown:?}"),
        format!("a list of what the probe looks at, as {nearest:?}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const AWS: &str = include_str!("../../../../profiles/aws-2018.toml");

    fn complaint(from: &str, to: &str) -> String {
        assert!(AWS.contains(from), "{from} is in aws-2018.toml");
        let text = AWS.replacen(from, to, 1);
        Platform::from_toml(&text).expect_err(to).to_string()
    }

    fn line(of: &str) -> usize {
        AWS.lines().position(|line| line.starts_with(of)).expect("a line") + 1
    }

    // A clock that is set in mid-study is said to be, and one that is not is not.
    #[test]
    fn clock_steps_are_told() {
        let with =
            |keys: &str| explain(&AWS.replacen("host_sd_ms = 0.0", keys, 1)).expect("a profile");
        let words = with("host_sd_ms = 0.0\nstep_ms = -2500.0\nstep_at_s = 7200.0");
        assert!(
            words.contains("7200 s after the beginning they are set back by 2500 ms"),
            "{words}"
        );
        assert!(!with("host_sd_ms = 0.0").contains("after the beginning"));
        let text = complaint("host_sd_ms = 0.0", "host_sd_ms = 0.0\nstep_at_s = -1.0");
        assert!(text.contains("emulated.clock.step_at_s is -1, must be from 0"), "{text}");
    }

    // A change in mid-study is said, and its limits are named.
    #[test]
    fn changes_are_told() {
        let with = |keys: &str| {
            AWS.replacen(
                "[emulated.control]",
                &format!("[emulated.change]\n{keys}\n[emulated.control]"),
                1,
            )
        };
        let words = explain(&with("at_s = 7200.0\nidle_limit_s = 300.0")).expect("a profile");
        assert!(
            words.contains(
                "from 7200 s after the beginning on, what becomes idle is kept for 300 s"
            ),
            "{words}"
        );
        let error =
            explain(&with("at_s = 7200.0\nidle_limit_s = 0.0")).expect_err("no time").to_string();
        assert!(
            error.contains("emulated.change.idle_limit_s is 0, must be more than 0"),
            "{error}"
        );
    }

    // A misspelt key is refused with its line and the nearest right one, in either part of the file.
    #[test]
    fn misspelt_keys_name_the_nearest() {
        let text = complaint("offset_ms =", "ofset_ms =");
        assert!(text.starts_with(&format!("line {}: ", line("offset_ms"))), "{text}");
        assert!(text.contains("`ofset_ms` is not known, `offset_ms` is near"), "{text}");
        let text = complaint("weight =", "wieght =");
        assert!(text.starts_with(&format!("line {}: ", line("weight"))), "{text}");
        let text = complaint("[emulated.faults]", "[emulated.fautls]");
        assert!(text.contains("`faults` is near"), "{text}");
        let text = complaint("[billing]", "[biling]");
        assert!(text.contains("`billing` is near"), "{text}");
    }

    // A value out of its limits is refused with line, key and limit, in either part of the file.
    #[test]
    fn limits_are_named() {
        let text = complaint("lost_reply = 0.0", "lost_reply = 1.5");
        let expected = "emulated.faults.lost_reply is 1.5, must be from 0 to 1";
        assert_eq!(text, format!("line {}: {expected}", line("lost_reply")));
        let text = complaint("overcommit = 1.0", "overcommit = 0.5");
        let expected = format!("line {}: hosts.overcommit is 0.5", line("overcommit"));
        assert!(text.starts_with(&expected), "{text}");
        let text = complaint("\"/proc/uptime\"", "\"/proc/uptimes\"");
        assert!(text.contains("as \"/proc/uptime\""), "{text}");
    }

    // Both kinds of profile are put in words, and a misspelt part is not taken for an absent one.
    #[test]
    fn both_kinds_are_explained() {
        let words = explain(AWS).expect("a profile");
        assert!(words.starts_with("aws-2018: AWS Lambda"), "{words}");
        assert!(words.contains("  warm start   median 24.5 ms"), "{words}");
        let local = include_str!("../../../../profiles/local.toml");
        let words = explain(local).expect("a profile");
        assert!(words.starts_with("local: a platform on this machine\n"), "{words}");
        assert!(words.contains("  keep-alive   an idle instance is kept for 600"), "{words}");
        let text = local.to_owned() + "\n[emulatd]\nabout = \"\"\n";
        let error = explain(&text).expect_err("misspelt").to_string();
        assert!(error.contains("`emulatd` is not known, `emulated` is near"), "{error}");
    }

    // Figures that no latency has are refused where they stand.
    #[test]
    fn latencies_are_checked() {
        let text = complaint("median_ms = 265.21", "median_ms = 165.21");
        assert!(text.contains("line") && text.contains("must rise"), "{text}");
    }
}
