//! What a session type is stored as, in words, so that a test can pin it.

use std::fmt::Write as _;

use serde_json::Value;

use crate::field::{Codec, Field};
use crate::rule::Rule;
use crate::schema::Schema;

impl<T> Schema<T> {
    /// A line for each field: its name, its type, the shape of its default, and what was declared
    /// of how it is stored.
    #[must_use]
    pub fn layout(&self) -> String {
        let lines = self.fields().iter().map(|field| self.layout_of(field));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Compares the layout with a pinned one; white space around its lines, and their order, do not
    /// matter.
    ///
    /// # Errors
    ///
    /// What is another one now, and what to do about it.
    pub fn compare_layout(&self, pinned: &str) -> Result<(), String> {
        let pinned: Vec<&str> = pinned
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        let layout = self.layout();
        let lines: Vec<&str> = layout.lines().collect();
        let mut advice = String::new();
        for line in pinned.iter().filter(|line| !lines.contains(line)) {
            let name = name_of(line);
            let _ = match lines.iter().find(|now| name_of(now) == name) {
                Some(now) => writeln!(
                    advice,
                    "- `{name}` was `{line}` and is `{now}`. What existing sessions hold of it may not \
                     be readable any more: give it `migrate = …`, or another name, or accept that it \
                     falls back by `on_error`."
                ),
                None => writeln!(
                    advice,
                    "- `{name}` is gone. If it was renamed, give the new field `alias = \"{name}\"`, \
                     or existing sessions lose it."
                ),
            };
        }
        for line in lines.iter().filter(|line| !pinned.contains(line)) {
            let name = name_of(line);
            if !pinned.iter().any(|old| name_of(old) == name) {
                let _ = writeln!(
                    advice,
                    "- `{name}` is new. Existing sessions have its default until it is written."
                );
            }
        }
        if advice.is_empty() {
            return Ok(());
        }
        Err(format!(
            "the layout of the session type `{}` has changed:\n{advice}\
             If this is meant, pin the new one:\n\n{layout}\n",
            self.name()
        ))
    }

    fn layout_of(&self, field: &Field<T>) -> String {
        let mut line = format!("{}: {}", field.name, field.type_name.replace(' ', ""));
        let mut encoded = Vec::new();
        // What cannot be encoded has no shape.
        let shape = match (&field.codec, field.encode(&self.defaults(), &mut encoded)) {
            (Codec::Value(_), Ok(())) => encoded.first().map(|(_, value)| shape_of(value)),
            (Codec::Entries(_), _) | (_, Err(_)) => None,
        };
        let mut note = |text: &str| line.push_str(text);
        if let Some(shape) = shape {
            note(&format!(" = {shape}"));
        }
        match field.rule {
            Rule::Counter(_) => note(", counter"),
            Rule::Last => {}
            Rule::Max => note(", max"),
            Rule::Min => note(", min"),
        }
        if matches!(field.codec, Codec::Entries(_)) {
            note(", entries");
        }
        if field.is_identity {
            note(", identity");
        }
        if field.is_once {
            note(", once");
        }
        for alias in field.aliases {
            note(&format!(", alias {alias}"));
        }
        line
    }
}

fn name_of(line: &str) -> &str {
    line.split(':').next().unwrap_or(line)
}

fn shape_of(encoded: &[u8]) -> String {
    serde_json::from_slice(encoded).map_or_else(|_| "?".into(), |value| shape(&value))
}

/// The form of a value, not the value: a default may be another one each time.
fn shape(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(_) => "bool".into(),
        Value::Number(_) => "number".into(),
        Value::String(_) => "string".into(),
        Value::Array(values) => format!("[{}]", values.first().map(shape).unwrap_or_default()),
        Value::Object(values) => {
            let values = values
                .iter()
                .map(|(key, value)| format!("{key}: {}", shape(value)));
            format!("{{{}}}", values.collect::<Vec<_>>().join(", "))
        }
    }
}
