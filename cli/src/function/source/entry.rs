//! Which file and which function of a package is its entry, by the names that people give them.

use super::Language;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its language.
    pub language: Language,
    /// As Lambda names it: `FILE.FUNCTION`.
    pub handler: String,
}

/// Modules that are looked into first, in this order: names of AWS's console, of its documents and of SAM's templates.
const FIRST: [&str; 6] = ["app", "index", "lambda_function", "handler", "main", "function"];
/// Functions that are handlers by their name, in this order.
const HANDLERS: [&str; 4] = ["handler", "lambda_handler", "lambdaHandler", "handle"];

/// The language of a file by its extension.
pub fn language_of(file: &str) -> Option<Language> {
    match file.rsplit_once('.')?.1 {
        "py" => Some(Language::Python),
        "js" | "mjs" | "cjs" => Some(Language::Node),
        _ => None,
    }
}

/// The entry among files, named relative to their package. `read` gives a file's text.
pub fn among(files: &[String], read: impl Fn(&str) -> Option<String>) -> Option<Entry> {
    if files.iter().any(|file| file == "bootstrap") {
        return Some(Entry { language: Language::Native, handler: "bootstrap".to_owned() });
    }
    let main = files.iter().find(|file| *file == "package.json").and_then(|file| {
        let package: serde_json::Value = serde_json::from_str(&read(file)?).ok()?;
        let main = package.get("main")?.as_str()?.trim_start_matches("./").to_owned();
        files.contains(&main).then_some(main)
    });
    let top = files.iter().filter(|file| !file.contains('/'));
    let mut candidates: Vec<&String> = main.iter().collect();
    let stem = |file: &str| file.rsplit_once('.').map_or(file, |(stem, _)| stem).to_owned();
    for name in FIRST {
        candidates.extend(top.clone().filter(|file| stem(file) == name));
    }
    candidates.extend(top);
    candidates.into_iter().find_map(|file| {
        let language = language_of(file)?;
        let function = handler_in(&read(file)?, language)?;
        Some(Entry { language, handler: format!("{}.{function}", stem(file)) })
    })
}

/// The function of a text that is a handler by its name.
pub fn handler_in(text: &str, language: Language) -> Option<&'static str> {
    HANDLERS.into_iter().find(|name| match language {
        Language::Python => text.lines().any(|line| {
            let line = line.strip_prefix("async ").unwrap_or(line);
            let defined = line.strip_prefix("def ").is_some_and(|rest| is_word(rest, name));
            // A decorated or imported handler: `handler = Mangum(app)`.
            defined || (is_word(line, name) && line[name.len()..].trim_start().starts_with('='))
        }),
        Language::Node => exports(text, name),
        Language::Native => false,
    })
}

/// Whether a JavaScript text exports this name, as CommonJS or as a module.
fn exports(text: &str, name: &str) -> bool {
    let after = |lead: &str| {
        text.match_indices(lead).any(|(at, _)| is_word(text[at + lead.len()..].trim_start(), name))
    };
    let leads = [
        "exports.",
        "export const ",
        "export let ",
        "export var ",
        "export function ",
        "export async function ",
    ];
    if leads.into_iter().any(after) {
        return true;
    }
    // `module.exports = { handler, … }` and `export { handler }`.
    ["module.exports", "export {", "export{"].into_iter().any(|lead| {
        text.match_indices(lead).any(|(at, _)| {
            let rest = &text[at..];
            let inner = rest.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
            inner.is_some_and(|(inner, _)| {
                inner.split([',', '\n']).any(|part| {
                    let part = part.rsplit(" as ").next().unwrap_or(part).trim();
                    is_word(part, name)
                })
            })
        })
    })
}

/// Whether a text begins with this word.
fn is_word(text: &str, word: &str) -> bool {
    text.strip_prefix(word).is_some_and(|rest| {
        !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_' || next == '$')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // A handler is found in each of the ways in which the two languages define one, and not where it is only used.
    #[test]
    fn handlers_are_found() {
        for (text, language, expected) in [
            ("def handler(event, context):", Language::Python, Some("handler")),
            ("handler = Mangum(app)", Language::Python, Some("handler")),
            ("def handlers():\n    handler()", Language::Python, None),
            ("    def handler(self):", Language::Python, None),
            ("exports.handler = async (event) => 1", Language::Node, Some("handler")),
            ("module.exports = { a, handler }", Language::Node, Some("handler")),
            ("module.exports = {\n  lambdaHandler: f,\n}", Language::Node, Some("lambdaHandler")),
            ("export { run as handler }", Language::Node, Some("handler")),
            ("export async function handler() {}", Language::Node, Some("handler")),
            ("const handler = 1", Language::Node, None),
        ] {
            assert_eq!(handler_in(text, language), expected, "{text}");
        }
    }
}
