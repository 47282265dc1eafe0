//! Precedence and refusals, on a command of the tests' own.

use super::*;
use clap::Parser;

#[derive(Debug, Parser)]
#[command(name = "peek")]
struct Root {
    #[arg(long, global = true)]
    config: Option<String>,
    #[arg(long, global = true, env = "PEEK_TEST_FORMAT", default_value = "text")]
    format: String,
    #[command(subcommand)]
    command: Sub,
}

#[derive(Debug, clap::Subcommand)]
enum Sub {
    Run(Run),
    #[command(subcommand)]
    Deep(Deep),
}

#[derive(Debug, clap::Subcommand)]
enum Deep {
    Er(Run),
}

#[derive(Debug, clap::Args)]
struct Run {
    #[arg(long, default_value_t = 1)]
    number: u32,
    #[arg(long, env = "PEEK_TEST_DATA")]
    data: Option<String>,
    #[arg(long, short)]
    many: Vec<String>,
    #[arg(long, conflicts_with = "full")]
    quick: bool,
    #[arg(long)]
    full: bool,
    path: Option<String>,
}

fn root() -> Command {
    use clap::CommandFactory;
    let mut root = Root::command();
    root.build();
    root
}

fn configured(text: &str) -> anyhow::Result<Configuration> {
    let file = File::parse(&root(), PathBuf::from("peek.toml"), text)?;
    Ok(Configuration { files: vec![file], ignores_variables: true })
}

/// The command line as it is after the file was taken in.
fn completed(text: &str, line: &[&str]) -> String {
    let arguments = ["peek"].iter().chain(line).map(OsString::from).collect();
    let completed =
        configured(text).expect("a file").complete(&root(), arguments).expect("completed");
    let words = completed.arguments.iter().map(|word| word.to_string_lossy().into_owned());
    words.collect::<Vec<_>>().join(" ")
}

// A flag that is given keeps the file's value out, in whichever way it is written; the others come in right after the command.
#[test]
fn flags_win_over_files() {
    let text = "data = \"d\"\n[run]\nnumber = 2\nmany = [\"a\", \"b\"]\n";
    assert_eq!(completed(text, &["run", "p"]), "peek run --number=2 --data=d --many=a --many=b p");
    for given in [&["run", "--number", "3"][..], &["run", "--number=3"]] {
        assert!(!completed(text, given).contains("--number=2"), "{given:?}");
    }
    for given in [&["run", "-m", "c"][..], &["run", "-mc"]] {
        assert!(!completed(text, given).contains("--many=a"), "{given:?}");
    }
    // A value that looks like a command or a flag is a value.
    assert_eq!(
        completed(text, &["--config", "run", "deep", "er"]),
        "peek --config run deep er --data=d"
    );
}

// What excludes a given flag stays out, and truth values become flags or nothing.
#[test]
fn exclusive_flags_stay_out() {
    let text = "[run]\nfull = true\n";
    assert_eq!(completed(text, &["run"]), "peek run --full");
    assert_eq!(completed(text, &["run", "--quick"]), "peek run --quick");
    assert_eq!(completed("[run]\nfull = false\n", &["run"]), "peek run");
}

// A wrong key is told with its line and the nearest name, a section too; a value of the wrong kind with its key.
#[test]
fn wrong_keys_are_told() {
    for (text, expected) in [
        (
            "[run]\nnumber = 2\nnumbr = 3\n",
            "peek.toml line 3: `numbr` is not known in [run], `number` is near",
        ),
        ("[rum]\n", "peek.toml line 1: `rum` is not known outside of all sections, `run` is near"),
        ("number = 1\n", "peek.toml line 1: `number` is not known outside of all sections"),
        (
            "[deep.er]\ndate = 1\n",
            "peek.toml line 2: `date` is not known in [deep.er], `data` is near",
        ),
        ("[run]\nnumber = {}\n", "peek.toml line 2: `number` is neither"),
        ("[run\n", "peek.toml line 1: "),
    ] {
        let error = configured(text).expect_err(text).to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    let configuration = configured("[run]\nquick = \"maybe\"\n").expect("a file");
    let error = configuration
        .complete(&root(), ["peek".into(), "run".into()].to_vec())
        .expect_err("refused");
    assert!(format!("{error:#}").contains("line 2: quick: is true or false"), "{error:#}");
}

// A value that a flag does not take is refused by the flag's own check, and the file is named.
#[test]
fn wrong_values_name_their_origin() {
    let configuration = configured("[run]\nnumber = \"two\"\n").expect("a file");
    let completed =
        configuration.complete(&root(), vec!["peek".into(), "run".into()]).expect("completed");
    let error = Root::try_parse_from(&completed.arguments).expect_err("refused");
    assert_eq!(completed.explain(&error).as_deref(), Some("--number comes from peek.toml line 2"));
}

// Every flag of every command has a variable of its own, and no two flags share one.
#[test]
fn variables_are_unambiguous() {
    let root = crate::command();
    let mut names = std::collections::BTreeMap::new();
    for (path, command) in commands(&root) {
        for flag in flags(command) {
            let place = format!("{} --{}", path.join(" "), name(flag));
            if let Some(other) = names.insert(environment::variable(&path, flag), place.clone()) {
                panic!("{place} and {other} have one variable");
            }
        }
    }
    assert!(names.len() > 50, "{}", names.len());
}
