//! The profiles that come with the program.

use super::Platform;
use scheduler::ProfileError;

/// Name and text of each, as `emulated:NAME` has it.
pub const BUILT_IN: &[(&str, &str)] = &[
    ("aws-2018", include_str!("../../../../profiles/aws-2018.toml")),
    ("azure-2018", include_str!("../../../../profiles/azure-2018.toml")),
    ("google-2018", include_str!("../../../../profiles/google-2018.toml")),
    ("aws-documented", include_str!("../../../../profiles/aws-documented.toml")),
];

/// The built-in profile of that name; None where there is none.
pub fn built_in(name: &str) -> Option<Result<Platform, ProfileError>> {
    let (_, text) = BUILT_IN.iter().find(|(known, _)| *known == name)?;
    Some(Platform::from_toml(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Every profile that is built in is valid, and bears its own name.
    #[test]
    fn built_in_profiles_are_valid() {
        for (name, _) in BUILT_IN {
            let platform = built_in(name).expect("it is in the list").expect(name);
            assert_eq!(platform.scheduler.name, *name);
        }
    }
}
