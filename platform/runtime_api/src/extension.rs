//! The extensions of one instance: who has registered, who waits, and who has which event.
//!
//! Texts and codes are those of AWS' Runtime Interface Emulator (2024). Deliberately knows nothing of connections but
//! their numbers: `api` writes.

use crate::event::Event;
use crate::head::ExtensionHeaders;
use crate::subscription::{Api, Subscription};
use serde::Deserialize;
use serde_json::json;

/// Most extensions of one function, external and internal (Lambda quotas, 2026-11).
pub const EXTENSIONS_LIMIT: usize = 10;
/// Most bytes of an extension's name.
const NAME_LIMIT: usize = 128;

/// What extensions are told of their function, and which of them are to come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    /// File names of the external extensions that were started; each must register before the runtime is started.
    pub external: Vec<String>,
    /// Function name.
    pub function_name: String,
    /// Version, as in `$LATEST`.
    pub function_version: String,
    /// Handler.
    pub handler: String,
    /// Account id, for those who ask for it.
    pub account_id: String,
    /// Makes identifiers of extensions differ between instances.
    pub seed: [u8; 16],
}

/// Why an instance shuts down, as extensions are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShutdownReason {
    /// It is not needed any more.
    Spindown,
    /// Its function ran into its time limit.
    Timeout,
    /// Its runtime or an extension failed.
    Failure,
}

impl ShutdownReason {
    fn name(self) -> &'static str {
        match self {
            Self::Spindown => "spindown",
            Self::Timeout => "timeout",
            Self::Failure => "failure",
        }
    }
}

/// An extension that has registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registered<'a> {
    /// Its name; of an external one, its file's.
    pub name: &'a str,
    /// What it asked to be told of: `INVOKE`, `SHUTDOWN`.
    pub events: &'a [String],
    /// Whose process it is.
    pub place: Place,
}

/// Where an extension runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the runtime's process.
    Internal,
    /// In a process of its own.
    External,
}

impl Registered<'_> {
    /// Whether it is to be told when the instance ends.
    pub fn wants_shutdown(&self) -> bool {
        self.events.iter().any(|event| event == SHUTDOWN)
    }
}

/// The extensions that have registered.
#[derive(Debug)]
pub(crate) struct Extensions {
    setup: Setup,
    registered: Vec<Extension>,
    registration: Registration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Registration {
    Open,
    /// The runtime has asked for its first event.
    Closed,
}

#[derive(Debug)]
struct Extension {
    name: String,
    identifier: String,
    events: Vec<String>,
    place: Place,
    subscribed_by: Option<Api>,
    state: State,
    /// The event in its hands, kept to be handed over again.
    event: Option<String>,
    /// The one that it gets when it asks.
    queued: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It has never asked for an event.
    Registered,
    /// It waits over this connection.
    Waiting(usize),
    /// Its event is on its way over this connection.
    Handed(usize),
    /// It has read its event, and works.
    Working,
    /// The connection on which it waited, or was to get its event, is gone.
    Lost,
    /// It said that it failed.
    Failed,
}

impl Extension {
    fn wants(&self, event: &str) -> bool {
        self.events.iter().any(|it| it == event)
    }
}

/// What becomes of an extension's request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Answer so.
    Reply(Reply),
    /// Answer when there is an event.
    Park,
    /// It failed: its name, and what it calls its error.
    Failed { name: String, reason: String },
}

/// An answer to an extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub status: &'static str,
    /// A header beside the usual ones.
    pub header: Option<(&'static str, String)>,
    pub body: String,
}

#[derive(Deserialize)]
struct RegisterBody {
    #[serde(default)]
    events: Vec<String>,
}

impl Reply {
    fn error(status: &'static str, kind: &str, message: &str) -> Self {
        let body = json!({ "errorMessage": message, "errorType": kind }).to_string();
        Self { status, header: None, body }
    }

    pub fn accepted() -> Self {
        Self { status: ACCEPTED, header: None, body: "{\"status\":\"OK\"}\n".to_owned() }
    }

    pub fn subscribed() -> Self {
        Self { status: "200 OK", header: None, body: "\"OK\"".to_owned() }
    }
}

/// The events of an invocation, and of the end.
const INVOKE: &str = "INVOKE";
const SHUTDOWN: &str = "SHUTDOWN";

const ACCEPTED: &str = "202 Accepted";
const BAD_REQUEST: &str = "400 Bad Request";
const FORBIDDEN: &str = "403 Forbidden";

impl Extensions {
    pub fn new(setup: Setup) -> Self {
        Self { setup, registered: Vec::new(), registration: Registration::Open }
    }

    /// Whether every external extension that was started has registered.
    pub fn all_registered(&self) -> bool {
        let is_there = |name: &String| self.registered.iter().any(|it| it.name == *name);
        self.setup.external.iter().all(is_there)
    }

    /// Whether all have registered and wait for an event.
    pub fn all_wait(&self) -> bool {
        let waits = |it: &Extension| matches!(it.state, State::Waiting(_));
        self.all_registered() && self.registered.iter().all(waits)
    }

    /// No more may register.
    pub fn close_registration(&mut self) {
        self.registration = Registration::Closed;
    }

    /// Those that have registered.
    pub fn registered(&self) -> impl Iterator<Item = Registered<'_>> {
        self.registered.iter().map(|it| Registered {
            name: &it.name,
            events: &it.events,
            place: it.place,
        })
    }

    /// Takes in a registration.
    pub fn register(&mut self, headers: &ExtensionHeaders, body: &[u8]) -> Reply {
        match self.try_register(headers, body) {
            Ok(reply) | Err(reply) => reply,
        }
    }

    fn try_register(&mut self, headers: &ExtensionHeaders, body: &[u8]) -> Result<Reply, Reply> {
        let name = headers.name.as_deref().filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| {
            let message = "Lambda-Extension-Name header is missing";
            Reply::error(BAD_REQUEST, "Extension.InvalidExtensionName", message)
        })?;
        if name.len() > NAME_LIMIT {
            let message = format!("Lambda-Extension-Name is longer than {NAME_LIMIT} bytes");
            return Err(Reply::error(BAD_REQUEST, "Extension.InvalidExtensionName", &message));
        }
        let body: RegisterBody = serde_json::from_slice(body).map_err(|error| {
            let message = format!("Invalid JSON request body: {error}");
            Reply::error(BAD_REQUEST, "InvalidRequestFormat", &message)
        })?;
        let is_external = self.setup.external.iter().any(|it| it == name);
        for event in &body.events {
            match event.as_str() {
                INVOKE => {}
                SHUTDOWN if is_external => {}
                SHUTDOWN => {
                    let message = "SHUTDOWN event is not supported for internal extensions";
                    let kind = "ShutdownEventNotSupportedForInternalExtension";
                    return Err(Reply::error(BAD_REQUEST, kind, message));
                }
                other => {
                    let message = format!("Invalid event type: {other}");
                    let kind = "Extension.InvalidEventType";
                    return Err(Reply::error(BAD_REQUEST, kind, &message));
                }
            }
        }
        if self.registered.iter().any(|it| it.name == name) {
            let message = format!("Extension {name} already registered");
            return Err(Reply::error(FORBIDDEN, "Extension.AlreadyRegistered", &message));
        }
        if self.registration == Registration::Closed {
            let message = "Extension registration closed already";
            return Err(Reply::error(FORBIDDEN, "Extension.RegistrationClosed", message));
        }
        if self.registered.len() >= EXTENSIONS_LIMIT {
            let message = format!("Extension limit ({EXTENSIONS_LIMIT}) reached");
            return Err(Reply::error(FORBIDDEN, "Extension.TooManyExtensions", &message));
        }
        let identifier = self.identifier();
        self.registered.push(Extension {
            name: name.to_owned(),
            identifier: identifier.clone(),
            events: body.events,
            place: if is_external { Place::External } else { Place::Internal },
            subscribed_by: None,
            state: State::Registered,
            event: None,
            queued: None,
        });
        Ok(self.registered_reply(headers, identifier))
    }

    fn registered_reply(&self, headers: &ExtensionHeaders, identifier: String) -> Reply {
        let Setup { function_name, function_version, handler, account_id, .. } = &self.setup;
        let mut body = json!({
            "functionName": function_name,
            "functionVersion": function_version,
            "handler": handler,
        });
        let features = headers.features.as_deref().unwrap_or("");
        if features.split(',').any(|it| it.trim().eq_ignore_ascii_case("accountId")) {
            body["accountId"] = account_id.as_str().into();
        }
        let header = Some(("Lambda-Extension-Identifier", identifier));
        Reply { status: "200 OK", header, body: body.to_string() }
    }

    /// A UUID (version 8) from the instance's seed and the extension's number.
    fn identifier(&self) -> String {
        let mut bytes = self.setup.seed;
        bytes[15] ^= self.registered.len() as u8;
        bytes[6] = bytes[6] & 0x0f | 0x80;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let mut text = String::with_capacity(36);
        for (index, byte) in bytes.iter().enumerate() {
            if matches!(index, 4 | 6 | 8 | 10) {
                text.push('-');
            }
            text.push_str(&format!("{byte:02x}"));
        }
        text
    }

    fn find(&mut self, headers: &ExtensionHeaders) -> Result<usize, Reply> {
        let Some(identifier) = &headers.identifier else {
            let message = "Missing Lambda-Extension-Identifier header";
            return Err(Reply::error(FORBIDDEN, "Extension.MissingHeader", message));
        };
        let found = self.registered.iter().position(|it| it.identifier == *identifier);
        found.ok_or_else(|| {
            let message = format!("Unknown extension {identifier}");
            Reply::error(FORBIDDEN, "Extension.UnknownExtensionIdentifier", &message)
        })
    }

    /// An extension asks for telemetry. Errors: what to answer.
    pub fn subscribe(
        &mut self,
        api: Api,
        headers: &ExtensionHeaders,
        body: &[u8],
    ) -> Result<Subscription, Reply> {
        let index = self.find(headers)?;
        if self.setup.external.is_empty() {
            let message = format!("{} API is not supported", api.errors());
            let kind = format!("{}.NotSupported", api.errors());
            return Err(Reply::error(ACCEPTED, &kind, &message));
        }
        if self.registration == Registration::Closed {
            let message = format!("{} API subscription is closed already", api.errors());
            let kind = format!("{}.SubscriptionClosed", api.errors());
            return Err(Reply::error(FORBIDDEN, &kind, &message));
        }
        let it = &mut self.registered[index];
        if it.subscribed_by.is_some_and(|other| other != api) {
            let message = "the extension has subscribed by the other API already";
            return Err(Reply::error(BAD_REQUEST, api.invalid(), message));
        }
        let subscription = Subscription::read(api, &it.name, body)
            .map_err(|wrong| Reply::error(BAD_REQUEST, api.invalid(), &wrong))?;
        it.subscribed_by = Some(api);
        Ok(subscription)
    }

    /// A `next` came over a connection. `is_read` tells whether all that was sent over another one was read.
    pub fn next(
        &mut self,
        headers: &ExtensionHeaders,
        connection: usize,
        is_read: impl Fn(usize) -> bool,
    ) -> Outcome {
        let index = match self.find(headers) {
            Ok(index) => index,
            Err(reply) => return Outcome::Reply(reply),
        };
        let it = &mut self.registered[index];
        match it.state {
            State::Failed => {
                let message = "State transition is not allowed: the extension has failed";
                let kind = "Extension.InvalidExtensionState";
                return Outcome::Reply(Reply::error(FORBIDDEN, kind, message));
            }
            // It asks again, since what it was to get has not arrived.
            State::Handed(other) if other != connection && !is_read(other) => {}
            State::Handed(_) | State::Working => it.event = None,
            State::Registered | State::Waiting(_) | State::Lost => {}
        }
        it.state = State::Waiting(connection);
        Outcome::Park
    }

    /// It said that it failed.
    pub fn fail(&mut self, headers: &ExtensionHeaders) -> Outcome {
        let index = match self.find(headers) {
            Ok(index) => index,
            Err(reply) => return Outcome::Reply(reply),
        };
        let Some(reason) = headers.error_type.clone() else {
            let message = "Missing Lambda-Extension-Function-Error-Type header";
            return Outcome::Reply(Reply::error(FORBIDDEN, "Extension.MissingHeader", message));
        };
        let it = &mut self.registered[index];
        it.state = State::Failed;
        Outcome::Failed { name: it.name.clone(), reason }
    }

    /// An invocation begins: all who want to be told are told.
    pub fn invoke(&mut self, event: &Event) {
        if self.registered.is_empty() {
            return;
        }
        let told = json!({
            "eventType": "INVOKE",
            "deadlineMs": event.deadline_unix_ms,
            "requestId": &*event.request_id,
            "invokedFunctionArn": &*event.function_arn,
            "tracing": { "type": "X-Amzn-Trace-Id", "value": &*event.trace_id },
        })
        .to_string();
        for it in self.registered.iter_mut().filter(|it| it.wants(INVOKE)) {
            it.queued = Some(told.clone());
        }
    }

    /// The instance shuts down: all who want to be told are told, those that work as soon as they ask.
    pub fn shut_down(&mut self, reason: ShutdownReason, deadline_unix_ms: u64) {
        let told = json!({
            "eventType": "SHUTDOWN",
            "shutdownReason": reason.name(),
            "deadlineMs": deadline_unix_ms,
        })
        .to_string();
        for it in &mut self.registered {
            it.queued = it.wants(SHUTDOWN).then(|| told.clone());
        }
    }

    /// The next event that can be handed over: the connection that waits, and the answer.
    pub fn poll_handed(&mut self) -> Option<(usize, Reply)> {
        let mut waiting = self.registered.iter_mut();
        let (it, connection) = waiting.find_map(|it| match it.state {
            State::Waiting(over) if it.event.is_some() || it.queued.is_some() => Some((it, over)),
            _ => None,
        })?;
        it.event = it.event.take().or_else(|| it.queued.take());
        it.state = State::Handed(connection);
        let header = Some(("Lambda-Extension-Event-Identifier", it.identifier.clone()));
        let body = it.event.clone().unwrap_or_default();
        Some((connection, Reply { status: "200 OK", header, body }))
    }

    /// A connection was closed; `has_read` where the other side has read all that was sent over it.
    pub fn closed(&mut self, connection: usize, has_read: bool) {
        for it in &mut self.registered {
            match it.state {
                State::Waiting(over) if over == connection => it.state = State::Lost,
                State::Handed(over) if over == connection => {
                    it.state = if has_read { State::Working } else { State::Lost };
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &str) -> ExtensionHeaders {
        ExtensionHeaders { name: Some(name.to_owned()), ..ExtensionHeaders::default() }
    }

    fn kind(reply: &Reply) -> String {
        let body: serde_json::Value = serde_json::from_str(&reply.body).expect("JSON");
        body["errorType"].as_str().unwrap_or("none").to_owned()
    }

    // An extension is told its function, its account where it asks for that, and an identifier of its own.
    #[test]
    fn registration() {
        let setup = Setup {
            external: vec!["out".to_owned()],
            function_name: "f".to_owned(),
            function_version: "$LATEST".to_owned(),
            handler: "app.handler".to_owned(),
            account_id: "123456789012".to_owned(),
            seed: [7; 16],
        };
        let mut extensions = Extensions::new(setup);
        assert!(!extensions.all_registered());
        let with = ExtensionHeaders { features: Some("x, accountId".to_owned()), ..headers("out") };
        let one = extensions.register(&with, br#"{"events":["INVOKE","SHUTDOWN"]}"#);
        let body: serde_json::Value = serde_json::from_str(&one.body).expect("JSON");
        assert_eq!(
            body,
            json!({"functionName": "f", "functionVersion": "$LATEST", "handler": "app.handler",
                "accountId": "123456789012"})
        );
        assert!(extensions.all_registered());
        let two = extensions.register(&headers("in"), b"{}");
        assert!(!two.body.contains("accountId"));
        let identifiers = [one, two].map(|reply| reply.header.expect("an identifier").1);
        assert_ne!(identifiers[0], identifiers[1]);
        assert!(identifiers.iter().all(|it| it.len() == 36 && it.as_bytes()[14] == b'8'));
    }

    // Telemetry is for extensions that have registered, until the init is over, by one API, and where some have processes.
    #[test]
    fn subscriptions() {
        let body = br#"{"schemaVersion": "2022-07-01", "types": ["platform"],
            "destination": {"protocol": "TCP", "port": 80}}"#;
        let registered = |external: &[&str]| {
            let external = external.iter().map(|name| (*name).to_owned()).collect();
            let mut extensions = Extensions::new(Setup { external, ..Setup::default() });
            let identifier = extensions.register(&headers("out"), b"{}").header.expect("one").1;
            let own = ExtensionHeaders { identifier: Some(identifier), ..headers("out") };
            (extensions, own)
        };
        let (mut alone, own) = registered(&[]);
        let reply = alone.subscribe(Api::Telemetry, &own, body).expect_err("no processes");
        assert_eq!((reply.status, kind(&reply).as_str()), (ACCEPTED, "Telemetry.NotSupported"));
        let (mut extensions, own) = registered(&["out"]);
        let mut refused = |api, headers: &ExtensionHeaders, body: &[u8]| {
            kind(&extensions.subscribe(api, headers, body).expect_err("refused"))
        };
        assert_eq!(refused(Api::Logs, &headers("out"), body), "Extension.MissingHeader");
        assert_eq!(refused(Api::Logs, &own, body), "Logs.ValidationError", "a schema of the other");
        assert_eq!(refused(Api::Telemetry, &own, b"{}"), "ValidationError");
        let subscribed = extensions.subscribe(Api::Telemetry, &own, body).expect("valid");
        assert_eq!(subscribed.extension, "out");
        assert_eq!(extensions.subscribe(Api::Telemetry, &own, body), Ok(subscribed));
        let reply = extensions.subscribe(Api::Logs, &own, body).expect_err("by the other");
        assert!(reply.body.contains("other API"));
        extensions.close_registration();
        let reply = extensions.subscribe(Api::Telemetry, &own, body).expect_err("late");
        assert_eq!(kind(&reply), "Telemetry.SubscriptionClosed");
    }

    // What cannot be registered is refused as the service refuses it.
    #[test]
    fn refusals() {
        let mut extensions = Extensions::new(Setup::default());
        let mut refused =
            |name: &str, body: &str| kind(&extensions.register(&headers(name), body.as_bytes()));
        assert_eq!(refused("", "{}"), "Extension.InvalidExtensionName");
        assert_eq!(refused(&"x".repeat(129), "{}"), "Extension.InvalidExtensionName");
        assert_eq!(refused("a", "{"), "InvalidRequestFormat");
        assert_eq!(refused("a", r#"{"events":["OTHER"]}"#), "Extension.InvalidEventType");
        let internal = "ShutdownEventNotSupportedForInternalExtension";
        assert_eq!(refused("a", r#"{"events":["SHUTDOWN"]}"#), internal);
        for number in 0..EXTENSIONS_LIMIT {
            assert_eq!(refused(&number.to_string(), "{}"), "none");
        }
        assert_eq!(refused("0", "{}"), "Extension.AlreadyRegistered");
        assert_eq!(refused("11", "{}"), "Extension.TooManyExtensions");
        extensions.close_registration();
        assert_eq!(
            kind(&extensions.register(&headers("12"), b"{}")),
            "Extension.RegistrationClosed"
        );
        let nobody = ExtensionHeaders { identifier: Some("?".to_owned()), ..headers("0") };
        let Outcome::Reply(reply) = extensions.next(&nobody, 0, |_| true) else { panic!("parked") };
        assert_eq!(kind(&reply), "Extension.UnknownExtensionIdentifier");
        let Outcome::Reply(reply) = extensions.fail(&headers("0")) else { panic!("failed") };
        assert_eq!(kind(&reply), "Extension.MissingHeader");
    }
}
