//! A sandbox's life: forked, furnished, prepared, told what to become, ended, removed.
//!
//! Deliberately answers no question of whether a sandbox should live.

use super::super::cgroup::{GroupName, Limits};
use super::super::channel::{Channel, Received};
use super::super::child::{self, Birth, PACKAGE};
use super::super::mounts::{self, READ_ONLY};
use super::super::network::Router;
use super::super::protocol::{
    self, CgroupView, Command, Failure, Furnish, PackageComes, Reply, Report, StartSpec, Status,
    Step, Tmp,
};
use super::super::rootfs;
use super::super::system::{self, Forked};
use super::equipment::chain;
use super::sandbox::{Furniture, Pending, Preparing, Sandbox, Stage};
use super::{Host, Starter, proc_view};
use crate::container::cgroup::Cgroups;
use model::{HostId, InstanceId, MemoryMib};
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// How many /tmp are kept ready at least.
const TMP_READY: usize = 2;

fn failure(step: impl Into<String>) -> Failure {
    Failure { step: step.into(), errno: 0 }
}

impl Starter {
    /// Starts an instance; what fails is said on its status channel.
    pub(super) fn start(&mut self, spec: StartSpec, strings: &[u8], descriptors: Vec<OwnedFd>) {
        let mut descriptors = descriptors.into_iter();
        let (Some(status), Some(output)) = (descriptors.next(), descriptors.next()) else { return };
        let status = Channel::from_descriptor(status);
        let instance = spec.instance;
        self.pool_host = Some(spec.host);
        match self.process_for(&spec) {
            Ok(pid) => {
                self.instances.insert(instance, pid);
                if let Some(sandbox) = self.sandboxes.get_mut(&pid) {
                    sandbox.instance = Some(instance);
                    let strings = strings.to_vec();
                    sandbox.pending = Some(Pending { spec, strings, status, output });
                }
                self.advance(pid);
            }
            Err(failure) => fail(&status, failure),
        }
    }

    /// A process for an instance, from the pool or new, with the instance's limits.
    fn process_for(&mut self, spec: &StartSpec) -> Result<i32, Failure> {
        if self.instances.contains_key(&spec.instance) {
            return Err(failure(format!("{} exists already", spec.instance)));
        }
        let package = mounts::copy(&spec.package, READ_ONLY)?;
        let limits = Limits { memory: spec.memory, cpu_weight: spec.cpu_weight };
        let Some((pid, mounts)) = self.take_prepared(spec) else {
            return self.fork(spec.host, spec.tmp, limits, Some(package));
        };
        let group = self.sandboxes.get(&pid).map(|sandbox| sandbox.group.clone());
        let home = self.equipment.mounts.as_fd();
        let made = mounts::attach_within(package, Path::new(PACKAGE), mounts.as_fd(), home)
            .and_then(|()| {
                group.map_or(Ok(()), |group| self.equipment.cgroups.limit_instance(&group, limits))
            });
        if made.is_err() {
            self.end(pid);
        }
        made.map(|()| pid)
    }

    /// Takes a sandbox on the right cell and with the right /tmp out of the pool, and its mounts.
    fn take_prepared(&mut self, spec: &StartSpec) -> Option<(i32, OwnedFd)> {
        let sandboxes = &self.sandboxes;
        let fits = |sandbox: &Sandbox| {
            sandbox.is_prepared() && sandbox.host == spec.host && sandbox.tmp == spec.tmp
        };
        let index = self.pool.iter().position(|pid| sandboxes.get(pid).is_some_and(fits))?;
        let pid = self.pool.remove(index)?;
        match &mut self.sandboxes.get_mut(&pid)?.stage {
            Stage::Prepared { mounts, .. } => mounts.take().map(|mounts| (pid, mounts)),
            _ => None,
        }
    }

    /// Makes the groups of a new sandbox, and its process.
    fn fork(
        &mut self,
        host_id: HostId,
        tmp: MemoryMib,
        limits: Limits,
        package: Option<OwnedFd>,
    ) -> Result<i32, Failure> {
        let host = self.hosts.get(&host_id);
        let host = host.ok_or_else(|| failure(format!("{host_id} does not exist")))?;
        let view = proc_view(&host.spec);
        let serial = self.next_serial;
        let group = GroupName { host: host.group.clone(), instance: format!("sandbox-{serial}") };
        let (ours, theirs) = Channel::pair().step(|| "cannot connect a sandbox".to_owned())?;
        let slot = self.slots.take().ok_or_else(|| failure("65536 instances run already"))?;
        self.next_serial += 1;
        let birth = Birth {
            channel: theirs,
            template: &self.equipment.template.namespace,
            refused: &self.equipment.refused,
            privilege: self.equipment.privilege,
            proc_view: view,
        };
        let made = fork_into(&self.equipment.cgroups, &group, limits, birth);
        let (pid, pidfd, tasks) = match made {
            Ok(made) => made,
            Err(failure) => {
                self.slots.give_back(slot);
                // What was made of the groups goes again; a remainder goes at the next sweep.
                let _removed = self.equipment.cgroups.remove_instance(&group);
                return Err(failure);
            }
        };
        let comes = if package.is_some() { PackageComes::Now } else { PackageComes::Later };
        let sandbox = Sandbox {
            pidfd,
            slot,
            host: host_id,
            group,
            serial,
            tmp,
            stage: Stage::Preparing(Preparing {
                channel: ours,
                mounts: None,
                furniture: Some(Furniture { tasks, package }),
                package: comes,
            }),
            pending: None,
            instance: None,
            is_leaving: false,
            has_ended: false,
        };
        self.sandboxes.insert(pid, sandbox);
        if let Err(failure) = self.furnish(pid) {
            self.end(pid);
            return Err(failure);
        }
        Ok(pid)
    }

    /// Tells a new sandbox what it has, when there is a /tmp for it; asks for one else.
    fn furnish(&mut self, pid: i32) -> Result<(), Failure> {
        let Some(sandbox) = self.sandboxes.get_mut(&pid) else { return Ok(()) };
        let Stage::Preparing(preparing) = &mut sandbox.stage else { return Ok(()) };
        let Some(host) = self.hosts.get(&sandbox.host) else { return Ok(()) };
        let size = sandbox.tmp;
        let tmp = match &mut self.equipment.maker {
            None => None,
            Some(maker) => match maker.take(size) {
                Some(tmp) => Some(tmp),
                None => return self.request_tmp(size),
            },
        };
        let Some(furniture) = preparing.furniture.take() else { return Ok(()) };
        let user = self.slots.user(sandbox.slot);
        let ids = Ids { directory: &self.configuration.directory, serial: sandbox.serial };
        ids.send(host, user, tmp, size, &furniture, &preparing.channel)?;
        self.request_tmp(self.configuration.tmp)
    }

    /// Asks for as many /tmp as are waited for, and some to keep.
    fn request_tmp(&mut self, size: MemoryMib) -> Result<(), Failure> {
        let Some(maker) = &mut self.equipment.maker else { return Ok(()) };
        let waiting = self.sandboxes.values().filter(|sandbox| sandbox.wants_tmp(size)).count();
        let kept =
            if size == self.configuration.tmp { self.configuration.pool.max(TMP_READY) } else { 0 };
        maker.request(size, waiting + kept)
    }

    /// Cell of which sandboxes are prepared: the one last started on, or any.
    fn pool_host(&self) -> Option<HostId> {
        let stays = |host: &HostId| self.hosts.contains_key(host) && !self.leaving.contains(host);
        let last = self.pool_host.filter(stays);
        last.or_else(|| self.hosts.keys().copied().rfind(stays))
    }

    /// Whether fewer sandboxes are prepared than should be.
    pub(super) fn is_pool_short(&self) -> bool {
        let Some(host) = self.pool_host() else { return false };
        let on_host = |pid: &&i32| self.sandboxes.get(pid).is_some_and(|it| it.host == host);
        self.pool.iter().filter(on_host).count() < self.configuration.pool
    }

    /// Forks one sandbox for the pool. What the pool has of other cells makes way for it.
    pub(super) fn prepare_one(&mut self) {
        let Some(host) = self.pool_host() else { return };
        if self.pool.len() >= self.configuration.pool * POOLED_HOSTS {
            let sandboxes = &self.sandboxes;
            let elsewhere = |pid: &i32| sandboxes.get(pid).is_none_or(|it| it.host != host);
            if let Some(index) = self.pool.iter().position(elsewhere)
                && let Some(pid) = self.pool.remove(index)
            {
                self.end(pid);
            }
        }
        // Until it has a function it needs little; its limits come with the function.
        let limits = Limits { memory: PREPARED_MEMORY, cpu_weight: 100 };
        match self.fork(host, self.configuration.tmp, limits, None) {
            Ok(pid) => self.pool.push_back(pid),
            Err(failure) => {
                complain("cannot prepare a sandbox", &failure);
                // The reason may pass; it must not be tried all the time.
                self.quiet_from = std::time::Instant::now() + super::PAUSE;
            }
        }
    }

    /// Takes in what a sandbox that is being prepared reports.
    pub(super) fn take_in_report(&mut self, pid: i32) {
        let Some(sandbox) = self.sandboxes.get_mut(&pid) else { return };
        let Stage::Preparing(preparing) = &mut sandbox.stage else { return };
        let mut buffer = [0; 4096];
        let cannot = || "cannot hear of a sandbox".to_owned();
        let report = match preparing.channel.receive(&mut buffer) {
            Ok(Received::Message(length, beside)) => protocol::decode::<Report>(&buffer[..length])
                .step(cannot)
                .map(|(report, _)| (report, beside)),
            Ok(Received::End) => Err(failure("the sandbox ended while it was prepared")),
            Err(error) => Err(Failure::new(cannot(), &error)),
        };
        let taken = match report {
            Ok((Report::Born, beside)) => {
                let mut beside = beside.into_iter();
                let (network, mounts) = (beside.next(), beside.next());
                if preparing.package == PackageComes::Later {
                    preparing.mounts = mounts;
                }
                connect(self.equipment.router.as_ref(), network.as_ref(), sandbox.slot)
            }
            Ok((Report::Prepared, _)) => {
                let stage = std::mem::replace(&mut sandbox.stage, Stage::Told);
                if let Stage::Preparing(Preparing { channel, mounts, .. }) = stage {
                    sandbox.stage = Stage::Prepared { channel, mounts };
                }
                self.advance(pid);
                Ok(())
            }
            Ok((Report::Failed(failure), _)) | Err(failure) => Err(failure),
        };
        if let Err(failure) = taken {
            self.abandon(pid, failure);
        }
    }

    /// Takes in what the maker of /tmp has made.
    pub(super) fn take_in_tmp(&mut self) -> Result<(), Failure> {
        loop {
            let Some(maker) = &mut self.equipment.maker else { return Ok(()) };
            let Some((size, failure)) = maker.receive()? else { return Ok(()) };
            let waiting = self.sandboxes.iter().find(|(_, sandbox)| sandbox.wants_tmp(size));
            let Some(pid) = waiting.map(|(pid, _)| *pid) else { continue };
            let furnished = failure.map_or_else(|| self.furnish(pid), Err);
            if let Err(failure) = furnished {
                self.abandon(pid, failure);
            }
        }
    }

    /// Tells a prepared sandbox what to become, when that is known.
    fn advance(&mut self, pid: i32) {
        let Some(sandbox) = self.sandboxes.get_mut(&pid) else { return };
        if !sandbox.is_prepared() {
            return;
        }
        let Some(pending) = sandbox.pending.take() else { return };
        let stage = std::mem::replace(&mut sandbox.stage, Stage::Told);
        let Stage::Prepared { channel, .. } = stage else { return };
        let command =
            Command { arguments: pending.spec.arguments, group: sandbox.group.instance.clone() };
        let told = channel
            .send(
                &[&protocol::encode(&command), &pending.strings],
                &[pending.status.as_fd(), pending.output.as_fd()],
            )
            .step(|| "cannot tell a sandbox what to become".to_owned());
        if let Err(failure) = told {
            fail(&pending.status, failure);
            self.end(pid);
        }
        system::forget(pending.strings);
    }

    /// Kills a process that is no instance yet.
    fn end(&mut self, pid: i32) {
        if let Some(sandbox) = self.sandboxes.get_mut(&pid) {
            sandbox.stage = Stage::Told;
            sandbox.is_leaving = true;
            system::signal_pidfd(sandbox.pidfd.as_fd(), libc::SIGKILL);
        }
    }

    /// Ends a sandbox that could not become what it should.
    fn abandon(&mut self, pid: i32, failure: Failure) {
        self.pool.retain(|pooled| *pooled != pid);
        let pending = self.sandboxes.get_mut(&pid).and_then(|sandbox| sandbox.pending.take());
        self.end(pid);
        match pending {
            Some(pending) => fail(&pending.status, failure),
            None => {
                complain("cannot prepare a sandbox", &failure);
                self.quiet_from = std::time::Instant::now() + super::PAUSE;
            }
        }
    }

    /// Sends SIGTERM.
    pub(super) fn terminate(&mut self, instance: InstanceId) {
        let sandbox = self.instances.get(&instance).and_then(|pid| self.sandboxes.get(pid));
        if let Some(sandbox) = sandbox {
            system::signal_pidfd(sandbox.pidfd.as_fd(), libc::SIGTERM);
        }
    }

    /// Kills an instance, and has it removed when it has ended.
    pub(super) fn remove(&mut self, instance: InstanceId) -> Result<(), Failure> {
        let Some(pid) = self.instances.get(&instance).copied() else {
            return self.reply(&Reply::Gone(instance));
        };
        self.end(pid);
        match self.sandboxes.get(&pid) {
            Some(sandbox) if sandbox.has_ended => self.bury(pid),
            Some(sandbox) => self.thaw(&sandbox.group),
            None => Ok(()),
        }
    }

    /// A frozen process outlives SIGKILL on v1 until it is thawed.
    fn thaw(&self, group: &GroupName) -> Result<(), Failure> {
        let Some(path) = self.equipment.cgroups.freezer(group) else { return Ok(()) };
        let word = self.equipment.cgroups.freezer_words().thaw;
        match fs::write(&path, word) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            written => written.step(|| format!("cannot thaw {}", path.display())),
        }
    }

    /// Takes in which children have ended.
    pub(super) fn reap(&mut self) -> Result<(), Failure> {
        let mut drained = [0; 512];
        // The count of signals means nothing; every ended child is asked for.
        while rustix::io::read(&self.equipment.signals, &mut drained).is_ok() {}
        while let Some((pid, _)) = system::reap() {
            self.pool.retain(|pooled| *pooled != pid);
            let Some(sandbox) = self.sandboxes.get_mut(&pid) else { continue };
            sandbox.has_ended = true;
            if let Some(pending) = sandbox.pending.take() {
                fail(&pending.status, failure("the sandbox ended while it was prepared"));
            }
            // An instance's groups stay until the server has seen how it ended.
            if sandbox.is_leaving || sandbox.instance.is_none() {
                self.bury(pid)?;
            }
        }
        Ok(())
    }

    /// Removes what an ended sandbox leaves: its groups. Its mounts, namespaces and /tmp ended with it.
    fn bury(&mut self, pid: i32) -> Result<(), Failure> {
        let Some(sandbox) = self.sandboxes.remove(&pid) else { return Ok(()) };
        self.slots.give_back(sandbox.slot);
        let ids = Ids { directory: &self.configuration.directory, serial: sandbox.serial };
        ids.remove();
        if let Err(failure) = self.equipment.cgroups.remove_instance(&sandbox.group) {
            complain("cannot remove a sandbox", &failure);
        }
        if let Some(instance) = sandbox.instance {
            self.instances.remove(&instance);
            self.reply(&Reply::Gone(instance))?;
        }
        self.remove_leaving_host(sandbox.host)
    }

    /// Has the pool's sandboxes on a cell ended.
    pub(super) fn end_pooled(&mut self, host: HostId) {
        let on_host = |sandbox: &Sandbox| sandbox.host == host && sandbox.instance.is_none();
        let pids: Vec<i32> = self
            .sandboxes
            .iter()
            .filter(|(_, sandbox)| on_host(sandbox))
            .map(|(pid, _)| *pid)
            .collect();
        self.pool.retain(|pid| !pids.contains(pid));
        pids.iter().for_each(|pid| self.end(*pid));
    }

    /// Ends and removes everything, for the end of the starter.
    pub(super) fn remove_all(mut self) -> Result<(), Failure> {
        let instances: Vec<InstanceId> = self.instances.keys().copied().collect();
        for instance in instances {
            self.remove(instance)?;
        }
        let pids: Vec<i32> = self.sandboxes.keys().copied().collect();
        pids.into_iter().for_each(|pid| self.end(pid));
        self.pool.clear();
        while !self.sandboxes.is_empty() {
            let mut polled =
                [rustix::event::PollFd::new(&self.equipment.signals, rustix::event::PollFlags::IN)];
            // An interrupted wait is tried again by the loop.
            let _ready = rustix::event::poll(&mut polled, None);
            self.reap()?;
        }
        let hosts: Vec<HostId> = self.hosts.keys().copied().collect();
        for host in hosts {
            self.remove_empty_host(host)?;
        }
        if let Some(maker) = self.equipment.maker.take() {
            maker.end();
        }
        // Its process is in the groups that go next.
        drop(self.equipment.router.take());
        self.equipment.cgroups.remove_top()
    }
}

/// How many cells may have prepared sandboxes at a time.
const POOLED_HOSTS: usize = 4;

/// Memory limit of a sandbox without a function.
const PREPARED_MEMORY: MemoryMib = MemoryMib(64);

/// Makes groups and forks: on v2 a process is born into its group, on v1 it prepares itself while they are made.
fn fork_into(
    cgroups: &Cgroups,
    group: &GroupName,
    limits: Limits,
    birth: Birth<'_>,
) -> Result<(i32, OwnedFd, Vec<OwnedFd>), Failure> {
    if matches!(cgroups, Cgroups::V2(_)) {
        let membership = cgroups.make_instance(group, limits)?;
        let (pid, pidfd) = fork(birth, membership.group.as_ref().map(AsFd::as_fd))?;
        return Ok((pid, pidfd, Vec::new()));
    }
    let (pid, pidfd) = fork(birth, None)?;
    let made = cgroups.make_instance(group, limits);
    if made.is_err() {
        system::signal_pidfd(pidfd.as_fd(), libc::SIGKILL);
    }
    Ok((pid, pidfd, made?.tasks))
}

fn fork(birth: Birth<'_>, group: Option<BorrowedFd<'_>>) -> Result<(i32, OwnedFd), Failure> {
    let forked = system::fork(libc::CLONE_NEWPID as u64, group).step(|| {
        "cannot fork a sandbox (limits: sysctl kernel.pid_max, kernel.threads-max, and the \
         server's own pids limit)"
            .to_owned()
    })?;
    match forked {
        Forked::Child => child::run(birth),
        Forked::Parent { pid, pidfd } => Ok((pid, pidfd)),
    }
}

fn complain(what: &str, failure: &Failure) {
    eprintln!("peek starter: {what}: {}: {}", failure.step, failure.error());
}

/// Joins a sandbox's network to the router.
fn connect(router: Option<&Router>, network: Option<&OwnedFd>, slot: u32) -> Result<(), Failure> {
    let (Some(router), Some(network)) = (router, network) else { return Ok(()) };
    router.attach(network.as_fd(), slot).map(drop).map_err(|error| failure(chain(&error)))
}

fn fail(status: &Channel, failure: Failure) {
    // A server that is gone needs no answer.
    let _gone = status.send(&[&protocol::encode(&Status::Failed(failure))], &[]);
}

/// Files with the ids that are made up for one sandbox; they are there as long as it is.
struct Ids<'a> {
    directory: &'a Path,
    serial: u64,
}

const MACHINE_ID: &str = "machine-id";
const BOOT_ID: &str = "boot-id";

impl Ids<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.join("ids").join(format!("{}-{name}", self.serial))
    }

    /// The host's file, where that is revealed, or one of the sandbox's own.
    fn file(
        &self,
        name: &str,
        revealed: Option<&PathBuf>,
        made_up: fn(String) -> String,
    ) -> Result<OwnedFd, Failure> {
        if let Some(path) = revealed {
            return mounts::copy(path, READ_ONLY);
        }
        let path = self.path(name);
        let uuid = rootfs::random_uuid().step(|| "no random numbers".to_owned())?;
        fs::write(&path, made_up(uuid) + "\n")
            .step(|| format!("cannot write {}", path.display()))?;
        mounts::copy(&path, READ_ONLY)
    }

    /// Tells a new sandbox what it has.
    fn send(
        &self,
        host: &Host,
        host_user: u32,
        tmp: Option<OwnedFd>,
        size: MemoryMib,
        furniture: &Furniture,
        channel: &Channel,
    ) -> Result<(), Failure> {
        let machine_id =
            self.file(MACHINE_ID, host.machine_id.as_ref(), |uuid| uuid.replace('-', ""))?;
        let boot_id = self.file(BOOT_ID, host.boot_id.as_ref(), |uuid| uuid)?;
        let furnish = Furnish {
            host_user,
            tasks: furniture.tasks.len(),
            cgroup_view: match host.spec.reveal.instance_root_id {
                Some(_) => CgroupView::Server,
                None => CgroupView::Instance,
            },
            tmp: if tmp.is_some() { Tmp::Mount } else { Tmp::Memory(size.bytes()) },
            package: match furniture.package {
                Some(_) => PackageComes::Now,
                None => PackageComes::Later,
            },
        };
        let mut beside = vec![machine_id.as_fd(), boot_id.as_fd()];
        beside.extend(tmp.iter().map(AsFd::as_fd));
        beside.extend(furniture.package.iter().map(AsFd::as_fd));
        beside.extend(furniture.tasks.iter().map(AsFd::as_fd));
        channel
            .send(&[&protocol::encode(&furnish)], &beside)
            .step(|| "cannot furnish a sandbox".to_owned())
    }

    /// Only what is made up has files of its own.
    fn remove(&self) {
        for name in [MACHINE_ID, BOOT_ID] {
            let _made = fs::remove_file(self.path(name));
        }
    }
}
