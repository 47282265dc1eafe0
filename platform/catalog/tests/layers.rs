//! Layers: published, used by functions, deleted, and gone from the disk when nobody needs them any more.

mod support;

use catalog::{
    Catalog, CreateError, Function, LayerSet, LayerVersion, NewFunction, NewLayerVersion,
    PackageLimits, PublishOf, Published, SettingsChange, SizeError, State, UpdateError, UpdateOf,
};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use support::{TENANT, new_function, zip};

fn publish(catalog: &Catalog, name: &str, files: &[(&str, &str)]) -> Arc<LayerVersion> {
    let package = catalog.store_package(&zip(files)).expect("a package");
    let bytes = catalog.unpacked_bytes(&package).expect("measured");
    let new = NewLayerVersion {
        tenant: TENANT,
        name: name.to_owned(),
        region: "us-east-1".to_owned(),
        description: String::new(),
        license: None,
        runtimes: Vec::new(),
        architectures: Vec::new(),
    };
    catalog.publish_layer(new, package, bytes).expect("published")
}

fn gather(catalog: &Catalog, versions: &[&Arc<LayerVersion>]) -> LayerSet {
    let versions: Vec<_> = versions.iter().map(|version| (*version).clone()).collect();
    catalog.gather_layers(&versions).expect("merged").expect("all there")
}

fn new(layers: LayerSet) -> NewFunction {
    let mut new = new_function("f");
    new.settings.layers = layers;
    new
}

fn create(catalog: &Catalog, layers: LayerSet) -> Arc<Function> {
    let package = catalog.store_package(&zip(&[("app.py", "code")])).expect("a package");
    let function = catalog.create(new(layers), package).expect("created");
    catalog.mark(&function, State::Active).expect("still there")
}

const F: UpdateOf<'_> = UpdateOf { tenant: TENANT, name: "f", revision_id: None };

fn change_layers(catalog: &Catalog, layers: LayerSet) -> Result<Arc<Function>, UpdateError> {
    let change = SettingsChange { layers: Some(layers), ..SettingsChange::default() };
    let updated = catalog.update_settings(F, change)?;
    Ok(catalog.mark(&updated.current, State::Active).expect("still there"))
}

fn read(function: &Function, path: &str) -> String {
    let directory = function.layers_directory.as_ref().expect("layers");
    fs::read_to_string(directory.join(path)).expect("a file of a layer")
}

fn packages(data: &Path) -> usize {
    fs::read_dir(data.join("packages")).expect("a directory").count()
}

// Numbers of versions go up and are never given out again, not even after all versions are gone and the process is another.
#[test]
fn numbers_are_never_reused() {
    let data = tempfile::tempdir().expect("a directory");
    {
        let catalog = Catalog::open(data.path()).expect("a catalog");
        assert_eq!(publish(&catalog, "x", &[("a", "1")]).number, 1);
        assert_eq!(publish(&catalog, "x", &[("a", "2")]).number, 2);
        assert_eq!(publish(&catalog, "y", &[("a", "1")]).number, 1);
        assert!(catalog.delete_layer_version(TENANT, "x", 2).expect("deleted"));
        assert!(!catalog.delete_layer_version(TENANT, "x", 2).expect("no error"));
        assert_eq!(publish(&catalog, "x", &[("a", "3")]).number, 3);
        for number in [1, 3] {
            catalog.delete_layer_version(TENANT, "x", number).expect("deleted");
        }
    }
    let catalog = Catalog::open(data.path()).expect("a catalog");
    assert_eq!(publish(&catalog, "x", &[("a", "4")]).number, 4);
    assert_eq!(catalog.layer_version(TENANT, "y", 1).expect("kept").unpacked_bytes, 1);
}

// A deleted version serves the functions and versions that use it, also in another process, and goes with the last of them.
#[test]
fn a_deleted_version_lives_as_long_as_it_is_used() {
    let data = tempfile::tempdir().expect("a directory");
    {
        let catalog = Catalog::open(data.path()).expect("a catalog");
        let layer = publish(&catalog, "x", &[("lib/a", "kept")]);
        create(&catalog, gather(&catalog, &[&layer]));
        let of = PublishOf {
            tenant: TENANT,
            name: "f",
            revision_id: None,
            code_digest: None,
            description: None,
        };
        assert!(matches!(catalog.publish(of), Ok(Published::New(_))));
        change_layers(&catalog, LayerSet::default()).expect("without layers");
        catalog.delete_layer_version(TENANT, "x", 1).expect("deleted");
        assert_eq!(catalog.gather_layers(&[layer]).expect("no error").map(|_| ()), Some(()));
        assert_eq!(catalog.collect_packages().expect("collected"), 0);
    }
    let catalog = Catalog::open(data.path()).expect("a catalog");
    let entry = catalog.entry(TENANT, "f").expect("there");
    assert!(entry.latest.layers.is_empty() && entry.latest.layers_directory.is_none());
    assert_eq!(read(&entry.versions[&1], "lib/a"), "kept");
    assert_eq!(packages(data.path()), 2);
    catalog.delete_version(TENANT, "f", 1).expect("deleted");
    drop(entry);
    assert_eq!(catalog.collect_packages().expect("collected"), 1);
    assert_eq!(packages(data.path()), 1);
}

// Several layers are one tree, later ones over earlier ones, by their order; what they merge to goes with its last user.
#[test]
fn layers_are_merged_in_order() {
    let data = tempfile::tempdir().expect("a directory");
    let catalog = Catalog::open(data.path()).expect("a catalog");
    let one = publish(&catalog, "one", &[("both", "one"), ("python/one.py", "one")]);
    let two = publish(&catalog, "two", &[("both", "two"), ("python/two.py", "two")]);
    let function = create(&catalog, gather(&catalog, &[&one, &two]));
    assert_eq!(read(&function, "both"), "two");
    assert_eq!(read(&function, "python/one.py") + &read(&function, "python/two.py"), "onetwo");
    let turned = change_layers(&catalog, gather(&catalog, &[&two, &one])).expect("changed");
    assert_eq!(read(&turned, "both"), "one");
    assert_eq!(read(&function, "both"), "two", "held by the caller");
    assert_eq!(catalog.collect_packages().expect("collected"), 0);
    drop(function);
    assert_eq!(catalog.collect_packages().expect("collected"), 1);
    assert_eq!(packages(data.path()), 4, "code, two layers and what they merge to");
    assert_eq!(catalog.holdings(TENANT).code_bytes, turned.code_size + one.size + two.size);
}

// Code and layers together are held to the limit of a package, whichever of the two comes last.
#[test]
fn code_and_layers_are_measured_together() {
    let data = tempfile::tempdir().expect("a directory");
    let limits = PackageLimits { unpacked_bytes: 100, ..PackageLimits::default() };
    let catalog = Catalog::open_with(data.path(), limits).expect("a catalog");
    let sixty = "x".repeat(60);
    let layer = publish(&catalog, "x", &[("a", &sixty)]);
    let large = catalog.store_package(&zip(&[("app.py", &sixty)])).expect("a package");
    let refused = catalog.create(new(gather(&catalog, &[&layer])), large.clone());
    assert!(matches!(
        refused,
        Err(CreateError::Size(SizeError::TooLarge { bytes: 120, limit: 100 }))
    ));
    create(&catalog, gather(&catalog, &[&layer]));
    let refused = catalog.update_code(F, large);
    assert!(matches!(
        refused,
        Err(UpdateError::Size(SizeError::TooLarge { bytes: 120, limit: 100 }))
    ));
    let other = publish(&catalog, "y", &[("b", &sixty)]);
    let refused = change_layers(&catalog, gather(&catalog, &[&layer, &other]));
    assert!(matches!(
        refused,
        Err(UpdateError::Size(SizeError::TooLarge { bytes: 124, limit: 100 }))
    ));
}
