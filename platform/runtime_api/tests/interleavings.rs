//! What holds for any interleaving of a runtime, extensions, and connections that come and go.

use bytes::Bytes;
use proptest::prelude::*;
use runtime_api::{Closing, ConnectionId, Event, ResponseMode, RuntimeApi, Setup, ShutdownReason};

/// Extensions: both external; the second does not want to hear of invocations.
const EXTENSIONS: [(&str, &str); 2] = [("one", "INVOKE"), ("two", "SHUTDOWN")];

#[derive(Clone, Copy, Debug)]
enum Step {
    /// An actor asks for its next event, over its connection or a new one.
    Ask(usize),
    /// It reads all that was sent to it.
    Read(usize),
    /// Its connection goes, with what it has not read.
    Vanish(usize, Closing),
    /// The runtime answers the event that it has.
    Answer,
    /// Somebody invokes, where an event is taken.
    Invoke,
}

/// The runtime, or an extension.
#[derive(Debug, Default)]
struct Actor {
    connection: Option<ConnectionId>,
    identifier: Option<String>,
    waits: bool,
    /// Numbers of the events that it has read, in order.
    got: Vec<usize>,
    /// The one that it works on.
    works_on: Option<usize>,
    shutdowns: usize,
}

struct World {
    api: RuntimeApi,
    actors: [Actor; 3],
    invoked: usize,
}

fn send(api: &mut RuntimeApi, id: ConnectionId, text: &str) {
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        let space = api.space(id);
        let count = space.len().min(rest.len());
        assert!(count > 0, "no space for {rest:?}");
        space[..count].copy_from_slice(&rest[..count]);
        rest = &rest[count..];
        api.filled(id, count);
    }
}

impl World {
    fn new() -> Self {
        let external = EXTENSIONS.iter().map(|(name, _)| (*name).to_owned()).collect();
        let api = RuntimeApi::with(Setup { external, ..Setup::default() });
        let mut world = Self { api, actors: Default::default(), invoked: 0 };
        for (index, (name, event)) in EXTENSIONS.iter().enumerate() {
            let id = world.connection(index + 1);
            let body = format!("{{\"events\":[\"{event}\"]}}");
            let head = "POST /2020-01-01/extension/register HTTP/1.1";
            let length = body.len();
            send(
                &mut world.api,
                id,
                &format!(
                    "{head}\r\nLambda-Extension-Name: {name}\r\nContent-Length: {length}\r\n\r\n{body}"
                ),
            );
            let answer = world.take(index + 1);
            let identifier = answer.split("Lambda-Extension-Identifier: ").nth(1);
            let identifier = identifier.and_then(|rest| rest.split("\r\n").next());
            world.actors[index + 1].identifier = Some(identifier.expect("registered").to_owned());
        }
        world
    }

    fn connection(&mut self, actor: usize) -> ConnectionId {
        let api = &mut self.api;
        *self.actors[actor].connection.get_or_insert_with(|| api.open().expect("room"))
    }

    fn take(&mut self, actor: usize) -> String {
        let Some(id) = self.actors[actor].connection else { return String::new() };
        let output = self.api.output(id).concat();
        self.api.wrote(id, output.len());
        String::from_utf8(output).expect("text")
    }

    fn ask(&mut self, actor: usize) {
        if self.actors[actor].waits || (actor == 0 && self.actors[0].works_on.is_some()) {
            return;
        }
        let id = self.connection(actor);
        let request = match &self.actors[actor].identifier {
            None => "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\n\r\n".to_owned(),
            Some(identifier) => format!(
                "GET /2020-01-01/extension/event/next HTTP/1.1\r\n\
                 Lambda-Extension-Identifier: {identifier}\r\n\r\n"
            ),
        };
        self.actors[actor].works_on = None;
        self.actors[actor].waits = true;
        send(&mut self.api, id, &request);
    }

    fn read(&mut self, actor: usize) {
        let text = self.take(actor);
        let actor = &mut self.actors[actor];
        if text.contains("SHUTDOWN") {
            actor.shutdowns += 1;
            actor.waits = false;
            return;
        }
        let sign = if actor.identifier.is_some() { "\"requestId\":\"r" } else { "Request-Id: r" };
        let Some(rest) = text.split(sign).nth(1) else { return };
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        let event = digits.parse().expect("a number");
        assert!(actor.waits, "an event that nobody asked for");
        actor.waits = false;
        actor.works_on = Some(event);
        actor.got.push(event);
    }

    fn vanish(&mut self, actor: usize, closing: Closing) {
        let Some(id) = self.actors[actor].connection.take() else { return };
        // Who has read all says so by an orderly end.
        let unread = !self.api.output(id).concat().is_empty();
        self.api.close(id, if unread { closing } else { Closing::Ended });
        self.actors[actor].waits = false;
    }

    fn answer(&mut self) {
        let Some(event) = self.actors[0].works_on.take() else { return };
        let id = self.connection(0);
        let path = format!("/2018-06-01/runtime/invocation/r{event}/response");
        send(&mut self.api, id, &format!("POST {path} HTTP/1.1\r\nContent-Length: 1\r\n\r\n1"));
        assert!(self.take(0).starts_with("HTTP/1.1 202"), "event {event}");
    }

    fn invoke(&mut self) {
        let ready = self.api.is_ready();
        if ready {
            for actor in &self.actors {
                assert!(actor.waits && actor.connection.is_some(), "ready while {actor:?}");
            }
        }
        let event = Event {
            request_id: format!("r{}", self.invoked).into(),
            payload: Bytes::from_static(b"{}"),
            deadline_unix_ms: 1,
            function_arn: "arn".into(),
            trace_id: "trace".into(),
            client_context: None,
            response: ResponseMode::Buffered,
        };
        assert_eq!(self.api.invoke(event).is_ok(), ready);
        self.invoked += usize::from(ready);
    }

    /// Everybody does what is to be done until nobody has anything left to do.
    fn settle(&mut self) {
        for _ in 0..4 {
            for actor in 0..3 {
                self.read(actor);
                if actor == 0 {
                    self.answer();
                }
                self.ask(actor);
                self.read(actor);
            }
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    let closing = prop_oneof![Just(Closing::Ended), Just(Closing::Reset)];
    prop_oneof![
        4 => (0..3_usize).prop_map(Step::Ask),
        4 => (0..3_usize).prop_map(Step::Read),
        1 => (0..3_usize, closing).prop_map(|(actor, closing)| Step::Vanish(actor, closing)),
        2 => Just(Step::Answer),
        2 => Just(Step::Invoke),
    ]
}

proptest! {
    // No event is lost, none is run twice, and an event is taken only while the runtime and all extensions wait.
    #[test]
    fn every_event_once(steps in proptest::collection::vec(step(), 0..200)) {
        let mut world = World::new();
        for step in steps {
            match step {
                Step::Ask(actor) => world.ask(actor),
                Step::Read(actor) => world.read(actor),
                Step::Vanish(actor, closing) => world.vanish(actor, closing),
                Step::Answer => world.answer(),
                Step::Invoke => world.invoke(),
            }
        }
        world.settle();
        prop_assert!(world.api.is_ready());
        let all: Vec<usize> = (0..world.invoked).collect();
        prop_assert_eq!(&world.actors[0].got, &all);
        prop_assert_eq!(&world.actors[1].got, &all);
        prop_assert!(world.actors[2].got.is_empty());
        world.api.shut_down(ShutdownReason::Spindown, 1);
        world.settle();
        let shutdowns = world.actors.map(|actor| actor.shutdowns);
        prop_assert_eq!(shutdowns, [0, 0, 1]);
    }
}
