//! What the scheduler does in one situation each, seen through the driver of `driver`, which checks the rest.

#[path = "../driver/mod.rs"]
mod driver;

mod hosts;
mod invocations;
mod keeping;
mod policies;
mod provisioned;
mod several;

use driver::{Answer, Driver, Open};
use model::{
    FunctionId, HostId, InstanceId, InvocationId, Isolation, MemoryMib, RoleId, Span, TenantId,
};
use scheduler::policy::{Clock, Fixed, Halving, KeepAlive, NoKeeping, Placement, Spread};
use scheduler::{
    Action, Epoch, Event, FunctionSettings, HostPhase, InitBilling, InstancePhase, Profile,
    ProvisionStatus, Provisioned, Purpose, Rejection, Sharing, StopReason,
};

fn settings(memory: u32) -> FunctionSettings {
    FunctionSettings {
        tenant: TenantId::from_number(1),
        role: RoleId(0),
        memory: MemoryMib(memory),
        timeout: Span::from_secs(3),
        group: FunctionId(0),
        reserved_concurrency: None,
        isolation: None,
    }
}

/// Hosts of 512 MiB, so that four instances of 128 MiB fill one.
fn profile() -> Profile {
    let mut profile = Profile::default();
    profile.hosts.memory = MemoryMib(512);
    profile
}

/// A driver with one function of 128 MiB, number 0.
fn driver(profile: Profile) -> Driver {
    let mut driver = Driver::new(profile, 1);
    driver.deploy(0, settings(128));
    driver
}

/// Invokes function 0 until `n` instances are there, and lets them become idle.
fn pool(driver: &mut Driver, n: usize) {
    for _ in 0..n {
        driver.invoke(0);
    }
    driver.answer_all();
    assert_eq!(driver.instances().len(), n);
}

fn reclaimed(driver: &Driver) -> Vec<(InstanceId, StopReason)> {
    let reclaim = |action: &Action| match *action {
        Action::Reclaim { instance, reason } => Some((instance, reason)),
        _ => None,
    };
    driver.actions.iter().filter_map(reclaim).collect()
}

fn rejected(driver: &Driver) -> Vec<Rejection> {
    let reject = |action: &Action| match action {
        Action::Reject { reason, .. } => Some(reason.clone()),
        _ => None,
    };
    driver.actions.iter().filter_map(reject).collect()
}

fn dispatches(driver: &Driver) -> Vec<(u64, u64, bool)> {
    let dispatch = |action: &Action| match *action {
        Action::Dispatch { instance, invocation, cold, .. } => {
            Some((instance.0, invocation.0, cold))
        }
        _ => None,
    };
    driver.actions.iter().filter_map(dispatch).collect()
}
