//! Bytes that are text most of the time, in JSON: the text itself, or `{ "base64": … }` for what is not UTF-8.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Form<T> {
    Text(T),
    Binary { base64: String },
}

pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    match str::from_utf8(bytes) {
        Ok(text) => Form::Text(text),
        Err(_) => Form::Binary { base64: STANDARD.encode(bytes) },
    }
    .serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    match Form::<String>::deserialize(deserializer)? {
        Form::Text(text) => Ok(text.into_bytes()),
        Form::Binary { base64 } => STANDARD.decode(base64).map_err(D::Error::custom),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::ports::CommandOutput;

    #[test]
    fn output_is_text_where_it_can_be_and_comes_back_as_it_was() {
        let output = CommandOutput { stdout: b"caf\xc3\xa9\n".to_vec(), stderr: vec![0xff, 0], ..Default::default() };
        let written = serde_json::to_value(&output).unwrap();
        assert_eq!((&written["stdout"], &written["stderr"]), (&json!("caf\u{e9}\n"), &json!({ "base64": "/wA=" })));
        assert_eq!(serde_json::from_value::<CommandOutput>(written).unwrap(), output);
    }
}
