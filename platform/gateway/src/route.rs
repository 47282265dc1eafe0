//! Which operation a request asks for: method and path in, operation out.
//!
//! Deliberately knows nothing of headers and bodies.

use crate::absent::ABSENT;
use crate::canonical::{decode_path, query_value};
use http::Method;
use std::borrow::Cow;

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route<'a> {
    /// An operation that this platform has, of what these names say.
    Operation(Operation, Names<'a>),
    /// The zip of a function's or a layer's code, at a URL that GetFunction or GetLayerVersion gave out.
    Package(Cow<'a, str>),
    /// An operation of Lambda that this platform does not have.
    Absent(&'static str),
    /// Nothing that Lambda has.
    Unknown,
}

/// The parameters of a path, decoded, in their order; those that the path does not have are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names<'a> {
    /// As a rule the name or ARN of a function.
    pub first: Cow<'a, str>,
    /// As an alias, the id of a statement, or the number of a layer's version.
    pub second: Cow<'a, str>,
    /// The id of a statement about a layer's version.
    pub third: Cow<'a, str>,
}

macro_rules! operations {
    ($($name:ident: $method:literal, $pattern:literal;)*) => {
        /// The operations that this platform has.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Operation {
            $($name,)*
        }

        /// Each operation with its method and its path. `*` stands for one segment, or for the rest of the path where it
        /// is the last one; a query that is asked for tells an operation from another with the same path, and comes first.
        const OPERATIONS: &[(Operation, &str, &str)] =
            &[$((Operation::$name, $method, $pattern),)*];
    };
}

operations! {
    Invoke: "POST", "/2015-03-31/functions/*/invocations";
    InvokeAsync: "POST", "/2014-11-13/functions/*/invoke-async";
    PutFunctionEventInvokeConfig: "PUT", "/2019-09-25/functions/*/event-invoke-config";
    UpdateFunctionEventInvokeConfig: "POST", "/2019-09-25/functions/*/event-invoke-config";
    GetFunctionEventInvokeConfig: "GET", "/2019-09-25/functions/*/event-invoke-config";
    DeleteFunctionEventInvokeConfig: "DELETE", "/2019-09-25/functions/*/event-invoke-config";
    ListFunctionEventInvokeConfigs: "GET", "/2019-09-25/functions/*/event-invoke-config/list";
    InvokeWithResponseStream: "POST", "/2021-11-15/functions/*/response-streaming-invocations";
    GetFunction: "GET", "/2015-03-31/functions/*";
    GetFunctionConfiguration: "GET", "/2015-03-31/functions/*/configuration";
    UpdateFunctionCode: "PUT", "/2015-03-31/functions/*/code";
    UpdateFunctionConfiguration: "PUT", "/2015-03-31/functions/*/configuration";
    DeleteFunction: "DELETE", "/2015-03-31/functions/*";
    CreateFunction: "POST", "/2015-03-31/functions";
    ListFunctions: "GET", "/2015-03-31/functions";
    GetAccountSettings: "GET", "/2016-08-19/account-settings";
    CreateFunctionUrlConfig: "POST", "/2021-10-31/functions/*/url";
    GetFunctionUrlConfig: "GET", "/2021-10-31/functions/*/url";
    UpdateFunctionUrlConfig: "PUT", "/2021-10-31/functions/*/url";
    DeleteFunctionUrlConfig: "DELETE", "/2021-10-31/functions/*/url";
    ListFunctionUrlConfigs: "GET", "/2021-10-31/functions/*/urls";
    PublishVersion: "POST", "/2015-03-31/functions/*/versions";
    ListVersionsByFunction: "GET", "/2015-03-31/functions/*/versions";
    CreateAlias: "POST", "/2015-03-31/functions/*/aliases";
    GetAlias: "GET", "/2015-03-31/functions/*/aliases/*";
    UpdateAlias: "PUT", "/2015-03-31/functions/*/aliases/*";
    DeleteAlias: "DELETE", "/2015-03-31/functions/*/aliases/*";
    ListAliases: "GET", "/2015-03-31/functions/*/aliases";
    TagResource: "POST", "/2017-03-31/tags/*";
    UntagResource: "DELETE", "/2017-03-31/tags/*";
    ListTags: "GET", "/2017-03-31/tags/*";
    AddPermission: "POST", "/2015-03-31/functions/*/policy";
    RemovePermission: "DELETE", "/2015-03-31/functions/*/policy/*";
    GetPolicy: "GET", "/2015-03-31/functions/*/policy";
    PutFunctionConcurrency: "PUT", "/2017-10-31/functions/*/concurrency";
    GetFunctionConcurrency: "GET", "/2019-09-30/functions/*/concurrency";
    DeleteFunctionConcurrency: "DELETE", "/2017-10-31/functions/*/concurrency";
    ListProvisionedConcurrencyConfigs: "GET", "/2019-09-30/functions/*/provisioned-concurrency?List=ALL";
    PutProvisionedConcurrencyConfig: "PUT", "/2019-09-30/functions/*/provisioned-concurrency";
    GetProvisionedConcurrencyConfig: "GET", "/2019-09-30/functions/*/provisioned-concurrency";
    DeleteProvisionedConcurrencyConfig: "DELETE", "/2019-09-30/functions/*/provisioned-concurrency";
    PublishLayerVersion: "POST", "/2018-10-31/layers/*/versions";
    ListLayerVersions: "GET", "/2018-10-31/layers/*/versions";
    GetLayerVersionByArn: "GET", "/2018-10-31/layers?find=LayerVersion";
    ListLayers: "GET", "/2018-10-31/layers";
    GetLayerVersion: "GET", "/2018-10-31/layers/*/versions/*";
    DeleteLayerVersion: "DELETE", "/2018-10-31/layers/*/versions/*";
    AddLayerVersionPermission: "POST", "/2018-10-31/layers/*/versions/*/policy";
    GetLayerVersionPolicy: "GET", "/2018-10-31/layers/*/versions/*/policy";
    RemoveLayerVersionPermission: "DELETE", "/2018-10-31/layers/*/versions/*/policy/*";
}

/// Where packages of functions are downloaded from, and below [`LAYER_PACKAGES`] those of layers; not part of Lambda's API, which gives out URLs of S3.
pub(crate) const PACKAGES: &str = "/packages/";
/// No function has a slash in its name.
pub(crate) const LAYER_PACKAGES: &str = "layers/";

/// The route of a request; path and query are the raw ones.
pub(crate) fn route<'a>(method: &Method, path: &'a str, query: Option<&str>) -> Route<'a> {
    for (operation, verb, pattern) in OPERATIONS {
        if *verb == method.as_str()
            && let Some(names) = matched(pattern, path, query)
        {
            return Route::Operation(*operation, names);
        }
    }
    if *method == Method::GET
        && let Some(name) = path.strip_prefix(PACKAGES)
    {
        return Route::Package(decode_path(name));
    }
    let absent = ABSENT.iter().find(|(_, verb, pattern)| {
        *verb == method.as_str() && matched(pattern, path, query).is_some()
    });
    absent.map_or(Route::Unknown, |(name, _, _)| Route::Absent(name))
}

/// What the stars of the pattern stand for, where the path fits. Lambda takes a slash at the end of a path for nothing.
fn matched<'a>(pattern: &str, path: &'a str, query: Option<&str>) -> Option<Names<'a>> {
    let (pattern, asked) = match pattern.split_once('?') {
        Some((pattern, asked)) => (pattern, asked.split_once('=')),
        None => (pattern, None),
    };
    if let Some((name, value)) = asked
        && query_value(query?, name)? != value
    {
        return None;
    }
    let path = path.strip_suffix('/').unwrap_or(path);
    let mut names = [None, None, None];
    let mut rest = Some(path);
    let mut pattern = pattern.split('/').peekable();
    while let Some(expected) = pattern.next() {
        let now = rest?;
        let (segment, after) = match now.split_once('/') {
            Some((segment, after)) => (segment, Some(after)),
            None => (now, None),
        };
        if expected != "*" {
            if segment != expected {
                return None;
            }
        } else {
            // An ARN of a tagged resource may come with its slashes as they are.
            let is_tag = pattern.peek().is_none() && path.starts_with(TAGS);
            let taken = if is_tag { now } else { segment };
            if segment.is_empty() {
                return None;
            }
            *names.iter_mut().find(|name| name.is_none())? = Some(taken);
            if is_tag {
                rest = None;
                break;
            }
        }
        rest = after;
    }
    let [first, second, third] = names.map(|name| name.map(decode_path).unwrap_or_default());
    rest.is_none().then_some(Names { first, second, third })
}

/// Where tagged resources are; their ARNs are the rest of the path.
const TAGS: &str = "/2017-03-31/tags/";

#[cfg(test)]
mod tests {
    use super::*;

    fn names<'a>(first: &'a str, second: &'a str) -> Names<'a> {
        Names { first: first.into(), second: second.into(), third: "".into() }
    }

    // The paths of the service model lead to their operations, with an ARN decoded and a trailing slash accepted.
    #[test]
    fn paths_lead_to_operations() {
        let at = |method, path| route(&method, path, None);
        let f = |operation, name| Route::Operation(operation, names(name, ""));
        let invoke = |name| f(Operation::Invoke, name);
        assert_eq!(at(Method::POST, "/2015-03-31/functions/f/invocations"), invoke("f"));
        let encoded = "/2015-03-31/functions/arn%3Aaws%3Alambda/invocations";
        assert_eq!(at(Method::POST, encoded), invoke("arn:aws:lambda"));
        assert_eq!(at(Method::GET, "/2015-03-31/functions/"), f(Operation::ListFunctions, ""));
        assert_eq!(at(Method::POST, "/2015-03-31/functions"), f(Operation::CreateFunction, ""));
        assert_eq!(at(Method::GET, "/2015-03-31/functions/f/"), f(Operation::GetFunction, "f"));
        assert_eq!(at(Method::GET, "/packages/f"), Route::Package("f".into()));
    }

    // Operations that are not here are known by name, never taken for one that is.
    #[test]
    fn absent_operations_are_named() {
        let providers = route(&Method::POST, "/2025-11-30/capacity-providers", None);
        assert_eq!(providers, Route::Absent("CreateCapacityProvider"));
        assert_eq!(route(&Method::PATCH, "/2015-03-31/functions/f", None), Route::Unknown);
        assert_eq!(route(&Method::GET, "/2015-03-31/functionsx", None), Route::Unknown);
        assert_eq!(route(&Method::GET, "/2015-03-31/functions//policy", None), Route::Unknown);
    }

    // No operation hides another: each pattern, filled in, leads to its own operation.
    #[test]
    fn every_operation_is_reached() {
        for (operation, verb, pattern) in OPERATIONS {
            let (path, query) = match pattern.split_once('?') {
                Some((path, query)) => (path, Some(query)),
                None => (*pattern, None),
            };
            let fill = |path: String, name: &&str| path.replacen('*', name, 1);
            let path = ["one", "two", "three"].iter().fold(path.to_owned(), fill);
            let method = Method::from_bytes(verb.as_bytes()).expect("a method");
            match route(&method, &path, query) {
                Route::Operation(found, _) => assert_eq!(found, *operation, "{path}"),
                other => panic!("{path}: {other:?}"),
            }
        }
    }
}
