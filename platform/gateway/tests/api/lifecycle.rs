//! What holds between operations: nothing is acknowledged too early, and nothing old runs afterwards.

use crate::support::{FUNCTIONS, Server, create_request, listen};
use gateway::Limits;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

// An invocation of a function that is still Pending waits for it and then runs.
#[tokio::test]
async fn invocations_wait_for_the_deployment() {
    let server = Arc::new(Server::start().await);
    server.engine.open.send_replace(false);
    let created = server.ask_json("POST", FUNCTIONS, create_request("f", json!({}))).await;
    assert_eq!(created.json()["State"], "Pending");
    let early = tokio::spawn({
        let server = server.clone();
        async move { server.invoke("f", &[], "{}").await.status }
    });
    let pending = server.ask("GET", &format!("{FUNCTIONS}/f/configuration"), "").await.json();
    assert_eq!(pending["State"], "Pending");
    assert!(!early.is_finished());
    server.engine.open.send_replace(true);
    assert_eq!(early.await.expect("ended"), 200);
    assert_eq!(server.seen(), ["deploy f 1", "invoke f 1"]);
    let active = server.ask("GET", &format!("{FUNCTIONS}/f/configuration"), "").await.json();
    assert_eq!(
        (&active["State"], &active["LastUpdateStatus"]),
        (&json!("Active"), &json!("Successful"))
    );
}

// The wait has a limit, after which the answer is AWS's for a pending function; an update meanwhile is a conflict.
#[tokio::test]
async fn the_wait_for_a_deployment_is_bounded() {
    let limits = Limits { pending_wait: Duration::from_millis(20), ..Limits::default() };
    let server = Server::start_with(limits).await;
    server.engine.open.send_replace(false);
    server.ask_json("POST", FUNCTIONS, create_request("f", json!({}))).await;
    let refused = server.invoke("f", &[], "{}").await;
    assert_eq!(refused.status, 409);
    assert!(refused.text().contains("following state: Pending"), "{}", refused.text());
    let target = format!("{FUNCTIONS}/f/configuration");
    let refused = server.ask_json("PUT", &target, json!({ "Timeout": 9 })).await;
    assert_eq!(refused.headers["x-amzn-errortype"], "ResourceConflictException");
}

// An update is answered only once the engine has it, and an invocation after that runs the new state.
#[tokio::test]
async fn updates_are_answered_when_they_are_effective() {
    let server = Arc::new(Server::start().await);
    server.create("f").await;
    server.engine.open.send_replace(false);
    let update = tokio::spawn({
        let server = server.clone();
        async move {
            let target = format!("{FUNCTIONS}/f/configuration");
            server.ask_json("PUT", &target, json!({ "MemorySize": 256 })).await.json()
        }
    });
    let target = format!("{FUNCTIONS}/f/configuration");
    while server.ask("GET", &target, "").await.json()["LastUpdateStatus"] != "InProgress" {
        tokio::task::yield_now().await;
    }
    assert!(!update.is_finished(), "not before the engine has it");
    let during = tokio::spawn({
        let server = server.clone();
        async move { server.invoke("f", &[], r#"{"do":"describe"}"#).await.json() }
    });
    server.engine.open.send_replace(true);
    assert_eq!(update.await.expect("ended")["LastUpdateStatus"], "Successful");
    assert_eq!(during.await.expect("ended")["memory"], 256);
}

// An update that cannot be deployed is told, and the function goes on as it was.
#[tokio::test]
async fn failed_updates_are_taken_back() {
    let server = Server::start().await;
    server.create("f").await;
    let target = format!("{FUNCTIONS}/f/configuration");
    for description in ["cannot be deployed", "panics"] {
        let request = json!({ "Description": description, "MemorySize": 256 });
        let failed = server.ask_json("PUT", &target, request).await.json();
        assert_eq!(failed["LastUpdateStatus"], "Failed", "{failed}");
        assert_eq!((&failed["State"], &failed["MemorySize"]), (&json!("Active"), &json!(128)));
        let invoked = server.invoke("f", &[], r#"{"do":"describe"}"#).await.json();
        assert_eq!(invoked["memory"], 128);
    }
    let good = server.ask_json("PUT", &target, json!({ "MemorySize": 512 })).await.json();
    assert_eq!(good["LastUpdateStatus"], "Successful");
}

// A function that cannot be deployed at all is Failed, says why, and cannot be invoked; an update can mend it.
#[tokio::test]
async fn failed_functions_say_why() {
    let server = Server::start().await;
    server.create_with("f", json!({ "Description": "cannot be deployed" })).await;
    let target = format!("{FUNCTIONS}/f/configuration");
    let failed = server.ask("GET", &target, "").await.json();
    assert_eq!((&failed["State"], &failed["StateReason"]), (&json!("Failed"), &json!("no room")));
    let refused = server.invoke("f", &[], "{}").await;
    assert!(refused.status == 409 && refused.text().contains("no room"), "{}", refused.text());
    let mended = server.ask_json("PUT", &target, json!({ "Description": "better" })).await.json();
    assert_eq!(
        (&mended["State"], &mended["LastUpdateStatus"]),
        (&json!("Active"), &json!("Successful"))
    );
    assert_eq!(server.invoke("f", &[], "{}").await.status, 200);
}

// A creation whose client goes away is carried to its end.
#[tokio::test]
async fn a_client_that_leaves_changes_nothing() {
    let server = Arc::new(Server::start().await);
    server.create("f").await;
    server.engine.open.send_replace(false);
    let update = tokio::spawn({
        let server = server.clone();
        async move {
            let target = format!("{FUNCTIONS}/f/configuration");
            server.ask_json("PUT", &target, json!({ "MemorySize": 256 })).await
        }
    });
    let target = format!("{FUNCTIONS}/f/configuration");
    while server.ask("GET", &target, "").await.json()["LastUpdateStatus"] != "InProgress" {
        tokio::task::yield_now().await;
    }
    update.abort();
    server.engine.open.send_replace(true);
    let invoked = server.invoke("f", &[], r#"{"do":"describe"}"#).await.json();
    assert_eq!(invoked["memory"], 256);
}

// After a restart every function is handed to the engine again, and is what it was.
#[tokio::test]
async fn functions_come_back_after_a_restart() {
    let mut server = Server::start().await;
    server.create("f").await;
    let target = format!("{FUNCTIONS}/f/configuration");
    let failed = json!({ "Description": "cannot be deployed" });
    server.ask_json("PUT", &target, failed).await;
    let before = server.ask("GET", &format!("{FUNCTIONS}/f/configuration"), "").await.json();
    let copy = tempfile::tempdir().expect("a directory");
    let status = std::process::Command::new("cp")
        .args(["-a", "--"])
        .arg(server.data.path().join("."))
        .arg(copy.path())
        .status();
    assert!(status.expect("cp runs").success());
    server.address = listen(copy.path(), server.engine.clone(), Limits::default()).await;
    let after = server.ask("GET", &format!("{FUNCTIONS}/f/configuration"), "").await.json();
    assert_eq!(after, before);
    assert_eq!(after["LastUpdateStatus"], "Failed", "a restart makes no failure a success");
    assert_eq!(server.invoke("f", &[], "{}").await.status, 200);
    let seen = ["deploy f 1", "deploy f 2", "deploy f 3", "deploy f 3", "invoke f 3"];
    assert_eq!(server.seen(), seen);
}

// A function made, deleted and made again is another one; deleting it twice is an error.
#[tokio::test]
async fn deleted_functions_can_be_made_again() {
    let server = Server::start().await;
    let target = format!("{FUNCTIONS}/f");
    for _ in 0..2 {
        server.create("f").await;
        assert_eq!(server.ask("DELETE", &target, "").await.status, 204);
        assert_eq!(server.ask("DELETE", &target, "").await.status, 404);
    }
    assert_eq!(server.seen(), ["deploy f 1", "remove f", "deploy f 1", "remove f"]);
}
