//! Functions as they are created, changed, deleted, and found again after a crash.

mod support;

use catalog::{
    Catalog, CreateError, Function, OpenError, SettingsChange, State, UpdateError, UpdateOf,
};
use model::{FunctionId, MemoryMib, TenantId};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use support::{TENANT, new_function, zip};

fn zip_with(content: &str) -> Vec<u8> {
    zip(&[("app.py", content)])
}

fn open(data: &Path) -> Catalog {
    Catalog::open(data).expect("a catalog")
}

fn create(catalog: &Catalog, name: &str, content: &str) -> Arc<Function> {
    let package = catalog.store_package(&zip_with(content)).expect("a package");
    let function = catalog.create(new_function(name), package).expect("created");
    catalog.mark(&function, State::Active).expect("still there")
}

fn of(name: &str) -> UpdateOf<'_> {
    UpdateOf { tenant: TENANT, name, revision_id: None }
}

fn packages(data: &Path) -> usize {
    fs::read_dir(data.join("packages")).expect("a directory").count()
}

// A function is there after a restart, with the same number, code and settings.
#[test]
fn functions_outlive_the_process() {
    let data = tempfile::tempdir().expect("a directory");
    let before = {
        let catalog = open(data.path());
        create(&catalog, "f", "one");
        let package = catalog.store_package(&zip_with("two")).expect("a package");
        catalog.update_code(of("f"), package).expect("updated").current
    };
    let catalog = open(data.path());
    let after = catalog.get(TENANT, "f").expect("there");
    assert_eq!(after, before);
    assert_eq!((after.epoch, &after.last_update), (2, &State::Pending));
    let code = fs::read_to_string(after.code_directory.join("app.py")).expect("code");
    assert_eq!(code, "two");
    assert!(catalog.get(TenantId::from_number(1), "f").is_none(), "another tenant's are not seen");
}

// A function that is deleted and created again has a number that was never used, also after a restart.
#[test]
fn numbers_are_never_used_twice() {
    let data = tempfile::tempdir().expect("a directory");
    let mut seen = Vec::new();
    for _ in 0..3 {
        let catalog = open(data.path());
        for _ in 0..2 {
            seen.push(create(&catalog, "f", "x").id);
            assert!(catalog.delete(TENANT, "f").expect("stored").is_some());
        }
    }
    assert_eq!(seen, (1..=6).map(FunctionId).collect::<Vec<_>>());
}

// A name is taken once for each tenant; a pending function takes no update; a stale revision is refused.
#[test]
fn conflicts_are_told_apart() {
    let data = tempfile::tempdir().expect("a directory");
    let catalog = open(data.path());
    let package = catalog.store_package(&zip_with("x")).expect("a package");
    let function = catalog.create(new_function("f"), package.clone()).expect("created");
    let again = catalog.create(new_function("f"), package.clone());
    assert!(matches!(again, Err(CreateError::Exists { .. })));
    let pending = catalog.update_code(of("f"), package.clone());
    assert!(matches!(pending, Err(UpdateError::Pending { .. })));
    let active = catalog.mark(&function, State::Active).expect("there");
    let stale = UpdateOf { revision_id: Some("stale"), ..of("f") };
    let refused = catalog.update_code(stale, package.clone());
    assert!(matches!(refused, Err(UpdateError::Revision { .. })));
    let latest = UpdateOf { revision_id: Some(&active.revision_id), ..of("f") };
    let updated = catalog.update_code(latest, package).expect("updated");
    assert_ne!(updated.current.revision_id, active.revision_id);
    let missing = catalog.update_settings(of("g"), SettingsChange::default());
    assert!(matches!(missing, Err(UpdateError::NoFunction { .. })));
}

// A mark that comes after a newer update, or after the deletion, changes nothing.
#[test]
fn late_marks_are_ignored() {
    let data = tempfile::tempdir().expect("a directory");
    let catalog = open(data.path());
    let first = create(&catalog, "f", "x");
    let change = SettingsChange { memory: Some(MemoryMib(256)), ..SettingsChange::default() };
    let updated = catalog.update_settings(of("f"), change).expect("updated");
    assert!(catalog.mark(&first, State::Active).is_none());
    assert_eq!(catalog.get(TENANT, "f"), Some(updated.current.clone()));
    catalog.delete(TENANT, "f").expect("stored");
    assert!(catalog.mark(&updated.current, State::Active).is_none());
    assert!(catalog.get(TENANT, "f").is_none());
}

// An update that is taken back leaves the old settings under a newer epoch, and says that it failed.
#[test]
fn updates_can_be_taken_back() {
    let data = tempfile::tempdir().expect("a directory");
    let catalog = open(data.path());
    create(&catalog, "f", "x");
    let change = SettingsChange { memory: Some(MemoryMib(256)), ..SettingsChange::default() };
    let updated = catalog.update_settings(of("f"), change).expect("updated");
    assert_eq!(updated.current.memory, MemoryMib(256));
    let reverted = catalog.revert(&updated).expect("stored").expect("there");
    assert_eq!((reverted.epoch, reverted.memory), (3, MemoryMib(128)));
    let failed = State::Failed { code: "InternalError".to_owned(), reason: "no".to_owned() };
    let marked = catalog.mark_reverted(&reverted, failed.clone()).expect("stored").expect("there");
    assert_eq!((&marked.state, &marked.last_update), (&State::Active, &failed));
}

// A package goes when no function has it and nobody holds an older state that does; not before.
#[test]
fn packages_go_when_nobody_needs_them() {
    let data = tempfile::tempdir().expect("a directory");
    let catalog = open(data.path());
    let held = create(&catalog, "f", "one");
    create(&catalog, "g", "one");
    let package = catalog.store_package(&zip_with("two")).expect("a package");
    for name in ["f", "g"] {
        catalog.update_code(of(name), package.clone()).expect("updated");
    }
    assert_eq!(catalog.collect_packages().expect("collected"), 0, "an older state is held");
    drop(held);
    assert_eq!(catalog.collect_packages().expect("collected"), 1);
    catalog.delete(TENANT, "f").expect("stored");
    catalog.delete(TENANT, "g").expect("stored");
    assert_eq!(catalog.collect_packages().expect("collected"), 0, "the package itself is held");
    drop(package);
    assert_eq!(catalog.collect_packages().expect("collected"), 1);
    assert_eq!(packages(data.path()), 0);
}

// What a killed process left half written, and packages of no function, are gone after the next start.
#[test]
fn leftovers_are_swept_at_open() {
    let data = tempfile::tempdir().expect("a directory");
    {
        let catalog = open(data.path());
        create(&catalog, "f", "kept");
        catalog.store_package(&zip_with("stored, then killed before create")).expect("a package");
    }
    let aside = data.path().join("aside/half");
    fs::create_dir_all(aside.join("tree")).expect("a directory");
    fs::write(aside.join("tree/x"), "half").expect("a file");
    fs::write(data.path().join("packages/stray"), "file").expect("a file");
    let catalog = open(data.path());
    assert_eq!(packages(data.path()), 1);
    assert!(!aside.exists());
    let function = catalog.get(TENANT, "f").expect("there");
    assert_eq!(fs::read_to_string(function.code_directory.join("app.py")).expect("code"), "kept");
}

// A copy of the data directory, taken at any moment between writes as a crash leaves it, opens with whole functions.
#[test]
fn any_crash_leaves_whole_functions() {
    let data = tempfile::tempdir().expect("a directory");
    let catalog = open(data.path());
    for step in 0..6 {
        match step {
            0 => drop(create(&catalog, "a", "one")),
            1 => drop(create(&catalog, "b", "two")),
            2 => {
                let package = catalog.store_package(&zip_with("three")).expect("a package");
                catalog.update_code(of("a"), package).expect("updated");
            }
            3 => drop(catalog.delete(TENANT, "b").expect("stored")),
            4 => drop(catalog.collect_packages().expect("collected")),
            _ => drop(create(&catalog, "c", "four")),
        }
        let copy = tempfile::tempdir().expect("a directory");
        let options = ["-a", "--"].map(str::to_owned);
        let status = std::process::Command::new("cp")
            .args(options)
            .arg(data.path().join("."))
            .arg(copy.path())
            .status()
            .expect("cp runs");
        assert!(status.success());
        let after = open(copy.path());
        let names = |catalog: &Catalog| -> Vec<_> {
            catalog.all().iter().map(|f| (f.name.clone(), f.epoch, f.code_digest.clone())).collect()
        };
        assert_eq!(names(&after), names(&catalog), "step {step}");
        for function in after.all() {
            assert!(function.code_directory.join("app.py").is_file(), "step {step}");
            assert!(function.code_directory.starts_with(copy.path().canonicalize().expect("path")));
        }
    }
}

// A data directory is one process's.
#[test]
fn a_catalog_is_opened_once() {
    let data = tempfile::tempdir().expect("a directory");
    let _catalog = open(data.path());
    assert!(matches!(Catalog::open(data.path()), Err(OpenError::InUse { .. })));
}

// A store that is no store is an error that names it, never a panic or an empty catalog.
#[test]
fn a_damaged_store_is_told() {
    let data = tempfile::tempdir().expect("a directory");
    fs::write(data.path().join("catalog.redb"), vec![7; 8192]).expect("a file");
    let error = Catalog::open(data.path()).expect_err("damaged");
    assert!(error.to_string().contains("catalog.redb"), "{error}");
}

// Pages hold each function once, in order, and say where to go on.
#[test]
fn pages_hold_each_function_once() {
    let data = tempfile::tempdir().expect("a directory");
    let catalog = open(data.path());
    for number in 0..7 {
        create(&catalog, &format!("f{number}"), "x");
    }
    let (mut names, mut after) = (Vec::new(), None);
    loop {
        let page = catalog.list(TENANT, after.as_deref(), 3);
        names.extend(page.entries.iter().map(|entry| entry.latest.name.clone()));
        after = page.next_after;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(names, (0..7).map(|number| format!("f{number}")).collect::<Vec<_>>());
    let holdings = catalog.holdings(TENANT);
    assert_eq!(holdings.functions, 7);
    assert_eq!(holdings.code_bytes, 7 * zip_with("x").len() as u64);
}
