//! Aligned columns from JSON: how `show` prints what the daemon answers.

use serde_json::{Map, Value};

/// Text in columns, each as wide as its widest cell.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub(super) fn new(headings: &[&str]) -> Self {
        Table { rows: vec![headings.iter().map(|heading| (*heading).to_owned()).collect()] }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The table as text. Columns of numbers are aligned at the right.
    pub(super) fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let column = |index: usize| self.rows.iter().filter_map(move |row| row.get(index));
        let widths: Vec<usize> =
            (0..columns).map(|index| column(index).map(|cell| cell.chars().count()).max().unwrap_or(0)).collect();
        let is_number = |cell: &String| cell.is_empty() || cell.parse::<f64>().is_ok();
        let numeric: Vec<bool> = (0..columns).map(|index| column(index).skip(1).all(is_number)).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for ((cell, width), numeric) in row.iter().zip(&widths).zip(&numeric) {
                let cell = if *numeric { format!("{cell:>width$}") } else { format!("{cell:<width$}") };
                line.push_str(&cell);
                line.push_str("  ");
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// A value in one cell.
pub(super) fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(" "),
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| format!("{key}:{}", cell(value))).collect::<Vec<_>>().join(" ")
        }
        other => other.to_string(),
    }
}

/// Any answer as text: a list of objects as a table with their keys as headings, an object as two columns.
pub(super) fn render(value: &Value) -> String {
    match value {
        Value::Array(items) if items.is_empty() => "(none)\n".to_owned(),
        Value::Array(items) => match items.first() {
            Some(Value::Object(first)) => render_objects(first, items),
            _ => items.iter().map(|item| cell(item) + "\n").collect(),
        },
        Value::Object(fields) => {
            let mut table = Table::default();
            for (key, value) in fields {
                table.row(vec![key.clone(), cell(value)]);
            }
            table.render()
        }
        other => cell(other) + "\n",
    }
}

fn render_objects(first: &Map<String, Value>, items: &[Value]) -> String {
    let keys: Vec<&String> = first.keys().collect();
    let headings: Vec<String> = keys.iter().map(|key| key.replace('_', " ").to_uppercase()).collect();
    let mut table = Table::new(&headings.iter().map(String::as_str).collect::<Vec<_>>());
    for item in items {
        table.row(keys.iter().map(|key| cell(item.get(key.as_str()).unwrap_or(&Value::Null))).collect());
    }
    table.render()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_of_objects_are_tables_with_aligned_columns() {
        let value = json!([
            {"address": "192.0.2.1", "mac": null, "waiting": 3},
            {"address": "192.0.2.100", "mac": "02:00:00:00:00:01", "waiting": 12},
        ]);
        let expected = "\
ADDRESS      MAC                WAITING
192.0.2.1    -                        3
192.0.2.100  02:00:00:00:00:01       12
";
        assert_eq!(render(&value), expected);
    }

    #[test]
    fn everything_else_is_printed_too() {
        assert_eq!(render(&json!([])), "(none)\n");
        assert_eq!(render(&json!({"b": 1, "long": ["x", "y"]})), "b     1\nlong  x y\n");
        assert_eq!(render(&json!("text")), "text\n");
    }
}
