//! Forms a value of a case can take: one or several, a text or a table, a number or bounds.
//!
//! Each reads what it is given by its shape, rather than trying one form after the other as serde's `untagged` does: so a
//! mistake in a table is told as that mistake, with its place.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, Error, IntoDeserializer, MapAccess, SeqAccess, Visitor};

use crate::reading::{At, Section, Table};

/// A text or a number, or a list of them, which is not empty.
#[derive(Debug, Clone)]
pub(super) struct OneOrMany<T>(pub(super) Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Form<T> {
            type Value = Vec<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value, or a list of them")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Vec<T>, E> {
                Ok(vec![T::deserialize(text.into_deserializer())?])
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Vec<T>, E> {
                Ok(vec![T::deserialize(number.into_deserializer())?])
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Vec<T>, A::Error> {
                several(list)
            }
        }
        deserializer.deserialize_any(Form(PhantomData)).map(Self)
    }
}

/// A list that says something.
fn several<'de, T: Deserialize<'de>, A: SeqAccess<'de>>(list: A) -> Result<Vec<T>, A::Error> {
    let list = Vec::deserialize(SeqAccessDeserializer::new(list))?;
    if list.is_empty() {
        Err(A::Error::custom("the list is empty: write what is meant, or leave it out"))
    } else {
        Ok(list)
    }
}

impl<T: JsonSchema> JsonSchema for OneOrMany<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("OneOrMany{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (one, many) = (generator.subschema_for::<T>(), generator.subschema_for::<Vec<T>>());
        json_schema!({ "anyOf": [one, many] })
    }
}

/// One table, or several, each with its place.
#[derive(Debug)]
pub(super) struct OneOrTables<T>(pub(super) Vec<Section<T>>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrTables<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let At { at, value } = At::<Shape<T>>::deserialize(deserializer)?;
        Ok(Self(match value {
            Shape::One(table) => vec![At { at, value: Table(table) }],
            Shape::Several(tables) => tables,
        }))
    }
}

/// The same, where the place of one is known only outside of it.
enum Shape<T> {
    One(T),
    Several(Vec<Section<T>>),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Shape<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Form<T> {
            type Value = Shape<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table, or several in double brackets, [[…]]")
            }

            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(table)).map(Shape::One)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, tables: A) -> Result<Self::Value, A::Error> {
                several(tables).map(Shape::Several)
            }
        }
        deserializer.deserialize_any(Form(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for OneOrTables<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("OneOrSeveral{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        OneOrMany::<T>::json_schema(generator)
    }
}

/// The path of a file, or what would be in it.
#[derive(Debug)]
pub(super) enum TextOrTable<T> {
    /// The path.
    Text(PathBuf),
    /// The content.
    Table(Box<T>),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for TextOrTable<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Form<T> {
            type Value = TextOrTable<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the path of a file, or a table with what would be in it")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(TextOrTable::Text(text.into()))
            }

            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(table)).map(|table| TextOrTable::Table(Box::new(table)))
            }
        }
        deserializer.deserialize_any(Form(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for TextOrTable<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("PathOr{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let table = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [{ "type": "string" }, table] })
    }
}

/// What is wanted of each event: any of some words.
#[derive(Debug, Clone)]
pub(super) enum Wanted<T> {
    /// Of every event.
    OfAll(Vec<T>),
    /// Of events by their names.
    ByName(BTreeMap<String, Vec<T>>),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Wanted<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Form<T> {
            type Value = Wanted<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a word, a list of words, or a table with a word or a list for each event")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Wanted::OfAll(vec![T::deserialize(text.into_deserializer())?]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
                several(list).map(Wanted::OfAll)
            }

            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Self::Value, A::Error> {
                let table = BTreeMap::<String, OneOrMany<T>>::deserialize(MapAccessDeserializer::new(table))?;
                if table.is_empty() {
                    return Err(A::Error::custom("an empty table says nothing: leave the key out"));
                }
                Ok(Wanted::ByName(table.into_iter().map(|(name, words)| (name, words.0)).collect()))
            }
        }
        deserializer.deserialize_any(Form(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for Wanted<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Wanted{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let of_all = generator.subschema_for::<T>();
        let list = generator.subschema_for::<Vec<T>>();
        let by_name = generator.subschema_for::<BTreeMap<String, OneOrMany<T>>>();
        json_schema!({ "anyOf": [of_all, list, by_name] })
    }
}

/// How many: a number, or bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) at_least: u32,
    pub(super) at_most: u32,
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.at_least, self.at_most) {
            (least, most) if least == most => write!(f, "{least}"),
            (0, most) => write!(f, "at most {most}"),
            (least, u32::MAX) => write!(f, "at least {least}"),
            (least, most) => write!(f, "{least} to {most}"),
        }
    }
}

/// The table form of a count.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Bounds {
    /// The fewest.
    at_least: Option<u32>,
    /// The most.
    at_most: Option<u32>,
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = Count;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, or a table with at-least and at-most")
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Count, E> {
                let number = u32::deserialize(number.into_deserializer())?;
                Ok(Count { at_least: number, at_most: number })
            }

            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Count, A::Error> {
                let Bounds { at_least, at_most } = Bounds::deserialize(MapAccessDeserializer::new(table))?;
                let count = Count { at_least: at_least.unwrap_or(0), at_most: at_most.unwrap_or(u32::MAX) };
                if (count.at_least, count.at_most) == (0, u32::MAX) {
                    return Err(A::Error::custom("write at-least or at-most: any number would do"));
                }
                if count.at_least > count.at_most {
                    return Err(A::Error::custom("at-least is more than at-most: no number is both"));
                }
                Ok(count)
            }
        }
        deserializer.deserialize_any(Form)
    }
}

impl JsonSchema for Count {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Count".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (number, bounds) = (generator.subschema_for::<u32>(), generator.subschema_for::<Bounds>());
        json_schema!({ "anyOf": [number, bounds] })
    }
}
