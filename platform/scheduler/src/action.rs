//! What to do.

use crate::{Epoch, Purpose};
use model::{FunctionId, HostId, InstanceId, InvocationId, MemoryMib, Span, TenantId};
use serde::{Deserialize, Serialize};

/// What the driver is to carry out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Make a host of this size; answer with `HostReady` or `HostFailed`.
    StartHost {
        /// Host.
        host: HostId,
        /// Whose it is; None where tenants share hosts, and for a host started ahead, which belongs to the tenant of its
        /// first instance from then on.
        tenant: Option<TenantId>,
        /// Memory that its instances may add up to.
        memory: MemoryMib,
        /// CPUs, in thousandths.
        milli_cpus: u32,
    },
    /// Give the host back. No instance is left on it.
    StopHost {
        /// Host.
        host: HostId,
    },
    /// Start an instance; answer with `Started` or `StartFailed`.
    Start {
        /// Instance.
        instance: InstanceId,
        /// On this host.
        host: HostId,
        /// Of this function.
        function: FunctionId,
        /// In this state.
        epoch: Epoch,
        /// For whom: what `AWS_LAMBDA_INITIALIZATION_TYPE` says in it.
        purpose: Purpose,
    },
    /// Hand the invocation to the instance (thaw it first); answer with `Finished` and `Idle`, or `Died`.
    Dispatch {
        /// Instance.
        instance: InstanceId,
        /// The request.
        invocation: InvocationId,
        /// State that it runs.
        epoch: Epoch,
        /// True where the instance was started for this and has served nothing before.
        cold: bool,
    },
    /// Freeze the idle instance; answer with `Rested`.
    Rest {
        /// Instance.
        instance: InstanceId,
    },
    /// End the instance; answer with `Reclaimed`.
    Reclaim {
        /// Instance.
        instance: InstanceId,
        /// Why.
        reason: StopReason,
    },
    /// Answer the invocation with an error: it was never dispatched, and never will be.
    Reject {
        /// The request.
        invocation: InvocationId,
        /// Why.
        reason: Rejection,
    },
    /// The invocation ran past its function's timeout: answer it so. A `Reclaim` of its instance follows.
    Expire {
        /// The request.
        invocation: InvocationId,
        /// Instance that ran it.
        instance: InstanceId,
        /// The limit.
        timeout: Span,
    },
    /// An invocation ended: what is to be billed. Rounded up to the profile's grain; init counted as the profile says.
    Bill {
        /// The request.
        invocation: InvocationId,
        /// Function.
        function: FunctionId,
        /// From dispatch to finish.
        duration: Span,
        /// Init time of the instance where this invocation waited for it.
        init: Option<Span>,
        /// What is billed.
        billed: Span,
        /// Memory size billed.
        memory: MemoryMib,
    },
}

/// Why an instance ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopReason {
    /// Idle for longer than the policy keeps instances.
    IdleLimit,
    /// A halving of an idle pool.
    Halving,
    /// It reached its lifetime cap.
    Lifetime,
    /// A newer epoch of its function exists.
    Outdated,
    /// Its function is gone.
    Removed,
    /// An invocation ran into its timeout.
    Expired,
    /// It died or broke its protocol.
    Died,
    /// It could not start.
    StartFailed,
    /// It was provisioned, and fewer are to be now.
    Unprovisioned,
    /// Room was needed for another function of the same host owner.
    Evicted,
}

/// Why an invocation is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rejection {
    /// No such function (any more).
    NoFunction,
    /// The function's reserved concurrency is used up by its versions.
    ReservedConcurrency {
        /// What is reserved.
        limit: u64,
    },
    /// The account's concurrency is used up, as far as it is neither reserved nor provisioned.
    AccountConcurrency {
        /// What is left for functions without a reservation.
        limit: u64,
    },
    /// The queue's limit is reached, or it waited longer than the profile allows.
    Queue,
    /// No host could be had; why.
    NoHost(String),
    /// Its instance could not start; why.
    StartFailed(String),
}
