//! What can happen.

use model::{
    FunctionId, HostId, InstanceId, InvocationId, Isolation, MemoryMib, RoleId, Span, TenantId,
};
use serde::{Deserialize, Serialize};

/// A state of a function's code and settings; grows with each update.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Epoch(pub u64);

/// What the scheduler must know of a function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionSettings {
    /// Who owns it.
    pub tenant: TenantId,
    /// Role it runs as.
    pub role: RoleId,
    /// Memory of one instance.
    pub memory: MemoryMib,
    /// Limit of one invocation.
    pub timeout: Span,
    /// The function that this is a version of, `$LATEST` included: all versions of one function name the same one here,
    /// best that of `$LATEST`. They share reserved concurrency.
    pub group: FunctionId,
    /// Reserved concurrency of the group, if set. The newest word counts for the whole group.
    pub reserved_concurrency: Option<u32>,
    /// Whose instances may share its hosts, where it asks for that itself; else the account's or the profile's word.
    pub isolation: Option<Isolation>,
}

/// How busy a host is: what all of its instances took together, per second, since it was last told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostLoad {
    /// CPUs in use, in thousandths of one.
    pub milli_cpus: u32,
    /// Read from and written to disks, KiB/s.
    pub disk_kib_s: u64,
    /// Sent and received, kbit/s.
    pub network_kbit_s: u64,
}

/// What can happen, failures included. Late ones (of an instance or attempt that is gone) are ignored and counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A function exists, with this state. Also sent for each function found at a restart.
    Deployed {
        /// Function.
        function: FunctionId,
        /// State of code and settings.
        epoch: Epoch,
        /// Settings.
        settings: FunctionSettings,
    },
    /// Code or settings changed. From here on no dispatch uses an older epoch; idle instances of older epochs go. With the
    /// epoch that is there already, only limits (timeout, reserved concurrency) change, and no instance goes; unless the
    /// isolation is another: then no dispatch uses an instance that is on the wrong host.
    ConfigChanged {
        /// Function.
        function: FunctionId,
        /// New state.
        epoch: Epoch,
        /// New settings.
        settings: FunctionSettings,
    },
    /// Reserved concurrency of a function changed, for all of its versions together; no instance goes.
    LimitsChanged {
        /// Who owns it.
        tenant: TenantId,
        /// The function, as its versions name it in [`FunctionSettings::group`].
        group: FunctionId,
        /// Reserved concurrency from now on, if any.
        reserved_concurrency: Option<u32>,
    },
    /// So many instances of a function are to be ready from now on, ahead of any invocation; 0 for none. Those that are
    /// too many go when they are idle. It ends with the function.
    ProvisionedChanged {
        /// Function: one version of a function of the API.
        function: FunctionId,
        /// Instances.
        count: u32,
    },
    /// The function is gone; its queued invocations are rejected, idle instances go, busy ones go when they finish.
    Removed {
        /// Function.
        function: FunctionId,
    },
    /// A host that [`crate::Action::StartHost`] asked for is ready.
    HostReady {
        /// Host.
        host: HostId,
    },
    /// A host that was asked for could not be made; what waits for it is tried elsewhere or rejected.
    HostFailed {
        /// Host.
        host: HostId,
        /// Why, for the answer.
        reason: String,
    },
    /// A host is gone with everything on it: none of its instances will be reclaimed one by one. Invocations that ran there
    /// are answered by the driver, as with `Died`; those that waited are started elsewhere.
    HostLost {
        /// Host.
        host: HostId,
    },
    /// A request to run a function.
    Invoked {
        /// The request. The caller never uses one twice.
        invocation: InvocationId,
        /// Function.
        function: FunctionId,
    },
    /// The caller is gone before its invocation was dispatched; later it is only ignored.
    Cancelled {
        /// The request.
        invocation: InvocationId,
    },
    /// An instance's sandbox runs and its runtime has asked for its first event: it can take a dispatch.
    Started {
        /// Instance.
        instance: InstanceId,
    },
    /// An instance could not be started, or failed in its init. Its host capacity is still taken until `Reclaimed`.
    StartFailed {
        /// Instance.
        instance: InstanceId,
        /// Why, for the answer to the invocation that waits for it.
        reason: String,
    },
    /// The response of a dispatched invocation is complete (a result or a function error).
    Finished {
        /// Instance that ran it.
        instance: InstanceId,
        /// The request.
        invocation: InvocationId,
    },
    /// Runtime and extensions asked for `next`: the instance is idle and may be reused.
    Idle {
        /// Instance.
        instance: InstanceId,
    },
    /// The instance is frozen, as [`crate::Action::Rest`] asked.
    Rested {
        /// Instance.
        instance: InstanceId,
    },
    /// The runtime died, or broke its protocol. Its invocation, if any, is answered by the driver with the sandbox's error.
    Died {
        /// Instance.
        instance: InstanceId,
    },
    /// The instance is gone with all it held: its host's capacity is free.
    Reclaimed {
        /// Instance.
        instance: InstanceId,
    },
    /// How much memory of the machine is really free now. While that is less than the profile's `memory_reserve_mib`,
    /// nothing is started. A driver that never sends it is not held to the reserve.
    MemoryFree {
        /// Free, as `MemAvailable` of /proc/meminfo says it.
        free: MemoryMib,
    },
    /// How busy a host is. A driver tells it once or twice a second where [`crate::policy::Placement::weighs_load`]; others
    /// need not.
    HostLoad {
        /// Host.
        host: HostId,
        /// What its instances take.
        load: HostLoad,
    },
    /// Nothing but the passing of time.
    Timeout,
}
