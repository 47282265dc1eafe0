//! The short table that a terminal shows at the end of a study.

use crate::row::{Row, answers};
use analysis::Findings;

/// Widest line, in characters.
const WIDTH: usize = 100;

/// Widest column for each of metric, found, interval, truth and mark; with two spaces between they fill [`WIDTH`].
const WIDEST: [usize; 5] = [42, 14, 20, 12, 4];

const HEAD: [&str; 5] = ["", "found", "95 % interval", "true", ""];

/// The answers of a study as plain text, at most 100 columns wide: metric in words, found, interval, truth, mark.
///
/// Truth and mark stand there only where the target declares it. A cell that is too wide is cut with an ellipsis. Problems are
/// counted in the last line. Ends with a line break; never empty.
pub fn terminal_table(findings: &Findings) -> String {
    let rows: Vec<[String; 5]> = answers(&findings.findings)
        .into_iter()
        .map(|finding| {
            let row = Row::of(finding);
            let metric = match row.setting.as_str() {
                "" => row.words,
                setting => format!("{}, {setting}", row.words),
            };
            let mark = row.verdict.map(|v| v.sign().to_string()).unwrap_or_default();
            [metric, row.found, row.interval, row.truth, mark]
        })
        .collect();
    let mut out = String::new();
    if rows.is_empty() {
        out.push_str("No findings.\n");
    } else {
        table(&rows, &mut out);
    }
    match findings.problems.len() {
        0 => {}
        1 => out.push_str("\n1 thing could not be measured: the report says why.\n"),
        n => out.push_str(&format!("\n{n} things could not be measured: the report says why.\n")),
    }
    out
}

fn table(rows: &[[String; 5]], out: &mut String) {
    let any_truth = rows.iter().any(|row| !row[3].is_empty());
    let columns = if any_truth { 5 } else { 3 };
    let widths: Vec<usize> = (0..columns)
        .map(|c| {
            let widest = rows.iter().map(|row| row[c].chars().count()).max().unwrap_or(0);
            widest.max(HEAD[c].chars().count()).min(WIDEST[c])
        })
        .collect();
    line(&HEAD.map(String::from), &widths, out);
    for row in rows {
        line(row, &widths, out);
    }
    if any_truth {
        out.push_str(
            "\n✓ agrees with what the target declares   ≈ close   ✗ differs   ? not known\n",
        );
    }
}

fn line(cells: &[String; 5], widths: &[usize], out: &mut String) {
    let mut text = String::with_capacity(WIDTH);
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let cell = cut(cell, *width);
        let gap = " ".repeat(width - cell.chars().count());
        // Found is set flush right beside its interval; the rest flush left.
        let padded = if column == 1 { format!("{gap}{cell}") } else { format!("{cell}{gap}") };
        text.push_str(&padded);
        text.push_str("  ");
    }
    out.push_str(text.trim_end());
    out.push('\n');
}

fn cut(cell: &str, width: usize) -> String {
    let cell = cell.replace('\u{a0}', " ");
    if cell.chars().count() <= width {
        return cell;
    }
    let kept: String = cell.chars().take(width - 1).collect();
    format!("{}…", kept.trim_end())
}
