//! Invocations on their way: to an instance, and back to who waits for the answer.

use super::{Finished, How, Init, Pending, Shared, StartFailure, State};
use crate::reply;
use bytes::Bytes;
use gateway::{Invoked, LogTail, Reply};
use model::{InstanceId, InvocationId, Span, Time};
use sandbox::{End, Kind, Log, Outcome, StartError, Usage};
use scheduler::{Billing, Event, Rejection};
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
        pending.init = if cold { running.init.before() } else { None };
        let invoke = &pending.invoke;
        // Where its init is tried again, it begins after that.
        if running.init != Init::Failed {
            running.log.start(&invoke.request_id);
        }
        let invocation = sandbox::Invocation {
            request_id: Arc::clone(&invoke.request_id),
            payload: invoke.payload.clone(),
            function_arn: Arc::clone(&invoke.function_arn),
            trace_id: match &invoke.trace_id {
                Some(trace_id) => Arc::clone(trace_id),
                None => new_trace_id(&invoke.request_id),
            },
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
        self.busy_poll.expect(state.pending.len());
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
        let now = self.now();
        let event = Event::Finished { instance, invocation: id };
        let bill = self.turn(&mut state, event, None).bill.filter(|bill| bill.invocation == id);
        let Some(pending) = pending else { return };
        let duration = pending.dispatched.map_or(Span::ZERO, |at| now.since(at));
        let request_id = Arc::clone(&pending.invoke.request_id);
        let how = match &outcome {
            Outcome::Ended { end, .. } => How::of(&request_id, end),
            Outcome::Error { .. } => How::Erred,
            Outcome::Response { .. } | Outcome::Streamed { .. } => How::Answered,
        };
        // What is billed as such, so that the line adds up; an init that failed is not, and what was tried again is in the
        // duration.
        let (billed, init) = match bill {
            Some(bill) if bill.init.is_none() || pending.init.is_some() => (bill.billed, bill.init),
            Some(_) => (self.profile.billing.billed(duration, None), None),
            None => (duration, pending.init),
        };
        let finished = Box::new(Finished {
            request_id: Arc::clone(&request_id),
            how,
            queued: pending.queued(),
            duration,
            ended: SystemTime::now(),
            billed,
            memory: pending.invoke.function.memory,
            init,
            trace: pending.invoke.trace_id.clone(),
        });
        let (reply, tail) = match outcome {
            Outcome::Response { payload, tail } => (Reply::Payload(payload), tail),
            Outcome::Streamed { tail } => (Reply::Streamed, tail),
            Outcome::Error { payload, tail } => (Reply::FunctionError(payload), tail),
            Outcome::Ended { end, tail } => (reply::ended(&request_id, &end), tail),
        };
        let mut log = Bytes::new();
        if let Some(running) = state.instances.get_mut(&instance) {
            running.invocation = None;
            if pending.invoke.log_tail == LogTail::Ask {
                log = running.log.tail(&tail.log, &finished, tail.memory_peak_bytes);
            }
            running.finished = Some(finished);
        }
        self.busy_poll.expect(state.pending.len());
        drop(state);
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

impl Pending {
    /// How long it waited for an instance.
    fn queued(&self) -> Span {
        self.dispatched.map_or(Span::ZERO, |at| at.since(self.arrived))
    }
}

impl<K: Kind> State<K> {
    pub(super) fn reject(
        &mut self,
        id: InvocationId,
        reason: Rejection,
        failure: Option<&StartFailure>,
    ) {
        let Some(pending) = self.pending.remove(&id) else { return };
        let request_id = &pending.invoke.request_id;
        let error = failure.map(|failure| &failure.error);
        let reply = reply::rejected(request_id, reason, error);
        let mut log = Bytes::new();
        if let (Some(StartError::Ended { end, log: lines }), Some(own)) =
            (error, failure.and_then(|failure| failure.log.as_ref()))
        {
            let finished = Finished {
                request_id: Arc::clone(request_id),
                how: How::of(request_id, end),
                queued: Span::ZERO,
                duration: Span::ZERO,
                ended: SystemTime::now(),
                billed: Span::ZERO,
                memory: pending.invoke.function.memory,
                init: None,
                trace: pending.invoke.trace_id.clone(),
            };
            own.start(request_id);
            own.end(&finished, Usage::default());
            if pending.invoke.log_tail == LogTail::Ask {
                log = lines.clone();
            }
        }
        // A caller that is gone no longer listens.
        let _ = pending.answer.send(Invoked { reply, log, duration: Span::ZERO });
    }

    pub(super) fn expire(
        &mut self,
        now: Time,
        (instance, id): (InstanceId, InvocationId),
        timeout: Span,
        billing: Billing,
    ) {
        // Where its init was still being tried again.
        self.init_again(instance, timeout, Some(&End::InitTimedOut), &[]);
        let Some(pending) = self.pending.remove(&id) else { return };
        let duration = pending.dispatched.map_or(timeout, |at| now.since(at));
        let payload = reply::timed_out(&pending.invoke.request_id, timeout);
        let finished = Box::new(Finished {
            request_id: Arc::clone(&pending.invoke.request_id),
            how: How::TimedOut(timeout),
            queued: pending.queued(),
            // What it took longer is the platform's time, not the function's.
            duration: timeout,
            ended: SystemTime::now(),
            billed: billing.billed(timeout, pending.init),
            memory: pending.invoke.function.memory,
            init: pending.init,
            trace: pending.invoke.trace_id.clone(),
        });
        let mut log = Bytes::new();
        if let Some(running) = self.instances.get_mut(&instance) {
            if pending.invoke.log_tail == LogTail::Ask {
                log = running.log.tail(b"", &finished, 0);
            }
            running.finished = Some(finished);
        }
        // A caller that is gone no longer listens.
        let _ =
            pending.answer.send(Invoked { reply: Reply::FunctionError(payload), log, duration });
    }
}

/// An X-Ray trace header for a caller that sent none: a root of its own, not sampled. Its digits are the request id's, which
/// are as random as others would be: to ask the kernel for more takes part of every invocation.
pub(super) fn new_trace_id(request_id: &str) -> Arc<str> {
    let seconds =
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let id: String = request_id.chars().filter(char::is_ascii_hexdigit).collect();
    let (root, parent) = (id.get(..24).unwrap_or(&id), id.get(16..).unwrap_or(&id));
    format!("Root=1-{seconds:08x}-{root};Parent={parent};Sampled=0").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    // A trace header has the digits that X-Ray asks for: 8 and 24 of the root, 16 of the parent.
    #[test]
    fn trace_headers_have_their_digits() {
        let header = new_trace_id("8476a536-e9f4-11e8-9739-2dfe598c3fcd");
        let (root, rest) = header.split_once(";Parent=").expect("a parent");
        assert_eq!(root.len(), "Root=1-".len() + 8 + 1 + 24, "{header}");
        assert!(root.ends_with("-8476a536e9f411e897392dfe"), "{header}");
        assert_eq!(rest, "97392dfe598c3fcd;Sampled=0");
    }
}
