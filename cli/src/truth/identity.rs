//! What names the host.

use super::{parameter, word};
use analysis::Truth;
use emulator::Platform;
use scheduler::{Profile, Reveal};

pub(super) fn of_profile(profile: &Profile) -> Vec<Truth> {
    let policy = match profile.reveal {
        Reveal::BootId => "boot_id",
        Reveal::MachineId => "machine_id",
        Reveal::InstanceRootId => "instance_root_id",
        Reveal::None => "none",
    };
    vec![parameter("identity.host_id_source", word(policy))]
}

pub(super) fn of_platform(platform: &Platform) -> Vec<Truth> {
    vec![parameter("identity.host_id_source", word(platform.host_id_source()))]
}
