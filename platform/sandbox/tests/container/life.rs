//! Starts, ends, and what they leave.

use crate::support::{World, is_root};

// A command runs in a sandbox, its output and exit status come back, and closing leaves nothing.
#[tokio::test]
async fn runs_a_command() {
    if !is_root() {
        return;
    }
    let world = World::new("runs").await;
    let (exit, text) = world.run(1, &["/bin/sh", "-c", "echo hello; id; exit 7"]).await;
    assert_eq!(exit.status, Some(7), "{text}");
    assert!(text.starts_with("hello\nuid=993"), "{text}");
    world.container.close().await;
}
