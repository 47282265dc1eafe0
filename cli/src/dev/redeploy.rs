//! Deploying again what was saved. What cannot be deployed is told, and what ran before goes on.

use super::check;
use super::inspect::Inspectors;
use super::{Arguments, Voice};
use crate::client::{Ask, Client, encode};
use crate::function::{Action, Item, Several, items, put_item};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Instant, SystemTime};

/// The functions of a directory, and how they were deployed last.
#[derive(Debug)]
pub struct Redeployer<'a> {
    path: &'a Path,
    arguments: &'a Arguments,
    voice: Voice,
    inspectors: Inspectors,
    /// When each was deployed, or tried to be, last.
    deployed: BTreeMap<String, SystemTime>,
    /// The last complaint: told once, not at every save of another file.
    complaint: String,
}

impl<'a> Redeployer<'a> {
    /// Nothing is deployed yet.
    pub fn new(path: &'a Path, arguments: &'a Arguments, voice: Voice) -> Self {
        let inspectors = Inspectors::new(arguments.inspect, voice);
        Self {
            path,
            arguments,
            voice,
            inspectors,
            deployed: BTreeMap::new(),
            complaint: String::new(),
        }
    }

    /// Names of the functions that are deployed.
    pub fn names(&self) -> Vec<String> {
        self.deployed.keys().cloned().collect()
    }

    /// Whether anything is deployed.
    pub fn has_any(&self) -> bool {
        !self.deployed.is_empty()
    }

    /// Looks at the directory, and deploys what differs from what runs.
    pub async fn all(&mut self, client: &Client) {
        let given = self.arguments.template.given(&client.place.region);
        let settings = (&self.arguments.settings, &given);
        let found = match items(self.path, self.arguments.name.as_deref(), settings, Several::Meant)
        {
            Ok(found) => found,
            Err(error) => {
                return self.complain(format!("not deployed: {error:#}{}", self.consolation()));
            }
        };
        let gone = self
            .names()
            .into_iter()
            .filter(|name| !found.iter().any(|item| item.plan.name == *name));
        for name in gone.collect::<Vec<_>>() {
            self.remove(client, &name).await;
        }
        let mut complaints = Vec::new();
        for item in found {
            if let Err(complaint) = self.one(client, item).await {
                complaints.push(complaint);
            }
        }
        match complaints.is_empty() {
            true => self.complaint.clear(),
            false => self.complain(complaints.join("\n")),
        }
    }

    async fn one(&mut self, client: &Client, mut item: Item) -> Result<(), String> {
        let (begun, saved) = (Instant::now(), SystemTime::now());
        let name = item.plan.name.clone();
        let last = self.deployed.get(&name).copied();
        let consolation = if last.is_some() { "; the old version keeps serving" } else { "" };
        if let Some(fault) = check::fault(&item, last).await {
            return Err(format!("{name} is not deployed{consolation}: {fault}"));
        }
        if last.is_none() {
            item.notes.iter().for_each(|note| self.voice.say(&format!("{name}: {note}")));
        }
        self.inspectors.prepare(&mut item).await;
        let put = put_item(client, &mut item).await;
        let put = put.map_err(|error| format!("{name} is not deployed{consolation}: {error:#}"))?;
        self.deployed.insert(name.clone(), saved);
        if put.action != Action::Unchanged {
            let word = put.action.word();
            let took = begun.elapsed().as_millis();
            self.voice.say(&format!("{name} {word} in {took} ms: {}", put.summary()));
            if let (Action::Created, Some(url)) = (put.action, &put.url) {
                self.voice.say(&format!("{name} has the URL {url}"));
            }
        }
        Ok(())
    }

    async fn remove(&mut self, client: &Client, name: &str) {
        let path = format!("/2015-03-31/functions/{}", encode(name));
        match client.call(Ask::lambda(http::Method::DELETE, path)).await {
            Ok(_) => self.voice.say(&format!("{name} removed: it is not there any more")),
            Err(error) => self.voice.complain(&format!("cannot remove {name}: {error}")),
        }
        self.deployed.remove(name);
    }

    fn consolation(&self) -> &'static str {
        if self.has_any() { "; what is deployed keeps serving" } else { "" }
    }

    fn complain(&mut self, complaint: String) {
        if complaint != self.complaint {
            self.voice.complain(&complaint);
            self.complaint = complaint;
        }
    }
}
