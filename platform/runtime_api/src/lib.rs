//! The Runtime API of AWS Lambda (version 2018-06-01) as a state machine: bytes in, bytes and events out.
//!
//! Deliberately holds no socket and no clock, and knows nothing of sandboxes.
