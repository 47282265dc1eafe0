//! The end of an event: whoever is to be told of it is told, and it leaves the store, both in one step.

use crate::courier::Shared;
use crate::record::{Facts, record};
use crate::{Ended, Letter, Lineage, Runner, post};
use catalog::{Batch, Durable, StoreError};
use queue::{Condition, EventId};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Ends that are written at leisure before one is flushed with those before it: the store cannot use the room of what was
/// removed before it is flushed.
const ENDS_PER_FLUSH: u64 = 64;

/// An event whose end is being stored.
pub(crate) struct Settling {
    pub event: EventId,
    pub condition: Condition,
    pub runs: u32,
    /// What its last run came to.
    pub ended: Option<(Arc<Letter>, Ended)>,
    /// The letter, where it is at hand and was not run.
    pub letter: Option<Arc<Letter>>,
}

impl<R: Runner> Shared<R> {
    pub async fn settle(self: Arc<Self>, settling: Settling) {
        let result = self.store_end(&settling).await;
        if let Err(error) = &result {
            let error: &dyn std::error::Error = error;
            tracing::warn!(
                error,
                event = settling.event.0,
                "an event's end cannot be stored, and is tried again"
            );
        }
        self.settled(settling, &result);
    }

    async fn store_end(self: &Arc<Self>, settling: &Settling) -> Result<(), StoreError> {
        let ended = settling.ended.as_ref();
        let known = ended.map(|(letter, _)| letter).or(settling.letter.as_ref());
        let letter = match known {
            Some(letter) => Arc::clone(letter),
            None => match self.read(settling.event).await? {
                Some(letter) => letter,
                None => return Ok(()),
            },
        };
        let mut batch = Batch::new();
        post::remove(&mut batch, settling.event, &letter);
        match self.follow(settling, &letter) {
            Some(follow) => self.post(batch, vec![follow]).await,
            // Lost in a crash, it means one more run.
            None => self.store.submit(batch, self.when_ended()).await,
        }
    }

    /// When an end that nobody is told of must be on disk.
    fn when_ended(&self) -> Durable {
        match self.ends.fetch_add(1, Ordering::Relaxed) % ENDS_PER_FLUSH {
            0 => Durable::Now,
            _ => Durable::Later,
        }
    }

    /// The event that tells the function's destination of the end, if there is one.
    fn follow(&self, settling: &Settling, letter: &Letter) -> Option<Letter> {
        let standing = self.runner.standing(&letter.address)?;
        let is_success = settling.condition == Condition::Success;
        let arn = if is_success { standing.on_success } else { standing.on_failure };
        if !is_success {
            tracing::info!(
                request_id = letter.request_id,
                function = letter.address.name,
                condition = ?settling.condition,
                "an asynchronous event is given up"
            );
        }
        let arn = arn?;
        let Some(address) = self.runner.resolve(&arn) else {
            tracing::warn!(arn, "a destination does not exist: nobody is told of an event's end");
            return None;
        };
        let mut lineage = Lineage::read(&letter.trace_id);
        if let Err(error) = lineage.step(&address) {
            tracing::warn!(arn, %error, "a chain of destinations is broken off");
            return None;
        }
        let facts = Facts {
            letter,
            function_arn: &self.runner.arn(&letter.address),
            condition: settling.condition,
            runs: settling.runs,
            ended: settling.ended.as_ref().map(|(_, ended)| ended),
        };
        let payload = record(&facts, timestamp());
        let request_id = uuid::Uuid::new_v4().to_string();
        Some(Letter::new(address, request_id, lineage.write(&letter.trace_id), payload))
    }
}

/// The time now, RFC 3339 with milliseconds.
fn timestamp() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}
