//! A sandbox's life: forked, furnished, prepared, told what to become, ended, removed.
//!
//! Deliberately answers no question of whether a sandbox should live.

use super::super::cgroup::{GroupName, Limits};
use super::super::channel::{Channel, Received};
use super::super::child::{LAYERS, PACKAGE};
use super::super::mounts::{self, READ_ONLY};
use super::super::protocol::{
    self, Command, Failure, PackageComes, ProcView, Reply, Report, StartSpec, Status, Step,
};
use super::super::system;
use super::equipment::chain;
use super::ids::{Ids, Supply};
use super::sandbox::{Code, Furniture, Pending, Preparing, Sandbox, Stage};
use super::spare::Newborn;
use super::{Starter, proc_view};
use crate::container::cgroup::Cgroups;
use model::{HostId, InstanceId, MemoryMib};
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Why a sandbox failed that never became one.
const ENDED: &str = "the sandbox ended while it was prepared";

/// How many /tmp are kept ready at least.
const TMP_READY: usize = 2;

fn failure(step: impl Into<String>) -> Failure {
    Failure { step: step.into(), errno: 0 }
}

impl Starter {
    /// Starts an instance; what fails is said on its status channel.
    pub(super) fn start(&mut self, spec: StartSpec, strings: &[u8], descriptors: Vec<OwnedFd>) {
        let mut descriptors = descriptors.into_iter();
        let Some(status) = descriptors.next() else { return };
        let status = Channel::from_descriptor(status);
        let instance = spec.instance;
        self.pool_host = Some(spec.host);
        match self.process_for(&spec) {
            Ok(pid) => {
                self.instances.insert(instance, pid);
                if let Some(sandbox) = self.sandboxes.get_mut(&pid) {
                    sandbox.instance = Some(instance);
                    sandbox.pending = Some(Pending {
                        arguments: spec.arguments,
                        extensions: spec.extensions,
                        strings: strings.to_vec(),
                        status,
                        outputs: descriptors.collect(),
                    });
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
        let layers =
            spec.layers.as_deref().map(|path| mounts::copy(path, READ_ONLY)).transpose()?;
        let limits = Limits { memory: Some(spec.memory), cpu_weight: spec.cpu_weight };
        self.pool_limits = limits;
        let Some((pid, mounts)) = self.take_prepared(spec) else {
            return self.fork(spec.host, spec.tmp, limits, Some(Code { package, layers }));
        };
        let home = self.equipment.mounts.as_fd();
        let mut made = mounts::attach_within(package, Path::new(PACKAGE), mounts.as_fd(), home);
        if let Some(layers) = layers
            && made.is_ok()
        {
            made = mounts::attach_within(layers, Path::new(LAYERS), mounts.as_fd(), home);
        }
        if let Some(sandbox) = self.sandboxes.get_mut(&pid)
            && sandbox.limits != limits
            && made.is_ok()
        {
            sandbox.limits = limits;
            made = self.equipment.cgroups.limit_instance(&sandbox.group, limits);
        }
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
        code: Option<Code>,
    ) -> Result<i32, Failure> {
        let host = self.hosts.get(&host_id);
        let host = host.ok_or_else(|| failure(format!("{host_id} does not exist")))?;
        let view = proc_view(&host.spec);
        let serial = self.next_serial;
        let group = GroupName { host: host.group.clone(), instance: format!("sandbox-{serial}") };
        let slot = self.slots.take().ok_or_else(|| failure("65536 instances run already"))?;
        self.next_serial += 1;
        let (newborn, tasks) = match self.make_process(view, &group, limits) {
            Ok(made) => made,
            Err(failure) => {
                self.slots.give_back(slot);
                // What was made of the groups goes again; a remainder goes at the next sweep.
                let _removed = self.equipment.cgroups.remove_instance(&group);
                return Err(failure);
            }
        };
        let Newborn { pid, pidfd, channel, network, born, .. } = newborn;
        let comes = Code::comes(code.as_ref());
        let sandbox = Sandbox {
            pidfd,
            channel,
            slot,
            host: host_id,
            group,
            limits,
            serial,
            tmp,
            stage: Stage::Preparing(Preparing {
                mounts: None,
                furniture: Some(Furniture { tasks, code }),
                package: comes,
                is_connected: self.equipment.router.is_none(),
                told: None,
            }),
            pending: None,
            instance: None,
            is_end_told: false,
            is_leaving: false,
            has_ended: false,
        };
        self.sandboxes.insert(pid, sandbox);
        // The network is joined to the router while the sandbox makes what else it has.
        let mut furnished = self.furnish(pid).and_then(|()| match network {
            Some(network) => self.connect(pid, &network.namespace),
            None => Ok(()),
        });
        if let Some(beside) = born
            && furnished.is_ok()
        {
            furnished = self.take_in_report(pid, Report::Born, beside);
        }
        if furnished.is_err() {
            self.end(pid);
        }
        furnished.map(|()| pid)
    }

    /// A process and its groups: on v2 it is born into its group, on v1 it prepares itself while they are made.
    fn make_process(
        &mut self,
        view: ProcView,
        group: &GroupName,
        limits: Limits,
    ) -> Result<(Newborn, Vec<OwnedFd>), Failure> {
        if matches!(self.equipment.cgroups, Cgroups::V2(_)) {
            let membership = self.equipment.cgroups.make_instance(group, limits)?;
            let newborn = self.bear(view, membership.group.as_ref().map(AsFd::as_fd))?;
            return Ok((newborn, Vec::new()));
        }
        let newborn = match self.take_spare(view) {
            Some(spare) => spare,
            None => self.bear(view, None)?,
        };
        let made = self.equipment.cgroups.make_instance(group, limits);
        if made.is_err() {
            system::signal_pidfd(newborn.pidfd.as_fd(), libc::SIGKILL);
        }
        Ok((newborn, made?.tasks))
    }

    /// Joins a sandbox's network to the router.
    fn connect(&mut self, pid: i32, network: &OwnedFd) -> Result<(), Failure> {
        let Some(sandbox) = self.sandboxes.get_mut(&pid) else { return Ok(()) };
        let Stage::Preparing(preparing) = &mut sandbox.stage else { return Ok(()) };
        if let Some(router) = &self.equipment.router {
            let attached = router.attach(network.as_fd(), sandbox.slot);
            attached.map_err(|error| failure(chain(&error)))?;
        }
        preparing.is_connected = true;
        Ok(())
    }

    /// Has made ahead again what sandboxes took.
    fn restock(&mut self) -> Result<(), Failure> {
        if let Some(networks) = &mut self.equipment.networks
            && let Err(failure) = networks.restock()
        {
            self.forgo_networks(&failure);
        }
        self.request_tmp(self.configuration.tmp)
    }

    /// Takes in what the maker of networks has made.
    pub(super) fn take_in_networks(&mut self) {
        if let Some(networks) = &mut self.equipment.networks
            && let Err(failure) = networks.receive()
        {
            self.forgo_networks(&failure);
        }
    }

    /// Goes on without networks made ahead: each sandbox makes its own.
    fn forgo_networks(&mut self, failure: &Failure) {
        complain("networks are not made ahead any more", failure);
        if let Some(networks) = self.equipment.networks.take() {
            networks.end();
        }
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
        let supply = Supply { host, user, tmp, size, furniture };
        ids.send(&sandbox.channel, &supply)
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

    /// Whether less is prepared than should be.
    pub(super) fn is_short(&self) -> bool {
        let Some(host) = self.pool_host() else { return false };
        self.is_pool_short(host) || self.is_spare_missing()
    }

    fn is_pool_short(&self, host: HostId) -> bool {
        let on_host = |pid: &&i32| self.sandboxes.get(pid).is_some_and(|it| it.host == host);
        self.pool.iter().filter(on_host).count() < self.configuration.pool
    }

    /// Prepares what is missing, one thing at a time: sandboxes for the pool, then the spare.
    pub(super) fn prepare_one(&mut self) {
        let Some(host) = self.pool_host() else { return };
        let prepared = if self.is_pool_short(host) {
            self.prepare_for_pool(host)
        } else {
            let view = self.hosts.get(&host).map(|host| proc_view(&host.spec));
            view.map_or(Ok(()), |view| self.make_spare(view))
        };
        if let Err(failure) = prepared {
            self.put_off(&failure);
        }
    }

    /// The reason for a failure may pass; it must not be tried all the time.
    pub(super) fn put_off(&mut self, failure: &Failure) {
        complain("cannot prepare a sandbox", failure);
        self.quiet_from = std::time::Instant::now() + super::PAUSE;
    }

    /// Forks one sandbox for the pool. What the pool has of other cells makes way for it.
    fn prepare_for_pool(&mut self, host: HostId) -> Result<(), Failure> {
        if self.pool.len() >= self.configuration.pool * POOLED_HOSTS {
            let sandboxes = &self.sandboxes;
            let elsewhere = |pid: &i32| sandboxes.get(pid).is_none_or(|it| it.host != host);
            if let Some(index) = self.pool.iter().position(elsewhere)
                && let Some(pid) = self.pool.remove(index)
            {
                self.end(pid);
            }
        }
        let pid = self.fork(host, self.configuration.tmp, self.pool_limits, None)?;
        self.pool.push_back(pid);
        Ok(())
    }

    /// Takes in what a sandbox says, if it has said anything. After its end it is listened to no more.
    pub(super) fn hear(&mut self, pid: i32) -> Result<(), Failure> {
        let mut buffer = [0; 4096];
        while let Some(sandbox) = self.sandboxes.get_mut(&pid) {
            let cannot = || "cannot hear of a sandbox".to_owned();
            let taken = match sandbox.channel.try_receive(&mut buffer) {
                Ok(None) => return Ok(()),
                Ok(Some(Received::Message(length, beside))) => {
                    match protocol::exited(&buffer[..length]) {
                        Some(status) => return self.tell_end(pid, Some(status)),
                        None => protocol::decode::<Report>(&buffer[..length])
                            .step(cannot)
                            .and_then(|(report, _)| self.take_in_report(pid, report, beside)),
                    }
                }
                Ok(Some(Received::End)) => {
                    let is_preparing = matches!(sandbox.stage, Stage::Preparing(_));
                    self.unwatch(pid)?;
                    match is_preparing {
                        true => self.abandon(pid, failure(ENDED)),
                        false => return Ok(()),
                    }
                    return Ok(());
                }
                Err(error) => Err(Failure::new(cannot(), &error)),
            };
            if let Err(failure) = taken {
                self.abandon(pid, failure);
                return Ok(());
            }
        }
        Ok(())
    }

    /// Tells the server how an instance's runtime has ended, once.
    fn tell_end(&mut self, pid: i32, status: Option<i32>) -> Result<(), Failure> {
        let Some(sandbox) = self.sandboxes.get_mut(&pid) else { return Ok(()) };
        let Some(instance) = sandbox.instance.filter(|_| !sandbox.is_end_told) else {
            return Ok(());
        };
        sandbox.is_end_told = true;
        self.reply(&Reply::Ended { instance, status })
    }

    fn take_in_report(
        &mut self,
        pid: i32,
        report: Report,
        beside: Vec<OwnedFd>,
    ) -> Result<(), Failure> {
        let Some(sandbox) = self.sandboxes.get_mut(&pid) else { return Ok(()) };
        let Stage::Preparing(preparing) = &mut sandbox.stage else { return Ok(()) };
        match report {
            Report::Born => {
                let mut beside = beside.into_iter();
                let (mounts, network) = (beside.next(), beside.next());
                if preparing.package == PackageComes::Later {
                    preparing.mounts = mounts;
                }
                network.map_or(Ok(()), |network| self.connect(pid, &network))?;
                self.advance(pid);
                Ok(())
            }
            Report::Prepared => {
                let stage = std::mem::replace(&mut sandbox.stage, Stage::Told);
                if let Stage::Preparing(Preparing { mounts, told: None, .. }) = stage {
                    sandbox.stage = Stage::Prepared { mounts };
                }
                self.advance(pid);
                // Not before: what makes things ahead would be in the way of a start that nothing waits behind.
                self.restock()
            }
            Report::Failed(failure) => Err(failure),
        }
    }

    /// Takes in what the maker of /tmp has made.
    pub(super) fn take_in_tmp(&mut self) -> Result<(), Failure> {
        loop {
            let Some(maker) = &mut self.equipment.maker else { return Ok(()) };
            let Some((size, failure)) = maker.receive()? else { return Ok(()) };
            let waiting = self.sandboxes.iter().find(|(_, sandbox)| sandbox.wants_tmp(size));
            let Some(pid) = waiting.map(|(pid, _)| *pid) else { continue };
            match failure.map_or_else(|| self.furnish(pid), Err) {
                Ok(()) => self.advance(pid),
                Err(failure) => self.abandon(pid, failure),
            }
        }
    }

    /// Tells a sandbox what to become, when that is known and it listens.
    fn advance(&mut self, pid: i32) {
        let Some(sandbox) = self.sandboxes.get_mut(&pid) else { return };
        if !sandbox.stage.is_listening() {
            return;
        }
        let Some(Pending { arguments, extensions, strings, status, outputs }) =
            sandbox.pending.take()
        else {
            return;
        };
        let command = Command { arguments, extensions, group: sandbox.group.instance.clone() };
        let beside: Vec<_> =
            [status.as_fd()].into_iter().chain(outputs.iter().map(AsFd::as_fd)).collect();
        let told = sandbox
            .channel
            .send(&[&protocol::encode(&command), &strings], &beside)
            .step(|| "cannot tell a sandbox what to become".to_owned());
        match (told, &mut sandbox.stage) {
            (Err(failure), _) => {
                fail(&status, failure);
                self.end(pid);
            }
            (Ok(()), Stage::Preparing(preparing)) => preparing.told = Some(status),
            (Ok(()), stage) => *stage = Stage::Told,
        }
        system::forget(strings);
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
        let status = self.sandboxes.get_mut(&pid).and_then(Sandbox::take_status);
        self.end(pid);
        match status {
            Some(status) => fail(&status, failure),
            None => self.put_off(&failure),
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
            // What it said last comes before its end.
            self.hear(pid)?;
            let Some(sandbox) = self.sandboxes.get_mut(&pid) else {
                self.spare.take_if(|spare| spare.pid == pid);
                continue;
            };
            sandbox.has_ended = true;
            // One that was told may have run and ended since; then nobody listens for this any more.
            if let Some(status) = sandbox.take_status() {
                fail(&status, failure(ENDED));
            }
            if !sandbox.is_leaving {
                self.tell_end(pid, None)?;
            }
            let Some(sandbox) = self.sandboxes.get(&pid) else { continue };
            // An instance's groups stay until the server has seen how it ended.
            if sandbox.is_leaving || sandbox.instance.is_none() {
                self.bury(pid)?;
            }
        }
        Ok(())
    }

    /// Removes what an ended sandbox leaves: its groups. Its mounts, namespaces and /tmp ended with it.
    fn bury(&mut self, pid: i32) -> Result<(), Failure> {
        self.unwatch(pid)?;
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
        self.end_spare();
        while !self.sandboxes.is_empty() {
            use rustix::event::{PollFd, PollFlags, poll};
            let mut polled = [PollFd::new(&self.equipment.signals, PollFlags::IN)];
            // An interrupted wait is tried again by the loop.
            let _ready = poll(&mut polled, None);
            self.reap()?;
        }
        let hosts: Vec<HostId> = self.hosts.keys().copied().collect();
        for host in hosts {
            self.remove_empty_host(host)?;
        }
        if let Some(maker) = self.equipment.maker.take() {
            maker.end();
        }
        if let Some(networks) = self.equipment.networks.take() {
            networks.end();
        }
        // Its process is in the groups that go next.
        drop(self.equipment.router.take());
        self.equipment.cgroups.remove_top()
    }
}

/// How many cells may have prepared sandboxes at a time.
const POOLED_HOSTS: usize = 4;

fn complain(what: &str, failure: &Failure) {
    eprintln!("peek starter: {what}: {}: {}", failure.step, failure.error());
}

fn fail(status: &Channel, failure: Failure) {
    // A server that is gone needs no answer.
    let _gone = status.send(&[&protocol::encode(&Status::Failed(failure))], &[]);
}
