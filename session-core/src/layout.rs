//! The stored form of a session type, in words, so a test can pin it.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use serde_json::Value;

use crate::field::Field;
use crate::schema::Schema;

impl<T> Schema<T> {
    /// One line for each field.
    #[must_use]
    pub fn layout(&self, samples: &[T]) -> String {
        let defaults = self.defaults();
        let lines = self.fields().iter().map(|field| {
            let values = std::iter::once(&defaults).chain(samples);
            layout_of(field, values)
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Compares the layout with a pinned one, in any order of lines. A map, an `Option` or an enum's variant
    /// has a shape inside only if a sample shows it. The error says what to do.
    pub fn compare_layout(&self, samples: &[T], pinned: &str) -> Result<(), String> {
        let pinned: Vec<&str> = pinned
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        let layout = self.layout(samples);
        let lines: Vec<&str> = layout.lines().collect();
        let mut advice = String::new();
        for line in pinned.iter().filter(|line| !lines.contains(line)) {
            let name = name_of(line);
            let _ = match lines.iter().find(|now| name_of(now) == name) {
                Some(now) if is_encrypted(line) != is_encrypted(now) => writeln!(
                    advice,
                    "- `{name}` was `{line}` and is `{now}`. Its value in existing sessions is not \
                     read: give the new form another name and copy the value, or accept what \
                     `on_unreadable` says."
                ),
                Some(now) => writeln!(
                    advice,
                    "- `{name}` was `{line}` and is `{now}`. This build may not be able to read it in \
                     existing sessions: give it `migrate = …`, or another name, or accept what \
                     `on_unreadable` says."
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
}

fn layout_of<'s, T: 's>(field: &Field<T>, values: impl Iterator<Item = &'s T>) -> String {
    let mut line = format!("{}: {}", field.name, field.type_name.replace(' ', ""));
    let mut shape = Shape::default();
    for value in values {
        // Values that cannot be encoded have no shape.
        if let Ok(encoded) = field.encoded(value) {
            for (_, value) in encoded.iter() {
                shape.add(&serde_json::from_slice(value).unwrap_or_default());
            }
        }
    }
    match field.is_entries() {
        _ if shape == Shape::default() => {}
        true => line += &format!(" = {{{shape}}}"),
        false => line += &format!(" = {shape}"),
    }
    if let Some(word) = field.rule.word() {
        line += ", ";
        line += word;
    }
    if field.is_entries() {
        line += ", entries";
    }
    if field.is_identity {
        line += ", identity";
    }
    if field.is_once {
        line += ", once";
    }
    if field.is_encrypted {
        line += ENCRYPTED;
    }
    for alias in field.aliases {
        line += &format!(", alias {alias}");
    }
    line
}

const ENCRYPTED: &str = ", encrypted";

fn is_encrypted(line: &str) -> bool {
    line.contains(ENCRYPTED)
}

fn name_of(line: &str) -> &str {
    line.split(':').next().unwrap_or(line)
}

/// Not the values: a default may differ each time.
#[derive(Default, PartialEq)]
struct Shape {
    null: bool,
    bool: bool,
    number: bool,
    string: bool,
    array: Option<Box<Self>>,
    object: Option<Object>,
}

#[derive(Default, PartialEq)]
struct Object {
    count: usize,
    /// For each key, how many objects have it, and what it holds.
    keys: BTreeMap<String, (usize, Shape)>,
}

impl Shape {
    fn add(&mut self, value: &Value) {
        match value {
            Value::Null => self.null = true,
            Value::Bool(_) => self.bool = true,
            Value::Number(_) => self.number = true,
            Value::String(_) => self.string = true,
            Value::Array(values) => {
                let items = self.array.get_or_insert_default();
                values.iter().for_each(|value| items.add(value));
            }
            Value::Object(values) => {
                let object = self.object.get_or_insert_default();
                object.count += 1;
                for (key, value) in values {
                    let (count, shape) = object.keys.entry(key.clone()).or_default();
                    *count += 1;
                    shape.add(value);
                }
            }
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = [
            (self.null, "null"),
            (self.bool, "bool"),
            (self.number, "number"),
            (self.string, "string"),
        ];
        let plain = plain.into_iter().filter(|(is_there, _)| *is_there);
        let array = self.array.iter().map(|items| format!("[{items}]"));
        let object = self.object.iter().map(Object::to_string);
        let forms = plain.map(|(_, name)| name.to_owned());
        let forms: Vec<String> = forms.chain(array).chain(object).collect();
        f.write_str(&forms.join(" | "))
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.keys.iter().map(|(key, (count, shape))| {
            let optional = if *count < self.count { "?" } else { "" };
            format!("{key}{optional}: {shape}")
        });
        write!(f, "{{{}}}", keys.collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests;
