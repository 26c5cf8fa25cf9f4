//! What a file format offers, for editors and for people: its JSON Schema, and an index of its keys.

mod index;

use schemars::JsonSchema;
use serde_json::Value;

pub use self::index::index;

/// The JSON Schema of the TOML files that are read as a `T`.
pub fn schema_of<T: JsonSchema>() -> Value {
    let mut schema = schemars::schema_for!(T).to_value();
    without_null(&mut schema);
    schema
}

/// Takes null out of what may be left out: TOML has none.
fn without_null(schema: &mut Value) {
    let null = |schema: &Value| *schema == "null" || schema["type"] == "null";
    match schema {
        Value::Array(schemas) => schemas.iter_mut().for_each(without_null),
        Value::Object(object) => {
            if let Some(Value::Array(words)) = object.get_mut("enum") {
                words.retain(|word| !word.is_null());
            }
            for key in ["anyOf", "type"] {
                let Some(Value::Array(choices)) = object.get_mut(key) else { continue };
                choices.retain(|choice| !null(choice));
                if choices.len() != 1 {
                    continue;
                }
                match (key, choices.remove(0)) {
                    ("anyOf", Value::Object(only)) => {
                        object.remove(key);
                        object.extend(only);
                    }
                    (key, only) => {
                        object.insert(key.to_owned(), only);
                    }
                }
            }
            object.values_mut().for_each(without_null);
        }
        _ => {}
    }
}
