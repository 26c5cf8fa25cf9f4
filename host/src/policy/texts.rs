//! Texts of the policy that have a form: each a type that only a well-formed text becomes.

use std::fmt;
use std::marker::PhantomData;
use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::de::{self, Deserialize, Deserializer, Visitor};

use super::Location;
use crate::ports::ClusterName;

/// A newtype over a string that `$check` accepts, or explains.
macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $pattern:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
        #[schemars(extend("pattern" = $pattern))]
        pub(super) struct $name(pub(super) String);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(Checked(PhantomData))
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                let check: fn(&str) -> Result<(), String> = $check;
                check(&text).map(|()| Self(text))
            }
        }
    };
}

/// Takes a text that becomes a `T`. Unlike serde's `try_from` it refuses while the place of the text is still known,
/// so that an element of a list is pointed at, and not the list.
struct Checked<T>(PhantomData<T>);

impl<T: TryFrom<String, Error = String>> Visitor<'_> for Checked<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text in quotes")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        T::try_from(text.to_owned()).map_err(E::custom)
    }
}

text! {
    /// The name of a handler: up to 64 letters, digits, `-` and `_`.
    HandlerName, "^[A-Za-z0-9_-]{1,64}$", |text| {
        let sound = (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        sound.then_some(()).ok_or_else(|| format!("{text:?} is not a handler's name: use 1 to 64 letters, digits, - and _"))
    }
}

text! {
    /// The name of a module below the source: a relative path that ends in `.wasm`.
    ModuleName, r"^[^/\\]+(/[^/\\]+)*\.wasm$", |text| {
        let error = |why: &str| Err(format!("{text:?} is not the name of a module: {why}"));
        if text.starts_with('/') {
            error("it is looked up below modules.source, so it must not begin with /")
        } else if text.contains(['\\', '\0']) || text.contains(char::is_control) || text.len() > 512 {
            error("use up to 512 characters, with / between folders")
        } else if text.split('/').any(|part| matches!(part, "" | "." | "..")) {
            error("it must stay below modules.source, with no empty part, . or .. in it")
        } else if text.rsplit('/').next().and_then(|file| file.strip_suffix(".wasm")).is_none_or(str::is_empty) {
            error("it must end in .wasm")
        } else {
            Ok(())
        }
    }
}

/// Whether a text is what a handler's `module` can be, or why not.
pub(crate) fn module_name(text: &str) -> Result<(), String> {
    ModuleName::try_from(text.to_owned()).map(drop)
}

text! {
    /// The name of an ECS cluster, or a pattern with `*` for any run of characters.
    ClusterPattern, r"^[A-Za-z0-9_*-]{1,255}$", |text| {
        let star_or_name = ClusterName::parse(&text.replace('*', "x")).is_ok();
        star_or_name.then_some(()).ok_or_else(|| if text.starts_with("arn:") {
            format!("{text:?} is an ARN: name the cluster itself, which is what follows the last /")
        } else {
            format!("{text:?} is not the name of a cluster: use letters, digits, - and _, and * for any run of them")
        })
    }
}

text! {
    /// The name of an Auto Scaling group, or a pattern with `*` for any run of characters.
    GroupPattern, r"^.{1,255}$", |text| {
        let sound = (1..=255).contains(&text.chars().count()) && !text.contains(char::is_control);
        sound.then_some(()).ok_or_else(|| format!("{text:?} is not the name of an Auto Scaling group: use 1 to 255 characters"))
    }
}

text! {
    /// The name of a user on the node.
    User, r"^[^\s-][^\s]{0,63}$", |text| {
        let sound = (1..=64).contains(&text.chars().count())
            && !text.starts_with('-')
            && !text.contains(|char: char| char.is_whitespace() || char.is_control());
        sound.then_some(()).ok_or_else(|| format!("{text:?} is not the name of a user, such as \"ec2-user\""))
    }
}

text! {
    /// A minisign public key: the second line of the `.pub` file.
    PublicKey, "^RW[A-Za-z0-9+/]{54}$", |text| {
        use base64::Engine as _;
        // 2 bytes of algorithm, 8 of key id, 32 of key.
        let sound = base64::engine::general_purpose::STANDARD
            .decode(text)
            .is_ok_and(|key| key.len() == 42 && key.starts_with(b"Ed"));
        sound.then_some(()).ok_or_else(|| {
            "not a minisign public key: write the second line of the .pub file, 56 characters that begin with RW".to_owned()
        })
    }
}

text! {
    /// The SHA-256 of a module, in hexadecimal.
    Sha256, "^[0-9a-f]{64}$", |text| {
        let sound = text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        sound.then_some(()).ok_or_else(|| {
            "not a SHA-256: write the 64 digits 0-9 and a-f that sha256sum prints, and the log has as `module`".to_owned()
        })
    }
}

text! {
    /// The id that S3 has given to a version of an object.
    VersionId, r"^[!-~]{1,1024}$", |text| {
        let sound = (1..=1024).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        sound.then_some(()).ok_or_else(|| {
            "not the id of a version: write what `aws s3api list-object-versions` gives as VersionId".to_owned()
        })
    }
}

text! {
    /// The URL of an SQS queue.
    QueueUrl, r"^(https://[^/\s]+|http://127\.0\.0\.1(:[0-9]+)?)/[0-9]{12}/[A-Za-z0-9_-]{1,80}$", |text| {
        let error = |why: &str| Err(format!("{text:?} is not the URL of a queue: {why}"));
        let example = r#"write "https://sqs.REGION.amazonaws.com/ACCOUNT/NAME", which is what SQS calls QueueUrl"#;
        let Some((scheme, rest)) = text.split_once("://") else { return error(example) };
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (account, name) = path.split_once('/').unwrap_or((path, ""));
        let name_sound = (1..=80).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        if scheme != "https" && !(scheme == "http" && matches!(host.split(':').next(), Some("127.0.0.1"))) {
            error("messages go over https, or over http to 127.0.0.1")
        } else if host.is_empty() || host.contains(|char: char| char.is_whitespace() || char.is_control() || char == '@') {
            error(example)
        } else if name.ends_with(".fifo") {
            error("it is a FIFO queue, in which one instance that waits holds up all behind it; use a standard queue")
        } else if account.len() != 12 || !account.bytes().all(|b| b.is_ascii_digit()) || !name_sound {
            error(example)
        } else {
            Ok(())
        }
    }
}

/// An address of the loopback interface, with a port; port 0 is any that is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", extend("pattern" = r"^(127\.[0-9.]+|\[::1\]):[0-9]{1,5}$"))]
pub(super) struct Loopback(pub(super) SocketAddr);

impl TryFrom<String> for Loopback {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let address: SocketAddr = text.parse().map_err(|_| {
            format!(r#"{text:?} is not an address with a port: write "127.0.0.1:PORT" or "[::1]:PORT""#)
        })?;
        if address.ip().is_loopback() {
            return Ok(Self(address));
        }
        Err(format!(
            "{text:?} can be reached from elsewhere, and the agent answers whoever asks: write \"127.0.0.1:{}\", and put a \
             proxy in front of it that knows who may ask",
            address.port()
        ))
    }
}

impl TryFrom<String> for Location {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("dir:") {
            return if path.is_empty() || path.contains(char::is_control) {
                Err(format!("{text:?} names no folder: write \"dir:PATH\""))
            } else {
                Ok(Self::Dir(path.into()))
            };
        }
        let Some(place) = text.strip_prefix("s3://") else {
            return Err(format!("{text:?} is not a place: write \"s3://BUCKET/PREFIX/\" or \"dir:PATH\""));
        };
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        let bucket_sound = (3..=63).contains(&bucket.len())
            && bucket.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-".contains(&b))
            && !bucket.starts_with(['.', '-'])
            && !bucket.ends_with(['.', '-']);
        if !bucket_sound {
            return Err(format!(
                "{bucket:?} is not the name of a bucket: it has 3 to 63 lowercase letters, digits, . and -, as in \"s3://BUCKET/PREFIX/\""
            ));
        }
        if prefix.starts_with('/') || prefix.contains("//") || prefix.contains(char::is_control) || prefix.len() > 500 {
            return Err(format!("{prefix:?} is not a prefix: it has no empty part, and up to 500 characters"));
        }
        if !prefix.is_empty() && !prefix.ends_with('/') {
            return Err(format!("a prefix is a folder: write \"{text}/\""));
        }
        Ok(Self::S3 { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_stays_below_its_source() {
        let module = |text: &str| ModuleName::try_from(text.to_owned()).map(|name| name.0);
        for good in ["a.wasm", "v1/a-b_c.wasm", "..a.wasm"] {
            assert_eq!(module(good), Ok(good.to_owned()));
        }
        for bad in [
            "",
            ".wasm",
            "a",
            "/a.wasm",
            "../a.wasm",
            "a/../b.wasm",
            "a//b.wasm",
            "./a.wasm",
            "a\\b.wasm",
            "a/.wasm",
            "a\0.wasm",
        ] {
            assert!(module(bad).is_err(), "{bad:?} passed for a module");
        }
        insta::assert_snapshot!(module("../a.wasm").unwrap_err(), @r#""../a.wasm" is not the name of a module: it must stay below modules.source, with no empty part, . or .. in it"#);
        insta::assert_snapshot!(module("a").unwrap_err(), @r#""a" is not the name of a module: it must end in .wasm"#);
    }

    #[test]
    fn a_source_is_a_bucket_or_a_folder() {
        let source = |text: &str| Location::try_from(text.to_owned());
        let s3 = |bucket: &str, prefix: &str| Ok(Location::S3 { bucket: bucket.to_owned(), prefix: prefix.to_owned() });
        assert_eq!(source("s3://bucket"), s3("bucket", ""));
        assert_eq!(source("s3://bucket/"), s3("bucket", ""));
        assert_eq!(source("s3://my.bucket-1/a/b/"), s3("my.bucket-1", "a/b/"));
        assert_eq!(source("dir:plugins/dist"), Ok(Location::Dir("plugins/dist".into())));
        insta::assert_snapshot!(source("plugins/dist").unwrap_err(), @r#""plugins/dist" is not a place: write "s3://BUCKET/PREFIX/" or "dir:PATH""#);
        insta::assert_snapshot!(source("s3://Bucket/").unwrap_err(), @r#""Bucket" is not the name of a bucket: it has 3 to 63 lowercase letters, digits, . and -, as in "s3://BUCKET/PREFIX/""#);
        insta::assert_snapshot!(source("s3://bucket/handlers").unwrap_err(), @r#"a prefix is a folder: write "s3://bucket/handlers/""#);
        for bad in ["", "s3://", "s3://b", "s3://bucket//", "dir:", "https://bucket/", "s3://-bucket/"] {
            assert!(source(bad).is_err(), "{bad:?} passed for a source");
        }
    }

    #[test]
    fn names_have_their_charsets() {
        assert!(HandlerName::try_from("asg-terminate_2".to_owned()).is_ok());
        assert!(HandlerName::try_from("asg terminate".to_owned()).is_err());
        assert!(ClusterPattern::try_from("nuproj-*".to_owned()).is_ok());
        assert!(ClusterPattern::try_from("nuproj-[ab]".to_owned()).is_err());
        assert!(GroupPattern::try_from("a group (b)?".to_owned()).is_ok());
        assert!(User::try_from("ec2-user".to_owned()).is_ok());
        assert!(User::try_from("-oProxyCommand".to_owned()).is_err());
        let key = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3";
        assert!(PublicKey::try_from(key.to_owned()).is_ok());
        assert!(PublicKey::try_from("RWQ…".to_owned()).is_err());
        let arn = ClusterPattern::try_from("arn:aws:ecs:eu-central-1:123456789012:cluster/prod".to_owned());
        insta::assert_snapshot!(arn.unwrap_err(), @r#""arn:aws:ecs:eu-central-1:123456789012:cluster/prod" is an ARN: name the cluster itself, which is what follows the last /"#);
    }
}
