//! What `peek --help` and the help of each command say, word by word, in `cli/tests/help/`.
//!
//! After a change that is meant, `INSTA_UPDATE=always cargo test -p cli --test help` renews them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Help of a command, on a terminal of 100 columns, with none of the variables that it would show.
fn help(command: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_peek"))
        .args(command)
        .arg("--help")
        .env_clear()
        .env("COLUMNS", "100")
        .output()
        .expect("peek runs");
    assert!(output.status.success(), "{command:?}: {output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{command:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// Names under `Commands:`, without `help` itself.
fn commands(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = lines.take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   "));
    names
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

/// Holds the help of a command and of those below it to its file; notes the names of the files.
fn hold(command: &[&str], held: &mut BTreeSet<String>) {
    let text = help(command);
    let name = [&["peek"], command].concat().join("-");
    insta::assert_snapshot!(name.clone(), text);
    held.insert(format!("{name}.snap"));
    for below in commands(&text) {
        hold(&[command, &[&below]].concat(), held);
    }
}

// Every command's help is as its file has it, and there is no file of a command that is gone.
#[test]
fn help_is_as_agreed() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("help");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let mut held = BTreeSet::new();
    settings.bind(|| hold(&[], &mut held));
    assert!(held.len() > 1, "no command was found in the help: {held:?}");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/help");
    let files: BTreeSet<String> = fs::read_dir(folder)
        .expect("a folder")
        .map(|file| file.expect("a file").file_name().into_string().expect("text"))
        .filter(|name| name.ends_with(".snap"))
        .collect();
    assert_eq!(files, held);
}
