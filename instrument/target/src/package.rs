//! The packages that are uploaded: the probe in the language of a runtime, a mark, and ballast.
//!
//! Deliberately knows nothing of how a package gets to a target.

use rand::Rng;
use std::io::{Cursor, Write};
use std::sync::OnceLock;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// The native probe, static.
pub static NATIVE: &[u8] = include_bytes!(env!("PEEK_PROBE"));
/// The probe in Python.
pub static PYTHON: &str = include_str!("../../probe/python/probe.py");
/// The probe in JavaScript for Node.js.
pub static NODE: &str = include_str!("../../probe/nodejs/probe.js");

/// The file in each package that holds the mark of its code.
const MARK_FILE: &str = "peek-mark";

/// Oldest versions whose language the probe needs.
const PYTHON_MINOR: u32 = 8;
const NODE_MAJOR: u32 = 16;

/// A language in which the probe is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Language {
    /// A program named `bootstrap`, for runtimes that bring no language.
    Native,
    /// Python 3.
    Python,
    /// Node.js.
    Node,
}

impl Language {
    /// The language of a Lambda runtime, as in `provided.al2023`, `python3.11`, `nodejs20.x`; None where there is no
    /// probe for it.
    pub fn of(runtime: &str) -> Option<Self> {
        Self::version(runtime).map(|(language, _)| language)
    }

    /// The handler to name when a function is created.
    pub const fn handler(self) -> &'static str {
        match self {
            Self::Native => "bootstrap",
            Self::Python | Self::Node => "probe.handler",
        }
    }

    /// Of the runtimes named anywhere in `text`, the newest of each language that has a probe, native first.
    pub fn newest_in(text: &str) -> Vec<String> {
        let mut newest = std::collections::BTreeMap::<Self, (u32, &str)>::new();
        let part = |c: char| !(c.is_ascii_alphanumeric() || c == '.');
        for word in text.split(part).map(|word| word.trim_end_matches('.')) {
            if let Some((language, version)) = Self::version(word) {
                let best = newest.entry(language).or_insert((version, word));
                if version > best.0 {
                    *best = (version, word);
                }
            }
        }
        newest.into_values().map(|(_, runtime)| runtime.to_owned()).collect()
    }

    fn version(runtime: &str) -> Option<(Self, u32)> {
        if let Some(year) = runtime.strip_prefix("provided.al") {
            year.parse().ok().map(|year| (Self::Native, year))
        } else if let Some(minor) = runtime.strip_prefix("python3.") {
            let minor = minor.parse().ok().filter(|minor| *minor >= PYTHON_MINOR)?;
            Some((Self::Python, minor))
        } else {
            let major = runtime.strip_prefix("nodejs")?.strip_suffix(".x")?;
            let major = major.parse().ok().filter(|major| *major >= NODE_MAJOR)?;
            Some((Self::Node, major))
        }
    }
}

/// A package to upload.
#[derive(Clone, PartialEq, Eq)]
pub struct Package {
    /// The zip.
    pub zip: Vec<u8>,
    /// The mark in it, 32 hexadecimal digits, which no other package has.
    pub mark: String,
}

/// Why a package could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the zip of a {language:?} probe")]
pub struct PackageError {
    language: Language,
    source: zip::result::ZipError,
}

impl Package {
    /// The probe in `language`, with `ballast_mib` MiB of incompressible bytes beside it.
    ///
    /// Errors: the zip would be larger than the format allows.
    pub fn new(language: Language, ballast_mib: u32) -> Result<Self, PackageError> {
        let mark = hex::encode(rand::random::<[u8; 16]>());
        let zip = pack(language, &mark, ballast_mib)
            .map_err(|source| PackageError { language, source })?;
        Ok(Self { zip, mark })
    }

    /// Size of the zip, MiB.
    pub fn mib(&self) -> f64 {
        self.zip.len() as f64 / f64::from(1 << 20)
    }
}

fn pack(language: Language, mark: &str, ballast_mib: u32) -> zip::result::ZipResult<Vec<u8>> {
    let mut zip = ZipWriter::new_append(Cursor::new(base(language)?.to_vec()))?;
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    zip.start_file(MARK_FILE, stored)?;
    zip.write_all(mark.as_bytes())?;
    if ballast_mib > 0 {
        zip.start_file("ballast", stored)?;
        let mut block = vec![0; 1 << 20];
        for _ in 0..ballast_mib {
            rand::rng().fill_bytes(&mut block);
            zip.write_all(&block)?;
        }
    }
    Ok(zip.finish()?.into_inner())
}

/// The compressed probe alone, which is the same in every package: compressed once.
fn base(language: Language) -> zip::result::ZipResult<&'static [u8]> {
    static BASES: [OnceLock<Vec<u8>>; 3] = [const { OnceLock::new() }; 3];
    let (name, content, mode) = match language {
        Language::Native => ("bootstrap", NATIVE, 0o755),
        Language::Python => ("probe.py", PYTHON.as_bytes(), 0o644),
        Language::Node => ("probe.js", NODE.as_bytes(), 0o644),
    };
    let base = &BASES[language as usize];
    if let Some(ready) = base.get() {
        return Ok(ready);
    }
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .unix_permissions(mode);
    zip.start_file(name, options)?;
    zip.write_all(content)?;
    let bytes = zip.finish()?.into_inner();
    Ok(base.get_or_init(|| bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    // Each package has its own bytes and mark, and holds the probe unharmed and executable.
    #[test]
    fn packages_are_unique_and_whole() {
        for language in [Language::Native, Language::Python, Language::Node] {
            let first = Package::new(language, 0).expect("a package");
            let second = Package::new(language, 1).expect("a package");
            assert_ne!(first.mark, second.mark);
            assert!(second.mib() > first.mib() + 1.0, "ballast does not compress");
            let mut zip = zip::ZipArchive::new(Cursor::new(&second.zip)).expect("a zip");
            let mut mark = String::new();
            zip.by_name(MARK_FILE).expect("mark").read_to_string(&mut mark).expect("text");
            assert_eq!(mark, second.mark);
            if language == Language::Native {
                let mut file = zip.by_name("bootstrap").expect("bootstrap");
                assert_eq!(file.unix_mode().map(|mode| mode & 0o777), Some(0o755));
                let mut content = Vec::new();
                file.read_to_end(&mut content).expect("content");
                assert!(content == NATIVE);
            }
        }
    }

    // The embedded native probe is static and stays small, so that its own load is next to nothing of a cold start.
    // Two thirds of it are the C library's and the standard library's own.
    #[test]
    fn native_probe_is_small_and_static() {
        assert!(NATIVE.starts_with(b"\x7fELF"), "not a Linux program");
        assert!(NATIVE.len() < 1_500_000, "{} bytes", NATIVE.len());
        // Program headers of a 64-bit ELF file (System V ABI): their offset at 32, size at 54, count at 56; type 3 names
        // an interpreter, which only a dynamic program has.
        let half = |at: usize| usize::from(u16::from_le_bytes([NATIVE[at], NATIVE[at + 1]]));
        let headers = NATIVE[half(32)..].chunks(half(54)).take(half(56));
        assert!(half(56) > 0 && headers.into_iter().all(|header| header[0] != 3), "not static");
    }

    // Of a platform's error text, the newest runtime of each language is taken, and others are left.
    #[test]
    fn runtimes_are_found_in_words() {
        let text = "enum value set: [nodejs20.x, python3.11, java21, python3.12, provided.al2023, nodejs, \
                    provided.al2, nodejs8.10] or nodejs18.x.";
        assert_eq!(Language::newest_in(text), ["provided.al2023", "python3.12", "nodejs20.x"]);
        assert!(Language::newest_in("no such thing").is_empty());
    }
}
