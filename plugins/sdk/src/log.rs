//! Lines in the host's log, which carry the handler and the event by themselves. Needs no grant.
//!
//! ```
//! # use hostler_plugin::{prelude::*, testing::World};
//! # let mut world = World::new();
//! # world.run(|| {
//! let (task, seconds) = ("cron", 90);
//! log::info!("stopping {task}");
//! log::warn!("{} does not stop", task; task = task, waited = format!("{seconds}s"));
//! # });
//! # assert_eq!(world.log, ["info: stopping cron", "warn: cron does not stop task=cron waited=90s"]);
//! ```

use std::fmt::Display;

pub use crate::bindings::hostler::handler::log::Level;
use crate::host::log as host;
#[doc(inline)]
pub use crate::{__debug as debug, __error as error, __info as info, __warn as warn};

/// Writes one line, with named values beside it. The macros of this module call it.
///
/// A message or value of more than 4 KiB is cut, and more than 32 fields are dropped, with a mark. Never an error.
pub fn write(level: Level, message: &str, fields: &[(&str, &dyn Display)]) {
    let fields: Vec<(String, String)> =
        fields.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())).collect();
    host::log(level, message, &fields);
}

/// For the author of the plugin. A format string with its arguments, then `; name = value` for fields.
#[macro_export]
#[doc(hidden)]
macro_rules! __debug {
    ($($line:tt)*) => { $crate::__log!(Debug, $($line)*) };
}

/// What happened. A format string with its arguments, then `; name = value` for fields.
#[macro_export]
#[doc(hidden)]
macro_rules! __info {
    ($($line:tt)*) => { $crate::__log!(Info, $($line)*) };
}

/// Something is not as it should be, and the handler goes on. A format string with its arguments, then
/// `; name = value` for fields.
#[macro_export]
#[doc(hidden)]
macro_rules! __warn {
    ($($line:tt)*) => { $crate::__log!(Warn, $($line)*) };
}

/// Something failed. A format string with its arguments, then `; name = value` for fields.
#[macro_export]
#[doc(hidden)]
macro_rules! __error {
    ($($line:tt)*) => { $crate::__log!(Error, $($line)*) };
}

#[macro_export]
#[doc(hidden)]
macro_rules! __log {
    ($level:ident, $format:literal $(, $argument:expr)* $(,)? $(; $($name:ident = $value:expr),+ $(,)?)?) => {
        $crate::log::write(
            $crate::log::Level::$level,
            &::std::format!($format $(, $argument)*),
            &[$($((::std::stringify!($name), &$value as &dyn ::std::fmt::Display)),+)?],
        )
    };
}
