//! The file form of a profile: sections, keys and their limits.
//!
//! Deliberately knows nothing of where the text came from.

use super::error::Fault;
use super::events::{EventsSection, events};
use super::policies::{
    KeepAliveSection, PlacementSection, ScalingSection, UpdatesSection, keep_alive, lifetime,
    lifetime_cap, placement, scaling, share, updates,
};
use super::prices::{PricesSection, prices};
use super::{
    Billing, Cpu, CpuCeiling, CpuWeight, Hosts, InitBilling, Limits, Profile, Reveal, Sharing,
};
use super::{ProfileError, ProfileText};
use model::{Isolation, MemoryMib, Span, TenantId};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    hosts: HostsSection,
    placement: PlacementSection,
    keep_alive: KeepAliveSection,
    #[serde(default)]
    scaling: ScalingSection,
    updates: Option<UpdatesSection>,
    cpu: CpuSection,
    limits: LimitsSection,
    events: Option<EventsSection>,
    billing: BillingSection,
    #[serde(default)]
    prices: PricesSection,
    rest: RestSection,
    reveal: RevealSection,
    #[serde(default)]
    accounts: BTreeMap<String, AccountSection>,
}

#[derive(Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SharingName {
    PerTenant,
    Shared,
    PerRole,
    PerFunction,
    PartlyShared,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HostsSection {
    memory_mib: u32,
    vcpus: f64,
    sharing: SharingName,
    shared_share: Option<f64>,
    warm: u32,
    idle_s: f64,
    overcommit: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum CeilingName {
    None,
    Proportional,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CpuSection {
    ceiling: CeilingName,
    full_mib: Option<u32>,
    weight: CpuWeight,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitsSection {
    account_concurrency: u32,
    queue: u32,
    queue_wait_s: f64,
    memory_min_mib: u32,
    memory_max_mib: u32,
    timeout_max_s: f64,
    memory_mib: Option<u32>,
    memory_reserve_mib: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BillingSection {
    grain_ms: f64,
    init: InitBilling,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RestSection {
    after_ms: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountSection {
    isolation: Isolation,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RevealSection {
    host: Reveal,
}

/// Longest span that a profile can name: ten years.
const LONGEST_S: f64 = 315_360_000.0;

/// Names of all sections and of the keys outside of them.
pub(super) const SECTIONS: &[&str] = &[
    "name",
    "hosts",
    "placement",
    "keep_alive",
    "scaling",
    "updates",
    "cpu",
    "limits",
    "events",
    "billing",
    "prices",
    "rest",
    "reveal",
    "accounts",
];

pub(super) fn read(text: &ProfileText<'_>) -> Result<Profile, ProfileError> {
    let file: File = text.read(SECTIONS)?;
    check(&file).map_err(|fault| {
        let key = match &fault {
            Fault::Text(_) => "",
            Fault::Value { key, .. } => key,
            Fault::Missing { key, .. } | Fault::Foreign { key, .. } => key,
        };
        ProfileError { line: text.line(key), fault }
    })
}

fn check(file: &File) -> Result<Profile, Fault> {
    Ok(Profile {
        name: file.name.clone(),
        hosts: hosts(&file.hosts)?,
        placement: placement(&file.placement)?,
        lifetime_cap: lifetime_cap(&file.keep_alive)?,
        lifetime: lifetime(&file.keep_alive)?,
        scaling: scaling(&file.scaling)?,
        updates: file.updates.as_ref().map(updates).transpose()?,
        keep_alive: keep_alive(&file.keep_alive)?,
        cpu: cpu(&file.cpu)?,
        limits: limits(&file.limits)?,
        events: events(file.events.as_ref())?,
        billing: Billing {
            grain: milliseconds("billing.grain_ms", file.billing.grain_ms)?,
            init: file.billing.init,
        },
        prices: prices(&file.prices)?,
        rest_after: file
            .rest
            .after_ms
            .map(|after| milliseconds("rest.after_ms", after))
            .transpose()?,
        reveal: file.reveal.host,
        accounts: accounts(&file.accounts)?,
    })
}

fn hosts(section: &HostsSection) -> Result<Hosts, Fault> {
    const SHARE: &str = "hosts.shared_share";
    let HostsSection { memory_mib, vcpus, sharing, shared_share, warm, idle_s, overcommit } =
        *section;
    let sharing = match sharing {
        SharingName::PartlyShared => {
            let shared_share = needed(shared_share, SHARE, "hosts.sharing partly_shared")?;
            share(SHARE, shared_share)?;
            Sharing::PartlyShared { shared_share }
        }
        SharingName::PerTenant => Sharing::PerTenant,
        SharingName::Shared => Sharing::Shared,
        SharingName::PerRole => Sharing::PerRole,
        SharingName::PerFunction => Sharing::PerFunction,
    };
    if !matches!(sharing, Sharing::PartlyShared { .. }) {
        foreign(&shared_share, SHARE, "another hosts.sharing than partly_shared")?;
    }
    require(memory_mib >= 1, "hosts.memory_mib", memory_mib, "at least 1")?;
    require((0.001..=4096.0).contains(&vcpus), "hosts.vcpus", vcpus, "from 0.001 to 4096")?;
    require(warm <= 10_000, "hosts.warm", warm, "at most 10000")?;
    require(
        (1.0..=1e6).contains(&overcommit),
        "hosts.overcommit",
        overcommit,
        "a factor from 1 to 1000000",
    )?;
    Ok(Hosts {
        memory: MemoryMib(memory_mib),
        milli_cpus: (vcpus * 1000.0).round() as u32,
        sharing,
        warm,
        idle: span("hosts.idle_s", idle_s)?,
        overcommit,
    })
}

fn accounts(
    sections: &BTreeMap<String, AccountSection>,
) -> Result<BTreeMap<TenantId, Isolation>, Fault> {
    let account = |(text, section): (&String, &AccountSection)| match text.parse() {
        Ok(tenant) => Ok((tenant, section.isolation)),
        Err(_) => Err(Fault::Value {
            key: format!("accounts.{text}"),
            value: format!("the setting of an account named {text:?}"),
            limit: "named by an account id of twelve digits, as in [accounts.\"123456789012\"]"
                .to_owned(),
        }),
    };
    sections.iter().map(account).collect()
}

fn cpu(section: &CpuSection) -> Result<Cpu, Fault> {
    const KEY: &str = "cpu.full_mib";
    let ceiling = match section.ceiling {
        CeilingName::None => {
            foreign(&section.full_mib, KEY, "cpu.ceiling none")?;
            CpuCeiling::None
        }
        CeilingName::Proportional => {
            let full = needed(section.full_mib, KEY, "cpu.ceiling proportional")?;
            require(full >= 1, KEY, full, "at least 1")?;
            CpuCeiling::Proportional { full: MemoryMib(full) }
        }
    };
    Ok(Cpu { ceiling, weight: section.weight })
}

fn limits(section: &LimitsSection) -> Result<Limits, Fault> {
    let least = section.memory_min_mib;
    let most = section.memory_max_mib;
    require(least >= 1, "limits.memory_min_mib", least, "at least 1")?;
    require(most >= least, "limits.memory_max_mib", most, "at least limits.memory_min_mib")?;
    if let Some(memory) = section.memory_mib {
        require(memory >= 1, "limits.memory_mib", memory, "at least 1")?;
    }
    Ok(Limits {
        account_concurrency: section.account_concurrency,
        queue: section.queue,
        queue_wait: positive("limits.queue_wait_s", section.queue_wait_s)?,
        memory_min: MemoryMib(least),
        memory_max: MemoryMib(most),
        timeout_max: positive("limits.timeout_max_s", section.timeout_max_s)?,
        memory: section.memory_mib.map(MemoryMib),
        memory_reserve: MemoryMib(section.memory_reserve_mib),
    })
}

pub(super) fn require(
    holds: bool,
    key: &'static str,
    value: impl ToString,
    limit: &'static str,
) -> Result<(), Fault> {
    if holds {
        return Ok(());
    }
    Err(Fault::Value { key: key.to_owned(), value: value.to_string(), limit: limit.to_owned() })
}

pub(super) fn needed<T>(
    value: Option<T>,
    key: &'static str,
    policy: &'static str,
) -> Result<T, Fault> {
    value.ok_or(Fault::Missing { key, policy })
}

fn foreign<T>(value: &Option<T>, key: &'static str, policy: &'static str) -> Result<(), Fault> {
    if value.is_none() {
        return Ok(());
    }
    Err(Fault::Foreign { key, policy })
}

fn span(key: &'static str, seconds: f64) -> Result<Span, Fault> {
    let holds = (0.0..=LONGEST_S).contains(&seconds);
    require(holds, key, seconds, "from 0 s to ten years (315360000 s)")?;
    Ok(Span::from_secs_f64(seconds))
}

pub(super) fn positive(key: &'static str, seconds: f64) -> Result<Span, Fault> {
    require(seconds >= 1e-9, key, seconds, "more than 0 s")?;
    span(key, seconds)
}

fn milliseconds(key: &'static str, milliseconds: f64) -> Result<Span, Fault> {
    let holds = (1e-6..=LONGEST_S * 1e3).contains(&milliseconds);
    require(holds, key, milliseconds, "more than 0 ms and at most ten years")?;
    Ok(Span::from_secs_f64(milliseconds / 1e3))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: &str = include_str!("../../../../profiles/local.toml");

    fn complaint(from: &str, to: &str) -> String {
        assert!(LOCAL.contains(from), "{from} is in local.toml");
        Profile::from_toml(&LOCAL.replacen(from, to, 1)).expect_err(to).to_string()
    }

    fn line_of(text: &str) -> String {
        let before = LOCAL.find(text).map(|at| LOCAL[..at].lines().count() + 1);
        format!("line {}", before.expect("in local.toml"))
    }

    // A misspelt key is refused and the right ones are named.
    #[test]
    fn unknown_keys_name_the_known_ones() {
        let text = complaint("vcpus =", "vcpu =");
        assert!(text.contains("`vcpu` is not known, `vcpus` is near"), "{text}");
        assert_eq!(text.split(':').next(), Some(line_of("vcpus =").as_str()));
        let text = complaint("[billing]", "[biling]");
        assert!(text.contains("`biling` is not known, `billing` is near"), "{text}");
        let text = complaint("policy = \"bin_pack\"", "policy = \"binpack\"");
        assert!(text.contains("`binpack` is not known, `bin_pack` is near"), "{text}");
    }

    // A value out of its limits is refused with key, value and limit.
    #[test]
    fn values_are_checked() {
        let text = complaint("overcommit = 64.0", "overcommit = 0.5");
        let line = line_of("overcommit = 64.0");
        let expected = "hosts.overcommit is 0.5, must be a factor from 1 to 1000000";
        assert_eq!(text, format!("{line}: {expected}"));
        let text = complaint("limit_s = 600.0", "limit_s = nan");
        assert!(text.ends_with(": keep_alive.limit_s is NaN, must be more than 0 s"), "{text}");
        let text = complaint("after_ms = 5.0", "after_ms = -1.0");
        assert!(text.contains(": rest.after_ms is -1, must be"), "{text}");
        let text = complaint("memory_mib = 3328", "memory_mib = -1");
        assert!(text.contains("hosts.memory_mib: invalid value"), "{text}");
    }

    // Accounts have twelve digits and an isolation that there is.
    #[test]
    fn accounts_are_checked() {
        let with = |section: &str| Profile::from_toml(&format!("{LOCAL}\n{section}\n"));
        let last = LOCAL.lines().count();
        let good = with("[accounts.\"123456789012\"]\nisolation = \"role\"").expect("valid");
        let account = "123456789012".parse().expect("twelve digits");
        assert_eq!(good.accounts, BTreeMap::from([(account, Isolation::Role)]));
        let bad =
            with("[accounts.12]\nisolation = \"role\"").expect_err("an account of two digits");
        let line = last + 2;
        let expected = format!(
            "line {line}: accounts.12 is the setting of an account named \"12\", must be named by"
        );
        assert!(bad.to_string().starts_with(&expected), "{bad}");
        let bad = with("[accounts.\"123456789012\"]\nisolation = \"rolle\"")
            .expect_err("a misspelt word");
        assert!(bad.to_string().contains("`rolle` is not known, `role` is near"), "{bad}");
        let bad =
            with("[accounts.\"123456789012\"]\nisolated = \"role\"").expect_err("a misspelt key");
        assert!(bad.to_string().starts_with(&format!("line {}:", line + 1)), "{bad}");
        assert!(bad.to_string().contains("`isolated` is not known, `isolation` is near"), "{bad}");
    }

    // A policy's keys belong to it: none may be missing, none of another's may be there.
    #[test]
    fn policies_have_their_own_keys() {
        let text = complaint("limit_s = 600.0", "");
        let expected = "keep_alive.limit_s is missing, keep_alive.policy fixed needs it";
        assert_eq!(text, format!("{}: {expected}", line_of("[keep_alive]")));
        let text = complaint("limit_s = 600.0", "limit_s = 600.0\nfloor = 2");
        let expected = "keep_alive.floor has no meaning with keep_alive.policy fixed: remove it";
        assert!(text.ends_with(expected), "{text}");
        let text = complaint("policy = \"bin_pack\"", "policy = \"spread\"");
        let expected = "placement.max_hosts is missing, placement.policy spread needs it";
        assert!(text.ends_with(expected), "{text}");
    }
}
