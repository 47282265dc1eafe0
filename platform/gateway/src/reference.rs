//! How a caller names a function: by name, by part of its ARN, or by all of it.
//!
//! Deliberately knows nothing of whether it exists.

use crate::error::{ApiError, ErrorKind};
use crate::validation::{Constraint, Violations};
use model::TenantId;

/// A function as a caller named it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reference<'a> {
    pub region: Option<&'a str>,
    pub account: Option<&'a str>,
    pub name: &'a str,
    pub qualifier: Option<&'a str>,
}

/// The service model's pattern of FunctionName.
const PATTERN: &str = r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?";
/// Longest name as part of a request (service model, 2026-11).
const REFERENCE_MAX: usize = 256;
/// Longest name of a function (AWS Lambda developer guide, quotas, 2026-11).
const NAME_MAX: usize = 64;
pub(crate) const LATEST: &str = catalog::Version::LATEST;
/// The service model's pattern of Qualifier, and its length.
const QUALIFIER_PATTERN: &str = "(|[a-zA-Z0-9$_-]+)";
const QUALIFIER_MAX: usize = 128;

impl<'a> Reference<'a> {
    /// Reads a name or ARN. Errors: ValidationException in Lambda's words.
    pub fn parse(text: &'a str) -> Result<Self, ApiError> {
        let mut violations = Violations::default();
        if text.chars().count() > REFERENCE_MAX {
            violations.add(text, "functionName", Constraint::LengthMax(REFERENCE_MAX));
        }
        let parsed = Self::split(text);
        if parsed.is_none() {
            violations.add(text, "functionName", Constraint::Pattern(PATTERN));
        }
        if let Some(parsed) = parsed
            && parsed.name.len() > NAME_MAX
        {
            violations.add(parsed.name, "functionName", Constraint::LengthMax(NAME_MAX));
        }
        violations.finish()?;
        parsed.ok_or_else(|| ApiError::new(ErrorKind::Validation, "functionName is not a name"))
    }

    fn split(text: &'a str) -> Option<Self> {
        let (mut rest, mut region, mut account) = (text, None, None);
        if let Some(tail) = rest.strip_prefix("arn:") {
            let (partition, tail) = tail.split_once(':')?;
            let is_partition = partition.is_empty()
                || partition.strip_prefix("aws").is_some_and(|rest| {
                    rest.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-')
                });
            rest = tail.strip_prefix("lambda:").filter(|_| is_partition)?;
        }
        if let Some((first, tail)) = rest.split_once(':')
            && is_region(first)
        {
            (region, rest) = (Some(first), tail);
        }
        if let Some((first, tail)) = rest.split_once(':')
            && first.len() == 12
            && first.bytes().all(|byte| byte.is_ascii_digit())
        {
            (account, rest) = (Some(first), tail);
        }
        rest = rest.strip_prefix("function:").unwrap_or(rest);
        let (name, qualifier) = match rest.split_once(':') {
            Some((name, qualifier)) => (name, Some(qualifier)),
            None => (rest, None),
        };
        let fits = is_word(name) && qualifier.is_none_or(|q| q == LATEST || is_word(q));
        fits.then_some(Self { region, account, name, qualifier })
    }

    /// The account that the reference names, or the caller's where it names none.
    pub fn owner(&self, caller: TenantId) -> TenantId {
        self.account.and_then(|account| account.parse().ok()).unwrap_or(caller)
    }

    /// Refuses a region and an account that are not the caller's, and two qualifiers that differ. Returns the qualifier.
    pub fn check(
        &self,
        tenant: TenantId,
        region: &str,
        qualifier: Option<&'a str>,
    ) -> Result<Option<&'a str>, ApiError> {
        if let Some(other) = self.region.filter(|given| *given != region) {
            return Err(ApiError::new(
                ErrorKind::ResourceNotFound,
                format!("Functions from '{other}' are not reachable in this region ('{region}')"),
            ));
        }
        if self.account.is_some_and(|given| given != tenant.to_string()) {
            let account = self.account.unwrap_or("");
            return Err(ApiError::new(
                ErrorKind::AccessDenied,
                format!(
                    "User: arn:aws:iam::{tenant}:root is not authorized to access functions of \
                     account {account}"
                ),
            ));
        }
        match (self.qualifier, qualifier) {
            (Some(own), Some(given)) if own != given => Err(ApiError::parameter(
                "The derived qualifier from the function name does not match the specified \
                 qualifier.",
            )),
            (own, given) => match own.or(given) {
                Some("") | None => Ok(None),
                Some(qualifier) => {
                    check_qualifier(qualifier)?;
                    Ok(Some(qualifier))
                }
            },
        }
    }
}

fn check_qualifier(qualifier: &str) -> Result<(), ApiError> {
    let mut violations = Violations::default();
    violations.check_length(qualifier, "qualifier", QUALIFIER_MAX);
    if qualifier != LATEST && !is_word(qualifier) {
        violations.add(qualifier, "qualifier", Constraint::Pattern(QUALIFIER_PATTERN));
    }
    violations.finish()
}

/// Whether the qualifier means the function's latest state.
pub(crate) fn is_latest(qualifier: Option<&str>) -> bool {
    qualifier.is_none_or(|qualifier| qualifier == LATEST)
}

pub(crate) fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// `(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}`
pub(crate) fn is_region(text: &str) -> bool {
    let text = text.strip_prefix("eusc-").unwrap_or(text);
    let mut parts: Vec<&str> = text.split('-').collect();
    let is_lower = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase());
    if parts.len() == 4 {
        let middle = parts.remove(1);
        let is_iso = middle.strip_prefix("iso").is_some_and(|r| r.is_empty() || is_lower(r));
        if middle != "gov" && !(is_iso && middle.len() <= 4) {
            return false;
        }
    }
    matches!(parts[..], [country, place, number]
        if country.len() == 2 && is_lower(country) && is_lower(place)
            && number.len() == 1 && number.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Every form that the service model's pattern allows gives the same name.
    #[test]
    fn every_form_names_the_function() {
        for (text, qualifier) in [
            ("f_-1", None),
            ("f_-1:$LATEST", Some("$LATEST")),
            ("function:f_-1", None),
            ("123456789012:function:f_-1", None),
            ("123456789012:f_-1:7", Some("7")),
            ("us-east-1:123456789012:function:f_-1", None),
            ("us-gov-west-1:123456789012:function:f_-1", None),
            ("arn:aws:lambda:us-east-1:123456789012:function:f_-1", None),
            ("arn:aws-cn:lambda:us-east-1:123456789012:function:f_-1:live", Some("live")),
        ] {
            let reference = Reference::parse(text).expect(text);
            assert_eq!((reference.name, reference.qualifier), ("f_-1", qualifier), "{text}");
        }
    }

    // What does not fit is refused in Lambda's words.
    #[test]
    fn misfits_are_refused() {
        for text in ["", "a b", "f:", "f:$X", "arn:aws:s3:::bucket", "a:b:c", "über", "a/b"] {
            let error = Reference::parse(text).expect_err(text);
            assert_eq!(error.kind(), ErrorKind::Validation, "{text}");
        }
        let long = "x".repeat(65);
        let error = Reference::parse(&long).expect_err("65 letters");
        assert!(error.message().ends_with("Member must have length less than or equal to 64"));
    }

    // Another region, another account and a second qualifier are errors.
    #[test]
    fn foreign_references_are_refused() {
        let tenant: TenantId = "123456789012".parse().expect("twelve digits");
        let check = |text, qualifier| {
            let reference = Reference::parse(text).expect("a reference");
            reference.check(tenant, "us-east-1", qualifier).map_err(|error| error.kind())
        };
        assert_eq!(check("f", None), Ok(None));
        assert_eq!(check("f:1", Some("1")), Ok(Some("1")));
        assert_eq!(check("f:1", Some("2")), Err(ErrorKind::InvalidParameterValue));
        let elsewhere = "eu-west-1:123456789012:function:f";
        assert_eq!(check(elsewhere, None), Err(ErrorKind::ResourceNotFound));
        assert_eq!(check("000000000001:function:f", None), Err(ErrorKind::AccessDenied));
    }
}
