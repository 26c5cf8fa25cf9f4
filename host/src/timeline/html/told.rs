//! What the page tells of a run: its journal, each thing once, in the order in which things began.

use std::time::Duration;

use crate::sim::{Call, Entry, FaultKind, Line, Reply, What};
use crate::telemetry::visible;

use super::super::rest;
use super::sign::Sign;

/// The longest text that is shown, in characters. Guests and nodes write some of them.
pub(super) const TEXT_CHARS: usize = 500;

/// The longest text beside a mark of the picture.
const LABEL_CHARS: usize = 36;

/// The log tells what a call came to as soon as it did; how far apart the two may be, given that the log rounds.
const ROUNDING: Duration = Duration::from_millis(1);

/// One thing that happened: a mark of the picture, and a row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    /// When it began.
    pub(super) at: Duration,
    pub(super) took: Duration,
    pub(super) lane: Lane,
    /// Who asked for it, if not the one it happened to.
    pub(super) by: Option<Lane>,
    pub(super) sign: Sign,
    pub(super) what: String,
    /// What came of it; empty when `what` says it all.
    pub(super) result: String,
    /// What stands beside its mark; empty for what is too common.
    pub(super) label: String,
}

/// Where it happened. In the order of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lane {
    Host,
    Handler,
    Ecs,
    AutoScaling,
    Ec2,
    Ssh,
    World,
}

impl Lane {
    pub(super) const ALL: [Self; 7] =
        [Self::Host, Self::Handler, Self::Ecs, Self::AutoScaling, Self::Ec2, Self::Ssh, Self::World];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Host => "Host",
            Self::Handler => "Handler",
            Self::Ecs => "ECS",
            Self::AutoScaling => "Auto Scaling",
            Self::Ec2 => "EC2",
            Self::Ssh => "SSH",
            Self::World => "World",
        }
    }

    /// Where a call of that name goes.
    fn of_call(operation: &str) -> Self {
        match operation.split_once('.').map_or("", |(port, _)| port) {
            "ecs" => Self::Ecs,
            "autoscaling" | "lifecycle" => Self::AutoScaling,
            "ec2" => Self::Ec2,
            "ssh" => Self::Ssh,
            _ => Self::Handler,
        }
    }
}

/// Tells the journal. `instance` is the one that the run is about: its id is left out beside marks.
pub(super) fn told(journal: &[Entry], instance: Option<&str>) -> Vec<Told> {
    let mut teller = Teller { told: Vec::new(), unheard: Vec::new(), attempt_after: 0, instance };
    for entry in journal {
        teller.tell(entry);
    }
    let mut told = teller.told;
    for one in &mut told {
        one.what = shown(&one.what, TEXT_CHARS);
        one.result = shown(&one.result, TEXT_CHARS);
        one.label = shown(&one.label, LABEL_CHARS);
    }
    told
}

/// A text as it is shown: inert in a terminal too, from where it may be copied, and no longer than `chars`.
pub(super) fn shown(text: &str, chars: usize) -> String {
    // Every character is visible as at least one, so the rest need not be looked at.
    let start: String = text.chars().take(chars + 1).collect();
    let start = visible(&start);
    if start.chars().count() <= chars { start } else { start.chars().take(chars - 1).chain(['…']).collect() }
}

struct Teller<'r> {
    told: Vec<Told>,
    /// The calls of this attempt that the log has not spoken of yet.
    unheard: Vec<Unheard>,
    /// From where on things can belong to the next attempt.
    attempt_after: usize,
    instance: Option<&'r str>,
}

struct Unheard {
    /// Where it is told.
    index: usize,
    operation: &'static str,
    /// Whether it went well; none if the handler had no answer from it.
    well: Option<bool>,
}

impl Teller<'_> {
    fn tell(&mut self, entry: &Entry) {
        let at = entry.elapsed;
        match &entry.what {
            What::Call(call) => self.call(at, call),
            What::Change { name, target, became } => {
                let lane = if name.starts_with("lifecycle") || name == "instance left its group" {
                    Lane::AutoScaling
                } else {
                    Lane::World
                };
                let label = match name.as_str() {
                    "lifecycle state" | "lifecycle action ended" => became.clone(),
                    _ => words(name, self.short(target)),
                };
                let (what, result) = (words(name, target), became.clone());
                self.push(Told { at, took: Duration::ZERO, lane, by: None, sign: Sign::Change, what, result, label });
            }
            What::Guest(line) => self.line(at, Lane::Handler, line, line.field("fields").to_owned()),
            What::Host(line) => match line.message.as_str() {
                "attempt" => self.attempt(at, line),
                "host call" => self.heard(at, line),
                // Told by the call.
                "heartbeat" => {}
                // Handlers read their settings in every attempt.
                "setting read" => {}
                "event taken" => {
                    let taken = Line { message: format!("event taken by {}", line.field("handler")), ..line.clone() };
                    self.line(at, Lane::Host, &taken, format!("deadline {}", line.field("deadline")));
                }
                _ => self.line(at, Lane::Host, line, rest(line)),
            },
        }
    }

    fn line(&mut self, at: Duration, lane: Lane, line: &Line, result: String) {
        let loud = matches!(line.level, "WARN" | "ERROR");
        let (sign, what) = if loud {
            (Sign::Warns, format!("{}: {}", line.level, line.message))
        } else {
            (Sign::Says, line.message.clone())
        };
        let label = line.message.clone();
        self.push(Told { at, took: Duration::ZERO, lane, by: None, sign, what, result, label });
    }

    fn call(&mut self, at: Duration, call: &Call) {
        let by = if call.operation.starts_with("lifecycle.") { Lane::Host } else { Lane::Handler };
        let (lane, verb) = (Lane::of_call(call.operation), verb(call.operation));
        let what = words(call.operation, &call.target);
        let (sign, result, label) = match (&call.reply, call.fault) {
            (reply, Some(fault)) => (Sign::Fault, suffered(fault, reply), format!("{verb}: {fault}")),
            (Reply::Ok(reply), None) if is_look(verb) => (Sign::Look, reply.clone(), String::new()),
            (Reply::Ok(reply), None) if call.operation == "lifecycle.heartbeat" && reply == "accepted" => {
                (Sign::Beat, reply.clone(), String::new())
            }
            (Reply::Ok(reply), None) => (Sign::Act, reply.clone(), self.act(call, reply)),
            (Reply::Error(message), None) => (Sign::Error, format!("error: {message}"), format!("{verb}: failed")),
            (Reply::None, None) => (Sign::Error, "no answer".to_owned(), format!("{verb}: no answer")),
        };
        let well = match call.reply {
            _ if call.fault == Some(FaultKind::AnswerLost) => None,
            Reply::Ok(_) => Some(true),
            Reply::Error(_) => Some(false),
            Reply::None => None,
        };
        let index = self.push(Told { at, took: call.took, lane, by: Some(by), sign, what, result, label });
        self.unheard.push(Unheard { index, operation: call.operation, well });
    }

    /// What stands beside a call that changed something.
    fn act(&self, call: &Call, reply: &str) -> String {
        let verb = verb(call.operation);
        match call.operation {
            "lifecycle.complete" | "lifecycle.heartbeat" => format!("{verb}: {reply}"),
            // The command as it is typed, near enough to recognise it.
            "ssh.exec" => {
                let command = self.short(&call.target).trim_matches(['[', ']', '"']).replace("\", \"", " ");
                if reply == "exit status 0" { command } else { format!("{reply}: {command}") }
            }
            _ => words(verb, self.short(&call.target)),
        }
    }

    /// A host function's line in the log: it ends the story of a call, or tells of one that reached no port.
    fn heard(&mut self, at: Duration, line: &Line) {
        let (name, result, error) = (line.field("call"), line.field("result"), line.field("error"));
        let took = milliseconds(line.field("milliseconds"));
        let began = at.saturating_sub(took);
        let is_it = |unheard: &Unheard| {
            unheard.operation == name
                && self.told[unheard.index].at + ROUNDING >= began
                && unheard.well.is_none_or(|well| well == error.is_empty())
        };
        if let Some(found) = self.unheard.iter().rposition(is_it) {
            let unheard = self.unheard.remove(found);
            let told = &mut self.told[unheard.index];
            if unheard.well.is_none() {
                told.took = at.saturating_sub(told.at);
                told.result = format!("{}; the handler was told: {result}: {error}", told.result);
            } else if told.sign == Sign::Error {
                told.label = format!("{}: {result}", verb(name));
            }
            return;
        }
        let sign = match (error.is_empty(), is_look(verb(name))) {
            (false, _) => Sign::Error,
            (true, true) => Sign::Look,
            (true, false) => Sign::Act,
        };
        let label = if error.is_empty() { verb(name).to_owned() } else { format!("{}: {result}", verb(name)) };
        let result = if error.is_empty() { result.to_owned() } else { format!("{result}: {error}") };
        let (lane, what) = (Lane::of_call(name), words(name, line.field("target")));
        self.push(Told { at: began, took, lane, by: Some(Lane::Handler), sign, what, result, label });
    }

    /// An attempt is told at its end, and stands before everything that its handler did.
    fn attempt(&mut self, at: Duration, line: &Line) {
        let took = milliseconds(line.field("wall_ms"));
        let (at, number, outcome) = (at.saturating_sub(took), line.field("attempt"), line.field("outcome"));
        let sign = match outcome {
            "done" => Sign::Done,
            "again" => Sign::Again,
            "abandon" => Sign::Abandon,
            _ => Sign::Failed,
        };
        // Most attempts look again; their sign says so.
        let label = if sign == Sign::Again { number.to_owned() } else { format!("{number} {outcome}") };
        let mut result = outcome.to_owned();
        for (between, more) in [(": ", line.field("note")), ("; log lines dropped: ", line.field("log_lines_dropped"))]
        {
            if !more.is_empty() {
                result = format!("{result}{between}{more}");
            }
        }
        let of_handler = |told: &Told| told.lane == Lane::Handler || told.by == Some(Lane::Handler);
        let after = self.told[self.attempt_after..].iter();
        let index = after.take_while(|told| told.at < at || told.at == at && !of_handler(told)).count();
        let index = self.attempt_after + index;
        let what = format!("attempt {number}");
        self.insert(index, Told { at, took, lane: Lane::Handler, by: None, sign, what, result, label });
        self.attempt_after = self.told.len();
        self.unheard.clear();
    }

    fn push(&mut self, told: Told) -> usize {
        let index = self.told.partition_point(|earlier| earlier.at <= told.at);
        self.insert(index, told);
        index
    }

    fn insert(&mut self, index: usize, told: Told) {
        self.told.insert(index, told);
        for unheard in self.unheard.iter_mut().filter(|unheard| unheard.index >= index) {
            unheard.index += 1;
        }
    }

    /// A target without the instance that the run is about.
    fn short<'t>(&self, target: &'t str) -> &'t str {
        let Some(instance) = self.instance else { return target };
        if let Some(rest) = target.strip_prefix(instance) {
            return rest.trim_start();
        }
        let on = target.strip_suffix(instance).and_then(|rest| rest.strip_suffix(" on "));
        on.unwrap_or(target)
    }
}

/// What came of a call that went wrong by order.
fn suffered(fault: FaultKind, reply: &Reply) -> String {
    let reply = match reply {
        Reply::Ok(text) | Reply::Error(text) => text.as_str(),
        Reply::None => "no answer",
    };
    match fault {
        FaultKind::AnswerLost => format!("fault {fault}: it took effect ({reply}), and nobody heard of it"),
        FaultKind::HostKilled => format!("fault {fault}: it took effect ({reply}), and the host was killed"),
        _ => format!("fault {fault}: {reply}"),
    }
}

/// What an operation does, without its port.
fn verb(operation: &str) -> &str {
    operation.split_once('.').map_or(operation, |(_, verb)| verb)
}

/// Whether a call changes nothing. One that is not known is taken to change something.
fn is_look(verb: &str) -> bool {
    verb == "hook"
        || verb == "sleep"
        || verb.starts_with("describe-")
        || verb.starts_with("find-")
        || verb.starts_with("list-")
}

fn words(one: &str, other: &str) -> String {
    if other.is_empty() { one.to_owned() } else { format!("{one} {other}") }
}

/// A duration as the log writes it, to the microsecond; zero for none.
fn milliseconds(text: &str) -> Duration {
    let seconds = text.parse::<f64>().unwrap_or_default() / 1e3;
    let exact = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    Duration::from_micros(u64::try_from(exact.as_micros()).unwrap_or(u64::MAX))
}
