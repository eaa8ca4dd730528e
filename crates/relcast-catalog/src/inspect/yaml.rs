//! A schema as `relcast.yaml`.

use std::fmt::Write;

use crate::catalog::{Catalog, semantic_name};
use crate::schema::{Column, SemanticType, Table, TableId};
use crate::times::format_time;

/// A `relcast.yaml` that declares exactly the schema of `catalog`, for a person to edit.
///
/// Keys and plain timestamps have no line of their own under `columns`. That a table has no time
/// column is left to the person to say where one of its columns looks like a time.
#[must_use]
pub fn propose_yaml(catalog: &Catalog) -> String {
    let schema = &catalog.schema;
    let mut yaml =
        String::from("# What relcast found in this database. Correct it where it is wrong.\n");
    for (name, time) in
        [("val_timestamp", schema.val_timestamp), ("test_timestamp", schema.test_timestamp)]
    {
        if let Some(time) = time {
            line(&mut yaml, 0, name, &scalar(&format_time(time)));
        }
    }
    yaml.push_str("tables:\n");
    for (id, table) in (0u32..).map(TableId).zip(&schema.tables) {
        add_table(&mut yaml, catalog, id, table);
    }
    yaml
}

fn add_table(yaml: &mut String, catalog: &Catalog, id: TableId, table: &Table) {
    let schema = &catalog.schema;
    yaml.push_str(&format!("  {}:\n", scalar(&table.name)));
    let key: Vec<String> = table.primary_key.iter().map(|k| scalar(k)).collect();
    let key = match key.as_slice() {
        [] => "null".to_owned(),
        [one] => one.clone(),
        several => format!("[{}]", several.join(", ")),
    };
    line(yaml, 4, "primary_key", &key);
    let likes: Vec<String> = catalog
        .time_like
        .iter()
        .filter(|like| like.table == table.name)
        .map(|like| like.column.escape_default().to_string())
        .collect();
    match &table.time_column {
        Some(time) => line(yaml, 4, "time_column", &scalar(time)),
        None if likes.is_empty() => line(yaml, 4, "time_column", "null"),
        None => line(yaml, 4, "# time_column", &format!("null  # or {}?", likes.join(", "))),
    }
    if let Some(end) = &table.end_time_column {
        line(yaml, 4, "end_time_column", &scalar(end));
    }
    let links: Vec<String> = schema
        .links_from(id)
        .map(|(_, l)| {
            format!("{}: {}", scalar(&l.columns.join(", ")), scalar(&schema.table(l.parent).name))
        })
        .collect();
    let links =
        if links.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", links.join(", ")) };
    line(yaml, 4, "foreign_keys", &links);

    let columns: Vec<String> = table.columns.iter().filter_map(column_line).collect();
    if !columns.is_empty() {
        yaml.push_str("    columns:\n");
        yaml.push_str(&columns.concat());
    }
}

fn column_line(column: &Column) -> Option<String> {
    let mut says = Vec::new();
    match column.semantic {
        SemanticType::Ignored => says.push("ignored: true".to_owned()),
        SemanticType::Key | SemanticType::Timestamp => {}
        other => says.push(format!("type: {}", semantic_name(other))),
    }
    if column.planned {
        says.push("planned: true".to_owned());
    }
    if let Some(from) = &column.known_from {
        says.push(format!("known_from: {}", scalar(from)));
    }
    if says.is_empty() {
        return None;
    }
    Some(format!("      {}: {{ {} }}\n", scalar(&column.name), says.join(", ")))
}

fn line(yaml: &mut String, indent: usize, key: &str, value: &str) {
    // Writing to a string doesn't fail.
    let _ = writeln!(yaml, "{:indent$}{key}: {value}", "");
}

/// A name as YAML writes it: plain where that can't be misread, else in double quotes.
fn scalar(text: &str) -> String {
    const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let is_plain = starts_well && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if is_plain && !WORDS.contains(&text.to_ascii_lowercase().as_str()) {
        return text.to_owned();
    }
    serde_json::Value::from(text).to_string()
}
