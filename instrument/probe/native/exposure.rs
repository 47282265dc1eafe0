//! What of the host can be read from inside.

use probe::Exposed;
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};

/// One item in each line: a file, a directory, a device, or `env:NAME`. The same in every language of the probe.
const ITEMS: &str = include_str!("../exposure.txt");
/// How much of a file is read.
const READ_BYTES: u64 = 64 << 10;

pub fn read() -> Vec<Exposed> {
    ITEMS.lines().map(expose).collect()
}

fn expose(item: &str) -> Exposed {
    let content = match item.strip_prefix("env:") {
        Some(name) => std::env::var(name).unwrap_or_default().into_bytes(),
        None => content(item).unwrap_or_default(),
    };
    let digest = if content.is_empty() { String::new() } else { digest(&content) };
    Exposed { item: item.to_owned(), readable: !content.is_empty(), digest }
}

/// A file's beginning, a directory's sorted names in lines, or a device's number where it can be opened.
fn content(path: &str) -> io::Result<Vec<u8>> {
    let metadata = fs::metadata(path)?;
    let kind = metadata.file_type();
    if kind.is_dir() {
        let entries = fs::read_dir(path)?.filter_map(Result::ok);
        let mut names: Vec<_> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort_unstable();
        return Ok(names.join("\n").into_bytes());
    }
    let file: File = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if kind.is_char_device() || kind.is_block_device() {
        return Ok(metadata.rdev().to_string().into_bytes());
    }
    let mut bytes = Vec::new();
    file.take(READ_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// SHA-256, first 16 hexadecimal digits.
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
