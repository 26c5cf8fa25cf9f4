//! All that is open, a page of the ledger at a time: what is kept meanwhile is what will be shown.

use std::collections::{BTreeMap, BinaryHeap};
use std::io::{self, Write};

use jiff::Timestamp;
use serde_json::json;

use super::item::OpenItem;
use super::row::{COLUMNS, Row};
use super::{PARTLY, READ};
use crate::commands::desk::{Refusal, write_lines};
use crate::commands::policy::counted;
use crate::ledger::{Item, Ledger, LedgerError, Open, Standing};
use crate::telemetry::{visible, visible_json};

/// Every item as a line of JSON, in the order of the ledger.
pub(super) async fn as_json(out: &mut dyn Write, ledgers: &[Ledger], now: Timestamp) -> Result<u8, Refusal> {
    let mut code = READ;
    each_open(ledgers, |ledger, open| match open {
        Ok(open) => open.items.iter().try_for_each(|item| {
            let line = json!(OpenItem::of(&open, item, ledger.place(), now));
            writeln!(out, "{}", visible_json(&line))
        }),
        Err(error) => {
            code = PARTLY;
            writeln!(out, "{}", visible_json(&json!({ "error": error.to_string() })))
        }
    })
    .await?;
    Ok(code)
}

/// Shows `what` is open of each instance, in the order of the ledger, or why that cannot be read.
pub(super) async fn each_open(
    ledgers: &[Ledger],
    mut what: impl FnMut(&Ledger, Result<Open, LedgerError>) -> io::Result<()>,
) -> Result<(), Refusal> {
    for ledger in ledgers {
        let mut after = None;
        loop {
            let (page, next) = ledger.all_open(after.as_deref()).await?;
            page.into_iter().try_for_each(|open| what(ledger, open))?;
            match next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
    }
    Ok(())
}

/// The most worrying items as a table, and how many others there are. `place` is the ledger's, for messages.
pub(super) async fn as_table(
    out: &mut dyn Write,
    ledgers: &[Ledger],
    place: &str,
    now: Timestamp,
    limit: usize,
) -> Result<u8, Refusal> {
    let mut table = Table { several: ledgers.len() > 1, limit, ..Table::default() };
    each_open(ledgers, |ledger, open| {
        match open {
            Ok(open) => open.items.iter().for_each(|item| table.add(ledger, &open, item, now)),
            Err(error) => table.add_unreadable(&error),
        }
        Ok(())
    })
    .await?;
    let code = if table.unreadable > 0 { PARTLY } else { READ };
    table.print(out, place)?;
    Ok(code)
}

/// What is to be shown, and what is counted.
#[derive(Default)]
struct Table {
    /// Whether it has to be said which account and region an item is of.
    several: bool,
    limit: usize,
    /// The least worrying on top, to make room for worse.
    rows: BinaryHeap<Row>,
    standings: BTreeMap<Standing, usize>,
    failing: usize,
    late: usize,
    unreadable: usize,
}

impl Table {
    fn add(&mut self, ledger: &Ledger, open: &Open, item: &Item, now: Timestamp) {
        *self.standings.entry(open.standing(item, now)).or_default() += 1;
        self.failing += usize::from(item.failures > 0);
        self.late += usize::from(item.deadline < now);
        self.keep(Row::of(open, item, self.several.then(|| ledger.place()), now));
    }

    fn add_unreadable(&mut self, error: &LedgerError) {
        self.unreadable += 1;
        self.keep(Row::unreadable(error));
    }

    fn keep(&mut self, row: Row) {
        self.rows.push(row);
        if self.rows.len() > self.limit {
            self.rows.pop();
        }
    }

    fn print(self, out: &mut dyn Write, place: &str) -> io::Result<()> {
        let open: usize = self.standings.values().sum();
        if open == 0 && self.unreadable == 0 {
            return writeln!(out, "nothing is open in {}", visible(place));
        }
        write_lines(out, [&*self.summary(open), ""])?;
        let shown = self.rows.len();
        let rows = self.rows.into_sorted_vec();
        let mut widths = COLUMNS.map(|(name, _)| name.len());
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(&row.cells) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let line = |out: &mut dyn Write, cells: &[String]| {
            let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
            writeln!(out, "{}", padded.collect::<Vec<_>>().join("  ").trim_end())
        };
        line(out, &COLUMNS.map(|(name, _)| name.to_owned()))?;
        for row in &rows {
            if !row.cells.is_empty() {
                line(out, &row.cells)?;
            }
            write_lines(out, Some(&*row.more).filter(|more| !more.trim().is_empty()))?;
        }
        let hidden = open + self.unreadable - shown;
        if hidden > 0 {
            writeln!(out, "\nand {hidden} less worrying: --limit {} shows all", open + self.unreadable)?;
        }
        Ok(())
    }

    /// How many there are, and of what kind.
    fn summary(&self, open: usize) -> String {
        let standings = Standing::ALL.iter().filter_map(|standing| {
            let count = self.standings.get(standing)?;
            Some(format!("{count} {}", standing.as_str()))
        });
        let standings: Vec<_> = standings.collect();
        let mut summary = format!("{} open", counted(open, "item"));
        if !standings.is_empty() {
            summary += &format!(": {}", standings.join(", "));
        }
        let others = [(self.failing, "failing"), (self.late, "past the deadline")];
        let others: Vec<_> =
            others.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
        if !others.is_empty() {
            summary += &format!("; {}", others.join(", "));
        }
        if self.unreadable > 0 {
            summary += &format!("; {} cannot be read", counted(self.unreadable, "object"));
        }
        summary
    }
}
