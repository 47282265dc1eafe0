//! What holds over any history of events, checked by a driver that keeps its own books (`driver`): no instance runs more
//! invocations than it may, no host holds more than it has or strangers, each invocation has one outcome, no dispatch runs old code,
//! nothing is idle, awake, busy or queued for longer than the profile says.
//!
//! `PROPTEST_CASES=10000 cargo test --release -p scheduler --test properties` looks longer.

mod driver;

use driver::{Answer, Driver};
use model::{FunctionId, HostId, InvocationId, Isolation, MemoryMib, RoleId, Span, TenantId, Time};
use proptest::prelude::*;
use scheduler::policy::{
    Bimodal, BinPack, Clock, Fixed, Halving, Histogram, KeepAlive, LeastContention, Lifetime,
    MemoryPressure, Memoryless, NoKeeping, OnePerHost, Placement, Random, Scaling, Spread, Sweep,
    Updates, Weights,
};
use scheduler::{Action, Epoch, Event, FunctionSettings, HostLoad, Profile, Scheduler, Sharing};
use std::collections::BTreeMap;

/// Functions in a history.
const FUNCTIONS: u64 = 5;

#[derive(Clone, Debug)]
enum Step {
    Wait(Span),
    Invoke(u64),
    Burst(u64, u8),
    Cancel(usize),
    Deploy(u64, u32),
    Update(u64, Changed),
    Reserve(u64, Option<u32>),
    Limit(u64, Option<u32>),
    Provision(u64, u32),
    Isolate(u64, Option<Isolation>),
    Remove(u64),
    Answer(usize, Answer),
    AnswerAll,
    Repeat(usize),
    Lose(usize),
    MemoryFree(u32),
    Load(usize, u32),
}

/// What an update changes. Code and environment are nothing that the scheduler knows of: it is told of a new epoch.
#[derive(Clone, Copy, Debug)]
enum Changed {
    CodeOrEnvironment,
    Memory(u32),
    Role(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let function = 0..FUNCTIONS;
    let answer = prop_oneof![
        12 => Just(Answer::Well),
        1 => Just(Answer::Fails),
        1 => Just(Answer::Dies),
    ];
    let span = prop_oneof![0..2_000_u64, 0..20_000_000_u64, 0..4_000_000_000_u64]
        .prop_map(Span::from_nanos);
    let step = prop_oneof![
        6 => span.prop_map(Step::Wait),
        8 => function.clone().prop_map(Step::Invoke),
        2 => (function.clone(), 2..12_u8).prop_map(|(function, n)| Step::Burst(function, n)),
        1 => any::<usize>().prop_map(Step::Cancel),
        2 => (function.clone(), 64..900_u32).prop_map(|(f, memory)| Step::Deploy(f, memory)),
        2 => (function.clone(), changes()).prop_map(|(f, what)| Step::Update(f, what)),
        1 => (function.clone(), proptest::option::of(0..4_u32)).prop_map(|(f, r)| Step::Reserve(f, r)),
        1 => (function.clone(), proptest::option::of(0..4_u32)).prop_map(|(f, r)| Step::Limit(f, r)),
        2 => (function.clone(), 0..4_u32).prop_map(|(f, n)| Step::Provision(f, n)),
        1 => (function.clone(), proptest::option::of(isolations())).prop_map(|(f, it)| Step::Isolate(f, it)),
        1 => function.prop_map(Step::Remove),
        24 => (any::<usize>(), answer).prop_map(|(which, how)| Step::Answer(which, how)),
        2 => Just(Step::AnswerAll),
        3 => any::<usize>().prop_map(Step::Repeat),
        1 => any::<usize>().prop_map(Step::Lose),
        1 => (0..600_u32).prop_map(Step::MemoryFree),
        2 => (any::<usize>(), 0..3_000_u32).prop_map(|(which, load)| Step::Load(which, load)),
    ];
    prop::collection::vec(step, 1..160)
}

fn changes() -> impl Strategy<Value = Changed> {
    prop_oneof![
        Just(Changed::CodeOrEnvironment),
        (64..900_u32).prop_map(Changed::Memory),
        (0..3_u64).prop_map(Changed::Role),
    ]
}

fn isolations() -> impl Strategy<Value = Isolation> {
    prop_oneof![Just(Isolation::Tenant), Just(Isolation::Role), Just(Isolation::Function)]
}

/// Every placement policy.
fn placements() -> impl Strategy<Value = Placement> {
    prop_oneof![
        Just(Placement::BinPack(BinPack)),
        (1..4_u32).prop_map(|max_hosts| Placement::Spread(Spread { max_hosts })),
        (1..4_u32).prop_map(|max_hosts| Placement::Random(Random { max_hosts })),
        Just(Placement::OnePerHost(OnePerHost)),
        (1..4_u32, 0.1..=1.0).prop_map(|(max_hosts, load_limit)| {
            let weights = Weights { memory: 1.0, cpu: 1.0, disk: 0.5, network: 0.5 };
            let (disk_mib_s, network_mbit_s) = (100.0, 1000.0);
            let it = LeastContention { max_hosts, load_limit, weights, disk_mib_s, network_mbit_s };
            Placement::LeastContention(it)
        }),
    ]
}

/// Every keep-alive policy.
fn keep_alives() -> impl Strategy<Value = KeepAlive> {
    let clock = prop_oneof![Just(Clock::Host), Just(Clock::Instance)];
    let pool = proptest::option::of((200..2_000_u32).prop_map(MemoryMib));
    let (short, long) = (Span::from_millis(500), Span::from_secs(3));
    prop_oneof![
        Just(KeepAlive::None(NoKeeping)),
        Just(KeepAlive::Fixed(Fixed { limit: Span::from_secs(2) })),
        (0..3_u32, clock).prop_map(|(floor, clock)| KeepAlive::Halving(Halving {
            interval: Span::from_millis(300),
            floor,
            limit: Span::from_secs(1),
            clock,
        })),
        Just(KeepAlive::Memoryless(Memoryless { mean: Span::from_secs(1) })),
        (0.0..1.0).prop_map(move |long_share| KeepAlive::Bimodal(Bimodal {
            short,
            long,
            long_share
        })),
        Just(KeepAlive::Sweep(Sweep { limit: short, every: Span::from_millis(700) })),
        pool.prop_map(|pool| KeepAlive::MemoryPressure(MemoryPressure { pool })),
        Just(KeepAlive::Histogram(Histogram { bin: Span::from_millis(2), limit: short })),
    ]
}

fn lifetimes() -> impl Strategy<Value = Option<Lifetime>> {
    let median = Span::from_secs(3);
    prop_oneof![
        Just(None),
        Just(Some(Lifetime::Exponential { median })),
        Just(Some(Lifetime::Lognormal { median, sigma: 0.5 })),
    ]
}

fn scalings() -> impl Strategy<Value = Scaling> {
    let max_instances = proptest::option::of(1..5_u32);
    let start_share = prop_oneof![Just(1.0), 0.1..1.0];
    let each = prop_oneof![2 => Just(1), 1 => 2..5_u32];
    (max_instances, each, start_share).prop_map(
        |(max_instances, requests_per_instance, start_share)| Scaling {
            max_instances,
            requests_per_instance,
            start_share,
        },
    )
}

fn updates() -> impl Strategy<Value = Option<Updates>> {
    let window = Span::from_secs(3);
    let spread = (0.0..=1.0, 0.0..=1.0).prop_map(move |(reuse_chance, start_chance)| Updates {
        window,
        reuse_chance,
        start_chance,
    });
    proptest::option::of(spread)
}

fn profiles() -> impl Strategy<Value = Profile> {
    let sharing = prop_oneof![
        Just(Sharing::PerTenant),
        Just(Sharing::Shared),
        Just(Sharing::PerRole),
        Just(Sharing::PerFunction),
        (0.0..=1.0).prop_map(|shared_share| Sharing::PartlyShared { shared_share }),
    ];
    let lifetime = (proptest::option::of(Just(Span::from_secs(4))), lifetimes());
    let policies = (placements(), keep_alives(), lifetime, scalings(), updates());
    let account = proptest::option::of(isolations());
    let machine = (proptest::option::of(1..3_u32), account);
    let rest = proptest::option::of(Just(Span::from_millis(5)));
    (sharing, policies, machine, rest, 0..3_u32).prop_map(
        |(sharing, policies, (machine, account), rest_after, warm)| {
            let (placement, keep_alive, lifetimes, scaling, updates) = policies;
            let (lifetime_cap, lifetime) = lifetimes;
            let mut profile = Profile { placement, keep_alive, lifetime_cap, ..Profile::default() };
            (profile.lifetime, profile.scaling, profile.updates) = (lifetime, scaling, updates);
            profile.rest_after = rest_after;
            profile.hosts.sharing = sharing;
            profile.accounts =
                account.map(|it| (TenantId::from_number(0), it)).into_iter().collect();
            profile.hosts.memory = MemoryMib(512);
            profile.hosts.idle = Span::from_secs(1);
            profile.hosts.overcommit = 2.0;
            profile.hosts.warm = warm;
            profile.limits.memory = machine.map(|hosts| MemoryMib(512 * hosts));
            profile.limits.account_concurrency = 12;
            profile.limits.queue = 20;
            profile.limits.queue_wait = Span::from_secs(6);
            profile
        },
    )
}

fn settings(function: u64, memory: u32) -> FunctionSettings {
    FunctionSettings {
        tenant: TenantId::from_number(function % 2),
        role: RoleId(function / 2),
        memory: MemoryMib(memory),
        timeout: Span::from_secs(1 + function),
        // Two are versions of one function.
        group: FunctionId(if function == 2 { 0 } else { function }),
        reserved_concurrency: (function == 4).then_some(3),
        isolation: None,
    }
}

fn deploy(driver: &mut Driver, function: u64, memory: u32) {
    let settings = settings(function, memory);
    match settings.group == FunctionId(function) {
        true => driver.deploy(function, settings),
        false => driver.deploy_version(function, settings),
    }
}

/// Plays a history and says what happened.
fn play(profile: &Profile, seed: u64, steps: &[Step]) -> Driver {
    let mut driver = Driver::new(profile.clone(), seed);
    for function in 0..FUNCTIONS {
        deploy(&mut driver, function, 128);
    }
    for step in steps {
        take(&mut driver, step);
    }
    driver
}

fn take(driver: &mut Driver, step: &Step) {
    match *step {
        Step::Wait(span) => driver.wait(span),
        Step::Invoke(function) => {
            driver.invoke(function);
        }
        Step::Burst(function, n) => {
            for _ in 0..n {
                driver.invoke(function);
            }
        }
        Step::Cancel(which) => {
            if let Some(invocation) = pick(&driver.unfinished(), which) {
                driver.send(Event::Cancelled { invocation });
            }
        }
        Step::Deploy(function, memory) => deploy(driver, function, memory),
        Step::Update(function, changed) => {
            driver.change(function, |it| match changed {
                Changed::CodeOrEnvironment => it,
                Changed::Memory(memory) => FunctionSettings { memory: MemoryMib(memory), ..it },
                Changed::Role(role) => FunctionSettings { role: RoleId(role), ..it },
            });
        }
        Step::Reserve(function, reserved) => driver.reserve(function, reserved),
        Step::Provision(function, count) => driver.provision(function, count),
        Step::Isolate(function, isolation) => driver.isolate(function, isolation),
        Step::Limit(function, reserved) => {
            let settings = settings(function, 128);
            driver.limit(settings.tenant, settings.group.0, reserved);
        }
        Step::Remove(function) => driver.remove(function),
        Step::Answer(which, how) => {
            if let Some(open) = pick(&driver.open, which) {
                driver.answer(open, how);
            }
        }
        Step::AnswerAll => driver.answer_all(),
        Step::Repeat(which) => {
            let old: Vec<usize> = (0..driver.events.len()).collect();
            if let Some(index) = pick(&old, which) {
                let event = driver.events[index].1.clone();
                // An invocation's number is never used again: that is the caller's part.
                if !matches!(event, Event::Invoked { .. }) {
                    driver.send(event);
                }
            }
        }
        Step::Lose(which) => {
            if let Some(host) = pick(&driver.hosts(), which) {
                driver.send(Event::HostLost { host });
            }
        }
        Step::Load(which, milli_cpus) => {
            if let Some(host) = pick(&driver.hosts(), which) {
                let (disk_kib_s, network_kbit_s) = (u64::from(milli_cpus) << 5, 1000);
                let load = HostLoad { milli_cpus, disk_kib_s, network_kbit_s };
                driver.send(Event::HostLoad { host, load });
            }
        }
        Step::MemoryFree(free) => {
            driver.send(Event::MemoryFree { free: MemoryMib(free) });
        }
    }
}

fn pick<T: Copy>(from: &[T], which: usize) -> Option<T> {
    (!from.is_empty()).then(|| from[which % from.len()])
}

/// Answers all that is open, removes every function and lets all timers fire.
fn wind_up(driver: &mut Driver) {
    for function in 0..FUNCTIONS {
        driver.provision(function, 0);
    }
    for _ in 0..2 {
        driver.answer_all();
        while let Some(due) = driver.scheduler.next_timeout() {
            driver.wait(due.since(driver.now));
            driver.answer_all();
        }
        for function in 0..FUNCTIONS {
            driver.remove(function);
        }
    }
}

/// All actions of a scheduler that is handed these events.
fn replay(profile: &Profile, seed: u64, events: &[(Time, Event)]) -> Vec<Action> {
    let mut scheduler = Scheduler::new(profile.clone(), seed);
    let mut actions = Vec::new();
    for (now, event) in events {
        scheduler.handle(*now, event.clone());
        actions.extend(std::iter::from_fn(|| scheduler.poll_action()));
    }
    actions
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    // Each action of any history is one that the driver's books allow.
    #[test]
    fn every_action_is_allowed(profile in profiles(), seed: u64, steps in steps()) {
        play(&profile, seed, &steps);
    }

    // When all is answered and removed, every invocation has had its outcome and nothing is left but hosts kept ahead.
    #[test]
    fn nothing_is_left_over(profile in profiles(), seed: u64, steps in steps()) {
        let mut driver = play(&profile, seed, &steps);
        wind_up(&mut driver);
        prop_assert_eq!(driver.unfinished(), Vec::<InvocationId>::new());
        prop_assert_eq!(driver.instances(), vec![]);
        prop_assert_eq!(driver.scheduler.instances().count(), 0);
        prop_assert_eq!(driver.scheduler.functions().count(), 0);
        let ahead: Vec<HostId> = driver.scheduler.hosts().map(|it| it.host).collect();
        prop_assert_eq!(driver.hosts(), ahead.clone());
        prop_assert!(ahead.len() <= profile.hosts.warm as usize);
        prop_assert!(driver.scheduler.hosts().all(|it| it.owner.is_none() && it.used.0 == 0));
    }

    // The same seed and events give the same actions, and a driver that comes late gives those of a punctual one.
    #[test]
    fn histories_replay(profile in profiles(), seed: u64, steps in steps()) {
        let mut driver = play(&profile, seed, &steps);
        wind_up(&mut driver);
        prop_assert_eq!(&replay(&profile, seed, &driver.events), &driver.actions);
        let last = driver.events.len() - 1;
        let mut index = 0..;
        driver.events.retain(|(_, event)| {
            index.next() == Some(last) || !matches!(event, Event::Timeout)
        });
        prop_assert_eq!(&replay(&profile, seed, &driver.events), &driver.actions);
    }

    // Where updates are atomic: once the change of a function's code, environment, memory or role is handed in, no dispatch
    // runs an older state, however many instances of that run, start, wait or rest at that moment.
    #[test]
    fn updates_are_atomic(profile in profiles(), seed: u64, steps in steps()) {
        let profile = Profile { updates: None, ..profile };
        let driver = play(&profile, seed, &steps);
        let mut scheduler = Scheduler::new(profile, seed);
        let mut present: BTreeMap<FunctionId, Epoch> = BTreeMap::new();
        let mut functions = BTreeMap::new();
        for (now, event) in driver.events {
            if let Event::Deployed { function, epoch, .. }
            | Event::ConfigChanged { function, epoch, .. } = event
            {
                let is_there = scheduler.functions().any(|it| it.function == function);
                let is_new = matches!(event, Event::Deployed { .. });
                let last = present.get(&function).copied().filter(|_| is_there);
                if is_there || is_new {
                    present.insert(function, last.map_or(epoch, |it| it.max(epoch)));
                }
            }
            scheduler.handle(now, event);
            while let Some(action) = scheduler.poll_action() {
                match action {
                    Action::Start { instance, function, epoch, .. } => {
                        prop_assert_eq!(present[&function], epoch);
                        functions.insert(instance, function);
                    }
                    Action::Dispatch { instance, epoch, .. } => {
                        prop_assert_eq!(present[&functions[&instance]], epoch);
                    }
                    _ => {}
                }
            }
        }
    }

    // What the scheduler says of itself adds up at any moment.
    #[test]
    fn views_add_up(profile in profiles(), seed: u64, steps in steps()) {
        let mut driver = Driver::new(profile, seed);
        for function in 0..FUNCTIONS {
            deploy(&mut driver, function, 128);
        }
        for step in &steps {
            take(&mut driver, step);
            for host in driver.scheduler.hosts() {
                let on: Vec<_> =
                    driver.scheduler.instances().filter(|it| it.host == host.host).collect();
                prop_assert_eq!(on.iter().map(|it| it.memory).sum::<MemoryMib>(), host.used);
                prop_assert_eq!(on.len(), host.instances);
                prop_assert!(host.used <= host.memory);
            }
        }
    }
}
