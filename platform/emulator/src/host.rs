//! A modelled host: what it is, since when it is up, what its clock says, and what its instances share.
//!
//! Deliberately knows nothing of where instances are placed.

use crate::load::Measured;
use crate::pool::Pool;
use crate::profile::{ClockModel, HostType, Model};
use model::{HostId, MemoryMib, Time};
use rand::{Rng, RngExt};
use rand_distr::{Distribution, StandardNormal};

/// Bytes of a sector as /proc/diskstats counts them.
const SECTOR_BYTES: f64 = 512.0;

/// One host.
#[derive(Debug)]
pub(crate) struct Host {
    /// What kind.
    pub(crate) kind: HostType,
    /// Its number, which no other host has.
    pub(crate) number: u64,
    /// What its instances may add up to.
    pub(crate) memory: MemoryMib,
    /// What they do add up to.
    pub(crate) used: MemoryMib,
    /// From which most of its names are made.
    pub(crate) name: u64,
    /// Its uptime when it was asked for, s.
    pub(crate) uptime_s: f64,
    /// When it was asked for.
    pub(crate) since: Time,
    /// How much its clock is ahead of those of other hosts, ns.
    pub(crate) ahead_ns: f64,
    /// MiB written and read by instances since it is here.
    pub(crate) written_mib: f64,
    pub(crate) read_mib: f64,
    pub(crate) cpu: Pool,
    pub(crate) disk_write: Pool,
    pub(crate) disk_read: Pool,
    pub(crate) network: Pool,
    pub(crate) starter: Pool,
    /// When its load was last measured, where somebody asks.
    pub(crate) measured: Option<Measured>,
}

/// Which of a host's resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resource {
    Cpu,
    DiskWrite,
    DiskRead,
    Network,
    Starter,
}

impl Host {
    /// A host of a kind drawn by its share.
    pub(crate) fn draw(model: &Model, host: HostId, now: Time, random: &mut impl Rng) -> Self {
        let kind = draw_kind(&model.host, random).clone();
        let times = &model.hosts;
        let spread = times.uptime_max_s - times.uptime_min_s;
        let normal: f64 = StandardNormal.sample(random);
        Self {
            number: host.0,
            memory: MemoryMib(kind.memory_mib),
            used: MemoryMib(0),
            name: random.random(),
            uptime_s: times.uptime_min_s + spread * random.random::<f64>(),
            since: now,
            ahead_ns: model.clock.host_sd_ms * 1e6 * normal,
            written_mib: 0.0,
            read_mib: 0.0,
            cpu: Pool::new(f64::from(kind.vcpus)),
            disk_write: Pool::new(model.disk.write_mib_s),
            disk_read: Pool::new(model.disk.read_mib_s),
            network: Pool::new(model.network.mbit_s),
            starter: Pool::new(1.0),
            measured: None,
            kind,
        }
    }

    /// Seconds since its kernel started.
    pub(crate) fn uptime_s(&self, now: Time) -> f64 {
        self.uptime_s + now.since(self.since).as_secs_f64()
    }

    /// How much its clock is ahead of the vantage point's, ms.
    pub(crate) fn ahead_ms(&self, clock: &ClockModel, now: Time) -> f64 {
        let drift_ns = clock.drift_ppm * 1e-6 * now.as_nanos() as f64;
        (self.ahead_ns + drift_ns + clock.stepped_ns(now)) / 1e6 + clock.offset_ms
    }

    /// Sectors read and written since its kernel started, what else moves on its disk included.
    pub(crate) fn sectors(&self, now: Time, noise_mib_s: f64) -> (u64, u64) {
        let noise = noise_mib_s * self.uptime_s(now);
        let sectors = |mib: f64| (mib * f64::from(1 << 20) / SECTOR_BYTES) as u64;
        (sectors(self.read_mib + noise), sectors(self.written_mib + noise))
    }

    pub(crate) fn pool(&mut self, resource: Resource) -> &mut Pool {
        match resource {
            Resource::Cpu => &mut self.cpu,
            Resource::DiskWrite => &mut self.disk_write,
            Resource::DiskRead => &mut self.disk_read,
            Resource::Network => &mut self.network,
            Resource::Starter => &mut self.starter,
        }
    }
}

impl Model {
    /// How much what a host has of something varies from one use to the next, as a part of it.
    pub(crate) fn variation_sd(&self, resource: Resource) -> f64 {
        match resource {
            Resource::DiskWrite | Resource::DiskRead => self.disk.variation_sd,
            Resource::Network => self.network.variation_sd,
            Resource::Cpu | Resource::Starter => 0.0,
        }
    }
}

fn draw_kind<'a>(kinds: &'a [HostType], random: &mut impl Rng) -> &'a HostType {
    let all: f64 = kinds.iter().map(|kind| kind.share).sum();
    let mut left = random.random::<f64>() * all;
    for kind in kinds {
        left -= kind.share;
        if left < 0.0 {
            return kind;
        }
    }
    kinds.last().expect("a checked profile has a kind of host")
}
