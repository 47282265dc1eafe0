//! Functions and their code packages; durable.
//!
//! A zip comes in ([`PackageError`] says what can be wrong with it), is unpacked onto a content-addressed shelf, and a
//! function that names it is written to an embedded store; reads come from memory. Deliberately knows nothing of HTTP,
//! schedulers or sandboxes.

mod backing;
mod catalog;
mod function;
mod package;
mod shelf;
mod table;

pub use catalog::{
    Catalog, CreateError, Holdings, OpenError, Page, UpdateError, UpdateOf, Updated,
};
pub use function::{Function, NewFunction, Settings, SettingsChange, State, Tracing};
pub use package::{PackageError, PackageLimits};
pub use shelf::StoredPackage;
pub use table::StoreError;
