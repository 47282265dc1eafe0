//! The address of AWS's runtime interface emulator and of `cargo lambda`: `/2015-03-31/functions/function/invocations` is the
//! only function there is, whatever its name. For requests without a signature alone.

use crate::engine::Engine;
use crate::error::{ApiError, ErrorKind};
use crate::gateway::Inner;
use crate::signature::Claim;
use std::borrow::Cow;

/// The path that stands for any function's.
const ANY: &str = "/2015-03-31/functions/function/invocations";
/// The name in it.
const NAME: &str = "function";
/// Most names that an error lists.
const LISTED: usize = 20;

impl<E: Engine> Inner<E> {
    /// The path with the only function's name in place of `function`, unless there is one of that name. Errors: there are
    /// several, which are named.
    pub(crate) fn path_of_only<'a>(
        &self,
        claim: &Claim,
        path: &'a str,
    ) -> Result<Cow<'a, str>, ApiError> {
        let tenant = claim.tenant();
        if claim.is_signed || path != ANY || self.catalog.get(tenant, NAME).is_some() {
            return Ok(Cow::Borrowed(path));
        }
        let page = self.catalog.list(tenant, None, LISTED);
        let names: Vec<&str> =
            page.entries.iter().map(|entry| entry.latest.name.as_str()).collect();
        match names.as_slice() {
            [] => Ok(Cow::Borrowed(path)),
            [only] => Ok(Cow::Owned(ANY.replacen("/function/", &format!("/{only}/"), 1))),
            several => {
                let more = if page.next_after.is_some() { ", …" } else { "" };
                let message = format!(
                    "There are several functions, so `{NAME}` in the path stands for none of them: name one of {}{more}.",
                    several.join(", ")
                );
                Err(ApiError::new(ErrorKind::ResourceNotFound, message))
            }
        }
    }
}
