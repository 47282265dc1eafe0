//! Published versions and aliases: what they stand for, what outlives the process, what an update leaves alone.

mod support;

use catalog::{
    Alias, Catalog, DeleteVersionError, EditError, Function, PublishError, PublishOf, Published,
    SettingsChange, State, UpdateOf, Version,
};
use model::MemoryMib;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use support::{TENANT, new_function, zip};

const F: PublishOf<'static> = PublishOf {
    tenant: TENANT,
    name: "f",
    revision_id: None,
    code_digest: None,
    description: None,
};

fn zip_with(content: &str) -> Vec<u8> {
    zip(&[("app.py", content)])
}

fn open(data: &Path) -> Catalog {
    Catalog::open(data).expect("a catalog")
}

fn create(catalog: &Catalog) -> Arc<Function> {
    let mut new = new_function("f");
    new.settings.description = "first".to_owned();
    let package = catalog.store_package(&zip_with("one")).expect("a package");
    let function = catalog.create(new, package).expect("created");
    catalog.mark(&function, State::Active).expect("there")
}

/// Updates the memory size and marks it done.
fn resize(catalog: &Catalog, mib: u32) {
    let of = UpdateOf { tenant: TENANT, name: "f", revision_id: None };
    let change = SettingsChange { memory: Some(MemoryMib(mib)), ..SettingsChange::default() };
    let updated = catalog.update_settings(of, change).expect("updated");
    catalog.mark(&updated.current, State::Active).expect("there");
}

fn publish(catalog: &Catalog, of: PublishOf<'_>) -> Arc<Function> {
    match catalog.publish(of).expect("published") {
        Published::New(version) => catalog.mark(&version, State::Active).expect("there"),
        Published::Unchanged(version) => panic!("version {} is unchanged", version.version),
    }
}

fn alias(catalog: &Catalog, name: &str, version: Version, weights: &[(u64, f64)]) {
    let alias = Alias {
        version,
        description: String::new(),
        weights: weights.iter().copied().collect(),
        revision_id: "r".to_owned(),
    };
    let made: Result<_, EditError> = catalog.edit(TENANT, "f", |_, attachments| {
        attachments.aliases.insert(name.to_owned(), alias);
        Ok(())
    });
    made.expect("stored");
}

// A published version keeps code and settings whatever becomes of $LATEST, and all of it is there after a restart.
#[test]
fn versions_are_frozen_and_durable() {
    let data = tempfile::tempdir().expect("a directory");
    let before = {
        let catalog = open(data.path());
        let latest = create(&catalog);
        let one = publish(&catalog, F);
        assert_eq!((one.version, one.group), (Version::Number(1), latest.id));
        assert_ne!(one.id, latest.id);
        resize(&catalog, 256);
        publish(&catalog, PublishOf { description: Some("second"), ..F });
        resize(&catalog, 512);
        alias(&catalog, "live", Version::Number(1), &[(2, 0.25)]);
        catalog.entry(TENANT, "f").expect("there")
    };
    let after = open(data.path()).entry(TENANT, "f").expect("there");
    let memory: Vec<_> = after.states().map(|state| (state.version, state.memory.0)).collect();
    assert_eq!(
        memory,
        [(Version::Latest, 512), (Version::Number(1), 128), (Version::Number(2), 256)]
    );
    assert_eq!(after.versions[&2].description, "second");
    assert!(after.states().eq(before.states()));
    assert_eq!(after.attachments, before.attachments);
}

// Publishing again without a change answers the version that is there; a change of anything makes a new one.
#[test]
fn nothing_new_is_not_published() {
    let data = tempfile::tempdir().expect("a directory");
    let catalog = open(data.path());
    create(&catalog);
    let one = publish(&catalog, PublishOf { description: Some("its own"), ..F });
    for description in [None, Some("another")] {
        let again = catalog.publish(PublishOf { description, ..F }).expect("published");
        assert!(matches!(again, Published::Unchanged(version) if version == one));
    }
    resize(&catalog, 256);
    assert_eq!(publish(&catalog, F).version, Version::Number(2));
    let of = UpdateOf { tenant: TENANT, name: "f", revision_id: None };
    let change =
        SettingsChange { description: Some("new".to_owned()), ..SettingsChange::default() };
    let updated = catalog.update_settings(of, change).expect("updated");
    let pending = catalog.publish(F);
    assert!(matches!(pending, Err(PublishError::Pending { .. })), "{pending:?}");
    catalog.mark(&updated.current, State::Active).expect("there");
    assert_eq!(publish(&catalog, F).version, Version::Number(3));
}

// A caller's revision and code must be the latest, where it names them.
#[test]
fn stale_publishers_are_refused() {
    let data = tempfile::tempdir().expect("a directory");
    let catalog = open(data.path());
    let latest = create(&catalog);
    let stale = catalog.publish(PublishOf { revision_id: Some("stale"), ..F });
    assert!(matches!(stale, Err(PublishError::Revision { .. })));
    let other = catalog.publish(PublishOf { code_digest: Some("00"), ..F });
    assert!(matches!(other, Err(PublishError::Code { .. })));
    let none = catalog.publish(PublishOf { name: "g", ..F });
    assert!(matches!(none, Err(PublishError::NoFunction { .. })));
    let (revision_id, code_digest) = (Some(&*latest.revision_id), Some(&*latest.code_digest));
    publish(&catalog, PublishOf { revision_id, code_digest, ..F });
}

// A version that an alias means stays; one that goes takes its number with it, and its code where nobody else has it.
#[test]
fn versions_go_when_no_alias_means_them() {
    let data = tempfile::tempdir().expect("a directory");
    let catalog = open(data.path());
    create(&catalog);
    publish(&catalog, F);
    let package = catalog.store_package(&zip_with("two")).expect("a package");
    let of = UpdateOf { tenant: TENANT, name: "f", revision_id: None };
    let updated = catalog.update_code(of, package).expect("updated");
    catalog.mark(&updated.current, State::Active).expect("there");
    drop(updated);
    publish(&catalog, F);
    alias(&catalog, "live", Version::Number(2), &[(1, 0.5)]);
    for number in [1, 2] {
        let refused = catalog.delete_version(TENANT, "f", number);
        let Err(DeleteVersionError::InUse { aliases, .. }) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(aliases, ["live"]);
    }
    alias(&catalog, "live", Version::Number(2), &[]);
    assert_eq!(catalog.collect_packages().expect("collected"), 0);
    catalog.delete_version(TENANT, "f", 1).expect("deleted");
    assert_eq!(catalog.collect_packages().expect("collected"), 1);
    let again = catalog.delete_version(TENANT, "f", 1);
    assert!(matches!(again, Err(DeleteVersionError::NoVersion { .. })));
    alias(&catalog, "live", Version::Latest, &[]);
    catalog.delete_version(TENANT, "f", 2).expect("deleted");
    drop(catalog);
    let catalog = open(data.path());
    assert_eq!(publish(&catalog, F).version, Version::Number(3));
}

// A deleted function takes versions and aliases with it: one created again under its name has none.
#[test]
fn nothing_is_left_of_a_deleted_function() {
    let data = tempfile::tempdir().expect("a directory");
    let first = {
        let catalog = open(data.path());
        create(&catalog);
        publish(&catalog, F);
        alias(&catalog, "live", Version::Number(1), &[]);
        catalog.delete(TENANT, "f").expect("stored").expect("there")
    };
    assert_eq!(first.states().count(), 2);
    let catalog = open(data.path());
    assert!(catalog.all().is_empty());
    create(&catalog);
    let entry = catalog.entry(TENANT, "f").expect("there");
    assert_eq!((entry.versions.len(), entry.attachments.aliases.len()), (0, 0));
    assert!(entry.latest.id > first.versions[&1].id, "numbers go on");
}

// Texts that name versions, and those that name aliases or nothing.
#[test]
fn versions_have_one_name_each() {
    assert_eq!("$LATEST".parse(), Ok(Version::Latest));
    assert_eq!("17".parse(), Ok(Version::Number(17)));
    for text in ["", "0", "01", "+1", "-1", "live", "$latest", "99999999999999999999"] {
        assert!(text.parse::<Version>().is_err(), "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    // Each version of an alias gets exactly its share of all random numbers, the main one the rest.
    #[test]
    fn shares_are_exact(percent in prop::collection::btree_map(1..9_u64, 0..25_u32, 0..4)) {
        let weights: BTreeMap<_, _> =
            percent.iter().map(|(version, share)| (*version, f64::from(*share) / 100.0)).collect();
        let alias = Alias {
            version: Version::Number(100),
            description: String::new(),
            weights,
            revision_id: String::new(),
        };
        const STEPS: u32 = 10_000;
        let mut counts = BTreeMap::<Version, u32>::new();
        for step in 0..STEPS {
            // The middle of each step, so that no number lies on a border.
            let random = (f64::from(step) + 0.5) / f64::from(STEPS);
            *counts.entry(alias.pick(random)).or_default() += 1;
        }
        let rest: u32 = 100 - percent.values().sum::<u32>();
        let shares = percent.iter().map(|(version, share)| (Version::Number(*version), *share));
        let expected: BTreeMap<_, _> = shares
            .chain([(Version::Number(100), rest)])
            .filter(|(_, share)| *share > 0)
            .map(|(version, share)| (version, share * STEPS / 100))
            .collect();
        prop_assert_eq!(counts, expected);
    }

}

proptest! {
    // Each case flushes the disk some twenty times.
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    // Whatever is published, resized and deleted: each qualifier stands for the state that it was given, or for nothing.
    #[test]
    fn qualifiers_resolve_right(steps in prop::collection::vec((0..3_u8, 1..6_u64), 1..14)) {
        let data = tempfile::tempdir().expect("a directory");
        let catalog = open(data.path());
        create(&catalog);
        let (mut latest, mut frozen, mut given) = (128, BTreeMap::new(), 0);
        for (what, number) in steps {
            match what {
                0 => {
                    latest += 1;
                    resize(&catalog, latest);
                }
                1 => if let Published::New(version) = catalog.publish(F).expect("published") {
                    catalog.mark(&version, State::Active).expect("there");
                    given += 1;
                    prop_assert_eq!(version.version, Version::Number(given));
                    frozen.insert(given, latest);
                },
                _ => {
                    let was_there = frozen.remove(&number).is_some();
                    prop_assert_eq!(catalog.delete_version(TENANT, "f", number).is_ok(), was_there);
                }
            }
        }
        let check = |catalog: &Catalog| {
            let entry = catalog.entry(TENANT, "f").expect("there");
            let memory = |qualifier: Option<&str>| entry.resolve(qualifier).map(|f| f.memory.0);
            assert_eq!(memory(None), Some(latest));
            assert_eq!(memory(Some("$LATEST")), Some(latest));
            for number in 1..=given + 1 {
                assert_eq!(memory(Some(&number.to_string())), frozen.get(&number).copied());
            }
            let ids: BTreeSet<_> = entry.states().map(|state| state.id).collect();
            assert_eq!(ids.len(), frozen.len() + 1, "each state has a number of its own");
        };
        check(&catalog);
        drop(catalog);
        check(&open(data.path()));
    }
}
