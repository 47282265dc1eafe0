//! The tag by which a function says whose instances may share its hosts.
//!
//! Deliberately knows nothing of hosts: it reads a word and refuses others.

use crate::error::ApiError;
use model::Isolation;
use std::collections::BTreeMap;

/// The tag.
pub(crate) const TAG: &str = "peek:isolation";

/// What these tags ask for, if they do.
///
/// # Errors
/// InvalidParameterValueException with the words that there are.
pub(crate) fn of(tags: &BTreeMap<String, String>) -> Result<Option<Isolation>, ApiError> {
    let asked = tags.get(TAG).map(|word| word.parse());
    asked.transpose().map_err(|_| {
        let word = tags.get(TAG).map_or("", String::as_str);
        ApiError::parameter(format!(
            "The value {word:?} of tag {TAG} is not valid. Valid values are: tenant, role, function."
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // The tag's words are read, another word is refused with those that there are, and no tag asks for nothing.
    #[test]
    fn the_tag_is_read() {
        let tags = |word: &str| [(TAG.to_owned(), word.to_owned())].into();
        assert_eq!(of(&tags("role")).ok(), Some(Some(Isolation::Role)));
        assert_eq!(of(&BTreeMap::new()).ok(), Some(None));
        let error = of(&tags("roles")).expect_err("no such word");
        assert!(format!("{error:?}").contains("Valid values are: tenant, role, function."));
    }
}
