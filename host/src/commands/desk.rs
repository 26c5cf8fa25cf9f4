//! What the commands about open work have in common: reading a ledger, how they fail, and how they write.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use jiff::Timestamp;

use super::policy::PolicyFile;
use crate::assemble::{self, AssembleError};
use crate::clock::Clock;
use crate::clock::words::relative;
use crate::diagnosis;
use crate::ledger::{Ended, Item, Ledger, LedgerError, Open, Store};
use crate::modules;
use crate::policy::{Location, Policy};
use crate::ports::{InstanceId, Place};
use crate::telemetry::visible;

/// Arguments or the policy are of no use.
pub(super) const BAD_INPUT: u8 = 2;
/// Nothing is open, or known.
pub(super) const NOTHING: u8 = 3;
/// AWS or the ledger did not do what was asked.
pub(super) const NOT_COMPLETED: u8 = 5;

/// How wide what is printed is, in columns.
pub(super) const WIDTH: usize = 100;

/// Why a command cannot do its work, with its exit code.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: u8,
    pub(super) error: anyhow::Error,
}

impl Refusal {
    pub(super) fn nothing(message: String) -> Self {
        Self { code: NOTHING, error: anyhow::Error::msg(message) }
    }

    pub(super) fn bad_input(error: impl Into<anyhow::Error>) -> Self {
        Self { code: BAD_INPUT, error: error.into() }
    }
}

impl From<AssembleError> for Refusal {
    fn from(error: AssembleError) -> Self {
        let code = match &error {
            #[cfg(feature = "live")]
            AssembleError::Aws(_) => NOT_COMPLETED,
            AssembleError::Ledger(_) => NOT_COMPLETED,
            _ => BAD_INPUT,
        };
        Self { code, error: error.into() }
    }
}

impl From<LedgerError> for Refusal {
    fn from(error: LedgerError) -> Self {
        Self { code: NOT_COMPLETED, error: error.into() }
    }
}

impl From<io::Error> for Refusal {
    /// Nobody is left to be told when standard output is closed.
    fn from(error: io::Error) -> Self {
        Self { code: 1, error: anyhow::Error::from(error).context("cannot write to standard output") }
    }
}

/// Ends a command.
pub(super) fn exit(result: Result<u8, Refusal>) -> ExitCode {
    let code = result.unwrap_or_else(|refusal| {
        crate::commands::complain(&refusal.error);
        refusal.code
    });
    ExitCode::from(code)
}

/// The policy that a command is about.
pub(super) fn policy(file: &PolicyFile) -> Result<Policy, Refusal> {
    super::policy::read_policy(&file.path).map_err(Refusal::bad_input)
}

/// A ledger for each account and region that the store has work of.
pub(super) async fn ledgers(store: &Arc<dyn Store>, clock: &Arc<dyn Clock>) -> Result<Vec<Ledger>, LedgerError> {
    let places = Ledger::places(&**store).await?;
    let ledger = |place| Ledger::new(Arc::clone(store), Arc::clone(clock), place, "a person").only_looking();
    Ok(places.into_iter().map(ledger).collect())
}

/// What a ledger knows of an instance.
pub(super) struct Known {
    pub(super) ledger: Ledger,
    pub(super) open: Open,
    pub(super) ended: Ended,
}

impl Known {
    /// The open item that a person means: the only one, or the one they name.
    pub(super) fn choose(&self, instance: &InstanceId, named: Option<&str>, now: Timestamp) -> Result<&Item, Refusal> {
        let items = &self.open.items;
        let told = || -> String {
            items.iter().map(|item| format!("\n  --item {:?}: {}", item.id, item.event.about())).collect()
        };
        match (named, items.as_slice()) {
            (_, []) => Err(Refusal::nothing(self.nothing_open(instance, now))),
            (None, [only]) => Ok(only),
            (None, several) => {
                let message = format!("{instance} has {} open items; say which is meant:{}", several.len(), told());
                Err(Refusal::bad_input(anyhow::Error::msg(message)))
            }
            (Some(id), items) => items.iter().find(|item| item.id == id).ok_or_else(|| {
                let message = format!("{instance} has no open item {id:?}; there is:{}", told());
                Refusal::bad_input(anyhow::Error::msg(message))
            }),
        }
    }

    /// The plugins that its attempts have run and hosts run no more, by digest, each with why. What a handler is pinned to is run all the
    /// same.
    pub(super) async fn given_up(&self, policy: &Policy, store: &Arc<dyn Store>) -> BTreeMap<String, String> {
        let of_open = self.open.items.iter().map(|item| (&item.handler, &item.told));
        let of_ended = self.ended.items.iter().map(|ended| (&ended.handler, &ended.told));
        let mut ran: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (name, told) in of_open.chain(of_ended) {
            let handler = policy.handlers.iter().find(|handler| handler.name == *name && handler.pin.is_none());
            if let Some(handler) = handler {
                ran.entry(&handler.module).or_default().extend(told.iter().map(|told| told.module.as_str()));
            }
        }
        let mut given_up = BTreeMap::new();
        for (module, digests) in ran {
            match modules::recorded(store, &policy.modules.source, module).await {
                Ok(record) => given_up.extend(
                    digests
                        .into_iter()
                        .filter_map(|digest| Some((digest.to_owned(), record.given_up(digest)?.to_owned()))),
                ),
                Err(error) => tracing::warn!(module, %error, "whether its plugins were given up is not told"),
            }
        }
        given_up
    }

    fn nothing_open(&self, instance: &InstanceId, now: Timestamp) -> String {
        let last = self.ended.items.last().map(|last| {
            let at = relative(last.ended, now);
            format!("; the last, {} taken by {}, ended {at}: {}", last.kind, last.handler, diagnosis::end(last))
        });
        format!("no work is open for {instance}{}", last.unwrap_or_default())
    }
}

/// Where the ledger is, for messages; a folder that is not there may be a mistake.
pub(super) fn place(policy: &Policy, store: &dyn Store) -> String {
    let Some(Location::Dir(folder)) = policy.ledger.as_ref().map(|ledger| &ledger.store) else {
        return store.locate("");
    };
    // From where somebody asks, a relative one may be another than that of the hosts.
    let place = std::path::absolute(folder).unwrap_or_else(|_| folder.clone()).display().to_string();
    if is_missing(policy) {
        format!("{place} (which is not there: no host of this machine has written to it)")
    } else {
        place
    }
}

/// Whether the ledger is a folder that is not there.
pub(super) fn is_missing(policy: &Policy) -> bool {
    let store = policy.ledger.as_ref().map(|ledger| &ledger.store);
    matches!(store, Some(Location::Dir(folder)) if !folder.exists())
}

/// Nothing is written about an instance.
pub(super) fn unknown(instance: &InstanceId, place: &str) -> String {
    format!(
        "{instance}: {place} has nothing about it: no event has come, or it ended longer ago than ended work is kept"
    )
}

/// What ledgers know of an instance: nothing, unless several accounts have one of that name, in one of them.
pub(super) async fn known(ledgers: Vec<Ledger>, instance: &InstanceId) -> Result<Option<Known>, LedgerError> {
    let mut known: Option<Known> = None;
    for ledger in ledgers {
        let open = ledger.open(instance).await?;
        let ended = match ledger.ended(instance).await {
            // Nobody needs the past to decide over what is open.
            Err(error @ LedgerError::Unsound { .. }) if !open.items.is_empty() => {
                tracing::warn!(%error, "what has ended is not told");
                Ended::default()
            }
            ended => ended?,
        };
        let (is_open, is_known) = (!open.items.is_empty(), !open.items.is_empty() || !ended.items.is_empty());
        // Instance ids are unique across accounts and regions, as far as anybody knows.
        if is_open || is_known && known.is_none() {
            known = Some(Known { ledger, open, ended });
        }
    }
    Ok(known)
}

/// We are somewhere else than the work.
pub(super) fn elsewhere(ours: &Place, theirs: &Place) -> String {
    format!(
        "these credentials are of account {} in {}, and the instance is in account {} in {}; set AWS_PROFILE and AWS_REGION to those",
        ours.account, ours.region, theirs.account, theirs.region
    )
}

/// Who we are, where AWS does not say.
pub(super) fn user_at_host() -> String {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
    format!("{}@{}", user.as_deref().unwrap_or("somebody"), assemble::machine())
}

/// Writes lines, each made visible, broken where it is longer than [`WIDTH`].
pub(super) fn write_lines<'l>(out: &mut dyn Write, lines: impl IntoIterator<Item = &'l str>) -> io::Result<()> {
    lines.into_iter().try_for_each(|line| writeln!(out, "{}", wrapped(&visible(line))))
}

/// A line broken at spaces, its further lines as far in as the first and two more. Commands are to be copied, and stay as they are.
fn wrapped(line: &str) -> String {
    if line.trim_start().starts_with("$ ") {
        return line.to_owned();
    }
    let (mut text, mut column) = (String::new(), 0);
    let indent = line.len() - line.trim_start_matches(' ').len() + 2;
    for (index, word) in line.split(' ').enumerate() {
        let width = word.chars().count();
        if index > 0 && column + 1 + width > WIDTH && column > indent {
            text.push('\n');
            text.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        } else if index > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += width;
    }
    text
}

/// As much of a text as fits into so many columns.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// As much of a digest as is compared by eye.
pub(super) fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_broken_at_spaces_and_go_on_further_in() {
        assert_eq!(wrapped("  short"), "  short");
        let command = format!("  $ {}", "word ".repeat(30));
        assert_eq!(wrapped(&command), command);
        let broken = wrapped(&format!("  {}{}", "word ".repeat(30), "x".repeat(120)));
        insta::assert_snapshot!(broken, @"
        word word word word word word word word word word word word word word word word word word word
          word word word word word word word word word word word
          xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
        ");
    }

    #[test]
    fn a_folder_is_named_in_full_and_if_it_is_not_there() {
        let told = |folder: &str| {
            let policy = crate::testing::policy(&format!("[ledger]\nstore = \"dir:{folder}\""));
            place(&policy, &crate::ledger::DirStore::new(folder))
        };
        let here = std::env::current_dir().unwrap();
        assert_eq!(told("src"), here.join("src").display().to_string());
        let said = told("no-such-ledger").replace(&here.display().to_string(), "/here");
        insta::assert_snapshot!(said, @"/here/no-such-ledger (which is not there: no host of this machine has written to it)");
    }

    #[test]
    fn what_does_not_fit_is_cut_with_a_sign_of_it() {
        assert_eq!([cut("grün", 4), cut("grün!", 4)], ["grün", "grü…"]);
    }
}
