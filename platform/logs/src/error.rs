//! Why a request about logs cannot be answered.

/// Why a request about logs cannot be answered.
#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    /// No such log group.
    #[error("The specified log group does not exist.")]
    NoGroup,
    /// No such log stream.
    #[error("The specified log stream does not exist.")]
    NoStream,
    /// The log group is there already.
    #[error("The specified log group already exists")]
    GroupExists,
    /// More log groups than a tenant may have.
    #[error(
        "Resource limit exceeded: at most {limit} log groups. Delete some with delete-log-group."
    )]
    TooManyGroups {
        /// The limit.
        limit: usize,
    },
    /// A name, token or pattern that cannot be used; what, and what to change.
    #[error("{0}")]
    Invalid(String),
    /// The files could not be read or written.
    #[error("cannot {what} the log group's files")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}
