//! Invocations on their way: to an instance, and back to who waits for the answer.

use super::{Shared, State};
use crate::reply;
use bytes::Bytes;
use gateway::{Invoked, LogTail, Reply};
use model::{InstanceId, InvocationId, Span, Time};
use sandbox::{Kind, Log, Outcome, StartError};
use scheduler::{Event, Rejection};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use worker::{Command, Dispatch};

impl<K: Kind> Shared<K> {
    pub(super) fn dispatch(
        self: &Arc<Self>,
        state: &mut State<K>,
        now: Time,
        (instance, id): (InstanceId, InvocationId),
        cold: bool,
    ) {
        let Some(running) = state.instances.get_mut(&instance) else { return };
        running.invocation = Some(id);
        let Some(pending) = state.pending.get_mut(&id) else { return };
        pending.dispatched = Some(now);
        pending.init = cold.then_some(running.init);
        let invoke = &pending.invoke;
        let invocation = sandbox::Invocation {
            request_id: Arc::clone(&invoke.request_id),
            payload: invoke.payload.clone(),
            function_arn: Arc::clone(&invoke.function_arn),
            trace_id: invoke.trace_id.clone().unwrap_or_else(new_trace_id),
            client_context: invoke.client_context.clone(),
            deadline: SystemTime::now() + Duration::from(running.deployed.function.timeout),
            log: match invoke.log_tail {
                LogTail::Ask => Log::Tail,
                LogTail::Skip => Log::Drop,
            },
            stream: invoke.stream.as_ref().map(|sink| sandbox::Sink {
                content_type: Arc::clone(&sink.content_type),
                pieces: sink.pieces.clone(),
            }),
        };
        let platform = Arc::clone(self);
        let respond = Box::new(move |outcome| platform.responded(instance, id, outcome));
        running.handle.send(Command::Dispatch(Box::new(Dispatch { id, invocation, respond })));
    }

    /// A function has answered, or its sandbox has ended under it.
    pub(super) fn responded(
        self: &Arc<Self>,
        instance: InstanceId,
        id: InvocationId,
        outcome: Outcome,
    ) {
        let mut state = self.lock();
        let pending = state.pending.remove(&id);
        let memory = state.instances.get_mut(&instance).map(|running| {
            running.invocation = None;
            running.deployed.settings.memory
        });
        let now = self.now();
        let event = Event::Finished { instance, invocation: id };
        let bill = self.turn(&mut state, event, None).bill;
        drop(state);
        let Some(pending) = pending else { return };
        let duration = pending.dispatched.map_or(Span::ZERO, |at| now.since(at));
        let (reply, tail) = match outcome {
            Outcome::Response { payload, tail } => (Reply::Payload(payload), tail),
            Outcome::Streamed { tail } => (Reply::Streamed, tail),
            Outcome::Error { payload, tail } => (Reply::FunctionError(payload), tail),
            Outcome::Ended { end, tail } => (reply::ended(&pending.invoke.request_id, &end), tail),
        };
        let log = match pending.invoke.log_tail {
            LogTail::Skip => Bytes::new(),
            LogTail::Ask => {
                let bill = bill.filter(|it| it.invocation == id);
                let usage = reply::Usage {
                    duration,
                    billed: bill.as_ref().map_or(duration, |it| it.billed),
                    memory: memory.unwrap_or_default(),
                    memory_peak_bytes: tail.memory_peak_bytes,
                    // What is billed as such, so that the line adds up.
                    init: bill.map_or(pending.init, |it| it.init),
                };
                let version = pending.invoke.function.version;
                reply::log_tail(&pending.invoke.request_id, version, &tail.log, usage)
            }
        };
        // A caller that is gone no longer listens.
        let _ = pending.answer.send(Invoked { reply, log, duration });
    }

    /// Runs an invocation elsewhere whose instance died before it saw the event.
    pub(super) fn again(self: &Arc<Self>, id: InvocationId) {
        let mut state = self.lock();
        let Some(mut pending) = state.pending.remove(&id) else { return };
        pending.dispatched = None;
        let (id, function) = (state.new_invocation(), pending.invoke.function.id);
        state.pending.insert(id, pending);
        self.turn(&mut state, Event::Invoked { invocation: id, function }, None);
    }
}

impl<K: Kind> State<K> {
    pub(super) fn reject(
        &mut self,
        id: InvocationId,
        reason: Rejection,
        failure: Option<&StartError>,
    ) {
        let Some(pending) = self.pending.remove(&id) else { return };
        let reply = reply::rejected(&pending.invoke.request_id, reason, failure);
        let log = match (pending.invoke.log_tail, failure) {
            (LogTail::Ask, Some(StartError::Ended { log, .. })) => log.clone(),
            _ => Bytes::new(),
        };
        // A caller that is gone no longer listens.
        let _ = pending.answer.send(Invoked { reply, log, duration: Span::ZERO });
    }

    pub(super) fn expire(&mut self, now: Time, id: InvocationId, timeout: Span) {
        let Some(pending) = self.pending.remove(&id) else { return };
        let duration = pending.dispatched.map_or(timeout, |at| now.since(at));
        let payload = reply::timed_out(&pending.invoke.request_id, timeout);
        let log = match pending.invoke.log_tail {
            LogTail::Skip => Bytes::new(),
            LogTail::Ask => reply::log_tail(
                &pending.invoke.request_id,
                pending.invoke.function.version,
                b"",
                reply::Usage {
                    duration,
                    billed: timeout,
                    memory: pending.invoke.function.memory,
                    memory_peak_bytes: 0,
                    init: pending.init,
                },
            ),
        };
        // A caller that is gone no longer listens.
        let _ =
            pending.answer.send(Invoked { reply: Reply::FunctionError(payload), log, duration });
    }
}

/// An X-Ray trace header for a caller that sent none: a root of its own, not sampled.
pub(super) fn new_trace_id() -> Arc<str> {
    let seconds =
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let id = uuid::Uuid::new_v4().simple().to_string();
    let (root, parent) = (&id[..24], &id[16..]);
    format!("Root=1-{seconds:08x}-{root};Parent={parent};Sampled=0").into()
}
