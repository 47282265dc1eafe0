//! Asynchronous invocations: how the courier finds and runs functions here.

use super::{Platform, chain};
use catalog::{Catalog, Entry, Function, StoreError, Version};
use courier::{
    AcceptError, Address, Backlog, Courier, Ended, Letter, Lineage, Ran, Runner, Standing, Ticker,
};
use gateway::{Accept, Engine, Failure, Invoke, LogTail, NotAccepted, Reply};
use model::{Span, TenantId};
use queue::{Limits, Patience};
use sandbox::Kind;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// Retries after errors of a function, where it does not say (Lambda API reference, MaximumRetryAttempts, 2026-11).
const RETRIES: u32 = 2;
/// Age at which an event is given up, where its function does not say (the same, MaximumEventAgeInSeconds).
const AGE: Span = Span::from_secs(21_600);

/// Finds functions in the catalog and runs them on the platform.
pub struct EventRunner<K: Kind> {
    catalog: Arc<Catalog>,
    platform: Platform<K>,
    region: String,
}

impl<K: Kind> Platform<K> {
    /// Takes over what earlier lives left of events, and keeps events and schedules from now on. Call it once, when every
    /// function is deployed. Blocks on the disk. Errors: the store cannot be read.
    pub fn keep_events(&self, catalog: Arc<Catalog>, region: &str) -> Result<(), StoreError> {
        let profile = &self.0.profile.events;
        let limits = Limits {
            events: profile.held_max,
            bytes: profile.held_mib_max << 20,
            running: profile.running_max,
            retry_delays: profile.retry_delays.clone(),
            backoff_min: profile.backoff_min,
            backoff_max: profile.backoff_max,
            probe: profile.backoff_min,
            ..Limits::default()
        };
        let runner = EventRunner {
            catalog: Arc::clone(&catalog),
            platform: Platform(Arc::clone(&self.0)),
            region: region.to_owned(),
        };
        let courier = Courier::open(catalog.store().clone(), limits, Arc::new(runner))?;
        *self.0.courier.lock().unwrap_or_else(PoisonError::into_inner) = Some(courier.clone());
        // It ends with the courier.
        drop(Ticker::start(courier, catalog, region.to_owned()));
        Ok(())
    }

    /// Begins no more events, and waits, `limit` at most, until those that run have ended.
    pub(super) async fn close_events(&self, limit: Duration) {
        let courier = self.0.courier.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(courier) = courier {
            courier.close(limit).await;
        }
    }

    /// Events that are held; none while the platform begins or ends.
    pub(super) fn backlog(&self) -> Backlog {
        let courier = self.0.courier.lock().unwrap_or_else(PoisonError::into_inner).clone();
        courier.map(|courier| courier.backlog()).unwrap_or_default()
    }

    pub(super) async fn accept_event(&self, event: Accept) -> Result<(), NotAccepted> {
        let courier = self.0.courier.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(courier) = courier else {
            return Err(NotAccepted::Store("The platform is shutting down.".to_owned()));
        };
        let gateway::EventTarget { tenant, name, id, qualifier } = event.function;
        let address = Address { tenant, name, function: id, qualifier };
        let trace_id =
            event.trace_id.unwrap_or_else(|| super::dispatch::new_trace_id(&event.request_id));
        let mut lineage = Lineage::read(&trace_id);
        lineage.step(&address).map_err(|error| {
            NotAccepted::Loop(format!(
                "{error}: this invocation was not accepted. Change the function so that it does not invoke itself."
            ))
        })?;
        let (request_id, trace_id) = (event.request_id.to_string(), lineage.write(&trace_id));
        let mut letter = Letter::new(address, request_id, trace_id, event.payload);
        letter.client_context = event.client_context.map(|context| context.to_string());
        courier.accept(letter).await.map_err(|error| match error {
            AcceptError::NoFunction => NotAccepted::NoFunction,
            AcceptError::Full { .. } => NotAccepted::Full(error.to_string()),
            AcceptError::Store(store) if store.is_full() => NotAccepted::Store(
                "The platform's disk is full, so the event cannot be kept: make room on it, or \
                 invoke with InvocationType RequestResponse."
                    .to_owned(),
            ),
            AcceptError::Store(_) => {
                tracing::error!(error = chain(&error), "an event is refused");
                NotAccepted::Store("The platform's store failed; its log says why.".to_owned())
            }
        })
    }
}

impl<K: Kind> EventRunner<K> {
    /// The function with its versions, if it is still the one that was meant.
    fn entry(&self, address: &Address) -> Option<Arc<Entry>> {
        let entry = self.catalog.entry(address.tenant, &address.name)?;
        (entry.latest.id == address.function).then_some(entry)
    }
}

impl<K: Kind> Runner for EventRunner<K> {
    fn standing(&self, address: &Address) -> Option<Standing> {
        let entry = self.entry(address)?;
        let qualifier = address.qualifier.as_deref().unwrap_or(Version::LATEST);
        let said = entry.attachments.event_invokes.get(qualifier).cloned().unwrap_or_default();
        let age = said.age_s.map_or(AGE, |seconds| Span::from_secs(seconds.into()));
        Some(Standing {
            patience: Patience { retries: said.retries.unwrap_or(RETRIES), age },
            on_success: said.on_success,
            on_failure: said.on_failure,
        })
    }

    fn resolve(&self, arn: &str) -> Option<Address> {
        let mut parts = arn.split(':').skip(1);
        let (_, "lambda", region, account, "function", name, qualifier, None) = (
            parts.next()?,
            parts.next()?,
            parts.next()?,
            parts.next()?,
            parts.next()?,
            parts.next()?,
            parts.next(),
            parts.next(),
        ) else {
            return None;
        };
        let tenant: TenantId = account.parse().ok()?;
        let entry = self.catalog.entry(tenant, name).filter(|_| region == self.region)?;
        Some(Address {
            tenant,
            name: name.to_owned(),
            function: entry.latest.id,
            qualifier: qualifier.map(str::to_owned),
        })
    }

    fn arn(&self, address: &Address) -> String {
        let Address { tenant, name, qualifier, .. } = address;
        let qualifier = qualifier.as_deref().unwrap_or("$LATEST");
        format!("arn:aws:lambda:{}:{tenant}:function:{name}:{qualifier}", self.region)
    }

    async fn run(&self, letter: &Letter) -> Ran {
        let address = &letter.address;
        let Some(entry) = self.entry(address) else { return Ran::NoFunction };
        // Such events are not kept until there is concurrency again (Lambda developer guide, "How Lambda handles errors and
        // retries with asynchronous invocation", 2026-11).
        if entry.attachments.reserved_concurrency == Some(0) {
            return Ran::Barred;
        }
        let picked = entry.pick(address.qualifier.as_deref(), random_share);
        let Some(function) = picked else { return Ran::NoFunction };
        if function.is_pending() {
            return Ran::Refused("the function is being made ready".to_owned());
        }
        let version = function.version.to_string();
        let invoked = self.platform.invoke(invoke(letter, function)).await;
        let (payload, is_error) = match invoked.reply {
            Reply::Payload(payload) => (payload, false),
            Reply::FunctionError(payload) => (payload, true),
            // Only where a stream was asked for.
            Reply::Streamed => return Ran::Refused("the response was streamed".to_owned()),
            Reply::Failure(Failure::NoFunction) => return Ran::NoFunction,
            Reply::Failure(Failure::Unavailable(why)) => return Ran::Refused(why),
            Reply::Failure(Failure::ReservedConcurrency | Failure::AccountConcurrency) => {
                return Ran::Refused("no concurrency is left".to_owned());
            }
        };
        Ran::Ended(Ended { payload, is_error, version })
    }
}

fn invoke(letter: &Letter, function: Arc<Function>) -> Invoke {
    let arn = match &letter.address.qualifier {
        None => function.arn(),
        Some(qualifier) => format!("{}:{qualifier}", function.arn()),
    };
    Invoke {
        function,
        request_id: letter.request_id.as_str().into(),
        payload: letter.payload.clone(),
        client_context: letter.client_context.as_deref().map(Arc::from),
        trace_id: Some(letter.trace_id.as_str().into()),
        function_arn: arn.into(),
        log_tail: LogTail::Skip,
        stream: None,
    }
}

/// A random number from 0.0 up to, but not including, 1.0.
fn random_share() -> f64 {
    // The upper 53 bits are as many as the number holds.
    (uuid::Uuid::new_v4().as_u64_pair().0 << 11 >> 11) as f64 / (1_u64 << 53) as f64
}
