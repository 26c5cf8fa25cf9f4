//! Settings of the handler, from `[handler.config]` in the policy. Needs no grant.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use crate::host::config as host;
use crate::{Error, Result, time};

/// The value of `key`; none when the policy does not set it.
pub fn get(key: &str) -> Option<String> {
    host::get(key)
}

/// The value of `key`, or an error that says which setting is missing.
pub fn required(key: &str) -> Result<String> {
    get(key).ok_or_else(|| Error::new(format!("config {key:?} is not set: add it to [handler.config] in the policy")))
}

/// The value of `key` as any type that can be read from text; an error names the key and quotes the value.
///
/// ```
/// # use hostler_plugin::{prelude::*, testing::World};
/// # World::new().config("batch", "many").run(|| {
/// let error = config::parse::<u32>("batch").unwrap_err();
/// assert_eq!(error.to_string(), "config \"batch\" = \"many\": invalid digit found in string");
/// # });
/// ```
pub fn parse<T>(key: &str) -> Result<Option<T>>
where
    T: FromStr,
    T::Err: Display,
{
    parse_with(key, T::from_str)
}

/// The value of `key` as a duration with its units, such as `90s`, `2m` or `1h 30m`.
pub fn duration(key: &str) -> Result<Option<Duration>> {
    parse_with(key, time::parse_duration)
}

/// The value of `key`, read by `read`; an error names the key and quotes the value.
pub fn parse_with<T, E: Display>(key: &str, read: impl FnOnce(&str) -> Result<T, E>) -> Result<Option<T>> {
    get(key)
        .map(|value| read(&value).map_err(|error| Error::new(format!("config {key:?} = {value:?}: {error}"))))
        .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;

    #[test]
    fn a_setting_is_read_or_absent() {
        World::new().config("grace", "45s").run(|| {
            assert_eq!(duration("grace"), Ok(Some(Duration::from_secs(45))));
            assert_eq!(duration("other"), Ok(None));
            assert_eq!(required("grace"), Ok("45s".to_owned()));
        });
    }

    #[test]
    fn a_mistake_names_the_key() {
        World::new().config("grace", "45").run(|| {
            assert_eq!(
                duration("grace").unwrap_err().to_string(),
                "config \"grace\" = \"45\": \"45\" is not a duration: write numbers with units, such as \"90s\", \"2m\" or \"1h 30m\""
            );
            assert_eq!(
                required("bucket").unwrap_err().to_string(),
                "config \"bucket\" is not set: add it to [handler.config] in the policy"
            );
        });
    }
}
