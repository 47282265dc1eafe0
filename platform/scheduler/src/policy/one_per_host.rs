//! Placement of each instance on a host of its own.

use super::{Choice, Company, Growth, Place, Want};
use crate::rooms::Rooms;

/// A host for each instance, however small it is: an empty one of the owner if there is one, else a new one. What Wang et
/// al. (ATC'18, 5.1) found at Azure for one function's concurrent instances, and what a microVM per instance looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OnePerHost;

impl Place for OnePerHost {
    fn choose(&self, rooms: &Rooms, want: &Want) -> Choice {
        let empty = rooms.fitting(want.owners, want.memory).find(|&host| rooms.is_empty(host));
        match (empty, want.growth) {
            (Some(host), _) => Choice::Host(host),
            (None, Growth::Possible) => Choice::NewHost,
            (None, Growth::Impossible) => Choice::Nowhere,
        }
    }

    fn company(&self) -> Company {
        Company::Refused
    }
}
