//! Targets: platforms under measurement, each seen from a live vantage point.
//!
//! A [`Uri`] names a target; [`Live::open`] finds or starts it and is then the [`experiment::Vantage`] that experiments
//! run over, and the [`Target`] that a study cleans up. Deliberately knows nothing of what experiments look for, and of
//! our own platform nothing but what any user of its public API knows.

mod uri;

mod accounts;
mod endpoint;
mod target;

// Kinds of target, one file each, listed in `endpoint`.
mod aws;
mod emulated;
mod lambda;
mod local;

mod clock;
mod control;
mod invoke;
mod live;
mod machine;
mod package;
mod report;
mod sink;
mod wire;

pub use emulated::{Emulated, ProfileFileError};
pub use endpoint::{OpenError, Options};
pub use live::{Live, clean};
pub use local::{LocalCommand, LocalError};
pub use package::{Language, NATIVE, NODE, PYTHON, Package, PackageError};
pub use sink::Sink;
pub use target::{Cleaned, Clock, Facts, Target};
pub use uri::{Scheme, Uri, UriError, Url};
