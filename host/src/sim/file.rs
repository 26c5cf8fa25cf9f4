//! The TOML form of a world: what its keys mean, and what is wrong with them.

mod ecs;
mod group;
mod instance;
mod ssh;

use std::fmt::Display;
use std::time::Duration;

use super::keys::{ClusterKeys, File};
use super::state::State;
use crate::ports::{AccountId, Place, Region};
use crate::reading::units::Time;
use crate::reading::{At, Mistakes, Reading, Section, Tables, nearest};

/// The largest file that is read, in bytes.
const MAX_BYTES: usize = 1 << 20;

/// The longest time a world knows: more than anything in it can last.
const MAX_TIME: Time = Time::seconds(30 * 24 * 60 * 60);

/// The longest that reads can lag behind. AWS promises no time; seconds are usual.
const MAX_LAG: Time = Time::seconds(5 * 60);

// What holds when a key is left out.
pub(super) const ACCOUNT: &str = "123456789012";
pub(super) const REGION: &str = "eu-central-1";
pub(super) const INSTANCE_TYPE: &str = "m7g.large";
pub(super) const FAMILY: &str = "standalone";

/// Reads a world, or explains every mistake in it.
pub(super) fn parse(name: &str, text: &str) -> Result<State, Mistakes> {
    let mut reading = Reading::new(text);
    let state = if text.len() > MAX_BYTES {
        let message = format!("the file has {} bytes, and a world can have {MAX_BYTES} at most", text.len());
        reading.findings.mistake(0, message);
        None
    } else {
        reading.read::<File>(text).map(|file| build(&mut reading, "", file))
    };
    let (mistakes, _) = reading.findings.finish();
    state.filter(|_| mistakes.is_empty()).ok_or_else(|| Mistakes { name: name.to_owned(), mistakes })
}

/// The world that a file describes. It is sound only if `reading` has found no mistake. `above` is what the names of its tables
/// begin with: nothing in a file of its own, `world.` in a case.
pub(super) fn build(reading: &mut Reading<'_>, above: &'static str, file: File) -> State {
    let place = Place {
        account: file.account.unwrap_or_else(|| AccountId::parse(ACCOUNT).expect("twelve digits")),
        region: file.region.unwrap_or_else(|| Region::parse(REGION).expect("a region of AWS")),
    };
    let mut state = State::empty(place, file.start.map(|start| start.0));
    state.history.lag =
        reading.within("eventually-consistent", file.eventually_consistent, Time::seconds(0), NO_TIME..=MAX_LAG).0;
    let mut builder = Builder { reading, above, state };
    // In the order in which one thing refers to another.
    for keys in tables(file.cluster) {
        builder.cluster(keys);
    }
    for keys in tables(file.group) {
        builder.group(keys);
    }
    let services: Vec<_> = tables(file.service).filter_map(|keys| builder.service(keys)).collect();
    for keys in tables(file.instance) {
        builder.instance(keys);
    }
    for keys in tables(file.task) {
        builder.task(keys);
    }
    for service in services {
        builder.desire(service);
    }
    for keys in tables(file.ssh) {
        builder.ssh(keys);
    }
    let mut state = builder.state;
    state.begin();
    state
}

/// The shortest time.
const NO_TIME: Time = Time::seconds(0);

fn tables<T>(tables: Option<Tables<T>>) -> impl Iterator<Item = Section<T>> {
    tables.into_iter().flat_map(|tables| tables.0)
}

/// A world being put together.
struct Builder<'r, 't> {
    reading: &'r mut Reading<'t>,
    above: &'static str,
    state: State,
}

impl Builder<'_, '_> {
    fn cluster(&mut self, At { at, value }: Section<ClusterKeys>) {
        let Some(name) = self.reading.required(at, "name", value.0.name, "name = \"…\"") else { return };
        if self.state.clusters.contains(&name.value) {
            self.mistake(name.at, format!("the cluster {} is there twice", name.value));
        }
        self.state.clusters.push(name.value);
    }

    /// A time that is not absurd, with a default.
    fn time(&mut self, key: &str, written: Option<At<Time>>, default: Duration) -> Duration {
        self.reading.within(key, written, Time(default), NO_TIME..=MAX_TIME).0
    }

    /// The same for a key that has no default.
    fn some_time(&mut self, key: &str, written: Option<At<Time>>) -> Option<Duration> {
        written.map(|_| self.time(key, written, Duration::ZERO))
    }

    /// A reference to a thing that is not there.
    fn missing(&mut self, at: usize, from: impl Display, kind: &str, name: &str, known: &[String]) {
        let known: Vec<_> = known.iter().map(String::as_str).collect();
        let mend = match nearest(name, &known) {
            Some(meant) => format!("did you mean {meant}?"),
            None => format!("add a {} for it", self.table(kind)),
        };
        self.mistake(at, format!("{from} refers to the {kind} {name}, which is not in the world; {mend}"));
    }

    /// The heading of a table, as it has to be written where the world is.
    fn table(&self, name: &str) -> String {
        format!("[[{}{name}]]", self.above)
    }

    /// Keys that mean nothing without another.
    fn useless(&mut self, keys: &[(Option<usize>, &str)], thing: impl Display, without: &str) {
        for (at, key) in keys {
            if let Some(at) = at {
                self.mistake(*at, format!("{thing} has {key}, which means nothing without {without}"));
            }
        }
    }

    fn mistake(&mut self, at: usize, message: impl Into<String>) {
        self.reading.findings.mistake(at, message);
    }
}

/// Where a key stands, if it is there.
fn place_of<T>(key: Option<&At<T>>) -> Option<usize> {
    key.map(|key| key.at)
}
