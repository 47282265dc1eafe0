//! A random platform as a profile's text.
//!
//! Deliberately decides nothing that a label depends on: that is [`super`]'s.

use super::{Broken, Draw, Drawn, IdleDrawn, PlacementDrawn, RUNTIMES, SOURCES};
use rand::RngExt;

/// Largest memory size of a function, where hosts take it, MiB.
const LARGEST_MIB: u32 = 2_048;

impl Draw {
    pub(super) fn text(&mut self, drawn: &Drawn) -> String {
        // Kinds of host differ in model and memory; what an instance gets of their CPUs would be a mixture else.
        let vcpus = self.one(&[2, 4, 8]);
        let parts = [
            self.scheduler(drawn, vcpus),
            self.emulated(drawn),
            self.hosts(drawn, vcpus),
            self.latencies(drawn),
            self.reveal(drawn),
            self.rest(drawn),
        ];
        parts.join("\n")
    }

    fn scheduler(&mut self, drawn: &Drawn, vcpus: u32) -> String {
        let sharing = self.one(&["per_tenant", "per_tenant", "shared", "per_role"]);
        let placement = match drawn.placement {
            PlacementDrawn::BinPack => "policy = \"bin_pack\"".to_owned(),
            PlacementDrawn::Spread(hosts) => format!("policy = \"spread\"\nmax_hosts = {hosts}"),
            PlacementDrawn::Random(hosts) => format!("policy = \"random\"\nmax_hosts = {hosts}"),
            PlacementDrawn::OnePerHost => "policy = \"one_per_host\"".to_owned(),
        };
        let keep_alive = self.keep_alive(drawn);
        // Beyond all idle limits, or an instance would be too old before it was idle for too long.
        let cap = match self.chance(0.5) {
            true => format!("lifetime_cap_s = {:.1}", self.scaled(16_000.0, 60_000.0)),
            false => String::new(),
        };
        let updates = self.updates();
        let scaling = self.scaling(drawn);
        let cpu = self.cpu();
        let concurrency = self.one(&[400, 1_000, 3_000]);
        let grain_ms = self.one(&["1.0", "10.0", "100.0"]);
        let init = self.one(&["free", "billed"]);
        format!(
            "name = \"random-{}\"
[hosts]
memory_mib = {}
vcpus = {vcpus}.0
sharing = \"{sharing}\"
warm = 0
idle_s = 14400.0
overcommit = 1.0
[placement]
{placement}
[keep_alive]
{keep_alive}
{cap}
{updates}
[scaling]
{scaling}
[cpu]
{cpu}
[limits]
account_concurrency = {concurrency}
queue = 1000
queue_wait_s = 60.0
memory_min_mib = 128
memory_max_mib = {}
timeout_max_s = 300.0
memory_reserve_mib = 0
[billing]
grain_ms = {grain_ms}
init = \"{init}\"
[rest]
after_ms = 5.0
[reveal]
host = \"none\"",
            drawn.seed,
            drawn.host_memory_mib,
            // A function larger than a host would have a host made for it, larger than the profile says hosts are.
            drawn.host_memory_mib.min(LARGEST_MIB)
        )
    }

    fn cpu(&mut self) -> String {
        let ceiling = if self.chance(0.85) {
            let full_mib = 64 * self.random.random_range(10..52);
            format!("ceiling = \"proportional\"\nfull_mib = {full_mib}")
        } else {
            "ceiling = \"none\"".to_owned()
        };
        let weight = self.one(&["memory", "equal"]);
        format!("{ceiling}\nweight = \"{weight}\"")
    }

    /// Half of the platforms' updates spread.
    fn updates(&mut self) -> String {
        if self.chance(0.5) {
            return String::new();
        }
        format!(
            "[updates]\nwindow_s = {:.2}\nreuse_chance = {:.3}\nstart_chance = {:.3}",
            self.scaled(0.5, 9.0),
            self.between(0.3, 1.0),
            self.between(0.0, 1.0)
        )
    }

    fn keep_alive(&mut self, drawn: &Drawn) -> String {
        let mut text = match drawn.idle {
            IdleDrawn::None => "policy = \"none\"".to_owned(),
            IdleDrawn::Fixed(limit_s) => format!("policy = \"fixed\"\nlimit_s = {limit_s:.1}"),
            IdleDrawn::Memoryless(mean_s) => {
                format!("policy = \"memoryless\"\nmean_s = {mean_s:.1}")
            }
            IdleDrawn::Halving { interval_s, limit_s, floor } => format!(
                "policy = \"halving\"\ninterval_s = {interval_s:.1}\nlimit_s = {limit_s:.1}\nfloor = {floor}"
            ),
            IdleDrawn::Odd => self.odd_keep_alive(drawn),
        };
        match drawn.broken {
            Some(Broken::InstanceClocks) => text += "\nclock = \"instance\"",
            Some(Broken::Lifetimes) => {
                let median_s = self.scaled(300.0, 6_000.0);
                text += &format!("\nlifetime = \"exponential\"\nlifetime_median_s = {median_s:.1}");
            }
            _ => {}
        }
        text
    }

    fn odd_keep_alive(&mut self, drawn: &Drawn) -> String {
        let limit_s = self.scaled(120.0, 2_000.0);
        match drawn.broken {
            Some(Broken::Bimodal) => {
                let (long_s, share) = (limit_s * self.between(1.6, 3.0), self.between(0.2, 0.8));
                format!(
                    "policy = \"bimodal\"\nlimit_s = {limit_s:.1}\nlong_s = {long_s:.1}\nlong_share = {share:.2}"
                )
            }
            Some(Broken::Sweep) => {
                let every_s = limit_s * self.between(0.3, 1.5);
                format!("policy = \"sweep\"\nlimit_s = {limit_s:.1}\ninterval_s = {every_s:.1}")
            }
            _ => {
                let pool_mib = 128 * self.random.random_range(40..200);
                format!("policy = \"memory_pressure\"\npool_mib = {pool_mib}")
            }
        }
    }

    fn scaling(&mut self, drawn: &Drawn) -> String {
        let mut text = String::new();
        if let Some(most) = drawn.max_instances {
            text += &format!("max_instances = {most}\n");
        }
        if drawn.broken == Some(Broken::PartStarts) {
            text += &format!("start_share = {:.2}\n", self.between(0.3, 0.8));
        }
        if drawn.broken == Some(Broken::Several) {
            text += &format!("requests_per_instance = {}\n", self.random.random_range(2..9));
        }
        text
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

    fn hosts(&mut self, drawn: &Drawn, vcpus: u32) -> String {
        let mut text = String::new();
        for (number, share) in drawn.host_shares.iter().enumerate() {
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
        let median_ms = self.scaled(low_ms, high_ms);
        self.around(median_ms, spread)
    }

    fn around(&mut self, median_ms: f64, spread: f64) -> String {
        let spread = self.between(0.05, spread);
        let (min_ms, sd_ms) = (median_ms * self.between(0.4, 0.9), median_ms * spread);
        format!(
            "{{ median_ms = {median_ms:.4}, sd_ms = {sd_ms:.4}, min_ms = {min_ms:.4}, max_ms = {:.4} }}",
            median_ms * 40.0
        )
    }

    fn latencies(&mut self, drawn: &Drawn) -> String {
        let (there_ms, warm_ms) = (self.scaled(0.3, 8.0), self.scaled(1.0, 25.0));
        let out = self.around(there_ms, 0.3);
        let back = match drawn.broken {
            Some(Broken::AsymmetricPath) => self.latency(40.0, 120.0, 0.3),
            _ => out.clone(),
        };
        let warm = self.around(warm_ms, 0.5);
        let mut text = format!(
            "[emulated.path]\nout = {out}\nback = {back}\n[emulated.warm]\nlatency = {warm}\n"
        );
        // The clocks' offset is known to half of the quickest round trip. Cold starts that differ from warm ones by less
        // than a factor of eight would be known no better than to a tenth; platforms of the paper differ by 7 to 140.
        let least_ms = (8.0 * (there_ms + warm_ms)).max(90.0);
        for runtime in RUNTIMES {
            for memory_mib in [128, LARGEST_MIB] {
                let latency = self.latency(least_ms, least_ms.max(300.0) * 4.0, 1.2);
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

    /// How a disk or network of hosts varies, and by that key what one instance gets of it at most.
    fn shared(&mut self, there_is: f64, ceiling: &str) -> String {
        let variation = format!("variation_sd = {:.4}", self.between(0.0, 0.15));
        let most = there_is * self.between(0.2, 0.9);
        if self.chance(0.4) { format!("{variation}\n{ceiling} = {most:.2}") } else { variation }
    }

    /// Some seconds either way, between the first experiment and the end of the one that watches longest.
    fn clock_step(&mut self) -> String {
        let way = self.one(&[1.0, -1.0]);
        let step_ms = way * self.scaled(500.0, 5_000.0);
        format!("step_ms = {step_ms:.1}\nstep_at_s = {:.1}", self.between(3_000.0, 140_000.0))
    }

    /// Another idle limit, between the first experiment and the end of the one that watches longest. Functions that are watched
    /// are asked more often than that.
    fn change(&mut self) -> String {
        format!(
            "[emulated.change]\nat_s = {:.1}\nidle_limit_s = {:.1}",
            self.between(3_000.0, 140_000.0),
            self.scaled(150.0, 6_000.0).round()
        )
    }

    fn rest(&mut self, drawn: &Drawn) -> String {
        let is = |broken| drawn.broken == Some(broken);
        let ceiling_sd = if is(Broken::Variation) { 0.2 } else { self.between(0.0, 0.02) };
        let (write, read) = (self.scaled(20.0, 400.0), self.scaled(40.0, 800.0));
        let mbit = self.scaled(100.0, 5_000.0);
        let background_s = if self.chance(0.5) { 0.0 } else { self.scaled(0.5, 600.0) };
        let offset_ms = self.between(-500.0, 500.0);
        let (drift, host_sd) = if is(Broken::Clocks) { (20.0, 30.0) } else { (0.0, 0.0) };
        let step = if is(Broken::ClockStep) { self.clock_step() } else { String::new() };
        let (lost, twice) = if is(Broken::Replies) { (0.01, 0.01) } else { (0.0, 0.0) };
        let failures = drawn.failures;
        let [create, update, delete] =
            [(100.0, 900.0); 3].map(|(low, high)| self.latency(low, high, 0.5));
        let payload_mib = self.one(&["1.0", "4.0", "6.0"]);
        let disk_mib = self.one(&[256, 512, 1_024]);
        let change = if is(Broken::PolicyChange) { self.change() } else { String::new() };
        let (disk, network) =
            (self.shared(write, "instance_mib_s"), self.shared(mbit, "mbit_s_at_128_mib"));
        format!(
            "[emulated.cpu]
ceiling_sd = {ceiling_sd:.4}
period_ms = 100.0
[emulated.disk]
write_mib_s = {write:.2}
read_mib_s = {read:.2}
noise_mib_s = 0.05
{disk}
[emulated.network]
mbit_s = {mbit:.2}
{network}
[emulated.background]
for_s = {background_s:.2}
[emulated.clock]
offset_ms = {offset_ms:.3}
drift_ppm = {drift:.1}
host_sd_ms = {host_sd:.1}
{step}
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
{change}
"
        )
    }
}
