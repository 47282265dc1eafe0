//! HTTP/1.1 to one endpoint, in the open: what is sent when, and on which connection.
//!
//! General clients hide the moment at which a request's first byte leaves, and open connections when it suits them.
//! Here a request is signed and serialized before its time, on a connection that is already open, so that a send is
//! one write. Deliberately knows nothing of functions or records.

mod connection;
mod message;
mod pool;
mod sign;

pub(crate) use connection::{Connection, ExchangeError};
pub(crate) use message::Reply;
pub(crate) use pool::Pool;
pub(crate) use sign::{Keys, Post};
