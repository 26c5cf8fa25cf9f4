//! What is read of SSH: known_hosts files, and the console output that host keys are looked up in.

use super::INSTANCE;
use crate::ports::InstanceId;
use crate::ssh::{console, known_hosts};
use crate::telemetry::is_obeyed;

/// A known_hosts file, and the same bytes as the output of a console.
///
/// A file says something of an instance, or which of its lines makes no sense. What it says of one instance, the lines of others do
/// not change; and what a console says, nothing that stands before it or after it.
pub fn ssh(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let instance = InstanceId::parse(INSTANCE).expect("an instance");
    let known = known_hosts::read(&text, &instance, 22);
    if let Err(why) = &known {
        assert!(why.starts_with("line ") && !why.contains(is_obeyed), "{why:?}");
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
