//! What is read of SSH: known_hosts files, and the console output that host keys are looked up in.

#[cfg(feature = "live")]
use crate::aws::ssh::{console, known_hosts};

// These need no AWS, and what is below `aws` is not compiled without it.
#[cfg(not(feature = "live"))]
#[path = "../aws/ssh/console.rs"]
mod console;
#[cfg(not(feature = "live"))]
#[path = "../aws/ssh/known_hosts.rs"]
mod known_hosts;
#[cfg(not(feature = "live"))]
#[expect(dead_code, reason = "only the type of a host key is needed of it")]
#[path = "../aws/ssh/trust.rs"]
mod trust;

use super::INSTANCE;
use crate::ports::InstanceId;

/// A known_hosts file, and the same bytes as the output of a console.
///
/// A file says something of an instance, or which of its lines makes no sense. What it says of one instance, the lines of others do
/// not change; and what a console says, nothing that stands before it or after it.
pub fn ssh(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let instance = InstanceId::parse(INSTANCE).expect("an instance");
    let known = known_hosts::read(&text, &instance, 22);
    if let Err(why) = &known {
        assert!(why.starts_with("line ") && !why.contains(['\u{1b}', '\n']), "{why:?}");
    }
    let others = "i-0aaaaaaaaaaaaaaa0 ssh-ed25519 rubbish\n";
    match (&known, known_hosts::read(&format!("{text}\n{others}"), &instance, 22)) {
        (Ok(known), Ok(beside)) => assert_eq!(*known, beside),
        (Err(why), Err(beside)) => assert_eq!(*why, beside),
        (alone, beside) => panic!("alone {alone:?}, beside others {beside:?}"),
    }
    let keys = console::host_keys(&text);
    assert_eq!(keys, console::host_keys(&format!("[    1.0] Linux version\n{text}\nlogin: ")));
    assert!(keys.len() <= text.lines().count(), "more keys than lines");
}
