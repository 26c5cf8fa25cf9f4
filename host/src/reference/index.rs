//! An index of the keys of a file, from its JSON Schema.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Value, json};

/// A Markdown table of every key that `schema` knows, sorted by its path: what it takes, its default, what it means.
///
/// A path is written with dots, with `[]` for one of several, and with `*` for a name of the writer's choice, as in
/// `instance[].tags.*`. Where a table holds one of its own kind, the index does not go round again.
pub fn index(schema: &Value) -> String {
    let mut walk = Walk { root: schema, above: Vec::new(), rows: BTreeMap::new() };
    walk.keys("", schema);
    let mut table = "| Key | Value | Default | Meaning |\n| --- | --- | --- | --- |\n".to_owned();
    for (path, Row { value, default, meaning }) in &walk.rows {
        // Writing to a text cannot fail.
        let _ = writeln!(table, "| `{path}` | {} | {} | {} |", cell(value), cell(default), cell(meaning));
    }
    table
}

/// What there is to say of one key.
struct Row {
    value: String,
    default: String,
    meaning: String,
}

/// A way through a schema, down from its root.
struct Walk<'s> {
    root: &'s Value,
    /// The definitions that the present place lies within.
    above: Vec<&'s str>,
    rows: BTreeMap<String, Row>,
}

impl<'s> Walk<'s> {
    /// Notes the keys of the table at `path`, and those below them.
    fn keys(&mut self, path: &str, schema: &'s Value) {
        let required =
            |key: &String| schema["required"].as_array().is_some_and(|keys| keys.iter().any(|known| known == key));
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            let several = if self.is_tables(property) { "[]" } else { "" };
            let default = match &property["default"] {
                _ if required(key) => "required".to_owned(),
                // An empty list or table says no more than its absence.
                Value::Null => String::new(),
                default if *default == json!([]) || *default == json!({}) => String::new(),
                default => format!("`{default}`"),
            };
            let row = Row { value: self.value(property), default, meaning: self.meaning(property) };
            self.rows.insert(format!("{path}{several}"), row);
            self.below(&path, property);
        }
    }

    /// Notes the keys below the value at `path`.
    fn below(&mut self, path: &str, schema: &'s Value) {
        if let Some(name) = name(schema) {
            if !self.above.contains(&name) {
                self.above.push(name);
                self.below(path, self.resolved(schema));
                self.above.pop();
            }
            return;
        }
        self.keys(path, schema);
        self.below_known(&format!("{path}[]"), &schema["items"]);
        self.below_known(&format!("{path}.*"), &schema["additionalProperties"]);
        for choice in choices(schema) {
            // Of what may stand alone and in a list, the keys are noted once.
            if !choices(schema).any(|other| other["items"] == *choice) {
                self.below(path, choice);
            }
        }
    }

    fn below_known(&mut self, path: &str, schema: &'s Value) {
        if schema.is_object() {
            self.below(path, schema);
        }
    }

    /// What a key takes, in words.
    fn value(&self, schema: &'s Value) -> String {
        if let Some(name) = name(schema) {
            let target = self.resolved(schema);
            // The name of a text that has a form of its own says what is meant; that of a table or a choice does not.
            let is_text = target["type"] == "string" && target["enum"].is_null();
            return if is_text { spaced(name) } else { self.value(target) };
        }
        if let Some(words) = schema["enum"].as_array() {
            return either(words.iter().map(literal));
        }
        if !schema["const"].is_null() {
            return literal(&schema["const"]);
        }
        match &schema["type"] {
            Value::String(kind) => self.of_type(kind, schema),
            Value::Array(kinds) => {
                either(kinds.iter().filter_map(Value::as_str).map(|kind| self.of_type(kind, schema)))
            }
            _ if schema["properties"].is_object() => "table".to_owned(),
            _ => Some(forms(choices(schema).map(|choice| self.value(choice)).collect()))
                .filter(|value| !value.is_empty())
                .unwrap_or_else(|| "anything".to_owned()),
        }
    }

    fn of_type(&self, kind: &str, schema: &'s Value) -> String {
        match kind {
            "string" => "text".to_owned(),
            "integer" => "whole number".to_owned(),
            "boolean" => "`true` or `false`".to_owned(),
            "array" if self.is_tables(schema) => "tables".to_owned(),
            "array" => format!("list of {}", self.value(&schema["items"])),
            "object"
                if schema["additionalProperties"].is_object() && !self.has_keys(&schema["additionalProperties"]) =>
            {
                format!("table of {}", self.value(&schema["additionalProperties"]))
            }
            "object" => "table".to_owned(),
            other => other.to_owned(),
        }
    }

    fn meaning(&self, schema: &'s Value) -> String {
        let own = schema["description"].as_str();
        own.or_else(|| self.resolved(schema)["description"].as_str()).unwrap_or_default().to_owned()
    }

    /// Whether it is a list of tables whose keys are known, or may be one.
    fn is_tables(&self, schema: &'s Value) -> bool {
        let schema = self.resolved(schema);
        self.has_keys(&schema["items"]) || choices(schema).any(|choice| self.is_tables(choice))
    }

    fn has_keys(&self, schema: &'s Value) -> bool {
        self.resolved(schema)["properties"].is_object()
    }

    /// What a reference stands for, or the schema itself.
    fn resolved(&self, schema: &'s Value) -> &'s Value {
        let target = schema["$ref"].as_str().and_then(|reference| self.root.pointer(reference.strip_prefix('#')?));
        target.unwrap_or(schema)
    }
}

/// The name of the definition that a schema refers to.
fn name(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.strip_prefix("#/$defs/")
}

/// The schemas of which one, or each, holds.
fn choices(schema: &Value) -> impl Iterator<Item = &Value> {
    let schema = schema.as_object();
    let of = move |key: &str| schema.and_then(|schema: &Map<_, _>| schema.get(key)?.as_array()).into_iter().flatten();
    of("anyOf").chain(of("oneOf")).chain(of("allOf"))
}

/// A value as it is written in the file.
fn literal(value: &Value) -> String {
    format!("`{value}`")
}

/// Any of several forms. Words that more than one of them takes are listed in the first only.
fn forms(values: Vec<String>) -> String {
    match &values[..] {
        [words, others @ ..] if words.contains("` or `") && others.iter().any(|other| other.contains(words)) => {
            let mut forms = vec![words.clone()];
            for form in others.iter().flat_map(|other| other.split("; ")).map(|form| form.replace(words, "them")) {
                if !forms.contains(&form) {
                    forms.push(form);
                }
            }
            forms.join("; ")
        }
        _ => either(values.into_iter()),
    }
}

/// Any of them, each named once.
fn either(values: impl Iterator<Item = String>) -> String {
    let mut named: Vec<String> = Vec::new();
    for value in values.filter(|value| !value.is_empty()) {
        if !named.contains(&value) {
            named.push(value);
        }
    }
    match named.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

/// `ClusterName` as `cluster name`.
fn spaced(name: &str) -> String {
    let mut words = String::new();
    for char in name.chars() {
        if char.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(char.to_lowercase());
    }
    words
}

/// A text as Markdown takes it in a cell.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_there_with_what_it_takes() {
        let schema = json!({
            "properties": {
                "wait": { "$ref": "#/$defs/WaitingTime", "default": "5s", "description": "How long,\nat most." },
                "step": { "type": "array", "items": { "$ref": "#/$defs/Step" }, "description": "What is done." },
                "limits": { "$ref": "#/$defs/Limits" },
                "part": {
                    "anyOf": [
                        { "$ref": "#/$defs/Limits" },
                        { "type": "array", "items": { "$ref": "#/$defs/Limits" } },
                    ],
                    "default": [],
                },
                "names": { "type": "object", "additionalProperties": { "type": "string" } },
            },
            "required": ["step"],
            "$defs": {
                "WaitingTime": { "type": "string", "pattern": "s$" },
                "Limits": {
                    "type": "object",
                    "description": "Ceilings.",
                    "properties": { "calls": { "type": ["integer", "boolean"], "default": 3 } },
                },
                "Mode": { "oneOf": [{ "const": "a" }, { "const": "b", "description": "…" }, { "enum": ["c|d"] }] },
                "Step": {
                    "type": "object",
                    "properties": {
                        "mode": { "$ref": "#/$defs/Mode", "description": "How." },
                        "run": { "oneOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] },
                        "then": { "type": "array", "items": { "$ref": "#/$defs/Step" }, "description": "After that." },
                        "env": {
                            "type": "object",
                            "additionalProperties": { "properties": { "secret": { "type": "boolean" } } },
                        },
                        "any": true,
                        "modes": {
                            "anyOf": [
                                { "$ref": "#/$defs/Mode" },
                                { "type": "array", "items": { "$ref": "#/$defs/Mode" } },
                                {
                                    "type": "object",
                                    "additionalProperties": {
                                        "anyOf": [
                                            { "$ref": "#/$defs/Mode" },
                                            { "type": "array", "items": { "$ref": "#/$defs/Mode" } },
                                        ],
                                    },
                                },
                            ],
                        },
                    },
                },
            },
        });
        insta::assert_snapshot!(index(&schema), @r#"
        | Key | Value | Default | Meaning |
        | --- | --- | --- | --- |
        | `limits` | table |  | Ceilings. |
        | `limits.calls` | whole number or `true` or `false` | `3` |  |
        | `names` | table of text |  |  |
        | `part[]` | table or tables |  |  |
        | `part[].calls` | whole number or `true` or `false` | `3` |  |
        | `step[]` | tables | required | What is done. |
        | `step[].any` | anything |  |  |
        | `step[].env` | table |  |  |
        | `step[].env.*.secret` | `true` or `false` |  |  |
        | `step[].mode` | `"a"`, `"b"` or `"c\|d"` |  | How. |
        | `step[].modes` | `"a"`, `"b"` or `"c\|d"`; list of them; table of them |  |  |
        | `step[].run` | text or list of text |  |  |
        | `step[].then[]` | tables |  | After that. |
        | `wait` | waiting time | `"5s"` | How long, at most. |
        "#);
    }
}
