//! A profile in words, for a reader who wants to know what a platform is like.

use super::{Names, Platform, Seen, decides};
use model::MemoryMib;
use std::fmt::Write;

pub(super) fn of(platform: &Platform) -> String {
    let mut text = format!("{}: {}\n", platform.scheduler.name, platform.model.about);
    let mut say = |topic: &str, words: String| {
        // Writing to a text cannot fail.
        let _ = writeln!(text, "  {topic:<12} {words}");
    };
    say("source", platform.model.source.clone());
    say("placement", decides::placement(&platform.scheduler));
    say("keep-alive", decides::keep_alive(&platform.scheduler));
    say("hosts", hosts(platform));
    say("memory", memory(platform));
    say("cpu", cpu(platform));
    say("warm start", warm(platform));
    for runtime in &platform.model.runtimes {
        say("cold start", cold(platform, runtime));
    }
    say("starts", starts(platform));
    say("disk", disk(platform));
    say("network", network(platform));
    say("reveals", reveals(platform));
    say("background", background(platform));
    say("billing", decides::billing(&platform.scheduler));
    say("clock", clock(platform));
    if let Some(change) = platform.model.change {
        let text = format!(
            "from {} s after the beginning on, what becomes idle is kept for {} s",
            change.at_s, change.idle_limit_s
        );
        say("change", text);
    }
    say("faults", faults(platform));
    text
}

fn hosts(platform: &Platform) -> String {
    let all: f64 = platform.model.host.iter().map(|it| it.share).sum();
    let kinds: Vec<String> = platform
        .model
        .host
        .iter()
        .map(|it| {
            let percent = 100.0 * it.share / all;
            let percent =
                if percent < 1.0 { format!("{percent:.2}") } else { format!("{percent:.1}") };
            let vcpus = if it.vcpus == 1 { "vCPU" } else { "vCPUs" };
            let memory = MemoryMib(it.memory_mib);
            format!("{percent} % {} ({} {vcpus}, {memory})", it.cpu_model, it.vcpus)
        })
        .collect();
    let it = &platform.model.hosts;
    format!(
        "instances of one add up to {}; {}; ready after {:.0} ms, up since {} to {} s",
        platform.scheduler.hosts.memory,
        kinds.join(", "),
        it.ready.median_ms(),
        it.uptime_min_s,
        it.uptime_max_s
    )
}

fn memory(platform: &Platform) -> String {
    let limits = &platform.scheduler.limits;
    format!(
        "functions of {} to {} in steps of {}, at most {}, {} at once in one account, payload {} MiB, /tmp {} MiB",
        limits.memory_min,
        limits.memory_max,
        platform.model.limits.memory_step_mib,
        limits.timeout_max,
        limits.account_concurrency,
        platform.model.limits.payload_mib,
        platform.model.limits.disk_mib
    )
}

fn cpu(platform: &Platform) -> String {
    let ceiling = decides::cpu(&platform.scheduler);
    format!("{ceiling}; each instance's varies by {:.1} %", 100.0 * platform.model.cpu.ceiling_sd)
}

fn warm(platform: &Platform) -> String {
    let path = &platform.model.path;
    format!(
        "median {:.1} ms, beside {:.2} ms there and {:.2} ms back",
        platform.model.warm.latency.median_ms(),
        path.out.median_ms(),
        path.back.median_ms()
    )
}

fn cold(platform: &Platform, runtime: &str) -> String {
    let limits = &platform.scheduler.limits;
    let median = |memory| platform.cold(runtime, memory).median_ms();
    format!(
        "{runtime}: median {:.1} ms at {}, {:.1} ms at {}",
        median(limits.memory_min),
        limits.memory_min,
        median(limits.memory_max),
        limits.memory_max
    )
}

fn starts(platform: &Platform) -> String {
    let starts = &platform.model.starts;
    format!(
        "each further one at once on a host adds {} ms, each MiB of package {} ms; known code saves {} ms",
        starts.serial_ms, starts.package_ms_per_mib, starts.known_code_saves_ms
    )
}

fn disk(platform: &Platform) -> String {
    let disk = &platform.model.disk;
    let most = disk.instance_mib_s.map_or("all".to_owned(), |most| format!("{most} MiB/s"));
    format!(
        "{} MiB/s written, {} read by one host, {:.0} % more or less; an instance gets at most {most}",
        disk.write_mib_s,
        disk.read_mib_s,
        100.0 * disk.variation_sd
    )
}

fn network(platform: &Platform) -> String {
    let network = &platform.model.network;
    let most = network
        .mbit_s_at_128_mib
        .map_or("all".to_owned(), |most| format!("{most} Mbit/s at 128 MiB, in proportion"));
    format!(
        "{} Mbit/s by one host, {:.0} % more or less; an instance gets at most {most}",
        network.mbit_s,
        100.0 * network.variation_sd
    )
}

fn reveals(platform: &Platform) -> String {
    let reveal = &platform.model.reveal;
    let mut names: Vec<String> = reveal
        .names
        .iter()
        .map(|(source, whose)| {
            let whose = match whose {
                Names::Host => "the host",
                Names::Instance => "the instance",
                Names::Nothing => "nothing",
            };
            format!("{} names {whose}", source.word())
        })
        .collect();
    if names.is_empty() {
        names.push("no name can be read".to_owned());
    }
    let seen = [
        ("CPU model", reveal.cpu_model),
        ("uptime", reveal.uptime),
        ("memory", reveal.memory),
        ("disk counters", reveal.disk_counters),
    ];
    let seen: Vec<&str> =
        seen.into_iter().filter(|(_, it)| *it == Seen::Host).map(|(name, _)| name).collect();
    format!(
        "{}; of the host can be seen: {}; {} of {} items can be read",
        names.join(", "),
        if seen.is_empty() { "nothing".to_owned() } else { seen.join(", ") },
        reveal.readable.len(),
        probe::EXPOSURE_ITEMS.lines().count()
    )
}

fn background(platform: &Platform) -> String {
    let background = &platform.model.background;
    match (background.for_s, background.cpus) {
        (0.0, _) => "instances are paused with their response".to_owned(),
        (for_s, None) => format!("work after the response goes on for {for_s} s"),
        (for_s, Some(cpus)) => {
            format!("work after the response goes on for {for_s} s with {cpus} of a CPU")
        }
    }
}

fn clock(platform: &Platform) -> String {
    let clock = &platform.model.clock;
    let ahead = format!(
        "functions' clocks are {} ms ahead, and {} ppm more",
        clock.offset_ms, clock.drift_ppm
    );
    if clock.step_ms == 0.0 {
        return ahead;
    }
    let way = if clock.step_ms > 0.0 { "ahead" } else { "back" };
    format!(
        "{ahead}; {} s after the beginning they are set {way} by {} ms",
        clock.step_at_s,
        clock.step_ms.abs()
    )
}

fn faults(platform: &Platform) -> String {
    let faults = &platform.model.faults;
    let all = [
        ("of requests lost", faults.lost_request),
        ("of answers lost", faults.lost_reply),
        ("of requests doubled", faults.duplicate),
        ("of requests throttled", faults.throttled),
        ("of runs crash", faults.crash),
        ("of starts fail", faults.start_failure),
    ];
    let some: Vec<String> = all
        .into_iter()
        .filter(|(_, part)| *part > 0.0)
        .map(|(what, part)| format!("{} % {what}", 100.0 * part))
        .collect();
    if some.is_empty() { "none".to_owned() } else { some.join(", ") }
}
