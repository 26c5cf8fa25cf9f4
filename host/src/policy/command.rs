//! `commands` in the `ssh` grant: which commands a handler may run, argument by argument.
//!
//! There is no shell in it, and no text is matched in part: what one argument holds can never become another, or an option
//! where none was meant.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};

use super::grants::write_list;

/// One allowed command: a pattern for each argument, the program first.
///
/// Arguments are compared whole and byte by byte; a star within a longer one is only a star.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandPattern {
    arguments: Vec<ArgumentPattern>,
}

/// What one place of a command may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArgumentPattern {
    /// Exactly this argument.
    Literal(String),
    /// `*`: exactly one argument that does not begin with `-`. What does is an option to most programs, and whoever writes
    /// `["systemctl", "stop", "*"]` does not mean `--host=elsewhere`.
    One,
    /// `-*`: exactly one argument that begins with `-`.
    Dashed,
    /// `**`, in the last place only: any further arguments, or none, options among them.
    Rest,
}

impl CommandPattern {
    /// Reads a command as the policy writes it, or says why it is not one.
    pub fn new(written: Vec<String>) -> Result<Self, String> {
        let last =
            written.len().checked_sub(1).ok_or("an empty command: name the program first, as in [\"uptime\"]")?;
        let argument = |(index, argument): (usize, String)| match argument.as_str() {
            "*" | "-*" | "**" if index == 0 => {
                Err(format!("{argument:?} as the program would allow any: name the program"))
            }
            "" if index == 0 => Err("the program has no name".to_owned()),
            "**" if index < last => {
                Err("\"**\" stands for the rest of the arguments, so it can only be the last".to_owned())
            }
            "*" => Ok(ArgumentPattern::One),
            "-*" => Ok(ArgumentPattern::Dashed),
            "**" => Ok(ArgumentPattern::Rest),
            text if text.contains('\0') => Err("an argument cannot hold a NUL byte".to_owned()),
            _ => Ok(ArgumentPattern::Literal(argument)),
        };
        let arguments = written.into_iter().enumerate().map(argument).collect::<Result<_, _>>()?;
        Ok(Self { arguments })
    }

    /// Whether `command`, the program first, is one of those allowed. Never so when an argument holds a NUL byte.
    pub fn matches(&self, command: &[String]) -> bool {
        self.fits(command, |argument| !argument.starts_with('-'))
    }

    /// Whether only an argument that begins with `-`, in the place of a `*`, keeps `command` from being allowed.
    pub(super) fn lacks_only_a_dash(&self, command: &[String]) -> bool {
        !self.matches(command) && self.fits(command, |_| true)
    }

    /// Whether `command` is of this form, where `one` says what a `*` may stand for.
    fn fits(&self, command: &[String], one: fn(&str) -> bool) -> bool {
        let (fixed, rest) = match self.arguments.split_last() {
            Some((ArgumentPattern::Rest, fixed)) => (fixed, true),
            _ => (self.arguments.as_slice(), false),
        };
        let long_enough = if rest { command.len() >= fixed.len() } else { command.len() == fixed.len() };
        long_enough
            && !command.iter().any(|argument| argument.contains('\0'))
            && fixed.iter().zip(command).all(|(pattern, argument)| match pattern {
                ArgumentPattern::Literal(literal) => literal == argument,
                ArgumentPattern::One => one(argument),
                ArgumentPattern::Dashed => argument.starts_with('-'),
                ArgumentPattern::Rest => true,
            })
    }

    /// Why it probably allows something else than was meant.
    pub(super) fn probably_not_meant(&self) -> Option<String> {
        let within = self.arguments.iter().find_map(|argument| match argument {
            ArgumentPattern::Literal(literal) if literal.contains('*') => Some(literal),
            _ => None,
        });
        if let Some(literal) = within {
            return Some(format!(
                "{literal:?} means exactly that: a star stands for an argument only where it is all of it"
            ));
        }
        let as_root = matches!(self.arguments.first(), Some(ArgumentPattern::Literal(program))
            if matches!(program.rsplit('/').next(), Some("sudo" | "doas")));
        (as_root && self.arguments.last() == Some(&ArgumentPattern::Rest)).then(|| {
            format!("{self} runs as root with any options the plugin thinks of: write the arguments, with * for each that varies")
        })
    }
}

impl fmt::Display for CommandPattern {
    /// As the policy writes it: `["docker", "ps", "**"]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let written = self.arguments.iter().map(|argument| match argument {
            ArgumentPattern::Literal(literal) => literal.as_str(),
            ArgumentPattern::One => "*",
            ArgumentPattern::Dashed => "-*",
            ArgumentPattern::Rest => "**",
        });
        f.write_str("[")?;
        write_list(f, written)?;
        f.write_str("]")
    }
}

impl<'de> Deserialize<'de> for CommandPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Arguments;

        impl<'de> Visitor<'de> for Arguments {
            type Value = CommandPattern;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a command as a list of arguments, such as [\"docker\", \"ps\", \"**\"]")
            }

            fn visit_str<E: de::Error>(self, line: &str) -> Result<CommandPattern, E> {
                let mut arguments = String::new();
                write_list(&mut arguments, line.split_whitespace()).map_err(E::custom)?;
                Err(E::custom(format!("a command is a list of arguments, not a line for a shell: write [{arguments}]")))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<CommandPattern, A::Error> {
                let mut written = Vec::new();
                while let Some(argument) = seq.next_element()? {
                    written.push(argument);
                }
                CommandPattern::new(written).map_err(de::Error::custom)
            }
        }

        deserializer.deserialize_any(Arguments)
    }
}

impl JsonSchema for CommandPattern {
    fn schema_name() -> Cow<'static, str> {
        "Command".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "array",
            "description": "The program, then its arguments: literal, \"*\" for exactly one that does not begin with -, \"-*\" for exactly one that \
                            does, a last \"**\" for any further ones, options among them.",
            "items": { "type": "string" },
            "minItems": 1,
            "examples": [["docker", "ps", "**"]],
        })
    }
}

#[cfg(test)]
mod tests;
