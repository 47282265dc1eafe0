//! Which operation a request asks for: method and path in, operation out.
//!
//! Deliberately knows nothing of headers and bodies.

use crate::absent::ABSENT;
use crate::canonical::decode_path;
use http::Method;
use std::borrow::Cow;

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    /// Of the function with this name or ARN.
    Function(FunctionOperation, Cow<'a, str>),
    CreateFunction,
    ListFunctions,
    GetAccountSettings,
    /// The zip of a function's code, at a URL that GetFunction gave out.
    Package(Cow<'a, str>),
    /// An operation of Lambda that this platform does not have.
    Absent(&'static str),
    /// Nothing that Lambda has.
    Unknown,
}

/// What is asked of one function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FunctionOperation {
    Invoke,
    /// InvokeWithResponseStream.
    InvokeStream,
    Get,
    GetConfiguration,
    UpdateCode,
    UpdateConfiguration,
    Delete,
}

const FUNCTIONS: &str = "/2015-03-31/functions";
const STREAMED_FUNCTIONS: &str = "/2021-11-15/functions/";
/// Where packages are downloaded from; not part of Lambda's API, which gives out URLs of S3.
pub(crate) const PACKAGES: &str = "/packages/";

/// The route of a request; the path is the raw one.
pub(crate) fn route<'a>(method: &Method, path: &'a str) -> Route<'a> {
    if let Some(rest) = path.strip_prefix(FUNCTIONS)
        && let Some(route) = function_route(method, rest)
    {
        return route;
    }
    if *method == Method::POST
        && let Some(rest) = path.strip_prefix(STREAMED_FUNCTIONS)
        && let Some((name, "response-streaming-invocations")) = rest.split_once('/')
    {
        return Route::Function(FunctionOperation::InvokeStream, decode_path(name));
    }
    if *method == Method::GET {
        if path.trim_end_matches('/') == "/2016-08-19/account-settings" {
            return Route::GetAccountSettings;
        }
        if let Some(name) = path.strip_prefix(PACKAGES) {
            return Route::Package(decode_path(name));
        }
    }
    let absent = ABSENT
        .iter()
        .find(|(_, verb, pattern)| *verb == method.as_str() && matches_pattern(pattern, path));
    absent.map_or(Route::Unknown, |(name, _, _)| Route::Absent(name))
}

fn function_route<'a>(method: &Method, rest: &'a str) -> Option<Route<'a>> {
    use FunctionOperation::{
        Delete, Get, GetConfiguration, Invoke, UpdateCode, UpdateConfiguration,
    };
    if matches!(rest, "" | "/") {
        return match *method {
            Method::POST => Some(Route::CreateFunction),
            Method::GET => Some(Route::ListFunctions),
            _ => None,
        };
    }
    let rest = rest.strip_prefix('/')?;
    let (name, what) = rest.split_once('/').unwrap_or((rest, ""));
    let operation = match (method.as_str(), what) {
        ("POST", "invocations") => Invoke,
        ("GET", "") => Get,
        ("GET", "configuration") => GetConfiguration,
        ("PUT", "code") => UpdateCode,
        ("PUT", "configuration") => UpdateConfiguration,
        ("DELETE", "") => Delete,
        _ => return None,
    };
    Some(Route::Function(operation, decode_path(name)))
}

/// Whether each segment of the path fits; a last `*` takes the rest, as of a tagged resource's ARN.
fn matches_pattern(pattern: &str, path: &str) -> bool {
    let mut path = path.strip_suffix('/').unwrap_or(path).split('/');
    let mut pattern = pattern.split('/').peekable();
    while let Some(expected) = pattern.next() {
        match path.next() {
            Some(segment) if expected == "*" && !segment.is_empty() => {
                if pattern.peek().is_none() {
                    return true;
                }
            }
            Some(segment) if expected == segment => {}
            _ => return false,
        }
    }
    path.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    // The paths of the service model lead to their operations, with an ARN decoded and a trailing slash accepted.
    #[test]
    fn paths_lead_to_operations() {
        let f = |name| Route::Function(FunctionOperation::Invoke, Cow::Borrowed(name));
        assert_eq!(route(&Method::POST, "/2015-03-31/functions/f/invocations"), f("f"));
        let encoded = "/2015-03-31/functions/arn%3Aaws%3Alambda/invocations";
        assert_eq!(route(&Method::POST, encoded), f("arn:aws:lambda"));
        assert_eq!(route(&Method::GET, "/2015-03-31/functions/"), Route::ListFunctions);
        assert_eq!(route(&Method::POST, "/2015-03-31/functions"), Route::CreateFunction);
    }

    // Operations that are not here are known by name, never taken for one that is.
    #[test]
    fn absent_operations_are_named() {
        let aliases = route(&Method::POST, "/2015-03-31/functions/f/aliases");
        assert_eq!(aliases, Route::Absent("CreateAlias"));
        let tags = route(&Method::GET, "/2017-03-31/tags/arn:aws:lambda:r:1:function:f");
        assert_eq!(tags, Route::Absent("ListTags"));
        assert_eq!(route(&Method::PATCH, "/2015-03-31/functions/f"), Route::Unknown);
        assert_eq!(route(&Method::GET, "/2015-03-31/functionsx"), Route::Unknown);
    }
}
