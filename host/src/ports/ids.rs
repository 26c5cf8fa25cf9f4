//! Names of things in AWS, each a type of its own so that they cannot be swapped.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A text that is not the id it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what:?} is not {expected}")]
pub struct IdError {
    what: String,
    expected: &'static str,
}

/// What is quoted of a text that is not an id: enough to recognise it, whatever its length.
const QUOTED_CHARS: usize = 64;

impl IdError {
    fn new(text: &str, expected: &'static str) -> Self {
        Self { what: text.chars().take(QUOTED_CHARS).collect(), expected }
    }
}

/// A newtype over a string that `$valid` accepts.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Takes a text that is well formed.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) { Ok(Self(text.to_owned())) } else { Err(IdError::new(text, $expected)) }
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id! {
    /// An EC2 instance id: `i-` and 8 or 17 hexadecimal digits.
    InstanceId, "an EC2 instance id (i- and 8 or 17 hexadecimal digits, such as i-0123456789abcdef0)", |text| {
        text.strip_prefix("i-").is_some_and(|digits| {
            matches!(digits.len(), 8 | 17) && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        })
    }
}

id! {
    /// The name of an Auto Scaling group: 1 to 255 characters, no control characters.
    GroupName, "the name of an Auto Scaling group (1 to 255 characters)", |text| {
        (1..=255).contains(&text.chars().count()) && !text.chars().any(char::is_control)
    }
}

id! {
    /// The name of a lifecycle hook: 1 to 255 letters, digits, `-`, `_` and `/`.
    HookName, "the name of a lifecycle hook (1 to 255 letters, digits, -, _ and /)", |text| {
        (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_/".contains(&b))
    }
}

id! {
    /// The name of an ECS cluster: 1 to 255 letters, digits, `-` and `_`.
    ClusterName, "the name of an ECS cluster (1 to 255 letters, digits, - and _)", |text| {
        (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    }
}

id! {
    /// The ARN of an ECS task.
    TaskArn, "the ARN of an ECS task (arn:aws:ecs:REGION:ACCOUNT:task/…)", |text| {
        text.len() <= 512
            && text.starts_with("arn:")
            && text.bytes().all(|b| b.is_ascii_graphic())
            && text.split(':').nth(2) == Some("ecs")
            && text.splitn(6, ':').nth(5).is_some_and(|resource| resource.starts_with("task/"))
    }
}

id! {
    /// An AWS account id: twelve digits.
    AccountId, "an AWS account id (twelve digits)", |text| text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

id! {
    /// The name of an AWS region, such as `eu-central-1`.
    Region, "the name of an AWS region (such as eu-central-1)", |text| {
        (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_id_has_8_or_17_hexadecimal_digits() {
        for good in ["i-0123456789abcdef0", "i-12345678"] {
            assert_eq!(InstanceId::parse(good).map(String::from), Ok(good.to_owned()));
        }
        for bad in ["", "i-", "i-123", "I-12345678", "i-0123456789ABCDEF0", "i-12345678 ", "mi-12345678"] {
            assert!(InstanceId::parse(bad).is_err(), "{bad:?} passed for an instance id");
        }
    }

    #[test]
    fn an_error_quotes_the_text_but_never_all_of_a_long_one() {
        let error = InstanceId::parse(&"x".repeat(10_000)).unwrap_err().to_string();
        assert!(error.contains("is not an EC2 instance id"), "{error}");
        assert!(error.len() < 200, "{error}");
    }

    #[test]
    fn a_task_arn_is_of_ecs_and_of_a_task() {
        assert!(TaskArn::parse("arn:aws:ecs:eu-central-1:123456789012:task/prod/0123").is_ok());
        assert!(TaskArn::parse("arn:aws:ecs:eu-central-1:123456789012:service/prod/web").is_err());
        assert!(TaskArn::parse("arn:aws:s3:::task/x").is_err());
    }
}
