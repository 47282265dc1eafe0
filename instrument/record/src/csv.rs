//! Records as CSV (RFC 4180), for whoever has no reader of Parquet.

use crate::column;
use crate::row::Record;
use std::io::{self, Write};

/// Writes a line of column names and one line per record.
///
/// # Errors
/// The writer's.
pub fn write_csv(mut out: impl Write, records: &[Record]) -> io::Result<()> {
    let names = column::schema().fields().iter().map(|field| field.name().clone()).collect();
    line(&mut out, names)?;
    for record in records {
        line(&mut out, column::values(record))?;
    }
    out.flush()
}

fn line(out: &mut impl Write, values: Vec<String>) -> io::Result<()> {
    let quoted: Vec<String> = values.into_iter().map(quoted).collect();
    write!(out, "{}\r\n", quoted.join(","))
}

fn quoted(value: String) -> String {
    if value.contains(['"', ',', '\r', '\n']) {
        format!("\"{}\"", value.replace('"', "\"\""))
    } else {
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Commas, quotes and line breaks stay within their value.
    #[test]
    fn values_are_quoted() {
        let record = Record {
            experiment: "idle".into(),
            error: "said \"no\",\nthen left".into(),
            setting: [("delay_s".to_owned(), "9.000".to_owned())].into(),
            ..Record::default()
        };
        let mut csv = Vec::new();
        write_csv(&mut csv, &[record]).expect("memory takes any line");
        let csv = String::from_utf8(csv).expect("text");
        assert!(csv.starts_with("experiment,unit,round,setting,"), "{csv}");
        assert!(csv.contains("\r\nidle,,0,\"{\"\"delay_s\"\":\"\"9.000\"\"}\","), "{csv}");
        assert!(csv.contains("\"said \"\"no\"\",\nthen left\""), "{csv}");
    }
}
