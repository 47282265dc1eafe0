//! How a caller names a layer, and what may be said of one.
//!
//! Source of patterns and limits: service model `lambda/2015-03-31`; Lambda developer guide, "Layers" and quotas, 2026-11.
//! Deliberately knows nothing of whether a layer exists.

use crate::code;
use crate::error::{ApiError, ErrorKind};
use crate::reference::{is_region, is_word};
use crate::validation::{Constraint, Violations};
use catalog::SizeError;
use model::TenantId;

/// Layers of one function.
const LAYERS_MAX: usize = 5;
const NAME_MAX: usize = 140;
const LICENSE_MAX: usize = 512;
const RUNTIMES_MAX: usize = 15;
const NAME_PATTERN: &str = r"(arn:(aws[a-zA-Z-]*)?:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:layer:[a-zA-Z0-9-_]{1,140}|[a-zA-Z0-9-_]{1,140})";
const VERSION_ARN_PATTERN: &str = r"((arn:(aws[a-zA-Z-]*)?:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:layer:[a-zA-Z0-9-_]+:[0-9]+)|(arn:[a-zA-Z0-9-]+:lambda:::awslayer:[a-zA-Z0-9-_]+))";
/// Runtimes that a layer may be meant for, whether or not they are installed here (service model, Runtime).
const RUNTIMES: &str = "nodejs, nodejs4.3, nodejs6.10, nodejs8.10, nodejs10.x, nodejs12.x, nodejs14.x, nodejs16.x, nodejs18.x, \
     nodejs20.x, nodejs22.x, nodejs24.x, nodejs26.x, java8, java8.al2, java8.al2023, java11, java11.al2023, java17, java17.al2023, \
     java21, java25, python2.7, python3.6, python3.7, python3.8, python3.9, python3.10, python3.11, python3.12, python3.13, \
     python3.14, python3.15, dotnetcore1.0, dotnetcore2.0, dotnetcore2.1, dotnetcore3.1, dotnet6, dotnet8, dotnet10, \
     nodejs4.3-edge, go1.x, ruby2.5, ruby2.7, ruby3.2, ruby3.3, ruby3.4, ruby4.0, provided, provided.al2, provided.al2023, custom";
const ARCHITECTURES: &str = "x86_64, arm64";

/// A layer as a caller named it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LayerReference<'a> {
    region: Option<&'a str>,
    account: Option<TenantId>,
    pub name: &'a str,
}

impl<'a> LayerReference<'a> {
    /// Reads a name or ARN. Errors: ValidationException in Lambda's words.
    pub fn parse(text: &'a str) -> Result<Self, ApiError> {
        let named = Self { region: None, account: None, name: text };
        let parsed = if text.starts_with("arn:") { Self::of_arn(text) } else { Some(named) };
        let fits = |layer: &Self| is_word(layer.name) && layer.name.len() <= NAME_MAX;
        parsed.filter(fits).ok_or_else(|| {
            let mut violations = Violations::default();
            violations.add(text, "layerName", Constraint::Pattern(NAME_PATTERN));
            violations.error()
        })
    }

    /// Reads the ARN of a version.
    pub fn parse_version(arn: &'a str) -> Option<(Self, u64)> {
        let (layer, number) = arn.rsplit_once(':')?;
        let layer = Self::of_arn(layer).filter(|layer| is_word(layer.name))?;
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        // One of more digits than there are versions is one that is not there.
        is_number.then(|| (layer, number.parse().unwrap_or(u64::MAX)))
    }

    fn of_arn(arn: &'a str) -> Option<Self> {
        let parts: Vec<&str> = arn.split(':').collect();
        let ["arn", partition, "lambda", region, account, "layer", name] = parts[..] else {
            return None;
        };
        let is_partition = partition.is_empty()
            || partition.strip_prefix("aws").is_some_and(|rest| {
                rest.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-')
            });
        let account = account.parse().ok();
        let named = Self { region: Some(region), account, name };
        (is_partition && is_region(region) && account.is_some()).then_some(named)
    }

    /// The account that the reference names, or the caller's where it names none.
    pub fn owner(&self, caller: TenantId) -> TenantId {
        self.account.unwrap_or(caller)
    }

    /// Refuses a region that is not this one.
    pub fn check_region(&self, region: &str) -> Result<(), ApiError> {
        match self.region.filter(|given| *given != region) {
            None => Ok(()),
            Some(_) => Err(ApiError::parameter(format!(
                "Layers are not in the same region as the function. Layers are expected to be in \
                 region {region}."
            ))),
        }
    }
}

/// Notes layers of a function that are no ARNs of versions.
pub(crate) fn check_arns(arns: &[String], violations: &mut Violations) {
    if !arns.iter().all(|arn| is_version_arn(arn)) {
        let shown = format!("[{}]", arns.join(", "));
        violations.add(&shown, "layers", Constraint::EachPattern(VERSION_ARN_PATTERN));
    }
}

/// Notes an ARN that is none of a version.
pub(crate) fn check_arn(arn: &str, violations: &mut Violations) {
    if !is_version_arn(arn) {
        violations.add(arn, "arn", Constraint::Pattern(VERSION_ARN_PATTERN));
    }
}

/// The second kind is AWS's own: a well-formed ARN of nothing that is here.
fn is_version_arn(arn: &str) -> bool {
    let own = arn.strip_prefix("arn:").and_then(|rest| rest.split_once(":lambda:::awslayer:"));
    LayerReference::parse_version(arn).is_some() || own.is_some_and(|(_, name)| is_word(name))
}

/// Refuses layers that cannot be those of one function.
pub(crate) fn check_together(layers: &[(LayerReference<'_>, &str)]) -> Result<(), ApiError> {
    if layers.len() > LAYERS_MAX {
        return Err(ApiError::parameter(format!(
            "Cannot reference more than {LAYERS_MAX} layers."
        )));
    }
    for (place, (layer, arn)) in layers.iter().enumerate() {
        let same = layers[..place].iter().find(|(other, _)| other == layer);
        if let Some((_, other)) = same {
            return Err(ApiError::parameter(format!(
                "Two different versions of the same layer are not allowed to be referenced in the \
                 same function. {other} and {arn} versions are both referenced."
            )));
        }
    }
    Ok(())
}

/// The number of a version, as a path has it.
pub(crate) fn read_number(text: &str) -> Result<u64, ApiError> {
    match text.parse() {
        Ok(number) if number >= 1 => Ok(number),
        _ => Err(ApiError::parameter(format!(
            "Layer Version Cannot be less than 1, and must be a number: got '{text}'."
        ))),
    }
}

/// Notes what is wrong with what a layer is said to be meant for.
pub(crate) fn check_compatible(
    runtimes: &[String],
    architectures: &[String],
    violations: &mut Violations,
) {
    for (given, at, known) in [
        (runtimes, "compatibleRuntimes", RUNTIMES),
        (architectures, "compatibleArchitectures", ARCHITECTURES),
    ] {
        if !given.iter().all(|one| is_listed(one, known)) {
            let shown = format!("[{}]", given.join(", "));
            violations.add(&shown, at, Constraint::EachOneOf(known));
        }
    }
    for (given, at, max) in [
        (runtimes, "compatibleRuntimes", RUNTIMES_MAX),
        (architectures, "compatibleArchitectures", 2),
    ] {
        if given.len() > max {
            let shown = format!("[{}]", given.join(", "));
            violations.add(&shown, at, Constraint::LengthMax(max));
        }
    }
}

/// Notes a filter of a list that nothing could fit.
pub(crate) fn check_filter(
    runtime: Option<&str>,
    architecture: Option<&str>,
    violations: &mut Violations,
) {
    for (given, at, known) in [
        (runtime, "compatibleRuntime", RUNTIMES),
        (architecture, "compatibleArchitecture", ARCHITECTURES),
    ] {
        if let Some(given) = given.filter(|given| !is_listed(given, known)) {
            violations.add(given, at, Constraint::OneOf(known));
        }
    }
}

/// Notes a license that is too long.
pub(crate) fn check_license(license: &str, violations: &mut Violations) {
    violations.check_length(license, "licenseInfo", LICENSE_MAX);
}

fn is_listed(one: &str, known: &str) -> bool {
    known.split(", ").any(|known| known == one)
}

/// The error for code and layers that are too large together.
pub(crate) fn size_error(error: SizeError) -> ApiError {
    match error {
        SizeError::TooLarge { bytes, limit } => ApiError::parameter(format!(
            "Function code combined with layers exceeds the maximum allowed size of {limit} bytes. The \
             actual size is {bytes} bytes."
        )),
        SizeError::Package(error) => code::package_error(&error),
    }
}

/// The error for a version that is not there.
pub(crate) fn no_version(arn: &str) -> ApiError {
    ApiError::new(ErrorKind::ResourceNotFound, format!("Layer version {arn} does not exist."))
}

/// The error for another account's layer, whether or not there is one.
pub(crate) fn denied(caller: TenantId, action: &str, arn: &str) -> ApiError {
    ApiError::new(
        ErrorKind::AccessDenied,
        format!(
            "User: arn:aws:iam::{caller}:root is not authorized to perform: {action} on resource: {arn} \
             because no resource-based policy allows the {action} action"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:lambda:us-east-1:123456789012:layer:l_-1";

    // A layer has two forms, its versions one; what does not fit is refused.
    #[test]
    fn names_and_arns_are_told_apart() {
        for text in ["l_-1", ARN] {
            assert_eq!(LayerReference::parse(text).expect(text).name, "l_-1");
        }
        for text in ["", "a b", "l:1", "arn:aws:s3:::bucket", &format!("{ARN}:1"), &"x".repeat(141)]
        {
            let error = LayerReference::parse(text).expect_err(text);
            assert_eq!(error.kind(), ErrorKind::Validation, "{text}");
        }
        let arn = format!("{ARN}:12");
        let (layer, number) = LayerReference::parse_version(&arn).expect("an ARN");
        assert_eq!((layer.name, number), ("l_-1", 12));
        for arn in ["l:1", ARN, &format!("{ARN}:"), &format!("{ARN}:x"), &format!("{ARN}:1:2")] {
            assert!(LayerReference::parse_version(arn).is_none(), "{arn}");
        }
    }

    // Two versions of one layer are one too many, of layers with one name in two accounts not; so are six layers.
    #[test]
    fn layers_of_a_function_differ() {
        let arns: Vec<String> = (1..=6)
            .map(|n| format!("arn:aws:lambda:us-east-1:12345678901{n}:layer:l:{n}"))
            .collect();
        let read = |arns: &[&str]| {
            let layers: Vec<_> = arns
                .iter()
                .map(|arn| (LayerReference::parse_version(arn).expect("an ARN").0, *arn))
                .collect();
            check_together(&layers).map_err(|error| error.message().to_owned())
        };
        let arns: Vec<&str> = arns.iter().map(String::as_str).collect();
        assert_eq!(read(&arns[..5]), Ok(()));
        assert_eq!(read(&arns), Err("Cannot reference more than 5 layers.".to_owned()));
        let other = "arn:aws:lambda:us-east-1:123456789011:layer:l:9";
        assert!(read(&[arns[0], other]).expect_err("twice").contains(other));
    }
}
