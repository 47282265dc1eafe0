//! How busy modelled hosts are, told to the scheduler where its placement asks, as the server does live.
//!
//! Deliberately decides nothing. Nothing is due for a host on which nothing happens.

use crate::host::Host;
use crate::region::{Happening, State};
use model::{HostId, Span, Time};
use scheduler::{Event, HostLoad};

/// From one measurement to the next: as the live driver's.
const EVERY: Span = Span::from_millis(500);

/// Measurements without any load after which a quiet host is measured no more. The scheduler counts a start until it has
/// seen two.
const QUIET: u32 = 2;

/// What a host's resources had given when they were last looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    at: Time,
    cpu_s: f64,
    disk_mib: f64,
    network_mbit: f64,
    /// Measurements in a row without load.
    quiet: u32,
}

impl Host {
    /// What its resources have given until now. What instances take that start is CPU.
    fn given(&mut self, now: Time) -> Measured {
        let mut moved = |pool: fn(&mut Self) -> &mut crate::pool::Pool| pool(self).moved(now);
        Measured {
            at: now,
            cpu_s: moved(|it| &mut it.cpu) + moved(|it| &mut it.starter),
            disk_mib: moved(|it| &mut it.disk_read) + moved(|it| &mut it.disk_write),
            network_mbit: moved(|it| &mut it.network),
            quiet: 0,
        }
    }

    fn is_unused(&self) -> bool {
        let pools = [&self.cpu, &self.starter, &self.disk_read, &self.disk_write, &self.network];
        pools.iter().all(|pool| pool.is_idle())
    }
}

impl State {
    /// Something happens on a host: sees to it that its load is measured, where placement asks.
    pub(crate) fn watch_load(&mut self, host: HostId) {
        if !self.platform.scheduler.placement.weighs_load() {
            return;
        }
        let now = self.now;
        let Some(it) = self.hosts.get_mut(&host) else { return };
        if it.measured.is_none() {
            it.measured = Some(it.given(now));
            self.agenda.put(now + EVERY, Happening::Load(host));
        }
    }

    /// Tells how busy a host was since it was last measured.
    pub(crate) fn measure(&mut self, host: HostId) {
        let now = self.now;
        let Some(it) = self.hosts.get_mut(&host) else { return };
        let Some(before) = it.measured else { return };
        let after = it.given(now);
        let per_s = |amount: f64| amount / now.since(before.at).as_secs_f64();
        let load = HostLoad {
            milli_cpus: (per_s(after.cpu_s - before.cpu_s) * 1e3).round() as u32,
            disk_kib_s: (per_s(after.disk_mib - before.disk_mib) * 1024.0).round() as u64,
            network_kbit_s: (per_s(after.network_mbit - before.network_mbit) * 1e3).round() as u64,
        };
        let nothing = load == HostLoad::default() && it.is_unused();
        let quiet = if nothing { before.quiet + 1 } else { 0 };
        it.measured = (quiet < QUIET).then_some(Measured { quiet, ..after });
        if it.measured.is_some() {
            self.agenda.put(now + EVERY, Happening::Load(host));
        }
        self.feed(Event::HostLoad { host, load });
    }
}
