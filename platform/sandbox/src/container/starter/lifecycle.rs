//! A sandbox's life: forked, prepared, told what to become, ended, removed.
//!
//! Deliberately answers no question of whether a sandbox should live.

use super::super::cgroup::{GroupName, Limits, Membership};
use super::super::channel::{Channel, Received};
use super::super::child::{self, Birth};
use super::super::mounts::{self, READ_ONLY};
use super::super::network::Router;
use super::super::protocol::{
    self, CgroupView, Command, Failure, ProcView, Reply, StartSpec, Status, Step, Tmp,
};
use super::super::rootfs;
use super::super::system::{self, Forked};
use super::equipment::chain;
use super::sandbox::{Bound, Pending, Sandbox};
use super::{Host, Starter, proc_view};
use crate::container::cgroup::Cgroups;
use model::InstanceId;
use std::fs::{self, File};
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
        let pending = Pending {
            spec,
            strings: strings.to_vec(),
            status,
            output,
            membership: Membership::default(),
            tmp: None,
        };
        match self.bind(pending) {
            Ok(pid) => {
                self.instances.insert(instance, pid);
                self.advance(pid);
            }
            Err((pending, failure)) => fail(&pending.status, failure),
        }
    }

    /// Finds or forks the process that becomes the instance, and makes the instance's groups.
    fn bind(&mut self, mut pending: Pending) -> Result<i32, (Pending, Failure)> {
        let spec = &pending.spec;
        let Some(host) = self.hosts.get(&spec.host) else {
            let failure = failure(format!("{} does not exist", spec.host));
            return Err((pending, failure));
        };
        if self.instances.contains_key(&spec.instance) {
            let failure = failure(format!("{} exists already", spec.instance));
            return Err((pending, failure));
        }
        let view = proc_view(&host.spec);
        let group = GroupName { host: host.group.clone(), instance: spec.instance.to_string() };
        let limits = Limits { memory: spec.memory, cpu_weight: spec.cpu_weight };
        let (instance, host) = (spec.instance, spec.host);
        let made = self.process_and_groups(view, &group, limits);
        match made {
            Ok((pid, membership)) => {
                pending.membership = membership;
                if let Some(sandbox) = self.sandboxes.get_mut(&pid) {
                    sandbox.bound = Some(Bound { instance, host, group });
                    sandbox.pending = Some(pending);
                }
                Ok(pid)
            }
            Err(failure) => {
                // What was made of the groups goes again; a remainder goes at the next sweep.
                let _removed = self.equipment.cgroups.remove_instance(&group);
                Err((pending, failure))
            }
        }
    }

    /// A process, from the pool or new, and the groups that it is in (v2) or will join (v1).
    fn process_and_groups(
        &mut self,
        view: ProcView,
        group: &GroupName,
        limits: Limits,
    ) -> Result<(i32, Membership), Failure> {
        if matches!(self.equipment.cgroups, Cgroups::V2(_)) {
            // A process is born into its group.
            let membership = self.equipment.cgroups.make_instance(group, limits)?;
            let pid = self.fork(view, membership.group.as_ref().map(AsFd::as_fd))?;
            return Ok((pid, membership));
        }
        // A new process prepares itself while its groups are made.
        let prepared = self.prepared(view);
        let pid = prepared.map_or_else(|| self.fork(view, None), Ok)?;
        let made = self.equipment.cgroups.make_instance(group, limits);
        if made.is_err() {
            self.end_unbound(pid);
        }
        Ok((pid, made?))
    }

    /// Takes a sandbox with this view of /proc out of the pool, the longest prepared first.
    fn prepared(&mut self, view: ProcView) -> Option<i32> {
        if view != self.proc_view {
            return None;
        }
        let sandboxes = &self.sandboxes;
        let index = self
            .pool
            .iter()
            .position(|pid| sandboxes.get(pid).is_some_and(|sandbox| sandbox.is_prepared))?;
        self.pool.remove(index)
    }

    fn fork(&mut self, view: ProcView, group: Option<BorrowedFd<'_>>) -> Result<i32, Failure> {
        let cannot = || {
            "cannot fork a sandbox (limits: sysctl kernel.pid_max, kernel.threads-max, and the \
             server's own pids limit)"
                .to_owned()
        };
        let (ours, theirs) = Channel::pair().step(cannot)?;
        let slot = self.slots.take().ok_or_else(|| failure("65536 instances run already"))?;
        let forked = system::fork(libc::CLONE_NEWPID as u64, group).step(cannot);
        if forked.is_err() {
            self.slots.give_back(slot);
        }
        match forked? {
            Forked::Child => child::run(Birth {
                channel: theirs,
                template: &self.equipment.template.namespace,
                refused: &self.equipment.refused,
                privilege: self.equipment.privilege,
                proc_view: view,
            }),
            Forked::Parent { pid, pidfd } => {
                self.sandboxes.insert(pid, Sandbox::new(pidfd, slot, ours));
                Ok(pid)
            }
        }
    }

    /// Whether fewer sandboxes are prepared than should be.
    pub(super) fn is_pool_short(&self) -> bool {
        // On v2 a process is born into its cell's group, so there is nothing to prepare before the cell is known.
        !matches!(self.equipment.cgroups, Cgroups::V2(_))
            && !self.hosts.is_empty()
            && self.pool.len() < self.configuration.pool
    }

    /// Forks one sandbox for the pool.
    pub(super) fn prepare_one(&mut self) {
        if let Ok(pid) = self.fork(self.proc_view, None) {
            self.pool.push_back(pid);
        }
    }

    /// Keeps some /tmp ready.
    fn replenish_tmp(&mut self) {
        let count = self.configuration.pool.max(TMP_READY);
        if let Some(maker) = &mut self.equipment.maker {
            // Where the maker has ended, the next event of its channel says so.
            let _asked = maker.request(self.configuration.tmp, count);
        }
    }

    /// Takes in that a sandbox is prepared, or why it is not.
    pub(super) fn take_in_prepared(&mut self, pid: i32) {
        let Some(sandbox) = self.sandboxes.get_mut(&pid) else { return };
        let Some(channel) = &sandbox.channel else { return };
        let mut buffer = [0; 4096];
        let failure = match channel.receive(&mut buffer) {
            Ok(Received::Message(length, _)) => {
                protocol::decode::<Option<Failure>>(&buffer[..length])
                    .map_or_else(|error| Some(Failure::new("a sandbox", &error)), |(f, _)| f)
            }
            Ok(Received::End) => Some(failure("the sandbox ended while it was prepared")),
            Err(error) => Some(Failure::new("cannot hear of a sandbox", &error)),
        };
        match failure {
            None => match connect(self.equipment.router.as_ref(), pid, sandbox.slot) {
                Ok(()) => {
                    sandbox.is_prepared = true;
                    self.advance(pid);
                }
                Err(failure) => self.abandon(pid, failure),
            },
            Some(failure) => self.abandon(pid, failure),
        }
    }

    /// Takes in what the maker of /tmp has made.
    pub(super) fn take_in_tmp(&mut self) -> Result<(), Failure> {
        loop {
            let Some(maker) = &mut self.equipment.maker else { return Ok(()) };
            let Some((size, failure)) = maker.receive()? else { return Ok(()) };
            let waiting: Vec<i32> = self
                .sandboxes
                .iter()
                .filter(|(_, sandbox)| {
                    let pending = sandbox.pending.as_ref();
                    pending.is_some_and(|p| p.tmp.is_none() && p.spec.tmp == size)
                })
                .map(|(pid, _)| *pid)
                .collect();
            let Some(first) = waiting.first() else { continue };
            match failure {
                None => self.advance(*first),
                Some(failure) => self.abandon(*first, failure),
            }
        }
    }

    /// Tells a sandbox what to become, when nothing is missing any more.
    fn advance(&mut self, pid: i32) {
        if self.acquire_tmp(pid).is_some_and(|failed| {
            self.abandon(pid, failed);
            true
        }) {
            return;
        }
        let Some(sandbox) = self.sandboxes.get_mut(&pid) else { return };
        let has_tmp = self.equipment.maker.is_none()
            || sandbox.pending.as_ref().is_some_and(|pending| pending.tmp.is_some());
        if !sandbox.is_prepared || !has_tmp {
            return;
        }
        let (Some(pending), Some(bound)) = (sandbox.pending.take(), &sandbox.bound) else { return };
        let Some(channel) = sandbox.channel.take() else { return };
        let told = match self.hosts.get(&bound.host) {
            Some(host) => {
                let user = self.slots.user(sandbox.slot);
                tell(&channel, &pending, user, host, &self.configuration.directory)
            }
            None => Err(failure("its cell is gone")),
        };
        if let Err(failure) = told {
            fail(&pending.status, failure);
            system::signal_pidfd(sandbox.pidfd.as_fd(), libc::SIGKILL);
        }
        system::forget(pending.strings);
        self.replenish_tmp();
    }

    /// Gives a waiting start its /tmp, or asks for one. Returns why neither works.
    fn acquire_tmp(&mut self, pid: i32) -> Option<Failure> {
        let maker = self.equipment.maker.as_mut()?;
        let pending = self.sandboxes.get_mut(&pid)?.pending.as_mut()?;
        if pending.tmp.is_some() {
            return None;
        }
        let size = pending.spec.tmp;
        pending.tmp = maker.take(size);
        if pending.tmp.is_some() {
            return None;
        }
        let waiting = self
            .sandboxes
            .values()
            .filter_map(|sandbox| sandbox.pending.as_ref())
            .filter(|pending| pending.tmp.is_none() && pending.spec.tmp == size)
            .count();
        maker.request(size, waiting).err()
    }

    /// Ends a process that has become nothing yet.
    fn end_unbound(&mut self, pid: i32) {
        if let Some(sandbox) = self.sandboxes.get_mut(&pid) {
            sandbox.channel = None;
            system::signal_pidfd(sandbox.pidfd.as_fd(), libc::SIGKILL);
        }
    }

    /// Ends a sandbox that could not become what it should.
    fn abandon(&mut self, pid: i32, failure: Failure) {
        self.pool.retain(|pooled| *pooled != pid);
        self.end_unbound(pid);
        let pending = self.sandboxes.get_mut(&pid).and_then(|sandbox| sandbox.pending.take());
        match pending {
            Some(pending) => fail(&pending.status, failure),
            None => eprintln!(
                "peek starter: cannot prepare a sandbox: {}: {}",
                failure.step,
                failure.error()
            ),
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
        let Some(sandbox) = self.sandboxes.get_mut(&pid) else { return Ok(()) };
        sandbox.is_leaving = true;
        if sandbox.has_ended {
            return self.bury(pid);
        }
        system::signal_pidfd(sandbox.pidfd.as_fd(), libc::SIGKILL);
        let group = sandbox.bound.as_ref().map(|bound| bound.group.clone());
        group.map_or(Ok(()), |group| self.thaw(&group))
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
            if sandbox.is_leaving || sandbox.bound.is_none() {
                self.bury(pid)?;
            }
        }
        Ok(())
    }

    /// Removes what an ended sandbox leaves: its groups. Its mounts, namespaces and /tmp ended with it.
    fn bury(&mut self, pid: i32) -> Result<(), Failure> {
        let Some(sandbox) = self.sandboxes.remove(&pid) else { return Ok(()) };
        self.slots.give_back(sandbox.slot);
        let Some(bound) = sandbox.bound else { return Ok(()) };
        self.instances.remove(&bound.instance);
        for name in [MACHINE_ID, BOOT_ID] {
            // Only what is made up has files of its own.
            let _made =
                fs::remove_file(own_id(&self.configuration.directory, bound.instance, name));
        }
        if let Err(failure) = self.equipment.cgroups.remove_instance(&bound.group) {
            eprintln!("peek starter: {}: {}", failure.step, failure.error());
        }
        self.reply(&Reply::Gone(bound.instance))
    }

    /// Ends and removes everything, for the end of the starter.
    pub(super) fn remove_all(mut self) -> Result<(), Failure> {
        let instances: Vec<InstanceId> = self.instances.keys().copied().collect();
        for instance in instances {
            self.remove(instance)?;
        }
        self.pool.clear();
        for sandbox in self.sandboxes.values_mut() {
            sandbox.is_leaving = true;
            system::signal_pidfd(sandbox.pidfd.as_fd(), libc::SIGKILL);
        }
        while !self.sandboxes.is_empty() {
            let mut polled =
                [rustix::event::PollFd::new(&self.equipment.signals, rustix::event::PollFlags::IN)];
            // An interrupted wait is tried again by the loop.
            let _ready = rustix::event::poll(&mut polled, None);
            self.reap()?;
        }
        let hosts: Vec<_> = self.hosts.keys().copied().collect();
        for host in hosts {
            self.remove_host(host)?;
        }
        if let Some(maker) = self.equipment.maker.take() {
            maker.end();
        }
        // Its process is in the groups that go next.
        drop(self.equipment.router.take());
        self.equipment.cgroups.remove_top()
    }
}

const MACHINE_ID: &str = "machine-id";
const BOOT_ID: &str = "boot-id";

/// File with an id that is made up for one instance; it is there as long as the instance.
fn own_id(directory: &Path, instance: InstanceId, name: &str) -> PathBuf {
    directory.join("ids").join(format!("{instance}-{name}"))
}

/// Joins a prepared sandbox's network to the router.
fn connect(router: Option<&Router>, pid: i32, slot: u32) -> Result<(), Failure> {
    let Some(router) = router else { return Ok(()) };
    let path = format!("/proc/{pid}/ns/net");
    let namespace = File::open(&path).step(|| format!("cannot open {path}"))?;
    router.attach(namespace.as_fd(), slot).map(drop).map_err(|error| failure(chain(&error)))
}

fn fail(status: &Channel, failure: Failure) {
    // A server that is gone needs no answer.
    let _gone = status.send(&[&protocol::encode(&Status::Failed(failure))], &[]);
}

/// Sends a prepared sandbox what to become, with the descriptors of it all.
fn tell(
    channel: &Channel,
    pending: &Pending,
    host_user: u32,
    host: &Host,
    directory: &Path,
) -> Result<(), Failure> {
    let spec = &pending.spec;
    let package = mounts::copy(&spec.package, READ_ONLY)?;
    let id = |name: &str, revealed: &Option<PathBuf>, made_up: &dyn Fn(String) -> String| {
        if let Some(path) = revealed {
            return mounts::copy(path, READ_ONLY);
        }
        let path = own_id(directory, spec.instance, name);
        let uuid = rootfs::random_uuid().step(|| "no random numbers".to_owned())?;
        fs::write(&path, made_up(uuid) + "\n")
            .step(|| format!("cannot write {}", path.display()))?;
        mounts::copy(&path, READ_ONLY)
    };
    let machine_id = id(MACHINE_ID, &host.machine_id, &|uuid| uuid.replace('-', ""))?;
    let boot_id = id(BOOT_ID, &host.boot_id, &|uuid| uuid)?;
    let command = Command {
        arguments: spec.arguments,
        host_user,
        tasks: pending.membership.tasks.len(),
        cgroup_view: match host.spec.reveal.instance_root_id {
            Some(_) => CgroupView::Server,
            None => CgroupView::Instance,
        },
        tmp: match pending.tmp {
            Some(_) => Tmp::Mount,
            None => Tmp::Memory(spec.tmp.bytes()),
        },
        host_name: "localhost".to_owned(),
    };
    let mut descriptors = vec![
        pending.status.as_fd(),
        pending.output.as_fd(),
        package.as_fd(),
        machine_id.as_fd(),
        boot_id.as_fd(),
    ];
    descriptors.extend(pending.tmp.iter().map(AsFd::as_fd));
    descriptors.extend(pending.membership.tasks.iter().map(AsFd::as_fd));
    channel
        .send(&[&protocol::encode(&command), &pending.strings], &descriptors)
        .step(|| "cannot tell a sandbox what to become".to_owned())
}
