//! Values with a form of their own.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

/// An instant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp(pub(crate) Timestamp);

impl<'de> Deserialize<'de> for Stamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Stamp;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an instant in quotes, such as \"2026-01-15T03:00:00Z\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Stamp, E> {
                text.parse().map(Stamp).map_err(|_| {
                    E::custom(format!(
                        "{text:?} is not an instant: write date, time and zone, such as \"2026-01-15T03:00:00Z\""
                    ))
                })
            }

            /// TOML's own dates come as tables.
            fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Stamp, A::Error> {
                Err(A::Error::custom("an instant is written in quotes: \"2026-01-15T03:00:00Z\""))
            }
        }
        deserializer.deserialize_any(Text)
    }
}

impl JsonSchema for Stamp {
    fn schema_name() -> Cow<'static, str> {
        "Instant".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "An instant: date, time and zone.",
            "format": "date-time",
            "examples": ["2026-01-15T03:00:00Z"],
        })
    }
}

/// An IP address, of either version.
#[derive(Debug, Clone, Copy)]
pub(in crate::sim) struct Address(pub(in crate::sim) IpAddr);

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Address;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an IP address in quotes, such as \"10.0.1.17\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Address, E> {
                let wrong = |_| E::custom(format!("{text:?} is not an IP address: write one such as \"10.0.1.17\""));
                text.parse().map(Address).map_err(wrong)
            }
        }
        deserializer.deserialize_any(Text)
    }
}

impl JsonSchema for Address {
    fn schema_name() -> Cow<'static, str> {
        "Address".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "An IP address, version 4 or 6.",
            "anyOf": [{ "format": "ipv4" }, { "format": "ipv6" }],
            "examples": ["10.0.1.17"],
        })
    }
}
