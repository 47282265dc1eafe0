//! A signed HTTP client of any endpoint that speaks the Lambda API, and CloudWatch Logs beside it.
//!
//! Where the endpoint is and whose keys sign (`place`), then one request and its answer (`call`). Deliberately knows
//! nothing of what is asked.

mod call;
mod place;
mod trust;

pub use call::{Answer, Ask, CallError, Client, encode};
pub use place::{Where, default_data};
