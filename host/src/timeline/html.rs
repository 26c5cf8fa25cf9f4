//! The page of a simulated run: what came of it, a picture of what happened when, and the same as a table.
//!
//! One file that needs no other and runs no script, so that it can be kept with an incident's review. Everything on it that a
//! guest, a node or an event has said is escaped, made visible and cut.

mod axis;
mod layout;
mod picture;
mod sign;
#[cfg(test)]
mod tests;
mod told;

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use maud::{DOCTYPE, Markup, PreEscaped};

use self::axis::brief;
use self::sign::Sign;
use self::told::{TEXT_CHARS, Told, shown, told};
use super::clock;
use super::end::decision;
use crate::dispatch::End;
use crate::event::Event;
use crate::lifecycle::Completion;
use crate::sim::{Entry, MAX_ENTRIES};

/// A simulated run: its events, and what its world remembers.
#[derive(Debug)]
pub struct Run<'r> {
    /// What the world's clock said at the beginning.
    pub start: Timestamp,
    /// The deliveries of its events, in the order they ended.
    pub handled: Vec<Handled<'r>>,
    /// What happened.
    pub journal: &'r [Entry],
}

/// An event, and how it ended.
#[derive(Debug)]
pub struct Handled<'r> {
    /// The event.
    pub event: &'r Event,
    /// Its end, or why it came to none.
    pub end: Result<&'r End, String>,
}

/// The page's style. It is in the page, since nothing may be fetched.
const STYLE: &str = include_str!("html/page.css");

/// Nothing is fetched and nothing is run, whatever stands on the page.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// The page, as HTML.
pub fn html(run: &Run<'_>) -> String {
    let told = told(run.journal, run.instance());
    let page = maud::html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (run.title()) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    header {
                        @for handled in &run.handled { (facts(handled, run, &told)) }
                    }
                    @if !told.is_empty() {
                        section {
                            h2 { "What happened when" }
                            (picture::picture(&told, run.start))
                            (legend(&told))
                            @if run.is_cut() {
                                p { strong { "Not all of it: " } "the journal was full after " (MAX_ENTRIES) " entries." }
                            }
                        }
                        section {
                            h2 { "The same in words" }
                            (table(&told))
                        }
                    }
                    footer {
                        "A simulated run of hostler " (env!("CARGO_PKG_VERSION")) ": AWS, the nodes and time are not real, the handler is. "
                        "Times are those of the world's own clock."
                    }
                }
            }
        }
    };
    page.into_string()
}

impl Run<'_> {
    fn title(&self) -> String {
        match self.handled.as_slice() {
            [Handled { event, end }] => {
                let of = event.instance.as_ref().map(|instance| format!(" of {instance}")).unwrap_or_default();
                format!("{}{of}: {}", event.kind.as_str(), decision(end).0)
            }
            several => format!("{} deliveries in one run", several.len()),
        }
    }

    /// Whether more happened than was written down.
    fn is_cut(&self) -> bool {
        self.journal.len() >= MAX_ENTRIES
    }

    /// The instance that all of the run is about, if it is one.
    fn instance(&self) -> Option<&str> {
        let instances: Option<BTreeSet<&str>> =
            self.handled.iter().map(|handled| Some(handled.event.instance.as_ref()?.as_str())).collect();
        let mut instances = instances?.into_iter();
        instances.next().filter(|_| instances.next().is_none())
    }
}

/// What there is to know at first sight.
fn facts(handled: &Handled<'_>, run: &Run<'_>, told: &[Told]) -> Markup {
    let Handled { event, end } = handled;
    let (outcome, why) = decision(end);
    let mut facts = vec![("Event", event.kind.as_str().to_owned())];
    let mut fact = |name, value: Option<String>| facts.extend(value.map(|value| (name, value)));
    fact("Instance", event.instance.as_ref().map(ToString::to_string));
    if let Ok(End::Worked(worked)) = end {
        let lifecycle = worked.lifecycle.map_or("no lifecycle action to complete", Completion::told);
        fact("Handler", Some(worked.handler.clone()));
        fact("Attempts", Some(worked.attempts.to_string()));
        fact("Lifecycle action", Some(lifecycle.strip_prefix("lifecycle action ").unwrap_or(lifecycle).to_owned()));
    }
    let end = told.iter().map(|told| told.at + told.took).max();
    let more = if run.is_cut() { "more than " } else { "" };
    fact("Took", end.map(|end| format!("{more}{} of virtual time", brief(end))));
    fact("Began", Some(run.start.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()));
    fact("Group", event.group.as_ref().map(ToString::to_string));
    fact("Hook", event.lifecycle_action.as_ref().map(|action| action.hook.to_string()));
    fact("Account", Some(event.account.to_string()));
    fact("Region", Some(event.region.to_string()));
    fact("Id", Some(event.id.clone()));
    maud::html! {
        h1 {
            (event.kind.as_str())
            @if let Some(instance) = &event.instance { " of " span { (instance) } }
        }
        p.outcome {
            strong.{ "is-" (outcome.replace(' ', "-")) } { (outcome) }
            @if !why.is_empty() { " " (shown(&why, TEXT_CHARS)) }
        }
        dl.facts { @for (name, value) in facts { div { dt { (name) } dd { (shown(&value, TEXT_CHARS)) } } } }
    }
}

/// What the signs mean that are in the picture.
fn legend(told: &[Told]) -> Markup {
    let signs: BTreeSet<Sign> = told.iter().map(|told| told.sign).collect();
    maud::html! {
        ul.legend aria-label="Signs" {
            @for sign in signs {
                li {
                    svg.mark.{ (sign.class()) } width="16" height="16" viewBox="-8 -8 16 16" aria-hidden="true" {
                        (sign.drawn())
                    }
                    (sign.meaning())
                }
            }
        }
    }
}

/// The same as the picture, to be read and searched. The roles are said since narrow windows show rows as blocks.
fn table(told: &[Told]) -> Markup {
    maud::html! {
        table role="table" {
            thead role="rowgroup" {
                tr role="row" {
                    @for name in ["Time", "Took", "Who", "What", "Result"] { th role="columnheader" scope="col" { (name) } }
                }
            }
            tbody role="rowgroup" {
                @for (index, told) in told.iter().enumerate() {
                    tr.{ (told.sign.class()) } role="row" id={ "r" (index + 1) } {
                        td.time role="cell" { (clock(told.at)) }
                        td.took role="cell" { @if told.took > Duration::ZERO { (brief(told.took)) } }
                        td.who role="cell" { (who(told)) }
                        td.what role="cell" { (told.what) }
                        td.result role="cell" { (told.result) }
                    }
                }
            }
        }
    }
}

fn who(told: &Told) -> String {
    let lane = told.lane.name();
    match told.by {
        Some(by) if by != told.lane => format!("{} → {lane}", by.name()),
        _ => lane.to_owned(),
    }
}
