//! Packages and functions as all these tests have them.

use catalog::{LayerSet, NewFunction, Settings, Tracing};
use model::{MemoryMib, Span, TenantId};
use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

pub const TENANT: TenantId = TenantId::from_number(123_456_789_012);

/// A package of these files.
pub fn zip(files: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        writer.start_file(*name, SimpleFileOptions::default()).expect("an entry");
        writer.write_all(content.as_bytes()).expect("content");
    }
    writer.finish().expect("a zip").into_inner()
}

/// A function without layers, of which nothing is said that need not be.
pub fn new_function(name: &str) -> NewFunction {
    NewFunction {
        tenant: TENANT,
        name: name.to_owned(),
        region: "us-east-1".to_owned(),
        architecture: "x86_64".to_owned(),
        tags: BTreeMap::new(),
        settings: Settings {
            runtime: "python3.11".to_owned(),
            handler: "app.handler".to_owned(),
            role: "arn:aws:iam::123456789012:role/r".to_owned(),
            description: String::new(),
            environment: BTreeMap::new(),
            memory: MemoryMib(128),
            ephemeral_storage: MemoryMib(512),
            timeout: Span::from_secs(3),
            layers: LayerSet::default(),
            tracing: Tracing::PassThrough,
            logging: Default::default(),
        },
    }
}
