//! The services of AWS that this platform speaks, by the names that requests are signed for.

/// A service of AWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Service {
    /// AWS Lambda.
    Lambda,
    /// Amazon CloudWatch Logs.
    Logs,
    /// Amazon EventBridge.
    Events,
    /// Amazon EventBridge Scheduler.
    Scheduler,
    /// The Security Token Service.
    Sts,
}

impl Service {
    const ALL: &'static [Self] =
        &[Self::Lambda, Self::Logs, Self::Events, Self::Scheduler, Self::Sts];

    /// The name in the scope of a signature.
    pub fn signing_name(self) -> &'static str {
        match self {
            Self::Lambda => "lambda",
            Self::Logs => "logs",
            Self::Events => "events",
            Self::Scheduler => "scheduler",
            Self::Sts => "sts",
        }
    }

    /// The service that a request was signed for; None for one that is not here.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|service| service.signing_name() == name)
    }
}
