//! What the notes of attempts tell of: denials, permissions that lack, and hosts that are not reached.
//!
//! A note is what a plugin made of an error of the host. Most pass it on as it is, so its words are looked for.

use super::Finding;
use crate::policy::{Handler, Power};

/// What a denial of the policy says before it names the call ([`Denial`](crate::policy::Denial)).
const MAY_NOT_CALL: &str = "may not call ";

/// What the AWS ports say of a refusal by IAM, before they name the action to allow.
const NOT_ALLOWED: &str = "not allowed by IAM";

/// What the ports to SSH, real and simulated, say of nodes that cannot be reached.
const UNREACHABLE: [&str; 5] = [
    "cannot be reached at",
    "did not answer (a security group",
    "refuses the connection",
    "has no address to connect to",
    "is not reachable",
];

/// And of nodes that do not prove which instance they are.
const NOT_BELIEVED: &str = "host key";

/// What a note tells of, if it is one of these.
pub(super) fn trouble(note: &str, handler: Option<&Handler>) -> Option<Finding> {
    denied(note, handler).or_else(|| not_allowed(note)).or_else(|| unreachable(note))
}

fn denied(note: &str, handler: Option<&Handler>) -> Option<Finding> {
    let (_, denial) = note.split_once(MAY_NOT_CALL)?;
    let call = denial.split([' ', ':']).next()?;
    let lack = Power::of(call).and_then(|power| handler?.grants.lack(power));
    let Some(lack) = lack else {
        let conclusion = format!("its handler was denied a call by the policy: it may not call {denial}");
        return Some(Finding::new(conclusion));
    };
    let conclusion = format!("its handler may not call {call}: {}", lack.rule);
    Some(Finding::with(conclusion, format!("{}, and give the policy to the hosts", lack.remedy)))
}

fn not_allowed(note: &str) -> Option<Finding> {
    let (before, after) = note.split_once(NOT_ALLOWED)?;
    let call = before.rsplit(' ').find(|word| word.contains(':') && !word.ends_with(':'));
    let action = after.rsplit_once("; allow ").and_then(|(_, rest)| rest.split(' ').next()).or(call);
    let action = action.unwrap_or("a call of AWS");
    let conclusion = format!("the role that its host runs as lacks a permission of IAM: {action}");
    Some(Finding::with(conclusion, format!("allow {action} for that role")))
}

fn unreachable(note: &str) -> Option<Finding> {
    let (conclusion, remedy) = if note.contains(NOT_BELIEVED) {
        (
            "over SSH, the node does not prove that it is this instance",
            "see host-keys in the grant ssh of its handler, and never accept a host key only to get on",
        )
    } else if UNREACHABLE.iter().any(|words| note.contains(words)) {
        (
            "its host does not reach the node over SSH",
            "look at its security group, its routes and its sshd; if the node is dead, nothing more can be done on it: \
             hostler finish",
        )
    } else {
        return None;
    };
    Some(Finding::with(format!("{conclusion}: {note}"), remedy))
}
