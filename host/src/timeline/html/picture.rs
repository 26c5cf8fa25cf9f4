//! The picture, as SVG: a lane below the other, time from left to right.

use jiff::Timestamp;
use maud::{Markup, html};

use super::super::clock;
use super::axis::{Axis, brief};
use super::layout::{Count, Layout, Mark, Row, Rows};
use super::told::Told;

/// The height of a row, and the room above and below the rows of a lane.
const ROW: f64 = 20.0;
const PADDING: f64 = 5.0;

/// The height of the axis with its two lines of text.
const AXIS: f64 = 40.0;

/// The width of the column with the names of the lanes.
const NAMES: f64 = 104.0;

/// Half the height of a bar.
const HALF_BAR: f64 = 7.0;

/// Draws the picture. `start` is what the clock said at its beginning.
pub(super) fn picture(told: &[Told], start: Timestamp) -> Markup {
    let layout = Layout::new(told);
    let mut tops = Vec::new();
    let mut height = AXIS;
    for lane in &layout.lanes {
        tops.push(height);
        height += lane_height(lane);
    }
    let width = layout.axis.width();
    let scale = format!("--names:{NAMES};--plot:{width}");
    html! {
        div.picture tabindex="0" role="region" aria-label="Timeline" style=(scale) {
            svg.names width=(NAMES) height=(height) viewBox={ "0 0 " (NAMES) " " (height) } aria-hidden="true" {
                text.unit x="8" y="15" { "virtual time" }
                text.unit x="8" y="31" { "UTC" }
                @for (lane, top) in layout.lanes.iter().zip(&tops) {
                    rect.floor y=(top) width=(NAMES) height=(lane_height(lane)) {}
                    text.name x="8" y=(top + PADDING + 14.0) { (lane.lane.name()) }
                }
                path.grid d={ "M" (NAMES - 0.5) " 0V" (height) } {}
            }
            svg.plot width=(width) height=(height) viewBox={ "0 0 " (width) " " (height) } role="img"
                aria-label="What happened when. The table below tells the same." {
                @for (lane, top) in layout.lanes.iter().zip(&tops) {
                    rect.floor y=(top) width=(width) height=(lane_height(lane)) {}
                }
                (axis(&layout.axis, start, height))
                @for (lane, top) in layout.lanes.iter().zip(&tops) { (rows(lane, *top, told)) }
            }
        }
    }
}

fn lane_height(lane: &Rows) -> f64 {
    lane.rows.len() as f64 * ROW + 2.0 * PADDING
}

fn axis(axis: &Axis, start: Timestamp, height: f64) -> Markup {
    // What the clock shows has to tell the ticks apart.
    let format = match axis.step().as_millis() {
        ..1_000 => "%H:%M:%S%.3f",
        1_000..21_600_000 => "%H:%M:%S",
        _ => "%b %d %H:%M",
    };
    html! {
        @for at in axis.ticks() {
            @let x = tenths(axis.x(at));
            path.grid d={ "M" (x) " " (AXIS - 4.0) "V" (height) } {}
            text.tick x=(x) y="15" text-anchor="middle" { (brief(at)) }
            text.unit x=(x) y="31" text-anchor="middle" {
                (start.saturating_add(at).unwrap_or(Timestamp::MAX).strftime(format))
            }
        }
    }
}

fn rows(lane: &Rows, top: f64, told: &[Told]) -> Markup {
    let middle = |row: usize| top + PADDING + ROW * (row as f64 + 0.5);
    html! {
        g.lane {
            @for (number, row) in lane.rows.iter().enumerate() {
                g.row {
                    @match row {
                        Row::Marks(marks) => @for mark in marks { (drawn(mark, &told[mark.index], middle(number))) },
                        Row::Counts(counts) => @for count in counts { (counted(count, middle(number))) },
                    }
                }
            }
        }
    }
}

/// One mark: a bar as long as it took, the sign at its beginning, its text, and all there is to know when pointed at.
fn drawn(mark: &Mark, told: &Told, y: f64) -> Markup {
    let (x, length) = (tenths(mark.x), tenths(mark.end - mark.x));
    html! {
        a.mark.{ (told.sign.class()) } href={ "#r" (mark.index + 1) } tabindex="-1" {
            title { (hover(told)) }
            @if length > 0.0 {
                rect.bar x=(x) y=(y - HALF_BAR) width=(length) height=(2.0 * HALF_BAR) rx="2" {}
            }
            g transform={ "translate(" (x) " " (y) ")" } { (told.sign.drawn()) }
            @if let Some((start, width)) = mark.text {
                text x=(tenths(start)) y=(y + 4.0) textLength=(tenths(width)) lengthAdjust="spacingAndGlyphs" {
                    (told.label)
                }
            }
        }
    }
}

fn counted(count: &Count, y: f64) -> Markup {
    html! {
        a.mark.more href={ "#r" (count.first + 1) } tabindex="-1" {
            title { (count.count) " more around here: see the table" }
            text x=(tenths(count.x)) y=(y + 4.0) text-anchor="middle" { "+" (count.count) }
        }
    }
}

fn hover(told: &Told) -> String {
    let took = if told.took.is_zero() { String::new() } else { format!(" (took {})", brief(told.took)) };
    let result = if told.result.is_empty() { String::new() } else { format!("\n{}", told.result) };
    format!("{} {}{took}{result}", clock(told.at), told.what)
}

/// Tenths of a pixel are enough for anyone's eyes.
fn tenths(pixels: f64) -> f64 {
    (pixels * 10.0).round() / 10.0
}
