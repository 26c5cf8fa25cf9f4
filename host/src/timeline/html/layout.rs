//! Where each mark goes: in its lane, and there in a row of its own when it would hide another.

use std::collections::BTreeMap;
use std::time::Duration;

use super::axis::Axis;
use super::sign::Sign;
use super::told::{Lane, Told};

/// Half the width of a mark, with the room around it.
const HALF: f64 = 8.0;

/// The width of a character beside a mark; its text is set to exactly that.
const CHARACTER: f64 = 6.6;

/// The room between a mark and its text, and after the text.
const GAP: f64 = 3.0;

/// How many rows of a lane are opened: for marks with their text, for marks without it, and for routine, of which there is
/// much in a long run. What has no place in them is counted in one more row.
const ROWS_WITH_TEXT: usize = 7;
const ROWS: usize = 16;
const ROWS_OF_ROUTINE: usize = 4;

/// The width of the picture: as wide as the page, or twice that if everything has a place then.
const WIDTH: f64 = 1046.0;

/// The least room for the number of those that have no place.
const COUNT: f64 = 48.0;

/// The picture: its axis, and its lanes that are not empty.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) axis: Axis,
    pub(super) lanes: Vec<Rows>,
}

/// One lane.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) lane: Lane,
    pub(super) rows: Vec<Row>,
}

/// One row: marks, or how many of them had no place.
#[derive(Debug)]
pub(super) enum Row {
    Marks(Vec<Mark>),
    Counts(Vec<Count>),
}

/// A mark in a row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Mark {
    /// Which of the things told.
    pub(super) index: usize,
    /// Where it begins and ends. The sign stands at its beginning.
    pub(super) x: f64,
    pub(super) end: f64,
    /// Where its text begins, and how wide it is; none without text.
    pub(super) text: Option<(f64, f64)>,
}

/// Things that are only counted: around where, how many, and which is the first.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Count {
    pub(super) x: f64,
    pub(super) first: usize,
    pub(super) count: usize,
}

impl Mark {
    fn new(index: usize, told: &Told, axis: Axis) -> Self {
        Self { index, x: axis.x(told.at), end: axis.x(told.at + told.took), text: None }
    }

    /// The same with its text: inside it if it is long enough, else behind it, else before it; none if nowhere.
    fn with_text(&self, text: &str, axis: Axis) -> Option<Self> {
        let width = width(text);
        let (before, inside) = (self.x - HALF - GAP - width, self.x + HALF + GAP);
        let behind = self.end.max(self.x + HALF) + GAP;
        let start = if inside + width + GAP <= self.end {
            inside
        } else if behind + width + GAP <= axis.width() {
            behind
        } else {
            before
        };
        (!text.is_empty() && start >= 0.0).then(|| Self { text: Some((start, width)), ..self.clone() })
    }

    /// The room it takes, its text included.
    pub(super) fn room(&self) -> (f64, f64) {
        let (left, right) = (self.x - HALF, self.end.max(self.x + HALF));
        let Some((text, width)) = self.text else { return (left, right) };
        (left.min(text - GAP), right.max(text + width + GAP))
    }
}

impl Layout {
    /// Gives everything a place.
    pub(super) fn new(told: &[Told]) -> Self {
        let end = told.iter().map(|told| told.at + told.took).max().unwrap_or_default();
        let lay_out = |width| {
            let axis = Axis::new(end, width);
            let lanes = Lane::ALL.into_iter().map(|lane| Rows::new(lane, told, axis));
            Self { axis, lanes: lanes.filter(|lane| !lane.rows.is_empty()).collect() }
        };
        let page = lay_out(WIDTH);
        if page.is_complete() {
            return page;
        }
        let wide = lay_out(2.0 * WIDTH);
        if wide.is_complete() { wide } else { page }
    }

    fn is_complete(&self) -> bool {
        self.lanes.iter().flat_map(|lane| &lane.rows).all(|row| matches!(row, Row::Marks(_)))
    }
}

impl Rows {
    fn new(lane: Lane, told: &[Told], axis: Axis) -> Self {
        let here = told.iter().enumerate().filter(|(_, told)| told.lane == lane);
        // Attempts have rows of their own, above what was said in them.
        let (attempts, others): (Vec<_>, Vec<_>) = here.partition(|(_, told)| told.sign.is_attempt());
        let mut all = Vec::new();
        for mut group in [attempts, others] {
            // What matters most gets the first rows and keeps its text; among equals, what came first.
            group.sort_by_key(|(_, told)| weight(told.sign));
            let (mut rows, mut without_place) = (Vec::new(), Vec::new());
            for (index, told) in group {
                let mark = Mark::new(index, told, axis);
                // Routine opens few rows, and may stand in those that others have opened.
                let most = if weight(told.sign) == ROUTINE { ROWS_OF_ROUTINE.max(rows.len()) } else { ROWS };
                let with_text = mark.with_text(&told.label, axis);
                let placed = with_text.is_some_and(|mark| place(mark, &mut rows, most.min(ROWS_WITH_TEXT)))
                    || place(mark.clone(), &mut rows, most);
                if !placed {
                    without_place.push(mark);
                }
            }
            all.extend(rows.into_iter().map(Row::Marks));
            if !without_place.is_empty() {
                all.push(Row::Counts(count(&without_place, axis)));
            }
        }
        Self { lane, rows: all }
    }
}

/// Puts a mark into the first of `most` rows where it hides nothing; false if there is none.
fn place(mark: Mark, rows: &mut Vec<Vec<Mark>>, most: usize) -> bool {
    let (left, right) = mark.room();
    for row in rows.iter_mut().take(most) {
        // In a row nothing overlaps, so it is in order by both sides, and only the neighbours matter.
        let next = row.partition_point(|other| other.room().0 < left);
        let free_before = next.checked_sub(1).is_none_or(|previous| row[previous].room().1 <= left);
        if free_before && row.get(next).is_none_or(|next| right <= next.room().0) {
            row.insert(next, mark);
            return true;
        }
    }
    let room = rows.len() < most;
    if room {
        rows.push(vec![mark]);
    }
    room
}

/// Counts marks by the part of the axis they are in.
fn count(marks: &[Mark], axis: Axis) -> Vec<Count> {
    let (start, length) = (axis.x(Duration::ZERO), axis.length());
    let parts = (length / COUNT).floor();
    let width = length / parts;
    let mut counts: BTreeMap<u64, Count> = BTreeMap::new();
    for mark in marks {
        let part = ((mark.x - start) / width).floor().clamp(0.0, parts - 1.0);
        let x = start + (part + 0.5) * width;
        let count = counts.entry(part as u64).or_insert(Count { x, first: mark.index, count: 0 });
        count.first = count.first.min(mark.index);
        count.count += 1;
    }
    counts.into_values().collect()
}

/// The lower, the sooner it gets a place.
fn weight(sign: Sign) -> u8 {
    match sign {
        Sign::Done | Sign::Abandon | Sign::Failed | Sign::Error | Sign::Fault | Sign::Warns => 0,
        Sign::Act | Sign::Change => 1,
        Sign::Says => 2,
        Sign::Again | Sign::Look | Sign::Beat => ROUTINE,
    }
}

/// The weight of what every attempt of a long run does.
const ROUTINE: u8 = 3;

/// How wide a text is: characters of East Asia are as wide as two.
fn width(text: &str) -> f64 {
    let halves = text.chars().map(|c| if c >= '\u{1100}' { 2.0 } else { 1.0 });
    halves.sum::<f64>() * CHARACTER
}
