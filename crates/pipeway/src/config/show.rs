//! The resolved configuration as TOML, with the source of each value in a comment.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::settings::{
    BridgeSettings, EventsSettings, GatewaySettings, LinkSettings, Row, Source, Sourced,
};

/// The text that `check` prints: a file that could be used as it stands.
pub(super) fn show<'a>(
    file: Option<&Sourced<PathBuf>>,
    events: &EventsSettings,
    links: impl Iterator<Item = &'a LinkSettings>,
    bridges: &[BridgeSettings],
    gateways: &[GatewaySettings],
) -> String {
    let file_name = file.and_then(|file| file.value.file_name()).unwrap_or_default();
    let file_name = file_name.to_string_lossy();
    let mut out = String::new();
    if let Some(file) = file {
        let named = source(&file.source, &file_name);
        // Writing to a String does not fail.
        let _ = writeln!(out, "# {}  # {named}\n", file.value.display());
    }
    out.push_str("[events]\n");
    rows(&mut out, &events.rows(), &file_name, "");
    for link in links {
        out.push_str("\n[[link]]\n");
        rows(&mut out, &link.rows(), &file_name, "to");
    }
    for bridge in bridges {
        out.push_str("\n[[bridge]]\n");
        let mut all = bridge.rows();
        all.retain(|row| bridge.has_key(row.key));
        tables(&mut out, "bridge", &all, &file_name);
    }
    for gateway in gateways {
        out.push_str("\n[[gateway]]\n");
        tables(&mut out, "gateway", &gateway.rows(), &file_name);
    }
    out
}

/// The rows of a table and of those inside it.
fn tables(out: &mut String, of: &str, all: &[Row], file_name: &str) {
    for table in ["", "limits", "timeouts"] {
        if !table.is_empty() {
            // Writing to a String does not fail.
            let _ = writeln!(out, "[{of}.{table}]");
        }
        let of_table: Vec<Row> = all.iter().filter_map(|row| in_table(row, table)).collect();
        let named_for = if of == "gateway" { "pipe" } else { "listen" };
        rows(out, &of_table, file_name, named_for);
    }
}

/// The row without its table's name, if it is of `table`.
fn in_table(row: &Row, table: &str) -> Option<Row> {
    let (of, key) = row.key.split_once('.').unwrap_or(("", row.key));
    (of == table).then(|| Row { key, ..row.clone() })
}

/// Writes rows; `named_for` is the key that a name is made from where there is none.
fn rows(out: &mut String, rows: &[Row], file_name: &str, named_for: &str) {
    let keys = rows.iter().map(|row| row.key.len()).max().unwrap_or(0);
    let values = rows
        .iter()
        .filter_map(|row| row.value.as_ref())
        .map(|value| value.chars().count())
        .max()
        .unwrap_or(0)
        .min(40);
    for row in rows {
        // A key that is not set has no TOML value; its absence is said all the same.
        let line = match &row.value {
            Some(value) => {
                format!(
                    "{:keys$} = {value:values$}  # {}",
                    row.key,
                    row_source(row, file_name, named_for)
                )
            }
            None => format!("# {:keys$} is not set", row.key),
        };
        let _ = writeln!(out, "{line}");
    }
}

fn row_source(row: &Row, file_name: &str, named_for: &str) -> String {
    match &row.source {
        Source::Default if row.key == "name" => format!("default, from {named_for}"),
        other => source(other, file_name),
    }
}

fn source(source: &Source, file_name: &str) -> String {
    match source {
        Source::Flag(name) => format!("flag {name}"),
        Source::Env(name) => format!("environment {name}"),
        Source::File { line, .. } => format!("{file_name}:{line}"),
        Source::Default => "default".into(),
    }
}
