//! Starts, ends, and what they leave.

use crate::support::{HOST, Leftovers, World, config, is_root, settings};
use model::{MemoryMib, Span};
use sandbox::container::{Cause, Container, Control, Reveal};
use sandbox::{Grace, HostSize, Kind, StartError};
use std::time::{Duration, Instant};

// A command runs in a sandbox, its output and exit status come back, and closing leaves nothing.
#[tokio::test]
async fn runs_a_command() {
    if !is_root() {
        return;
    }
    let world = World::new("runs").await;
    world.file("hello", "packed");
    let (exit, text) = world.run(1, &["/bin/sh", "-c", "cat hello; echo; id; exit 7"]).await;
    assert_eq!(exit.status, Some(7), "{text}");
    assert!(text.starts_with("packed\nuid=993(sbx_user1051) gid=990"), "{text}");
    world.close().await;
}

// Prepared sandboxes serve starts as fresh ones do, also when there are more starts than sandboxes.
#[tokio::test]
async fn pools_serve() {
    if !is_root() {
        return;
    }
    let world = World::with("pool", |config| config.pool = 3).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let world = &world;
    let starts = (1..=8).map(|number| async move {
        let (exit, text) =
            world.run(number, &["/bin/sh", "-c", "cat /proc/self/cgroup; ls /tmp"]).await;
        assert_eq!(exit.status, Some(0));
        assert!(text.lines().all(|line| line.ends_with(":/")), "{text}");
    });
    futures_join(starts).await;
    world.container.close().await;
    Leftovers::assert_none(world);
}

// A prepared sandbox has the limits of the start that takes it, larger or smaller than those it was prepared with.
#[tokio::test]
async fn pools_serve_any_size() {
    if !is_root() {
        return;
    }
    let world = World::with("sizes", |config| config.pool = 1).await;
    let script = "x = bytearray(200 << 20)\nfor i in range(0, 200 << 20, 4096): x[i] = 1";
    for (number, mib) in (1..).zip([128, 128, 512, 128, 512]) {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let mut settings = settings();
        settings.memory = MemoryMib(mib);
        let command = ["/usr/bin/python3", "-c", script];
        let (exit, _) = world.start_with(number, &command, &settings).await.finish().await;
        let cause = if mib < 200 { Cause::Memory } else { Cause::Own };
        assert_eq!(exit.cause, cause, "{number}: {mib} MiB");
    }
    world.close().await;
}

async fn futures_join(futures: impl Iterator<Item = impl Future<Output = ()>>) {
    let mut futures: Vec<_> = futures.map(Box::pin).collect();
    std::future::poll_fn(|cx| {
        futures.retain_mut(|future| future.as_mut().poll(cx).is_pending());
        if futures.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

// A program that does not exist is an error that names it, and leaves nothing.
#[tokio::test]
async fn missing_programs_are_named() {
    if !is_root() {
        return;
    }
    let world = World::new("missing").await;
    let error = world.try_start(1, &["/var/task/bootstrap"]).await.expect_err("no such program");
    let StartError::Create { step, source } = error else { panic!("{error:?}") };
    assert_eq!(step, "cannot execute /var/task/bootstrap");
    assert_eq!(source.kind(), std::io::ErrorKind::NotFound);
    let (exit, _) = world.run(1, &["/bin/true"]).await;
    assert_eq!(exit.status, Some(0), "the number of a failed start can be used again");
    world.close().await;
}

// SIGTERM reaches the runtime even where it is frozen; one that ignores it is killed after the grace, with all it started.
#[tokio::test]
async fn ends_in_time() {
    if !is_root() {
        return;
    }
    let world = World::new("ends").await;
    let polite = world
        .start(
            1,
            &[
                "/bin/sh",
                "-c",
                "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.01; done",
            ],
        )
        .await;
    assert_eq!(polite.line().await, "up");
    polite.0.control.freeze().expect("freezes");
    let began = Instant::now();
    let text = polite.end(Span::from_secs(600)).await;
    assert_eq!(text.trim(), "bye");
    assert!(began.elapsed() < Duration::from_secs(600));

    let stubborn = world
        .start(
            2,
            &[
                "/bin/sh",
                "-c",
                "trap '' TERM; sleep 600 & setsid sleep 600 & echo up; while :; do sleep 1; done",
            ],
        )
        .await;
    assert_eq!(stubborn.line().await, "up");
    stubborn.0.control.freeze().expect("freezes");
    let began = Instant::now();
    stubborn.end(Span::from_millis(100)).await;
    assert!(began.elapsed() >= Duration::from_millis(100));
    world.close().await;
}

// A frozen sandbox does nothing until it is thawed.
#[tokio::test]
async fn freezes() {
    if !is_root() {
        return;
    }
    let world = World::new("freeze").await;
    let counter = world.start(1, &["/bin/sh", "-c", "echo up; while :; do :; done"]).await;
    counter.line().await;
    counter.0.control.freeze().expect("freezes");
    let used = |sandbox: &crate::support::Sandbox| sandbox.0.control.usage().cpu;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let before = used(&counter);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(used(&counter), before);
    counter.0.control.thaw().expect("thaws");
    let deadline = Instant::now() + Duration::from_secs(30);
    while used(&counter) == before {
        assert!(Instant::now() < deadline, "does not go on");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    counter.kill().await;
    world.close().await;
}

// The ceiling holds from when it is applied, and a ceiling above the cell's CPUs is the cell's.
#[tokio::test]
async fn ceilings_hold() {
    if !is_root() {
        return;
    }
    let world = World::new("ceiling").await;
    let mut settings = settings();
    settings.cpu_ceiling_milli = Some(6000);
    let wide = world.start_with(1, &["/bin/sleep", "600"], &settings).await;
    wide.0.control.apply_ceiling().expect("a ceiling above the cell's");
    wide.kill().await;
    settings.cpu_ceiling_milli = Some(100);
    let busy =
        world.start_with(2, &["/bin/sh", "-c", "echo up; while :; do :; done"], &settings).await;
    busy.line().await;
    busy.0.control.apply_ceiling().expect("a ceiling");
    let before = busy.0.control.usage().cpu;
    let began = Instant::now();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let used = (busy.0.control.usage().cpu - before).as_secs_f64();
    // One period's quota may be used before, and one after.
    let most = began.elapsed().as_secs_f64() * 0.1 + 0.03;
    assert!(used <= most, "{used} s of at most {most} s");
    busy.kill().await;
    world.close().await;
}

// What is revealed of the host is the same in all its instances; what is not differs in each.
#[tokio::test]
async fn reveals_what_it_should() {
    if !is_root() {
        return;
    }
    for reveal in [Reveal::Nothing, Reveal::MachineId, Reveal::BootId, Reveal::InstanceRootId] {
        let world = World::with("reveal", |config| config.reveal = reveal).await;
        let command = [
            "/bin/sh",
            "-c",
            "cat /etc/machine-id /proc/sys/kernel/random/boot_id; grep freezer /proc/self/cgroup",
        ];
        let (_, one) = world.run(1, &command).await;
        let (_, two) = world.run(2, &command).await;
        let same: Vec<bool> = one.lines().zip(two.lines()).map(|(one, two)| one == two).collect();
        let root = |text: &str| {
            let path = text.lines().nth(2).and_then(|line| line.split(':').nth(2));
            path.unwrap_or_default().to_owned()
        };
        match reveal {
            Reveal::Nothing => assert_eq!(same, [false, false, true], "{one}{two}"),
            Reveal::MachineId => assert_eq!(same, [true, false, true], "{one}{two}"),
            Reveal::BootId => assert_eq!(same, [false, true, true], "{one}{two}"),
            Reveal::InstanceRootId => {
                assert_eq!(same, [false, false, false], "{one}{two}");
                let (one, two) = (root(&one), root(&two));
                assert!(one.starts_with("/sandbox-root-") && one.contains("/sandbox-"), "{one}");
                assert_eq!(
                    one.rsplit_once('/').map(|it| it.0),
                    two.rsplit_once('/').map(|it| it.0)
                );
            }
        }
        world.close().await;
    }
}

// A starter that is killed takes its instances along; the next start has a new one, with the same cells.
#[tokio::test]
async fn a_killed_starter_is_replaced() {
    if !is_root() {
        return;
    }
    let world = World::new("killed").await;
    let frozen = world.start(1, &["/bin/sh", "-c", "echo up; sleep 600"]).await;
    frozen.line().await;
    frozen.0.control.freeze().expect("freezes");
    world.kill_starter();
    let (exit, text) = world.run(2, &["/bin/echo", "again"]).await;
    assert_eq!((exit.status, text.as_str()), (Some(0), "again\n"));
    let exit = tokio::time::timeout(Duration::from_secs(30), frozen.0.control.exited()).await;
    assert_eq!(exit.expect("it has ended").signal, Some(9));
    frozen.0.control.destroy(Grace(Span::from_secs(30))).await;
    world.close().await;
}

// A starter that dies is noticed at once: its instances have ended, frozen or not, by no fault of theirs, and another
// starter has removed what it left, with nobody asking for anything.
#[tokio::test]
async fn a_killed_starter_is_noticed() {
    if !is_root() {
        return;
    }
    let world = World::new("noticed").await;
    let frozen = world.start(1, &["/bin/sh", "-c", "echo up; sleep 600"]).await;
    frozen.line().await;
    frozen.0.control.freeze().expect("freezes");
    let busy = world.start(2, &["/bin/sh", "-c", "trap '' TERM; echo up; sleep 600"]).await;
    busy.line().await;
    let killed = world.kill_starter();
    for sandbox in [&frozen, &busy] {
        let exit = tokio::time::timeout(Duration::from_secs(5), sandbox.0.control.exited()).await;
        assert_eq!(exit.expect("noticed at once").cause, Cause::Owner);
    }
    let deadline = Instant::now() + Duration::from_secs(30);
    while world.starter().is_none_or(|starter| starter == killed)
        || Leftovers::of(&world).processes > 0
    {
        assert!(Instant::now() < deadline, "no successor: {:?}", Leftovers::of(&world));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (exit, text) = world.run(3, &["/bin/echo", "again"]).await;
    assert_eq!((exit.status, text.as_str()), (Some(0), "again\n"));
    drop((frozen, busy));
    world.close().await;
}

// What a killed server and starter have left is removed by the next server of that name, and no other server's.
#[tokio::test]
async fn strays_are_swept() {
    if !is_root() {
        return;
    }
    let world = World::new("stray").await;
    let other = World::new("spared").await;
    let spared = other.start(1, &["/bin/sh", "-c", "echo up; sleep 600"]).await;
    spared.line().await;
    let stray = world.start(1, &["/bin/sh", "-c", "echo up; sleep 600"]).await;
    stray.line().await;
    stray.0.control.freeze().expect("freezes");
    world.kill_starter();
    // Before anything can notice.
    drop(stray);
    let place = world.lose();
    assert!(place.leftovers().groups > 0, "a killed starter removes nothing itself");
    let next = Container::open(config(&place.data, "stray")).await.expect("a second server");
    let size = HostSize { memory: MemoryMib(1024), milli_cpus: 1000 };
    next.make_host(HOST, size).await.expect("a cell of the same name");
    spared.expect_alive().await;
    spared.kill().await;
    other.close().await;
    next.close().await;
    place.assert_empty();
}

// A cell with instances stays; without, it goes, with what was prepared on it.
#[tokio::test]
async fn cells_go_when_empty() {
    if !is_root() {
        return;
    }
    let world = World::with("cells", |config| config.pool = 2).await;
    let sandbox = world.start(1, &["/bin/sleep", "600"]).await;
    world.container.remove_host(HOST).await;
    sandbox.expect_alive().await;
    sandbox.kill().await;
    world.container.remove_host(HOST).await;
    assert!(world.try_start(2, &["/bin/true"]).await.is_err(), "its cell is gone");
    let size = HostSize { memory: MemoryMib(256), milli_cpus: 500 };
    world.container.make_host(HOST, size).await.expect("the name is free again");
    let (exit, _) = world.run(3, &["/bin/true"]).await;
    assert_eq!(exit.status, Some(0));
    world.close().await;
}

// A server that goes without a word leaves nothing: its starter ends everything, frozen or not, and itself.
#[tokio::test]
async fn a_lost_server_leaves_nothing() {
    if !is_root() {
        return;
    }
    let world = World::with("lost", |config| config.pool = 2).await;
    let frozen = world.start(1, &["/bin/sh", "-c", "echo up; sleep 600"]).await;
    frozen.line().await;
    frozen.0.control.freeze().expect("freezes");
    let awake = world.start(2, &["/bin/sh", "-c", "trap '' TERM; echo up; sleep 600"]).await;
    awake.line().await;
    let place = world.lose();
    drop((frozen, awake));
    let deadline = Instant::now() + Duration::from_secs(30);
    while place.leftovers() != Leftovers::default() {
        assert!(Instant::now() < deadline, "{:?} is left", place.leftovers());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
