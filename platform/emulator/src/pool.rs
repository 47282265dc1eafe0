//! Something that instances of one host share at one moment: its CPUs, its disk, its network, its starter.
//!
//! What there is is divided by weight, as water fills vessels: nobody gets more than its own ceiling, and what one leaves
//! the others share. Requests of one instance that use it at once divide what that instance gets. Deliberately knows
//! nothing of what is divided.

use model::{InstanceId, InvocationId, Span, Time};
use std::collections::BTreeSet;

/// What is left of some work counts as nothing below this part of a unit.
const NOTHING: f64 = 1e-9;

/// One resource of one host.
#[derive(Debug)]
pub(crate) struct Pool {
    /// Units per second, as the profile has it.
    nominal: f64,
    /// Units per second at present.
    capacity: f64,
    members: Vec<Member>,
    /// Whether two of them are of one instance.
    crowded: bool,
    /// Most instances at one time since there were none.
    most: u32,
    updated: Time,
    /// Units that were given to anybody so far.
    moved: f64,
    /// Grows whenever rates change: an announcement of an earlier generation is void.
    generation: u64,
}

/// Who uses it now.
#[derive(Debug)]
struct Member {
    user: User,
    share: Share,
    rate: f64,
    served: f64,
}

/// Who uses it: an instance, or what it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) instance: InstanceId,
    /// None for the instance's own start.
    pub(crate) invocation: Option<InvocationId>,
}

/// What an instance wants of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Share {
    /// Units per second at most.
    pub(crate) ceiling: f64,
    /// Weight against others.
    pub(crate) weight: f64,
    /// Units after which it is done; infinite where time decides.
    pub(crate) work: f64,
}

impl Pool {
    pub(crate) fn new(capacity: f64) -> Self {
        Self {
            nominal: capacity,
            capacity,
            members: Vec::new(),
            crowded: false,
            most: 0,
            updated: Time::ZERO,
            moved: 0.0,
            generation: 0,
        }
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether nobody uses it.
    pub(crate) fn is_idle(&self) -> bool {
        self.members.is_empty()
    }

    /// Units that were given to anybody until now.
    pub(crate) fn moved(&mut self, now: Time) -> f64 {
        self.advance(now);
        self.moved
    }

    /// Most instances at one time since nobody used it, the last time with any included.
    pub(crate) fn most(&self) -> u32 {
        self.most
    }

    /// Instances that use it.
    fn instances(&self) -> u32 {
        match self.crowded {
            true => {
                let users = self.members.iter().map(|it| it.user.instance);
                users.collect::<BTreeSet<_>>().len() as u32
            }
            false => self.members.len() as u32,
        }
    }

    /// What there is from now on, as a part of what the profile has.
    pub(crate) fn vary(&mut self, factor: f64) {
        self.capacity = self.nominal * factor;
        self.divide();
    }

    pub(crate) fn join(&mut self, now: Time, user: User, share: Share) {
        self.advance(now);
        if self.is_idle() {
            self.most = 0;
        }
        self.crowded |= self.members.iter().any(|it| it.user.instance == user.instance);
        self.members.push(Member { user, share, rate: 0.0, served: 0.0 });
        self.most = self.most.max(self.instances());
        self.divide();
    }

    /// Takes somebody out; returns the units that it got, 0 where it is not there.
    pub(crate) fn leave(&mut self, now: Time, user: User) -> f64 {
        self.advance(now);
        let Some(index) = self.members.iter().position(|it| it.user == user) else {
            return 0.0;
        };
        let gone = self.members.remove(index);
        self.divide();
        gone.served
    }

    /// When the first one will be done, as things are; None where nobody ever will.
    pub(crate) fn next_done(&self) -> Option<Time> {
        let left = self.members.iter().filter(|it| it.share.work.is_finite() && it.rate > 0.0);
        let seconds = left.map(|it| (it.share.work - it.served).max(0.0) / it.rate);
        let first = seconds.min_by(f64::total_cmp)?;
        // Up to the next nanosecond, so that the work is done by then.
        Some(self.updated + Span::from_nanos((first * 1e9).ceil() as u64))
    }

    /// Takes out those that are done by now, in the order in which they came.
    pub(crate) fn take_done(&mut self, now: Time) -> Vec<User> {
        self.advance(now);
        let mut done = Vec::new();
        self.members.retain(|it| {
            // A nanosecond's worth is what the announcement may be early.
            let is_done = it.share.work - it.served <= NOTHING.max(it.rate * 2e-9);
            if is_done {
                done.push(it.user);
            }
            !is_done
        });
        if !done.is_empty() {
            self.divide();
        }
        done
    }

    fn advance(&mut self, now: Time) {
        let seconds = now.since(self.updated).as_secs_f64();
        self.updated = self.updated.max(now);
        if seconds > 0.0 {
            for it in &mut self.members {
                it.served += it.rate * seconds;
                self.moved += it.rate * seconds;
            }
        }
    }

    fn divide(&mut self) {
        self.generation += 1;
        if self.crowded {
            return self.divide_among_instances();
        }
        let Some(first) = self.members.first().map(|it| it.share) else { return };
        let alike =
            |it: &Member| it.share.ceiling == first.ceiling && it.share.weight == first.weight;
        if self.members.iter().all(alike) {
            let rate = first.ceiling.min(self.capacity / self.members.len() as f64);
            for it in &mut self.members {
                it.rate = rate;
            }
            return;
        }
        let shares: Vec<Share> = self.members.iter().map(|it| it.share).collect();
        self.fill(&shares);
    }

    /// The same where what an instance gets is divided evenly among what it runs.
    fn divide_among_instances(&mut self) {
        let beside = |it: &Member| {
            self.members.iter().filter(|other| other.user.instance == it.user.instance).count()
        };
        let counts: Vec<usize> = self.members.iter().map(beside).collect();
        self.crowded = counts.iter().any(|count| *count > 1);
        let part = |(it, count): (&Member, &usize)| Share {
            ceiling: it.share.ceiling / *count as f64,
            weight: it.share.weight / *count as f64,
            ..it.share
        };
        let shares: Vec<Share> = self.members.iter().zip(&counts).map(part).collect();
        self.fill(&shares);
    }

    /// Divides by these shares, one for each member.
    fn fill(&mut self, shares: &[Share]) {
        // Those with the lowest ceiling for their weight are full first.
        let fullness = |index: usize| shares[index].ceiling / shares[index].weight;
        let mut order: Vec<usize> = (0..shares.len()).collect();
        order.sort_by(|a, b| fullness(*a).total_cmp(&fullness(*b)));
        let mut left = self.capacity;
        let mut weights: f64 = shares.iter().map(|share| share.weight).sum();
        for index in order {
            let share = shares[index];
            let rate = share.ceiling.min(left * share.weight / weights).max(0.0);
            self.members[index].rate = rate;
            left -= rate;
            weights -= share.weight;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDLESS: f64 = f64::INFINITY;

    fn at(seconds: f64) -> Time {
        Time::ZERO + Span::from_secs_f64(seconds)
    }

    fn share(ceiling: f64, weight: f64, work: f64) -> Share {
        Share { ceiling, weight, work }
    }

    /// An instance with nothing beside it.
    fn alone(instance: u64) -> User {
        User { instance: InstanceId(instance), invocation: None }
    }

    fn rates(pool: &Pool) -> Vec<f64> {
        pool.members.iter().map(|it| it.rate).collect()
    }

    // Water filling against its closed forms: all below their ceilings, some at them, unequal weights.
    #[test]
    fn fills_like_water() {
        let mut pool = Pool::new(2.0);
        for instance in 0..4 {
            pool.join(Time::ZERO, alone(instance), share(1.0, 1.0, ENDLESS));
        }
        assert_eq!(rates(&pool), [0.5; 4]);
        let mut pool = Pool::new(2.0);
        pool.join(Time::ZERO, alone(1), share(0.2, 1.0, ENDLESS));
        pool.join(Time::ZERO, alone(2), share(9.0, 1.0, ENDLESS));
        pool.join(Time::ZERO, alone(3), share(9.0, 3.0, ENDLESS));
        let expected = [0.2, 0.45, 1.35];
        assert!(rates(&pool).iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12));
    }

    // k equal works that begin together end together after k times as long as one alone.
    #[test]
    fn equal_works_end_together() {
        for k in [1, 2, 20] {
            let mut pool = Pool::new(1.0);
            for instance in 0..k {
                pool.join(at(1.0), alone(instance), share(1.0, 1.0, 0.0597));
            }
            let done = pool.next_done().expect("an end");
            assert!((done.as_secs_f64() - 1.0 - 0.0597 * k as f64).abs() < 2e-9);
            assert_eq!(pool.take_done(done).len(), k as usize);
        }
    }

    // A second one that comes halfway slows the first down from then on: it ends at 1.5 rather than 1, the other at 2.
    #[test]
    fn late_comers_share_from_then_on() {
        let mut pool = Pool::new(1.0);
        pool.join(at(0.0), alone(1), share(9.0, 1.0, 1.0));
        pool.join(at(0.5), alone(2), share(9.0, 1.0, 1.0));
        assert_eq!(pool.next_done(), Some(at(1.5)));
        assert_eq!(pool.take_done(at(1.5)), [alone(1)]);
        assert_eq!(pool.next_done(), Some(at(2.0)));
    }

    // What there is may vary, always as a part of what the profile has.
    #[test]
    fn capacities_vary() {
        let mut pool = Pool::new(100.0);
        assert!(pool.is_idle());
        for (factor, rate) in [(0.5, 50.0), (1.5, 150.0)] {
            pool.vary(factor);
            pool.join(at(0.0), alone(1), share(9e9, 1.0, ENDLESS));
            assert_eq!(rates(&pool), [rate]);
            pool.leave(at(1.0), alone(1));
        }
    }

    // Requests of one instance divide what it would get alone, whether its ceiling or the host's capacity limits it, and
    // what one leaves the other has.
    #[test]
    fn requests_divide_their_instances_part() {
        let run = |instance, invocation| User {
            instance: InstanceId(instance),
            invocation: Some(InvocationId(invocation)),
        };
        let near = |pool: &Pool, expected: &[f64]| {
            assert!(rates(pool).iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12));
        };
        let mut pool = Pool::new(2.0);
        for invocation in 1..=3 {
            pool.join(at(0.0), run(1, invocation), share(0.9, 1.0, ENDLESS));
        }
        near(&pool, &[0.3; 3]);
        pool.join(at(0.0), run(2, 4), share(9.0, 1.0, ENDLESS));
        near(&pool, &[0.3, 0.3, 0.3, 1.1]);
        pool.join(at(0.0), run(3, 5), share(9.0, 1.0, ENDLESS));
        near(&pool, &[2.0 / 9.0, 2.0 / 9.0, 2.0 / 9.0, 2.0 / 3.0, 2.0 / 3.0]);
        assert!((pool.leave(at(1.0), run(1, 2)) - 2.0 / 9.0).abs() < 1e-12);
        near(&pool, &[1.0 / 3.0, 1.0 / 3.0, 2.0 / 3.0, 2.0 / 3.0]);
        pool.leave(at(1.0), run(1, 1));
        near(&pool, &[2.0 / 3.0; 3]);
    }

    // Somebody who stays for a time gets what there was in that time.
    #[test]
    fn windows_are_metered() {
        let mut pool = Pool::new(560.0);
        pool.join(at(0.0), alone(1), share(1000.0, 1.0, ENDLESS));
        pool.join(at(0.25), alone(2), share(1000.0, 1.0, ENDLESS));
        assert!((pool.leave(at(1.0), alone(1)) - (0.25 * 560.0 + 0.75 * 280.0)).abs() < 1e-9);
        assert!((pool.leave(at(1.25), alone(2)) - (0.75 * 280.0 + 0.25 * 560.0)).abs() < 1e-9);
        assert_eq!(pool.leave(at(2.0), alone(3)), 0.0);
    }

    // The most users at one time are kept until somebody comes to an empty pool.
    #[test]
    fn peaks_are_kept() {
        let mut pool = Pool::new(10.0);
        for number in 0..3 {
            pool.join(at(0.0), alone(number), share(9.0, 1.0, ENDLESS));
        }
        for number in 0..3 {
            pool.leave(at(1.0), alone(number));
            assert_eq!(pool.most(), 3);
        }
        pool.join(at(2.0), alone(7), share(9.0, 1.0, ENDLESS));
        assert_eq!(pool.most(), 1);
    }
}
