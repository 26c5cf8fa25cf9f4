//! `[handler.event]` to a [`Pattern`], with every mistake in it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::super::wildcard::Wildcard;
use super::{Comparison, Field, Network, Pattern, Test, TextTest};
use crate::reading::{At, Reading, nearest};

/// What EventBridge puts at the top of an event. A pattern that asks for anything else could never match.
const ENVELOPE: [&str; 10] =
    ["version", "id", "detail-type", "source", "account", "time", "region", "resources", "detail", "replay-name"];

/// The operators, each the only key of its table.
const OPERATORS: [&str; 8] =
    ["prefix", "suffix", "equals-ignore-case", "wildcard", "anything-but", "exists", "numeric", "cidr"];

/// The first so many of them are tests of texts, which `anything-but` takes too.
const OPERATORS_ON_TEXTS: usize = 4;

/// EventBridge bounds numbers in patterns to five billion either way, so do we.
const LARGEST_NUMBER: f64 = 5.0e9;

/// `[handler.event]` as it is written.
#[derive(Debug)]
pub(in super::super) struct EventPattern(Node);

/// Any TOML value but a date, with the places of its parts.
#[derive(Debug)]
enum Node {
    Table(Vec<(At<String>, At<Node>)>),
    Array(Vec<At<Node>>),
    Text(String),
    Number(f64),
    Bool(bool),
}

impl EventPattern {
    /// Reads the pattern; what is wrong with it goes to `reading`.
    pub(in super::super) fn read(at: usize, written: &Self, reading: &mut Reading<'_>) -> Pattern {
        let Node::Table(entries) = &written.0 else { return Pattern { fields: BTreeMap::new(), either: Vec::new() } };
        for (key, _) in entries {
            if key.value != "$or" && !ENVELOPE.contains(&key.value.as_str()) {
                let hint = if key.value.starts_with("detail.") {
                    format!("write {} without quotes", key.value)
                } else {
                    nearest(&key.value, &ENVELOPE).map_or_else(
                        || format!("an event has {}; its own fields are below detail", ENVELOPE.join(", ")),
                        |meant| format!("did you mean {meant:?}?"),
                    )
                };
                reading.findings.mistake(key.at, format!("no event has a field {:?}: {hint}", key.value));
            }
        }
        Reader { reading }.object(at, entries)
    }
}

struct Reader<'r, 't> {
    reading: &'r mut Reading<'t>,
}

impl Reader<'_, '_> {
    fn mistake(&mut self, at: usize, message: impl Into<String>) {
        self.reading.findings.mistake(at, message);
    }

    fn object(&mut self, at: usize, entries: &[(At<String>, At<Node>)]) -> Pattern {
        if entries.is_empty() {
            self.mistake(
                at,
                "an empty pattern would match everything: say what to match, such as source = [\"aws.ec2\"]",
            );
        }
        let mut pattern = Pattern { fields: BTreeMap::new(), either: Vec::new() };
        for (key, node) in entries {
            if key.value == "$or" {
                pattern.either = self.either(node);
            } else if let Some(field) = self.field(key, node) {
                pattern.fields.insert(key.value.clone(), field);
            }
        }
        pattern
    }

    fn either(&mut self, node: &At<Node>) -> Vec<Pattern> {
        let Node::Array(branches) = &node.value else {
            self.mistake(node.at, "\"$or\" takes an array of tables, one for each alternative");
            return Vec::new();
        };
        if branches.len() < 2 && !self.reading.lost_part(node.at) {
            self.mistake(node.at, "\"$or\" needs at least two alternatives");
        }
        let mut patterns = Vec::new();
        for branch in branches {
            match &branch.value {
                Node::Table(entries) => patterns.push(self.object(branch.at, entries)),
                _ => self
                    .mistake(branch.at, "each alternative of \"$or\" is a table, such as { source = [\"aws.ec2\"] }"),
            }
        }
        patterns
    }

    fn field(&mut self, key: &At<String>, node: &At<Node>) -> Option<Field> {
        match &node.value {
            Node::Table(entries) => {
                if let [(operator, _)] = entries.as_slice()
                    && OPERATORS.contains(&operator.value.as_str())
                {
                    self.mistake(
                        node.at,
                        format!(
                            "{} stands in an array: write {} = [{{ {} = … }}]",
                            operator.value, key.value, operator.value
                        ),
                    );
                    return None;
                }
                Some(Field::Nested(self.object(node.at, entries)))
            }
            Node::Array(tests) => {
                if tests.is_empty() && !self.reading.lost_part(node.at) {
                    self.mistake(node.at, format!("an empty array matches nothing: write what {} may be", key.value));
                }
                let tests: Vec<_> = tests.iter().filter_map(|test| self.test(test)).collect();
                (!tests.is_empty()).then_some(Field::Leaf(tests))
            }
            scalar => {
                self.mistake(node.at, format!("a pattern lists what a field may be: write {} = [{scalar}]", key.value));
                None
            }
        }
    }

    fn test(&mut self, node: &At<Node>) -> Option<Test> {
        match &node.value {
            Node::Table(entries) => self.operator(node.at, entries),
            Node::Array(_) => {
                self.mistake(node.at, "an array in an array matches nothing: list the values themselves");
                None
            }
            _ => self.literal(node),
        }
    }

    /// A text, a number or a truth value, for itself.
    fn literal(&mut self, node: &At<Node>) -> Option<Test> {
        match &node.value {
            Node::Text(text) => Some(Test::Text(TextTest::Equals(text.clone()))),
            Node::Number(number) => Some(Test::Number(*number)),
            Node::Bool(bool) => Some(Test::Bool(*bool)),
            Node::Table(_) | Node::Array(_) => None,
        }
    }

    fn operator(&mut self, at: usize, entries: &[(At<String>, At<Node>)]) -> Option<Test> {
        let [(name, node)] = entries else {
            self.mistake(at, format!("a test is a table with one operator in it: {}", OPERATORS.join(", ")));
            return None;
        };
        match name.value.as_str() {
            "anything-but" => self.anything_but(node),
            "exists" => match node.value {
                Node::Bool(exists) => Some(Test::Exists(exists)),
                _ => self.wrong(node, "exists takes true or false"),
            },
            "numeric" => self.numeric(node),
            "cidr" => match &node.value {
                Node::Text(text) => match network(text) {
                    Some(network) => Some(Test::Cidr(network)),
                    None => self.wrong(node, &format!("{text:?} is not a network, such as \"10.0.0.0/24\"")),
                },
                _ => self.wrong(node, "cidr takes a network in quotes, such as \"10.0.0.0/24\""),
            },
            operator => self.text(name, operator, node, true).map(Test::Text),
        }
    }

    /// An operator on texts. `prefix` and `suffix` take a table that ignores case where `folding` says so.
    fn text(&mut self, name: &At<String>, operator: &str, node: &At<Node>, folding: bool) -> Option<TextTest> {
        let (of_texts, _) = OPERATORS.split_at(OPERATORS_ON_TEXTS);
        if !of_texts.contains(&operator) {
            let known = if folding { &OPERATORS } else { of_texts };
            let meant = nearest(operator, known).map(|meant| format!(", did you mean {meant:?}?")).unwrap_or_default();
            self.mistake(name.at, format!("unknown operator {operator:?}{meant} (allowed here: {})", known.join(", ")));
            return None;
        }
        let affix = matches!(operator, "prefix" | "suffix");
        if affix
            && folding
            && let Node::Table(entries) = &node.value
            && let [(inner, node)] = entries.as_slice()
            && inner.value == "equals-ignore-case"
            && let Node::Text(text) = &node.value
        {
            let folded = text.to_lowercase();
            return Some(if operator == "prefix" {
                TextTest::PrefixIgnoreCase(folded)
            } else {
                TextTest::SuffixIgnoreCase(folded)
            });
        }
        let Node::Text(text) = &node.value else {
            let or = if affix && folding { " or { equals-ignore-case = \"…\" }" } else { "" };
            return self.wrong(node, &format!("{operator} takes a text in quotes{or}"));
        };
        match operator {
            "prefix" => Some(TextTest::Prefix(text.clone())),
            "suffix" => Some(TextTest::Suffix(text.clone())),
            "wildcard" => match Wildcard::event_bridge(text) {
                Ok(wildcard) => Some(TextTest::Wildcard(wildcard)),
                Err(why) => self.wrong(node, &why),
            },
            _ => Some(TextTest::EqualsIgnoreCase(text.to_lowercase())),
        }
    }

    /// A value, a list of texts or of numbers, or an operator on texts with one or a list of them.
    fn anything_but(&mut self, node: &At<Node>) -> Option<Test> {
        if let Node::Table(entries) = &node.value {
            let [(name, inner)] = entries.as_slice() else {
                return self.wrong(node, "anything-but takes one of prefix, suffix, equals-ignore-case, wildcard");
            };
            let operands = list(inner);
            if operands.is_empty() && !self.reading.lost_part(inner.at) {
                self.mistake(inner.at, "an empty list excludes nothing");
            }
            let tests: Vec<_> =
                operands.iter().filter_map(|node| self.text(name, &name.value, node, false).map(Test::Text)).collect();
            return Some(Test::AnythingBut(tests));
        }
        let operands = list(node);
        if operands.is_empty() && !self.reading.lost_part(node.at) {
            self.mistake(node.at, "an empty list excludes nothing");
        }
        let mut tests = Vec::new();
        for node in operands {
            match self.literal(node) {
                Some(Test::Bool(_)) | None => self.mistake(node.at, "anything-but takes texts or numbers"),
                Some(test) => tests.push(test),
            }
        }
        let texts = tests.iter().filter(|test| matches!(test, Test::Text(_))).count();
        if texts != 0 && texts != tests.len() {
            self.mistake(node.at, "anything-but takes texts or numbers, not both at once");
        }
        Some(Test::AnythingBut(tests))
    }

    /// `[">", 0, "<=", 5]`: one comparison, or a lower and an upper bound.
    fn numeric(&mut self, node: &At<Node>) -> Option<Test> {
        const FORM: &str = "numeric takes one comparison or a lower and an upper one, such as [\">\", 0, \"<=\", 5]";
        let Node::Array(items) = &node.value else { return self.wrong(node, FORM) };
        let mut bounds = Vec::new();
        for pair in items.chunks(2) {
            let [At { value: Node::Text(operator), at }, At { value: Node::Number(number), .. }] = pair else {
                return self.wrong(node, FORM);
            };
            let comparison = match operator.as_str() {
                "<" => Comparison::Less,
                "<=" => Comparison::AtMost,
                "=" => Comparison::Equal,
                ">=" => Comparison::AtLeast,
                ">" => Comparison::More,
                _ => {
                    self.mistake(*at, format!("{operator:?} is no comparison: write <, <=, =, >= or >"));
                    return None;
                }
            };
            if number.abs() > LARGEST_NUMBER {
                return self
                    .wrong(node, "numeric compares with numbers from -5 billion to 5 billion, as EventBridge does");
            }
            bounds.push((comparison, *number));
        }
        use Comparison::{AtLeast, AtMost, Less, More};
        match bounds.as_slice() {
            [_] => Some(Test::Numeric(bounds)),
            [(More | AtLeast, lower), (Less | AtMost, upper)] if lower < upper => Some(Test::Numeric(bounds)),
            [(More | AtLeast, _), (Less | AtMost, _)] => {
                self.wrong(node, "nothing lies between these bounds: the lower one comes first")
            }
            _ => self.wrong(node, FORM),
        }
    }

    fn wrong<T>(&mut self, node: &At<Node>, message: &str) -> Option<T> {
        self.mistake(node.at, message);
        None
    }
}

/// The elements of an array, or the one value that stands for an array of itself.
fn list(node: &At<Node>) -> &[At<Node>] {
    match &node.value {
        Node::Array(items) => items,
        _ => std::slice::from_ref(node),
    }
}

fn network(text: &str) -> Option<Network> {
    let (address, prefix) = text.split_once('/')?;
    let network = Network { address: address.parse().ok()?, prefix: prefix.parse().ok()? };
    (network.prefix <= if network.address.is_ipv4() { 32 } else { 128 }).then_some(network)
}

impl fmt::Display for Node {
    /// A scalar as TOML has it, for "write it so".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Bool(bool) => write!(f, "{bool}"),
            Self::Table(_) | Self::Array(_) => f.write_str("…"),
        }
    }
}

impl<'de> Deserialize<'de> for EventPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Node::deserialize(deserializer)? {
            table @ Node::Table(_) => Ok(Self(table)),
            _ => Err(de::Error::custom(
                "a pattern is a table, such as [handler.event] with source = [\"aws.ec2\"] below it",
            )),
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Node;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a number, true, false, an array or a table")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Node, E> {
                Ok(Node::Text(text.to_owned()))
            }

            fn visit_bool<E: de::Error>(self, bool: bool) -> Result<Node, E> {
                Ok(Node::Bool(bool))
            }

            #[expect(clippy::cast_precision_loss, reason = "JSON numbers are compared as doubles")]
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Node, E> {
                Ok(Node::Number(number as f64))
            }

            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Node, E> {
                if number.is_finite() {
                    Ok(Node::Number(number))
                } else {
                    Err(E::custom("no event holds such a number"))
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Node::Array(items))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
                let mut entries = Vec::new();
                // A date comes as a table whose key has no place, and nothing else does.
                let no_place = |_| de::Error::custom("a date in an event is a text: write it in quotes");
                while let Some(key) = map.next_key().map_err(no_place)? {
                    entries.push((key, map.next_value()?));
                }
                Ok(Node::Table(entries))
            }
        }

        deserializer.deserialize_any(Any)
    }
}

impl JsonSchema for EventPattern {
    fn schema_name() -> Cow<'static, str> {
        "EventPattern".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let tests = generator.subschema_for::<TestsSchema>();
        let fields = generator.subschema_for::<FieldsSchema>();
        json_schema!({
            "type": "object",
            "description": "A pattern in EventBridge's own language. An event matches when all fields do.",
            "properties": {
                "version": tests, "id": tests, "detail-type": tests, "source": tests, "account": tests, "time": tests,
                "region": tests, "resources": tests, "replay-name": tests,
                "detail": fields,
                "$or": { "type": "array", "minItems": 2, "items": generator.subschema_for::<Self>() },
            },
            "additionalProperties": false,
            "minProperties": 1,
        })
    }
}

/// Fields below `detail`: more of them, or tests.
struct FieldsSchema;

impl JsonSchema for FieldsSchema {
    fn schema_name() -> Cow<'static, str> {
        "EventFields".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let this = generator.subschema_for::<Self>();
        json_schema!({
            "type": "object",
            "description": "Fields of the event's detail.",
            "properties": { "$or": { "type": "array", "minItems": 2, "items": this } },
            "additionalProperties": { "anyOf": [generator.subschema_for::<TestsSchema>(), this] },
            "minProperties": 1,
        })
    }
}

/// What a field may be.
struct TestsSchema;

impl JsonSchema for TestsSchema {
    fn schema_name() -> Cow<'static, str> {
        "EventTests".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let texts = json_schema!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" }, "minItems": 1 }] });
        let affix = json_schema!({ "anyOf": [
            { "type": "string" },
            {
                "type": "object",
                "properties": { "equals-ignore-case": { "type": "string" } },
                "required": ["equals-ignore-case"],
                "additionalProperties": false,
            },
        ] });
        json_schema!({
            "type": "array",
            "description": "What the field may be: one of these values, or what passes one of these tests.",
            "minItems": 1,
            "items": { "anyOf": [
                { "type": ["string", "number", "boolean"] },
                {
                    "type": "object",
                    "minProperties": 1,
                    "maxProperties": 1,
                    "additionalProperties": false,
                    "properties": {
                        "prefix": affix,
                        "suffix": affix,
                        "equals-ignore-case": { "type": "string" },
                        "wildcard": { "type": "string" },
                        "exists": { "type": "boolean" },
                        "cidr": { "type": "string" },
                        "numeric": { "type": "array", "items": { "type": ["string", "number"] }, "minItems": 2, "maxItems": 4 },
                        "anything-but": { "anyOf": [
                            { "type": ["string", "number"] },
                            { "type": "array", "items": { "type": "string" }, "minItems": 1 },
                            { "type": "array", "items": { "type": "number" }, "minItems": 1 },
                            {
                                "type": "object",
                                "minProperties": 1,
                                "maxProperties": 1,
                                "additionalProperties": false,
                                "properties": { "prefix": texts, "suffix": texts, "equals-ignore-case": texts, "wildcard": texts },
                            },
                        ] },
                    },
                },
            ] },
        })
    }
}
