//! One JSON object of a message, read field by field. An error names the field by its path from the top of the message,
//! with what was expected there and what was found.

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use serde_json::{Map, Value};

use super::ParseError;
use crate::ports::IdError;

/// The longest text that becomes part of an [`Event`](super::Event) itself, in characters: an ARN of AWS Health has at most 1600.
const MAX_TEXT_CHARS: usize = 2048;

/// What is quoted of a text that is not what it should be, in characters.
const QUOTED_CHARS: usize = 64;

/// An object and where it stands.
pub(super) struct Fields<'a> {
    path: String,
    map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    /// The fields of `map`, which stands at `path`; the empty path is the top of the message.
    pub(super) fn new(path: impl Into<String>, map: &'a Map<String, Value>) -> Self {
        Self { path: path.into(), map }
    }

    /// The same fields, for a message that has them at `path`.
    pub(super) fn shown_at(self, path: &str) -> Self {
        Self { path: path.to_owned(), ..self }
    }

    /// The path of the field `name`.
    pub(super) fn path(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// The field, if it is there. `null` counts as absent.
    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    /// A string, if it is there.
    pub(super) fn optional_text(&self, name: &str) -> Result<Option<&'a str>, ParseError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong(name, "a string", other)),
        }
    }

    /// A string of whatever length.
    pub(super) fn text(&self, name: &str) -> Result<&'a str, ParseError> {
        self.optional_text(name)?.ok_or_else(|| self.missing(name))
    }

    /// A string fit to be logged and to name something, if it is there.
    pub(super) fn optional_name(&self, name: &str) -> Result<Option<&'a str>, ParseError> {
        let Some(text) = self.optional_text(name)? else { return Ok(None) };
        if text.is_empty() || text.chars().count() > MAX_TEXT_CHARS || text.chars().any(char::is_control) {
            let expected = format!("1 to {MAX_TEXT_CHARS} characters, none of them a control character");
            return Err(self.wrong(name, &expected, &Value::from(text)));
        }
        Ok(Some(text))
    }

    /// A string fit to be logged and to name something.
    pub(super) fn name(&self, name: &str) -> Result<&'a str, ParseError> {
        self.optional_name(name)?.ok_or_else(|| self.missing(name))
    }

    /// An id, if it is there.
    pub(super) fn optional_id<T: TryFrom<String, Error = IdError>>(&self, name: &str) -> Result<Option<T>, ParseError> {
        let Some(text) = self.optional_text(name)? else { return Ok(None) };
        T::try_from(text.to_owned()).map(Some).map_err(|error| ParseError::new(format!("{}: {error}", self.path(name))))
    }

    /// An id.
    pub(super) fn id<T: TryFrom<String, Error = IdError>>(&self, name: &str) -> Result<T, ParseError> {
        self.optional_id(name)?.ok_or_else(|| self.missing(name))
    }

    /// An instant since 1970, if it is there: RFC 3339, or RFC 1123 as AWS Health writes it.
    pub(super) fn optional_time(&self, name: &str) -> Result<Option<Timestamp>, ParseError> {
        // AWS Health's own samples pair dates with weekdays they do not fall on.
        const RFC_1123: DateTimeParser = DateTimeParser::new().relaxed_weekday(true);
        let Some(text) = self.optional_text(name)? else { return Ok(None) };
        let time = text.parse().or_else(|_| RFC_1123.parse_timestamp(text)).ok();
        let since_1970 = time.filter(|time| *time >= Timestamp::UNIX_EPOCH);
        since_1970
            .map(Some)
            .ok_or_else(|| self.wrong(name, "a time since 1970, such as 2026-08-27T13:19:03Z", &Value::from(text)))
    }

    /// An instant since 1970.
    pub(super) fn time(&self, name: &str) -> Result<Timestamp, ParseError> {
        self.optional_time(name)?.ok_or_else(|| self.missing(name))
    }

    /// An object.
    pub(super) fn object(&self, name: &str) -> Result<Fields<'a>, ParseError> {
        match self.get(name) {
            None => Err(self.missing(name)),
            Some(Value::Object(map)) => Ok(Fields::new(self.path(name), map)),
            Some(other) => Err(self.wrong(name, "an object", other)),
        }
    }

    /// The objects of an array; none when it is absent.
    pub(super) fn objects(&self, name: &str) -> Result<Vec<Fields<'a>>, ParseError> {
        let items = match self.get(name) {
            None => return Ok(Vec::new()),
            Some(Value::Array(items)) => items,
            Some(other) => return Err(self.wrong(name, "an array", other)),
        };
        let mut objects = Vec::with_capacity(items.len());
        for (position, item) in items.iter().enumerate() {
            let name = format!("{name}[{position}]");
            let Value::Object(map) = item else { return Err(self.wrong(&name, "an object", item)) };
            objects.push(Fields::new(self.path(&name), map));
        }
        Ok(objects)
    }

    /// That the field `name` is not what it should be.
    pub(super) fn wrong(&self, name: &str, expected: &str, found: &Value) -> ParseError {
        ParseError::new(format!("{}: expected {expected}, found {}", self.path(name), describe(found)))
    }

    fn missing(&self, name: &str) -> ParseError {
        ParseError::new(format!("{} is missing", self.path(name)))
    }
}

/// A value in a few words.
pub(super) fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => format!("the boolean {value}"),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) if text.chars().count() > QUOTED_CHARS => {
            format!("a string that begins {:?}", text.chars().take(QUOTED_CHARS).collect::<String>())
        }
        Value::String(text) => format!("{text:?}"),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}
