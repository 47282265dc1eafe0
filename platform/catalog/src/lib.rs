//! Functions and their code packages; durable.
//!
//! A zip comes in ([`PackageError`] says what can be wrong with it), is unpacked onto a content-addressed shelf, and a
//! function that names it is written to an embedded store with one writer; reads come from memory. Deliberately knows nothing of HTTP,
//! schedulers or sandboxes.

mod attachments;
mod catalog;
mod entry;
mod event_invoke;
mod function;
mod layer;
mod logging;
mod package;
mod policy;
mod schedules;
mod shelf;
mod store;
mod url;

pub use attachments::{Alias, Attachments, Provisioned};
pub use catalog::{
    Catalog, CreateError, DeleteVersionError, EditError, EditLayerError, Holdings, LayerPage,
    OpenError, Page, PublishError, PublishOf, Published, SizeError, UpdateError, UpdateOf, Updated,
};
pub use entry::{Entry, Target};
pub use event_invoke::EventInvoke;
pub use function::{
    Function, NewFunction, Settings, SettingsChange, State, Tracing, Version, VersionError,
};
pub use layer::{LayerSet, LayerVersion, NewLayerVersion, UsedLayer};
pub use logging::{ApplicationLevel, LogLevels, Logging, SystemLevel};
pub use package::{PackageError, PackageLimits};
pub use policy::{Access, Policy, Statement};
pub use schedules::{
    SCHEDULES_MAX, ScheduleEntry, ScheduleError, ScheduleKey, ScheduleKind, ScheduleTarget,
    Schedules,
};
pub use shelf::StoredPackage;
pub use store::{
    Batch, Durable, Entry as StoredEntry, OpenStoreError, Receipt, Store, StoreError, Table, number,
};
pub use url::{Cors, InvokeMode, UrlAuth, UrlConfig};
