//! `cargo xtask bench --accuracy`: a table of each kernel's error with respect to f64.

use anyhow::{Context, ensure};
use serde_json::Value;

use super::machine;
use super::subject::Subject;

/// Runs the comparison and returns a table in Markdown.
///
/// # Errors
///
/// If the program fails or its output does not parse.
pub fn table(subject: &Subject) -> anyhow::Result<String> {
    let output = subject.command(&["accuracy"]).output().context("subject accuracy")?;
    let message = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "subject accuracy: {}: {}", output.status, message.trim());
    let rows: Vec<Value> = serde_json::from_slice(&output.stdout).context("subject accuracy")?;
    Ok(format!("{}.\n\n{}", machine::describe(), layout(&rows)?))
}

/// Lays out the rows as a table, with two digits per error.
fn layout(rows: &[Value]) -> anyhow::Result<String> {
    let mut text = String::from(
        "| recipe | operation | shape | output | gradients | portable | candle f32 |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let line = line(row).with_context(|| format!("subject accuracy: invalid row: {row}"))?;
        text += &format!("| {} |\n", line.join(" | "));
    }
    Ok(text)
}

fn line(row: &Value) -> Option<[String; 7]> {
    // JSON has no infinity or NaN: such an error is null.
    let error = |value: &Value| match value.as_f64() {
        Some(0.0) => "0".to_owned(),
        Some(error) => format!("{error:.1e}"),
        None => "**not finite**".to_owned(),
    };
    let shape = row["shape"].as_array()?.iter().map(Value::as_u64).collect::<Option<Vec<_>>>()?;
    let shape: Vec<String> = shape.iter().map(u64::to_string).collect();
    let gradients: Vec<String> = row["gradients"].as_array()?.iter().map(error).collect();
    Some([
        row["recipe"].as_str()?.to_owned(),
        row["name"].as_str()?.to_owned(),
        shape.join("×"),
        error(&row["output"]),
        gradients.join(", "),
        error(&row["portable"]),
        if row["candle"].is_null() { String::new() } else { error(&row["candle"]) },
    ])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn formats_row_as_line() {
        let row = json!({
            "recipe": "small", "name": "linear", "shape": [2, 128], "output": 1.25e-7,
            "gradients": [0.0, null], "portable": 3e-7, "candle": null,
        });
        let text = layout(&[row]).unwrap();
        let line = "| small | linear | 2×128 | 1.2e-7 | 0, **not finite** | 3.0e-7 |  |";
        assert_eq!(text.lines().last(), Some(line));
    }

    #[test]
    fn rejects_invalid_row() {
        let error = layout(&[json!({"name": "linear"})]).unwrap_err().to_string();
        assert!(error.contains("linear"), "{error}");
    }
}
