//! Instances of one function in the order in which they came, linked through the instances themselves.
//!
//! Deliberately knows nothing of why they are in line. Each of them can leave from anywhere in constant time, and a line
//! takes no memory of its own.

use crate::instance::Instance;
use crate::table::Table;
use model::InstanceId;

/// A line of instances. An instance stands in one line at most.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Chain {
    oldest: Option<Link>,
    youngest: Option<Link>,
    len: u32,
}

/// The number of an instance, which is never zero.
pub(crate) type Link = std::num::NonZeroU64;

/// Who stands beside an instance in its line.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Links {
    older: Option<Link>,
    younger: Option<Link>,
}

type Instances = Table<InstanceId, Instance>;

impl Chain {
    /// Puts an instance at the end.
    pub(crate) fn push(&mut self, instances: &mut Instances, instance: InstanceId) {
        let link = Link::new(instance.0);
        let Some(it) = instances.get_mut(instance) else { return };
        it.links = Links { older: self.youngest, younger: None };
        match self.youngest {
            Some(before) => set(instances, before, |links| links.younger = link),
            None => self.oldest = link,
        }
        self.youngest = link;
        self.len += 1;
    }

    /// Takes out an instance that stands in this line.
    pub(crate) fn remove(&mut self, instances: &mut Instances, instance: InstanceId) {
        let Some(it) = instances.get_mut(instance) else { return };
        let Links { older, younger } = std::mem::take(&mut it.links);
        match older {
            Some(older) => set(instances, older, |links| links.younger = younger),
            None => self.oldest = younger,
        }
        match younger {
            Some(younger) => set(instances, younger, |links| links.older = older),
            None => self.youngest = older,
        }
        self.len -= 1;
    }

    pub(crate) fn oldest(&self) -> Option<InstanceId> {
        self.oldest.map(|link| InstanceId(link.get()))
    }

    pub(crate) fn youngest(&self) -> Option<InstanceId> {
        self.youngest.map(|link| InstanceId(link.get()))
    }

    /// All, oldest first.
    pub(crate) fn iter<'t>(
        &self,
        instances: &'t Instances,
    ) -> impl Iterator<Item = (InstanceId, &'t Instance)> + use<'t> {
        let mut next = self.oldest();
        std::iter::from_fn(move || {
            let instance = next?;
            let it = instances.get(instance)?;
            next = it.links.younger.map(|link| InstanceId(link.get()));
            Some((instance, it))
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.len as usize
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }
}

fn set(instances: &mut Instances, link: Link, change: impl FnOnce(&mut Links)) {
    if let Some(it) = instances.get_mut(InstanceId(link.get())) {
        change(&mut it.links);
    }
}
