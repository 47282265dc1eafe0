//! What a study needs of a target beyond the vantage point. Deliberately knows nothing of any one kind.

use crate::Uri;
use experiment::Vantage;
use std::collections::BTreeMap;
use std::future::Future;

/// A platform under measurement, seen from one vantage point.
pub trait Target: Vantage {
    /// The target as it was named.
    fn uri(&self) -> &Uri;

    /// What is known of it without measuring.
    fn facts(&self) -> &Facts;

    /// Removes everything that was deployed and is still there. May be repeated; a second time has less to do.
    fn cleanup(&self) -> impl Future<Output = Cleaned>;
}

/// What is known of a target without measuring it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Kind of sandbox as the target says: `container`, `microvm`, `session`; empty where it says nothing.
    pub sandbox: String,
    /// Accounts that functions can be deployed to; [`experiment::FunctionSpec::tenant`] counts up to it.
    pub tenants: u32,
    /// Roles that functions can have; [`experiment::FunctionSpec::role`] counts up to it.
    pub roles: u32,
    /// Whether functions read the same wall clock as the vantage point.
    pub clock: Clock,
    /// What exactly the records' `sent_ns` is, in words for the report.
    pub sent: String,
    /// Whatever else the target said of itself, as in `profile` or `version`.
    pub said: BTreeMap<String, String>,
}

/// Whose wall clock a function reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clock {
    /// Another machine's: its offset has to be estimated.
    #[default]
    Apart,
    /// The vantage point's own machine's: the offset is zero.
    Same,
}

/// What a cleanup did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// Names of the functions that were removed.
    pub removed: Vec<String>,
    /// Functions that could not be removed, each with the reason.
    pub left: Vec<(String, String)>,
}
