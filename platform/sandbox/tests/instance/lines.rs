//! Every line that an instance writes, with the invocation during which it came.

use super::{Process, function, invoke, settings, stop};
use model::Span;
use sandbox::container::{ContainerInstance, Running};
use sandbox::log::{DroppedLines, LogLine, LogSink};
use sandbox::{End, Instance, Log, StartError};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// Lines as they came, each with whether an invocation was under way.
#[derive(Debug, Default)]
struct Kept(Mutex<Vec<(bool, String)>>);

impl Kept {
    fn take(&self) -> Vec<(bool, String)> {
        std::mem::take(&mut *self.0.lock().expect("no panic"))
    }
}

impl LogSink for Kept {
    fn line(&self, line: &LogLine<'_>) {
        let text = String::from_utf8_lossy(line.text).into_owned();
        self.0.lock().expect("no panic").push((line.request_id.is_some(), text));
    }

    fn dropped(&self, dropped: &DroppedLines<'_>) {
        self.0.lock().expect("no panic").push((false, format!("{dropped:?}")));
    }
}

async fn start(code: &str) -> (Arc<Kept>, Result<ContainerInstance<Process>, StartError>) {
    let kept = Arc::new(Kept::default());
    let log: Arc<Kept> = Arc::clone(&kept);
    let running = Running { log: Some(log), ..Process::spawn(function(code)) };
    let started =
        ContainerInstance::start(running, &settings(Span::from_secs(20)), Instant::now()).await;
    (kept, started)
}

fn line(of_invocation: bool, text: &str) -> (bool, String) {
    (of_invocation, text.to_owned())
}

// Lines of the init belong to no invocation, those of an invocation to it, whether or not its tail was asked for; a last
// line without an end is there when the invocation has ended.
#[tokio::test]
async fn lines_have_their_invocation() {
    let code = "def handler(event):\n  os.write(1, b'one\\ntwo of ' + event)\n  return b'1'\n\
                os.write(2, b'init\\n')\nloop(handler)";
    let (kept, started) = start(code).await;
    let mut instance = started.expect("starts");
    assert_eq!(kept.take(), [line(false, "init")]);
    for (payload, log) in [("1", Log::Drop), ("2", Log::Tail), ("3", Log::Drop)] {
        let (_, ended) = invoke(&mut instance, payload, log).await;
        assert_eq!(ended, Ok(()));
        assert_eq!(kept.take(), [line(true, "one"), line(true, &format!("two of {payload}"))]);
    }
    stop(instance).await;
    assert_eq!(kept.take(), []);
}

// What a runtime wrote before it exits is there, in its init and in an invocation.
#[tokio::test]
async fn last_words_are_kept() {
    let (kept, started) = start("os.write(1, b'no')\nos._exit(1)").await;
    started.expect_err("exits");
    assert_eq!(kept.take(), [line(false, "no")]);
    let code = "def handler(event):\n  os.write(1, b'x' * 60_000 + b'\\nbye')\n  os._exit(3)\nloop(handler)";
    let (kept, started) = start(code).await;
    let mut instance = started.expect("starts");
    let (_, ended) = invoke(&mut instance, "", Log::Drop).await;
    assert_eq!(ended, Err(End::Exited { status: Some(3), signal: None }));
    assert_eq!(kept.take(), [line(true, &"x".repeat(60_000)), line(true, "bye")]);
    stop(instance).await;
}

// What is written between invocations has none.
#[tokio::test]
async fn lines_between_invocations_have_none() {
    let code = "import threading\n\
                def handler(event):\n  threading.Timer(0.05, lambda: os._exit(os.write(1, b'late\\n'))).start()\n  return b'1'\n\
                loop(handler)";
    let (kept, started) = start(code).await;
    let mut instance = started.expect("starts");
    let (_, ended) = invoke(&mut instance, "", Log::Drop).await;
    assert_eq!(ended, Ok(()));
    instance.ended().await;
    stop(instance).await;
    assert_eq!(kept.take(), [line(false, "late")]);
}

// What was still in the pipe when the response came, because output is read at a bounded rate, belongs to its invocation.
#[tokio::test]
async fn lines_behind_the_rate_are_counted() {
    // 48 KiB more than what is read at once.
    const LINES: usize = (1024 + 48) * 16;
    let code = format!(
        "def handler(event):\n  text = b'x' * 63 + b'\\n'\n  for _ in range({LINES} // 16): os.write(1, text * 16)\n  return b'1'\n\
         loop(handler)"
    );
    let (kept, started) = start(&code).await;
    let mut instance = started.expect("starts");
    let (_, ended) = invoke(&mut instance, "", Log::Drop).await;
    assert_eq!(ended, Ok(()));
    let lines = kept.take();
    let passed = lines.iter().filter(|(of_invocation, _)| *of_invocation).count();
    let dropped: usize = lines.iter().filter_map(|(_, text)| lines_dropped(text)).sum();
    assert_eq!(passed + dropped, LINES);
    stop(instance).await;
}

/// How many lines a told loss is of.
fn lines_dropped(text: &str) -> Option<usize> {
    let (_, rest) = text.split_once("lines: ")?;
    rest.split_once(',')?.0.parse().ok()
}
