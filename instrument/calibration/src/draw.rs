//! Random platforms: a profile's text from a seed, over wide ranges.
//!
//! A quarter of them break what the analyses assume. The text is a whole profile, so that any of them can be kept in a file
//! and measured by itself. Deliberately knows nothing of what a study does.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// One random platform.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawn {
    /// Its seed.
    pub seed: u64,
    /// Where hosts are named, or nothing.
    pub host_id: Option<&'static str>,
    /// Whether the disk counters are the host's.
    pub counters: bool,
    /// How instances are placed.
    pub placement: PlacementDrawn,
    /// Memory of a host, MiB.
    pub host_memory_mib: u32,
    /// How idle instances go.
    pub idle: IdleDrawn,
    /// What the analyses assume, and is not so.
    pub broken: Option<Broken>,
    /// Shares of the kinds of host, ascending.
    pub host_shares: Vec<f64>,
    text: String,
}

/// How instances are placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlacementDrawn {
    /// The fullest host that fits.
    BinPack,
    /// Over so many hosts.
    Spread(u32),
}

/// How idle instances go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum IdleDrawn {
    /// At once.
    None,
    /// After this many seconds.
    Fixed(f64),
    /// By halves: interval and limit, s.
    Halving(f64, f64),
}

/// An assumption that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// Ways there and back differ by far.
    AsymmetricPath,
    /// Hosts' clocks differ, and drift.
    Clocks,
    /// Replies are lost, and requests come twice.
    Replies,
    /// Shares differ from instance to instance.
    Variation,
}

const SOURCES: [&str; 6] = ["instance_root_id", "cgroup", "env", "boot_id", "machine_id", "ip"];
const RUNTIMES: [&str; 2] = ["native", "scripted"];

impl Drawn {
    /// The platform of a seed.
    pub fn of(seed: u64) -> Self {
        Draw { random: Pcg64Mcg::seed_from_u64(seed ^ 0x9e37_79b9_7f4a_7c15) }.platform(seed)
    }

    /// The profile as a file has it.
    pub fn text(&self) -> &str {
        &self.text
    }
}

struct Sharing {
    variation_sd: f64,
    ceiling: Option<f64>,
}

struct Draw {
    random: Pcg64Mcg,
}

impl Draw {
    fn between(&mut self, low: f64, high: f64) -> f64 {
        self.random.random_range(low..high)
    }

    /// Between two values, each factor as likely.
    fn scaled(&mut self, low: f64, high: f64) -> f64 {
        self.between(low.ln(), high.ln()).exp()
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.random.random_range(0..of.len())]
    }

    fn chance(&mut self, share: f64) -> bool {
        self.random.random_bool(share)
    }

    fn platform(&mut self, seed: u64) -> Drawn {
        let broken = self.chance(0.25).then(|| {
            self.one(&[Broken::AsymmetricPath, Broken::Clocks, Broken::Replies, Broken::Variation])
        });
        let host_id = self.chance(0.85).then(|| self.one(&SOURCES));
        let counters = self.chance(0.6);
        let placement = if self.chance(0.6) {
            PlacementDrawn::BinPack
        } else {
            PlacementDrawn::Spread(self.scaled(3.0, 300.0) as u32)
        };
        let host_memory_mib = 64 * self.scaled(12.0, 80.0) as u32;
        let idle = match self.random.random_range(0..20) {
            0 => IdleDrawn::None,
            1..10 => IdleDrawn::Fixed(self.scaled(90.0, 6_000.0).round()),
            _ => {
                let interval_s = self.scaled(60.0, 900.0).round();
                let limit_s = (interval_s * self.between(3.5, 7.0)).round();
                IdleDrawn::Halving(interval_s, limit_s.min(6_500.0))
            }
        };
        let mut host_shares: Vec<f64> =
            (0..self.random.random_range(1..4)).map(|_| self.between(0.15, 1.0)).collect();
        let sum: f64 = host_shares.iter().sum();
        host_shares.iter_mut().for_each(|share| *share = (*share / sum * 1e3).round() / 1e3);
        let mut drawn = Drawn {
            seed,
            host_id,
            counters,
            placement,
            host_memory_mib,
            idle,
            broken,
            host_shares,
            text: String::new(),
        };
        drawn.text = self.text(&drawn);
        drawn
    }

    fn text(&mut self, drawn: &Drawn) -> String {
        let parts = [
            self.scheduler(drawn),
            self.emulated(drawn),
            self.hosts(drawn),
            self.latencies(drawn),
            self.reveal(drawn),
            self.rest(drawn),
        ];
        parts.join("\n")
    }

    fn scheduler(&mut self, drawn: &Drawn) -> String {
        let sharing = self.one(&["per_tenant", "per_tenant", "shared", "per_role"]);
        let placement = match drawn.placement {
            PlacementDrawn::BinPack => "policy = \"bin_pack\"".to_owned(),
            PlacementDrawn::Spread(hosts) => format!("policy = \"spread\"\nmax_hosts = {hosts}"),
        };
        let keep_alive = match drawn.idle {
            IdleDrawn::None => "policy = \"none\"".to_owned(),
            IdleDrawn::Fixed(limit_s) => format!("policy = \"fixed\"\nlimit_s = {limit_s:.1}"),
            IdleDrawn::Halving(interval_s, limit_s) => {
                let floor = self.random.random_range(1..4);
                format!(
                    "policy = \"halving\"\ninterval_s = {interval_s:.1}\nlimit_s = {limit_s:.1}\nfloor = {floor}"
                )
            }
        };
        let ceiling = if self.chance(0.85) {
            let full_mib = 64 * self.random.random_range(10..52);
            format!("ceiling = \"proportional\"\nfull_mib = {full_mib}")
        } else {
            "ceiling = \"none\"".to_owned()
        };
        let weight = self.one(&["memory", "equal"]);
        let concurrency = self.one(&[400, 1_000, 3_000]);
        let grain_ms = self.one(&["1.0", "10.0", "100.0"]);
        let init = self.one(&["free", "billed"]);
        let vcpus = self.one(&["1.0", "2.0", "4.0"]);
        format!(
            "name = \"random-{}\"
[hosts]
memory_mib = {}
vcpus = {vcpus}
sharing = \"{sharing}\"
warm = 0
idle_s = 14400.0
overcommit = 1.0
[placement]
{placement}
[keep_alive]
{keep_alive}
[cpu]
{ceiling}
weight = \"{weight}\"
[limits]
account_concurrency = {concurrency}
queue = 1000
queue_wait_s = 60.0
memory_min_mib = 128
memory_max_mib = 2048
timeout_max_s = 300.0
memory_reserve_mib = 0
[billing]
grain_ms = {grain_ms}
init = \"{init}\"
[rest]
after_ms = 5.0
[reveal]
host = \"none\"",
            drawn.seed, drawn.host_memory_mib
        )
    }

    fn emulated(&mut self, drawn: &Drawn) -> String {
        format!(
            "[emulated]
about = \"a random platform\"
source = \"seed {}\"
sandbox = \"container\"
runtimes = [\"{}\", \"{}\"]
tenants = 2
roles = 4",
            drawn.seed, RUNTIMES[0], RUNTIMES[1]
        )
    }

    fn hosts(&mut self, drawn: &Drawn) -> String {
        let mut text = String::new();
        for (number, share) in drawn.host_shares.iter().enumerate() {
            let vcpus = self.one(&[2, 4, 8]);
            let memory_mib = drawn.host_memory_mib + 256 * (number as u32 + 1);
            text += &format!(
                "[[emulated.host]]\nshare = {share:.4}\ncpu_model = \"kind {number}\"\nvcpus = {vcpus}\nmemory_mib = {memory_mib}\n"
            );
        }
        let uptime_s = self.scaled(60.0, 10_000.0);
        let ready = self.latency(2.0, 300.0, 0.3);
        format!(
            "{text}[emulated.hosts]\nready = {ready}\nuptime_min_s = {uptime_s:.1}\nuptime_max_s = {:.1}",
            uptime_s * 5.0
        )
    }

    /// A latency whose median is drawn, with a spread of up to so much of it, long to the right.
    fn latency(&mut self, low_ms: f64, high_ms: f64, spread: f64) -> String {
        let median = self.scaled(low_ms, high_ms);
        let spread = self.between(0.05, spread);
        let (min, sd) = (median * self.between(0.4, 0.9), median * spread);
        format!(
            "{{ median_ms = {median:.4}, sd_ms = {sd:.4}, min_ms = {min:.4}, max_ms = {:.4} }}",
            median * 40.0
        )
    }

    fn latencies(&mut self, drawn: &Drawn) -> String {
        let out = self.latency(0.3, 20.0, 0.3);
        let back = match drawn.broken {
            Some(Broken::AsymmetricPath) => self.latency(40.0, 120.0, 0.3),
            _ => out.clone(),
        };
        let warm = self.latency(1.0, 60.0, 0.5);
        let mut text = format!(
            "[emulated.path]\nout = {out}\nback = {back}\n[emulated.warm]\nlatency = {warm}\n"
        );
        for runtime in RUNTIMES {
            for memory_mib in [128, 2_048] {
                let latency = self.latency(90.0, 900.0, 1.2);
                text += &format!(
                    "[[emulated.cold]]\nruntime = \"{runtime}\"\nmemory_mib = {memory_mib}\nlatency = {latency}\n"
                );
            }
        }
        let serial_ms = self.between(0.0, 25.0);
        let package_ms = self.between(0.0, 12.0);
        let known_ms = self.between(0.0, 15.0);
        format!(
            "{text}[emulated.starts]\nserial_ms = {serial_ms:.2}\npackage_ms_per_mib = {package_ms:.2}\nknown_code_saves_ms = {known_ms:.2}"
        )
    }

    fn reveal(&mut self, drawn: &Drawn) -> String {
        let counters = if drawn.counters { "host" } else { "hidden" };
        let mut text = format!(
            "[emulated.reveal]\ncpu_model = \"host\"\nuptime = \"host\"\nmemory = \"host\"\ndisk_counters = \"{counters}\"\nreadable = [\"/proc/cpuinfo\", \"/proc/meminfo\"]\n[emulated.reveal.names]\n"
        );
        for source in SOURCES {
            if Some(source) == drawn.host_id {
                text += &format!("{source} = \"host\"\n");
            } else if self.chance(0.5) {
                let whose = self.one(&["instance", "nothing"]);
                text += &format!("{source} = \"{whose}\"\n");
            }
        }
        text
    }

    /// How a disk or network of hosts varies, and what one instance gets at most.
    fn sharing(&mut self, there_is: f64) -> Sharing {
        Sharing {
            variation_sd: self.between(0.0, 0.15),
            ceiling: self.chance(0.4).then(|| there_is * self.between(0.2, 0.9)),
        }
    }

    fn rest(&mut self, drawn: &Drawn) -> String {
        let is = |broken| drawn.broken == Some(broken);
        let ceiling_sd = if is(Broken::Variation) { 0.2 } else { self.between(0.0, 0.02) };
        let (write, read) = (self.scaled(20.0, 400.0), self.scaled(40.0, 800.0));
        let mbit = self.scaled(100.0, 5_000.0);
        let background_s = if self.chance(0.5) { 0.0 } else { self.scaled(0.5, 600.0) };
        let offset_ms = self.between(-500.0, 500.0);
        let (drift, host_sd) = if is(Broken::Clocks) { (20.0, 30.0) } else { (0.0, 0.0) };
        let (lost, twice) = if is(Broken::Replies) { (0.01, 0.01) } else { (0.0, 0.0) };
        let failures = self.one(&[0.0, 0.0, 0.002, 0.01]);
        let [create, update, delete] =
            [(100.0, 900.0); 3].map(|(low, high)| self.latency(low, high, 0.5));
        let payload_mib = self.one(&["1.0", "4.0", "6.0"]);
        let disk_mib = self.one(&[256, 512, 1_024]);
        let (disk, network) = (self.sharing(write), self.sharing(mbit));
        let most = |key: &str, most: Option<f64>| {
            most.map_or_else(String::new, |most| format!("{key} = {most:.2}\n"))
        };
        let (disk_sd, disk_most) = (disk.variation_sd, most("instance_mib_s", disk.ceiling));
        let (network_sd, network_most) =
            (network.variation_sd, most("mbit_s_at_128_mib", network.ceiling));
        format!(
            "[emulated.cpu]
ceiling_sd = {ceiling_sd:.4}
period_ms = 100.0
[emulated.disk]
write_mib_s = {write:.2}
read_mib_s = {read:.2}
noise_mib_s = 0.05
variation_sd = {disk_sd:.4}
{disk_most}[emulated.network]
mbit_s = {mbit:.2}
variation_sd = {network_sd:.4}
{network_most}[emulated.background]
for_s = {background_s:.2}
[emulated.clock]
offset_ms = {offset_ms:.3}
drift_ppm = {drift:.1}
host_sd_ms = {host_sd:.1}
[emulated.control]
create = {create}
update = {update}
delete = {delete}
per_s = 15.0
burst = 15
[emulated.faults]
lost_request = 0.0
lost_reply = {lost}
duplicate = {twice}
throttled = {failures}
crash = {failures}
start_failure = {failures}
[emulated.limits]
memory_step_mib = 64
payload_mib = {payload_mib}
disk_mib = {disk_mib}
package_mib = 50
"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The same seed gives the same platform, another one another.
    #[test]
    fn platforms_come_from_their_seed() {
        assert_eq!(Drawn::of(7), Drawn::of(7));
        assert_ne!(Drawn::of(7).text(), Drawn::of(8).text());
    }

    // A quarter breaks the assumptions, and every policy is drawn.
    #[test]
    fn all_kinds_are_drawn() {
        let drawn: Vec<Drawn> = (0..400).map(Drawn::of).collect();
        let broken = drawn.iter().filter(|it| it.broken.is_some()).count();
        assert!((70..=130).contains(&broken), "{broken}");
        for idle in [
            |idle: IdleDrawn| idle == IdleDrawn::None,
            |idle| matches!(idle, IdleDrawn::Fixed(_)),
            |idle| matches!(idle, IdleDrawn::Halving(..)),
        ] {
            assert!(drawn.iter().any(|it| idle(it.idle)));
        }
        assert!(drawn.iter().any(|it| it.host_id.is_none()));
    }
}
