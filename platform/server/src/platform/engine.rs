//! What the gateway asks of the platform.

use super::{Deployed, Pending, Platform, Shared, chain};
use bytes::Bytes;
use catalog::Function;
use gateway::{Invoke, Invoked, Reply, SharedSettings};
use model::{FunctionId, InvocationId, Span};
use sandbox::Kind;
use scheduler::{Epoch, Event};
use std::sync::Arc;
use tokio::sync::oneshot;

impl<K: Kind> gateway::Engine for Platform<K> {
    fn runtimes(&self) -> Vec<String> {
        self.0.kind.runtimes()
    }

    async fn deploy(&self, function: Arc<Function>) -> Result<(), gateway::PrepareFailed> {
        let settings = self
            .0
            .settings(&function)
            .map_err(|error| gateway::PrepareFailed { reason: chain(&error) })?;
        let package = sandbox::Package {
            digest: function.code_digest.clone(),
            directory: function.code_directory.clone(),
            layers: function.layers_directory.clone(),
        };
        let image = self
            .0
            .kind
            .prepare(&package, &settings)
            .await
            .map_err(|error| gateway::PrepareFailed { reason: chain(&error) })?;
        let epoch = Epoch(function.epoch);
        let mut state = self.0.lock();
        let now = self.0.now();
        if let Some(journal) = &mut state.journal {
            journal.name(now, &function);
        }
        let known = state.settings(&function);
        let id = function.id;
        let deployed = Arc::new(Deployed {
            epoch,
            function,
            image: Arc::new(image),
            settings: Arc::new(settings),
        });
        let event = match state.functions.insert(id, deployed) {
            None => Event::Deployed { function: id, epoch, settings: known },
            Some(_) => Event::ConfigChanged { function: id, epoch, settings: known },
        };
        let is_new = matches!(event, Event::Deployed { .. });
        self.0.turn(&mut state, event, None);
        if is_new && let Some(&count) = state.provisioned.get(&id) {
            let event = Event::ProvisionedChanged { function: id, count };
            self.0.turn(&mut state, event, None);
        }
        Ok(())
    }

    fn share(&self, function: FunctionId, settings: SharedSettings) {
        self.0.share(function, settings);
    }

    fn provision(&self, version: FunctionId, count: u32) {
        self.0.provision(version, count);
    }

    fn provisioned(&self, version: FunctionId) -> gateway::Provisioned {
        self.0.provisioned(version)
    }

    async fn remove(&self, function: Arc<Function>) {
        let mut state = self.0.lock();
        state.functions.remove(&function.id);
        state.forget_shared(&function);
        self.0.turn(&mut state, Event::Removed { function: function.id }, None);
    }

    async fn accept(&self, event: gateway::Accept) -> Result<(), gateway::NotAccepted> {
        self.accept_event(event).await
    }

    async fn invoke(&self, invoke: Invoke) -> Invoked {
        let (answer, answered) = oneshot::channel();
        let id = {
            let mut state = self.0.lock();
            let (id, function) = (state.new_invocation(), invoke.function.id);
            let pending =
                Pending { invoke, answer, arrived: self.0.now(), dispatched: None, init: None };
            state.pending.insert(id, pending);
            self.0.turn(&mut state, Event::Invoked { invocation: id, function }, None);
            id
        };
        let _abandoned = Abandoned { platform: &self.0, id };
        answered.await.unwrap_or_else(|_| Invoked {
            reply: Reply::Failure(gateway::Failure::Unavailable(
                "the platform is shutting down".to_owned(),
            )),
            log: Bytes::new(),
            duration: Span::ZERO,
        })
    }
}

/// Tells the scheduler of a caller that went away. After the answer it has no effect.
struct Abandoned<'a, K: Kind> {
    platform: &'a Arc<Shared<K>>,
    id: InvocationId,
}

impl<K: Kind> Drop for Abandoned<'_, K> {
    fn drop(&mut self) {
        let mut state = self.platform.lock();
        // One that was dispatched runs to its end, as at AWS; one that waits for an instance is forgotten.
        if state.pending.get(&self.id).is_some_and(|pending| pending.dispatched.is_none()) {
            state.pending.remove(&self.id);
            self.platform.turn(&mut state, Event::Cancelled { invocation: self.id }, None);
        }
    }
}
