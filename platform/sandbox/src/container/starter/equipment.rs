//! What a starter needs before its first sandbox: its own view of mounts, groups, filters, the root file system.
//!
//! Deliberately starts nothing for a function.

use super::super::cgroup::{self, Cgroups};
use super::super::mounts::{self, FileSystem, WRITABLE};
use super::super::network::{self, Allowed, NetworkConfig, Router};
use super::super::networks::Networks;
use super::super::proc_view;
use super::super::protocol::{Configuration, Failure, NetworkWish, Step};
use super::super::rootfs::{Privilege, Surroundings, Template};
use super::super::seccomp::{self, Refused};
use super::super::system;
use super::super::tmp::Maker;
use rustix::process::Resource;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;

/// Limits that control groups do not know and that the starter can have as well, so that no start pays for them.
const LIMITS: [(Resource, u64); 6] = [
    // Zero does not stop a core_pattern that is a pipe; one does.
    (Resource::Core, 1),
    (Resource::Memlock, 64 << 10),
    (Resource::Msgqueue, 0),
    (Resource::Sigpending, 1024),
    (Resource::Nice, 0),
    (Resource::Rtprio, 0),
];

/// See the module.
#[derive(Debug)]
pub(super) struct Equipment {
    /// Where everything that may say something is watched.
    pub(super) events: OwnedFd,
    /// Readable when a child has ended.
    pub(super) signals: OwnedFd,
    /// The starter's own mounts, to come back to.
    pub(super) mounts: OwnedFd,
    pub(super) privilege: Privilege,
    pub(super) cgroups: Cgroups,
    pub(super) template: Template,
    pub(super) refused: Refused,
    pub(super) closed: proc_view::Closed,
    /// None where /tmp is memory.
    pub(super) maker: Option<Maker>,
    /// None where sandboxes make their own networks.
    pub(super) networks: Option<Networks>,
    /// None where instances have no way out.
    pub(super) router: Option<Router>,
    /// What cannot be enforced here.
    pub(super) limitations: Vec<String>,
}

impl Equipment {
    /// Gathers it, after everything that a killed server of the same name has left has been removed.
    pub(super) fn gather(configuration: &Configuration) -> Result<Self, Failure> {
        let directory = &configuration.directory;
        for path in [directory.clone(), directory.join("root"), directory.join("ids")] {
            fs::create_dir_all(&path).step(|| format!("cannot make {}", path.display()))?;
        }
        let mut limitations = Vec::new();
        let privilege = own_mounts(directory)?;
        let mounts = fs::File::open("/proc/self/ns/mnt")
            .step(|| "cannot open /proc/self/ns/mnt".to_owned())?
            .into();
        let cgroups = match privilege {
            Privilege::Root => groups(configuration, &mut limitations)?,
            Privilege::Rootless => {
                limitations.push(
                    "without root there are no control groups: memory, CPU and processes are not \
                     limited, instances are not frozen: run as root"
                        .to_owned(),
                );
                limitations
                    .push("without root all instances have one host user: run as root".to_owned());
                Cgroups::None
            }
        };
        let router = router(configuration, privilege, &mut limitations)?;
        let surroundings =
            Surroundings { privilege, name_server: router.as_ref().map(|_| network::RESOLVER) };
        let template = Template::build(&configuration.root, &directory.join("root"), surroundings)?;
        let maker = maker(configuration, privilege, &mut limitations)?;
        let networks = match privilege {
            Privilege::Root => Some(Networks::start()?),
            Privilege::Rootless => None,
        };
        system::limit_resources(&LIMITS)?;
        if system::Landlock::version().is_none() {
            limitations.push("this kernel has no landlock: one defence less".to_owned());
        }
        // From here on also for the starter; each sandbox inherits it.
        seccomp::install_allowed().map_err(|error| Failure { step: chain(&error), errno: 0 })?;
        let refused = Refused::assemble();
        let signals = system::signal_descriptor(&[libc::SIGCHLD])
            .step(|| "cannot wait for children".to_owned())?;
        let events = rustix::event::epoll::create(rustix::event::epoll::CreateFlags::CLOEXEC)
            .step(|| "cannot wait for events".to_owned())?;
        Ok(Self {
            events,
            signals,
            mounts,
            privilege,
            cgroups,
            template,
            refused,
            closed: proc_view::Closed::look(),
            maker,
            networks,
            router,
            limitations,
        })
    }
}

/// A mount namespace of the starter's own, as root or, in a user namespace, as its root.
fn own_mounts(directory: &Path) -> Result<Privilege, Failure> {
    use rustix::mount::MountPropagationFlags;
    let user = rustix::process::geteuid().as_raw();
    let privilege = if user == 0 && system::unshare(libc::CLONE_NEWNS).is_ok() {
        Privilege::Root
    } else {
        rootless(user, rustix::process::getegid().as_raw())?;
        Privilege::Rootless
    };
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private).step(|| "cannot make mounts private".to_owned())?;
    let ids = FileSystem {
        kind: "tmpfs",
        options: &[("mode", "0755"), ("size", "256m")],
        attributes: WRITABLE,
    };
    mounts::attach(mounts::new(ids)?, &directory.join("ids")).map_err(|failure| Failure {
        step: format!(
            "{} (AppArmor may forbid it: sysctl kernel.apparmor_restrict_unprivileged_userns=0, or \
             run as root)",
            failure.step
        ),
        ..failure
    })?;
    rustix::process::chdir("/").step(|| "cannot enter /".to_owned())?;
    Ok(privilege)
}

fn rootless(user: u32, group: u32) -> Result<(), Failure> {
    system::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS).step(|| {
        "cannot make a user namespace: run as root, or set sysctl user.max_user_namespaces (and \
         kernel.unprivileged_userns_clone where it exists)"
            .to_owned()
    })?;
    for (file, text) in [
        ("/proc/self/setgroups", "deny".to_owned()),
        ("/proc/self/uid_map", format!("0 {user} 1")),
        ("/proc/self/gid_map", format!("0 {group} 1")),
    ] {
        fs::write(file, text).step(|| format!("cannot write {file}"))?;
    }
    Ok(())
}

/// Makes the server's control groups. Where they are is noted, so that the next server finds them wherever it runs.
fn groups(
    configuration: &Configuration,
    limitations: &mut Vec<String>,
) -> Result<Cgroups, Failure> {
    let note = configuration.directory.join("groups.json");
    if let Ok(noted) = fs::read(&note) {
        // A note that was cut by a crash names nothing that can be found by it.
        if let Ok(noted) = serde_json::from_slice::<Cgroups>(&noted) {
            cgroup::sweep(&noted)?;
        }
    }
    let read = |path: &str| fs::read_to_string(path).step(|| format!("cannot read {path}"));
    let machine = cgroup::Machine {
        mounts: &read("/proc/self/mountinfo")?,
        groups: &read("/proc/self/cgroup")?,
        controllers: |mount| {
            fs::read_to_string(mount.join("cgroup.controllers")).unwrap_or_default()
        },
    };
    let (cgroups, missing) = cgroup::detect(&configuration.server, machine);
    cgroup::sweep(&cgroups)?;
    let text = serde_json::to_vec(&cgroups).unwrap_or_default();
    fs::write(&note, text).step(|| format!("cannot write {}", note.display()))?;
    match cgroups.make_top() {
        Ok(()) => {
            limitations.extend(missing);
            Ok(cgroups)
        }
        Err(failure) => {
            limitations.push(format!(
                "no control groups, so nothing is limited or frozen: {}: {}",
                failure.step,
                failure.error()
            ));
            // What was made of it goes again; where that is impossible, so was making it.
            let _removed = cgroup::sweep(&cgroups);
            Ok(Cgroups::None)
        }
    }
}

/// The maker of /tmp, tried once; None, with the limitation said, where it cannot work.
fn maker(
    configuration: &Configuration,
    privilege: Privilege,
    limitations: &mut Vec<String>,
) -> Result<Option<Maker>, Failure> {
    let why = if privilege == Privilege::Rootless {
        "loop devices need root".to_owned()
    } else {
        let mut maker = Maker::start(&configuration.directory)?;
        maker.request(configuration.tmp, 1)?;
        match maker.wait() {
            Ok(()) => return Ok(Some(maker)),
            Err(failure) => format!("{}: {}", failure.step, failure.error()),
        }
    };
    limitations.push(format!("/tmp is memory, and counts as the function's: {why}"));
    Ok(None)
}

/// The instances' way out, or None, with the limitation said, where there is none.
fn router(
    configuration: &Configuration,
    privilege: Privilege,
    limitations: &mut Vec<String>,
) -> Result<Option<Router>, Failure> {
    let wanted = &configuration.network;
    if wanted.wish == NetworkWish::None {
        return Ok(None);
    }
    let ports = wanted.ports.iter().map(|port| Allowed::Host { port: *port });
    let addresses = wanted.addresses.iter().map(|address| Allowed::Address(*address));
    let config = NetworkConfig {
        allowed: ports.chain(addresses).collect(),
        connections_limit: wanted.connections_limit,
        resolvers: wanted.resolvers.clone(),
    };
    let opened = match privilege {
        Privilege::Root => Router::open(&configuration.server, &config),
        Privilege::Rootless => Err(network::NetworkError::NotRoot),
    };
    match (opened, wanted.wish) {
        (Ok(router), _) => {
            limitations.extend(
                router.obstacles().iter().map(|it| {
                    format!("outgoing packets may be dropped: {}: {}", it.what, it.remedy)
                }),
            );
            Ok(Some(router))
        }
        (Err(error), NetworkWish::Routed) => Err(Failure { step: chain(&error), errno: 0 }),
        (Err(error), _) => {
            limitations.push(format!("instances have no network: {}", chain(&error)));
            Ok(None)
        }
    }
}

/// An error and its causes in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
