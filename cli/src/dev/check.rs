//! Whether code that was saved can be read by its language at all: what cannot must not replace what runs.

use crate::function::{Item, Language};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};
use tokio::process::Command;

/// How long a check may take; without an answer the code counts as good.
const LIMIT: Duration = Duration::from_secs(20);
/// Most files that are checked at once: those saved last.
const FILES: usize = 100;
/// Parses each file, and tells of the first that cannot be.
const PARSE: &str = "import ast, sys\n\
    for name in sys.argv[1:]:\n\
    \x20   try:\n\
    \x20       ast.parse(open(name, 'rb').read(), name)\n\
    \x20   except SyntaxError as error:\n\
    \x20       sys.exit(f'{type(error).__name__}: {error}')\n";

/// What is wrong with the files of a function that were saved since a moment; None where nothing is, or where this
/// machine has no interpreter to ask.
pub async fn fault(item: &Item, since: Option<SystemTime>) -> Option<String> {
    let is_new = |path: &Path| {
        let saved = path.metadata().and_then(|file| file.modified());
        since.is_none_or(|since| saved.is_ok_and(|saved| saved >= since))
    };
    let of = |endings: &[&str]| -> Vec<PathBuf> {
        let files = item.source.files().into_iter();
        let files = files.filter(|(name, _)| {
            let is_foreign = name.contains("node_modules/") || name.contains("site-packages/");
            !is_foreign && endings.iter().any(|ending| name.ends_with(ending))
        });
        files.map(|(_, path)| path).filter(|path| is_new(path)).take(FILES).collect()
    };
    match item.plan.language? {
        Language::Python => {
            let files = of(&[".py"]);
            let named = item.plan.runtime.clone().unwrap_or_else(|| "python3".to_owned());
            let interpreter = program(&named).or_else(|| program("python3"))?;
            let mut command = Command::new(interpreter);
            command.args(["-I", "-c", PARSE]).args(&files);
            if files.is_empty() { None } else { complaint(command).await }
        }
        Language::Node => {
            let interpreter = program("node")?;
            for file in of(&[".js", ".mjs", ".cjs"]) {
                let mut command = Command::new(&interpreter);
                command.arg("--check").arg(&file);
                if let Some(complaint) = complaint(command).await {
                    return Some(complaint);
                }
            }
            None
        }
        Language::Native => None,
    }
}

/// Runs a check; what it says where it fails.
async fn complaint(mut command: Command) -> Option<String> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let output = tokio::time::timeout(LIMIT, command.output()).await.ok()?.ok()?;
    if output.status.success() {
        return None;
    }
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    // Node.js adds a stack of its own insides and its version.
    let lines = text.lines().take_while(|line| !line.trim_start().starts_with("at "));
    let lines: Vec<&str> = lines.filter(|line| !line.trim().is_empty()).collect();
    Some(lines.join("\n"))
}

/// Where a program is, by PATH.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}
