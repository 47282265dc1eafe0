//! What the courier needs of whoever runs functions.

use crate::{Address, Letter};
use bytes::Bytes;
use queue::Patience;
use std::future::Future;

/// Finds and runs functions.
pub trait Runner: Send + Sync + 'static {
    /// How a function wants its events to be treated, as it is now; None where it is gone.
    fn standing(&self, address: &Address) -> Option<Standing>;

    /// The function of this ARN, if it is one that events can be sent to.
    fn resolve(&self, arn: &str) -> Option<Address>;

    /// ARN of a function with its qualifier, `$LATEST` where none was named.
    fn arn(&self, address: &Address) -> String;

    /// Runs one event once.
    fn run(&self, letter: &Letter) -> impl Future<Output = Ran> + Send;
}

/// How a function wants its events to be treated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// How long and how often they are tried.
    pub patience: Patience,
    /// ARN that is told of each success.
    pub on_success: Option<String>,
    /// ARN that is told of each event that was given up.
    pub on_failure: Option<String>,
}

/// How one run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ran {
    /// The function answered or failed.
    Ended(Ended),
    /// It was not run, and may be later; why.
    Refused(String),
    /// It can never run: no concurrency at all is set aside for it.
    Barred,
    /// It is gone.
    NoFunction,
}

/// What a function made of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its answer, or Lambda's error JSON.
    pub payload: Bytes,
    /// Whether that is an error.
    pub is_error: bool,
    /// The version that ran.
    pub version: String,
}
