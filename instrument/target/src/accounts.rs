//! Access keys of further accounts: named profiles of the credentials file that AWS's tools share.
//!
//! Only keys that stand in the file itself; deliberately knows nothing of roles that are assumed or of single sign-on.

use crate::Uri;
use crate::endpoint::OpenError;
use aws_credential_types::Credentials;
use std::collections::BTreeMap;
use std::env;
use std::path::PathBuf;

/// The credentials file: `AWS_SHARED_CREDENTIALS_FILE`, else `~/.aws/credentials` (AWS SDKs and Tools Reference Guide,
/// "Shared config and credentials files", 2026-11).
pub(crate) fn path() -> PathBuf {
    match env::var_os("AWS_SHARED_CREDENTIALS_FILE").filter(|path| !path.is_empty()) {
        Some(path) => path.into(),
        None => PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".aws/credentials"),
    }
}

/// The keys of a profile of the credentials file.
pub(crate) fn stored(name: &str) -> Result<Credentials, OpenError> {
    let path = path();
    let text = std::fs::read_to_string(&path).map_err(|error| error.to_string());
    text.and_then(|text| in_text(&text, name)).map_err(|reason| OpenError::Account {
        name: name.to_owned(),
        path,
        reason,
    })
}

/// Where the key of a tenant of a target comes from, in words for those who have to mend it.
pub(crate) fn place(uri: &Uri, further: &[String], tenant: usize) -> String {
    if let Some(name) = tenant.checked_sub(1).and_then(|number| further.get(number)) {
        return format!("profile {name} (--account) of {}", path().display());
    }
    match uri {
        Uri::Local | Uri::Emulated(_) => "what the platform printed".to_owned(),
        Uri::Lambda(_) => {
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_SESSION_TOKEN if it is set".to_owned()
        }
        Uri::Aws(_) => {
            "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or the profile that AWS_PROFILE names"
                .to_owned()
        }
    }
}

/// The keys of a profile; an error says what is missing.
fn in_text(text: &str, name: &str) -> Result<Credentials, String> {
    let mut profiles: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    let mut section = "";
    for line in text.lines().map(str::trim) {
        if let Some(head) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = head.trim();
            profiles.entry(section).or_default();
        } else if let Some((key, value)) = line.split_once('=')
            && !line.starts_with(['#', ';'])
        {
            profiles.entry(section).or_default().insert(key.trim(), value.trim());
        }
    }
    let profile = profiles.get(name).ok_or_else(|| {
        let all: Vec<&str> = profiles.keys().copied().filter(|name| !name.is_empty()).collect();
        format!("it is not there, only: {}", all.join(", "))
    })?;
    let key = |word: &str| {
        let value = profile.get(word).filter(|value| !value.is_empty());
        value.map(|value| (*value).to_owned()).ok_or_else(|| format!("it has no {word}"))
    };
    Ok(Credentials::from_keys(
        key("aws_access_key_id")?,
        key("aws_secret_access_key")?,
        key("aws_session_token").ok(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# ours\n[default]\naws_access_key_id = one\naws_secret_access_key = s=1\n\n\
        [ second ]\naws_access_key_id=two\naws_secret_access_key=t\naws_session_token=u\n[empty]\n";

    // Keys are those of the profile that is named, whatever else the file holds.
    #[test]
    fn profiles_are_found() {
        let keys = |name| {
            let found = in_text(FILE, name).expect("it is there");
            let token = found.session_token().map(str::to_owned);
            (found.access_key_id().to_owned(), found.secret_access_key().to_owned(), token)
        };
        assert_eq!(keys("default"), ("one".to_owned(), "s=1".to_owned(), None));
        assert_eq!(keys("second"), ("two".to_owned(), "t".to_owned(), Some("u".to_owned())));
    }

    // A key that is refused is looked for where it came from.
    #[test]
    fn places_are_those_of_the_key() {
        let uri: Uri = "lambda:http://localhost:9000".parse().expect("it is one");
        let further = ["second".to_owned()];
        assert!(place(&uri, &further, 0).contains("AWS_SECRET_ACCESS_KEY"));
        assert!(place(&uri, &further, 1).starts_with("profile second "));
        let aws: Uri = "aws:us-east-1".parse().expect("it is one");
        assert!(place(&aws, &[], 0).contains("AWS_PROFILE"));
    }

    // What is missing is named, and so is what is there instead.
    #[test]
    fn missing_profiles_are_told() {
        let wrong = |name| in_text(FILE, name).expect_err("it is not there");
        assert_eq!(wrong("third"), "it is not there, only: default, empty, second");
        assert_eq!(wrong("empty"), "it has no aws_access_key_id");
    }
}
