//! Which URL leads where.

use catalog::{Access, Catalog, Entry, Function, UrlAuth, UrlConfig};
use model::TenantId;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Name under which the catalog has the URL of a function itself.
pub(crate) const LATEST: &str = "$LATEST";

/// Whose URL an id is. What it is set to, and whether it is there at all, the catalog says.
#[derive(Debug, Default)]
pub(crate) struct UrlBook(RwLock<BTreeMap<String, Owner>>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Owner {
    tenant: TenantId,
    function: String,
    /// [`LATEST`], or an alias.
    qualifier: String,
}

/// A function URL, and what it leads to.
#[derive(Clone, Debug)]
pub(crate) struct FunctionUrl {
    /// What one request runs.
    pub function: Arc<Function>,
    /// [`LATEST`], or an alias.
    pub qualifier: String,
    pub config: UrlConfig,
    /// The function with all that is attached to it.
    entry: Arc<Entry>,
}

impl UrlBook {
    /// Notes the URL of a function's qualifier; returns its id.
    pub fn note(&self, tenant: TenantId, function: &str, qualifier: &str) -> String {
        let id = url_id(tenant, function, qualifier);
        let owner =
            Owner { tenant, function: function.to_owned(), qualifier: qualifier.to_owned() };
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), owner);
        id
    }

    /// The URL with this id, as it is now; None where there is none, or its function is gone.
    pub fn find(&self, catalog: &Catalog, id: &str, random: fn() -> f64) -> Option<FunctionUrl> {
        let owner = self.0.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()?;
        let entry = catalog.entry(owner.tenant, &owner.function)?;
        let config = entry.attachments.urls.get(&owner.qualifier)?.clone();
        let qualifier = (owner.qualifier != LATEST).then_some(owner.qualifier.as_str());
        let function = entry.pick(qualifier, random)?;
        Some(FunctionUrl { function, qualifier: owner.qualifier, config, entry })
    }
}

impl FunctionUrl {
    /// Whether the policy of the function, or of the alias, lets someone other than the owner ask here; None for someone
    /// who gave no signature. It must allow both actions (Lambda developer guide, "Control access to Lambda function
    /// URLs", since October 2025).
    pub fn allows(&self, account: Option<TenantId>) -> bool {
        let of = if self.qualifier == LATEST { "" } else { self.qualifier.as_str() };
        let auth = match self.config.auth {
            UrlAuth::None => "NONE",
            UrlAuth::AwsIam => "AWS_IAM",
        };
        self.entry.attachments.policies.get(of).is_some_and(|policy| {
            ["lambda:InvokeFunctionUrl", "lambda:InvokeFunction"].iter().all(|action| {
                policy.allows(&Access { account, action, function_url_auth_type: Some(auth) })
            })
        })
    }

    /// ARN of the function as it is invoked.
    pub fn arn(&self) -> String {
        let base = self.function.arn();
        // The ARN of a version ends in its number.
        let name: Vec<&str> = base.splitn(8, ':').take(7).collect();
        match self.qualifier.as_str() {
            LATEST => name.join(":"),
            alias => format!("{}:{alias}", name.join(":")),
        }
    }
}

/// The id of the URL of a function, or of one of its aliases: 32 lower-case letters and digits, the same for ever.
pub(crate) fn url_id(tenant: TenantId, function: &str, qualifier: &str) -> String {
    const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let text = format!("peek function url\n{tenant}\n{function}\n{qualifier}");
    let hash: [u8; 32] = Sha256::digest(text).into();
    hash.iter().map(|byte| char::from(DIGITS[usize::from(byte & 31)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Ids are stable, and differ by account, function and alias.
    #[test]
    fn ids() {
        let (one, other) = (TenantId::from_number(1), TenantId::from_number(2));
        let id = url_id(one, "f", LATEST);
        assert_eq!((id.len(), &id), (32, &url_id(one, "f", LATEST)));
        for different in
            [url_id(other, "f", LATEST), url_id(one, "g", LATEST), url_id(one, "f", "a")]
        {
            assert_ne!(id, different);
        }
    }
}
