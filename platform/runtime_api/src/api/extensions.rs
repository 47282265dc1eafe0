//! The part of the API that extensions speak.

use super::{Happened, RuntimeApi};
use crate::extension::{Outcome, Place, Registered, Reply, ShutdownReason};
use crate::head::{ExtensionHeaders, ExtensionRoute};

impl RuntimeApi {
    /// Tells those extensions that want to know that the instance ends by then. Those that work are told when they ask.
    pub fn shut_down(&mut self, reason: ShutdownReason, deadline_unix_ms: u64) {
        self.extensions.shut_down(reason, deadline_unix_ms);
        self.hand_to_extensions();
    }

    /// The extensions that have registered, in that order.
    pub fn extensions(&self) -> impl Iterator<Item = Registered<'_>> {
        self.extensions.registered()
    }

    /// Whether an extension has registered that runs within the runtime's process.
    pub fn has_internal_extension(&self) -> bool {
        self.extensions.registered().any(|it| it.place == Place::Internal)
    }

    /// A request of an extension came.
    pub(super) fn extension(
        &mut self,
        id: usize,
        route: ExtensionRoute,
        headers: &ExtensionHeaders,
        body: &[u8],
    ) {
        let outcome = match route {
            ExtensionRoute::Register => {
                let were_all = self.extensions.all_registered();
                let reply = self.extensions.register(headers, body);
                if !were_all && self.extensions.all_registered() {
                    self.happened.push_back(Happened::ExtensionsRegistered);
                }
                Outcome::Reply(reply)
            }
            ExtensionRoute::Next => {
                let connections = &self.connections;
                let is_read = |id: usize| {
                    let other = connections.get(id).and_then(Option::as_ref);
                    other.is_some_and(|it| it.output.is_empty())
                };
                self.extensions.next(headers, id, is_read)
            }
            ExtensionRoute::Subscribe(api) => match self.extensions.subscribe(api, headers, body) {
                Ok(subscription) => {
                    self.happened.push_back(Happened::Subscribed(Box::new(subscription)));
                    Outcome::Reply(Reply::subscribed())
                }
                Err(reply) => Outcome::Reply(reply),
            },
            ExtensionRoute::InitError | ExtensionRoute::ExitError => self.extensions.fail(headers),
        };
        match outcome {
            Outcome::Park => {
                if let Some(connection) = self.connection(id) {
                    connection.park();
                }
                self.hand_to_extensions();
            }
            Outcome::Reply(reply) => self.reply(id, &reply),
            Outcome::Failed { name, reason } => {
                let kind = match route {
                    ExtensionRoute::InitError => "Extension.InitError",
                    _ => "Extension.ExitError",
                };
                self.happened.push_back(Happened::ExtensionFailed { name, kind, reason });
                self.reply(id, &Reply::accepted());
            }
        }
        self.tell_ready();
    }

    fn reply(&mut self, id: usize, reply: &Reply) {
        if let Some(connection) = self.connection(id) {
            connection.output.push_reply(reply);
            connection.answered();
        }
    }

    /// Hands events to the extensions that wait, and goes on with what they have sent since.
    pub(super) fn hand_to_extensions(&mut self) {
        while let Some((id, reply)) = self.extensions.poll_handed() {
            self.reply(id, &reply);
            self.read(id);
        }
    }
}
