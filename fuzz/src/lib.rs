//! What several targets share.

pub mod front;
