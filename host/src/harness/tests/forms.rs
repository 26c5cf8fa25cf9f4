//! Every form that a value can be written in, and what is said of any other.

use std::fmt::Debug;

use serde::Deserialize;

use crate::harness::forms::{Count, OneOrMany, OneOrTables, TextOrTable, Wanted};
use crate::reading::units::Time;
use crate::reading::{At, Reading};

/// A file with one key.
#[derive(Debug, Deserialize)]
#[serde(bound = "T: Deserialize<'de>")]
struct File<T> {
    key: Option<T>,
}

/// What is written in a table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it is shown as a whole")]
struct Inner {
    size: Option<At<i64>>,
}

/// `text` read as a file whose `key` is a `T`: as it is debugged, or its mistakes, each with its line.
fn read<T: for<'de> Deserialize<'de> + Debug>(text: &str) -> String {
    let mut reading = Reading::new(text);
    let file = reading.read::<File<T>>(text);
    let (mistakes, _) = reading.findings.finish();
    if mistakes.is_empty() {
        return format!("{:?}", file.and_then(|file| file.key).expect("the key is there"));
    }
    let told = mistakes.iter().map(|mistake| format!("{}:{}: {}", mistake.line, mistake.column, mistake.message));
    told.collect::<Vec<_>>().join("\n")
}

#[test]
fn one_value_or_a_list() {
    assert_eq!(read::<OneOrMany<u32>>("key = 3"), "OneOrMany([3])");
    assert_eq!(read::<OneOrMany<u32>>("key = [1, 3]"), "OneOrMany([1, 3])");
    assert_eq!(read::<OneOrMany<Time>>("key = \"2s\""), "OneOrMany([Time(2s)])");
    insta::assert_snapshot!(read::<OneOrMany<u32>>("key = true"), @"1:7: expected a value, or a list of them, found boolean true");
    insta::assert_snapshot!(read::<OneOrMany<u32>>("key = -1"), @"1:7: expected a whole number from 0 to 4294967295, found integer -1");
    insta::assert_snapshot!(read::<OneOrMany<u32>>("key = []"), @"1:7: the list is empty: write what is meant, or leave it out");
    insta::assert_snapshot!(read::<OneOrMany<u32>>("key = { size = 1 }"), @"1:7: expected a value, or a list of them, found a table");
    insta::assert_snapshot!(read::<OneOrMany<Time>>("\nkey = [\n\"2s\",\n\"soon\"]"), @r#"4:1: "soon" is not a time: write a number with its unit, such as "60s", "500ms" or "1h""#);
    insta::assert_snapshot!(read::<OneOrMany<Time>>("key = 2"), @r#"1:7: the bare number 2 is not a time: give it a unit, such as "2s""#);
}

#[test]
fn one_table_or_several_with_their_places() {
    insta::assert_snapshot!(read::<OneOrTables<Inner>>("\n[key]\nsize = 1"), @"OneOrTables([At { at: 1, value: Table(Inner { size: Some(At { at: 14, value: 1 }) }) }])");
    insta::assert_snapshot!(read::<OneOrTables<Inner>>("[[key]]\n[[key]]\nsize = 1"), @"OneOrTables([At { at: 0, value: Table(Inner { size: None }) }, At { at: 8, value: Table(Inner { size: Some(At { at: 23, value: 1 }) }) }])");
    insta::assert_snapshot!(read::<OneOrTables<Inner>>("key = \"text\""), @r#"1:7: expected a table, or several in double brackets, [[…]], found string "text""#);
    insta::assert_snapshot!(read::<OneOrTables<Inner>>("[key]\nsise = 1"), @r#"2:1: unknown key "sise", did you mean "size"? (allowed here: size)"#);
    insta::assert_snapshot!(read::<OneOrTables<Inner>>("[[key]]\n[[key]]\nsize = \"large\""), @r#"3:8: expected a whole number, found string "large""#);
}

#[test]
fn a_path_or_a_table() {
    insta::assert_snapshot!(read::<TextOrTable<Inner>>("key = \"../a.toml\""), @r#"Text("../a.toml")"#);
    insta::assert_snapshot!(read::<TextOrTable<Inner>>("[key]\nsize = 1"), @"Table(Inner { size: Some(At { at: 13, value: 1 }) })");
    insta::assert_snapshot!(read::<TextOrTable<Inner>>("key = 3"), @"1:7: expected the path of a file, or a table with what would be in it, found integer 3");
    // A mistake in the table is told as that, with its own place.
    insta::assert_snapshot!(read::<TextOrTable<Inner>>("[key]\nsize = 1\nsise = 1"), @r#"3:1: unknown key "sise", did you mean "size"? (allowed here: size)"#);
}

#[test]
fn what_is_wanted_of_each_event() {
    insta::assert_snapshot!(read::<Wanted<String>>("key = \"done\""), @r#"OfAll(["done"])"#);
    insta::assert_snapshot!(read::<Wanted<String>>("key = [\"done\", \"gave-up\"]"), @r#"OfAll(["done", "gave-up"])"#);
    insta::assert_snapshot!(read::<Wanted<String>>("key = { one = \"done\", two = [\"a\", \"b\"] }"), @r#"ByName({"one": ["done"], "two": ["a", "b"]})"#);
    insta::assert_snapshot!(read::<Wanted<String>>("key = 1"), @"1:7: expected a word, a list of words, or a table with a word or a list for each event, found integer 1");
    insta::assert_snapshot!(read::<Wanted<String>>("key = []"), @"1:7: the list is empty: write what is meant, or leave it out");
    insta::assert_snapshot!(read::<Wanted<String>>("key = { one = [] }"), @"1:15: the list is empty: write what is meant, or leave it out");
    insta::assert_snapshot!(read::<Wanted<String>>("key = { one = 1 }"), @"1:15: expected a string, found integer 1");
}

#[test]
fn a_number_or_bounds() {
    let shown = |text| {
        let mut reading = Reading::new(text);
        reading.read::<File<Count>>(text).and_then(|file| file.key).map_or_else(String::new, |count| count.to_string())
    };
    assert_eq!(shown("key = 3"), "3");
    assert_eq!(shown("key = { at-least = 2 }"), "at least 2");
    assert_eq!(shown("key = { at-most = 2 }"), "at most 2");
    assert_eq!(shown("key = { at-least = 2, at-most = 4 }"), "2 to 4");
    assert_eq!(shown("key = { at-least = 2, at-most = 2 }"), "2");
    insta::assert_snapshot!(read::<Count>("key = \"three\""), @r#"1:7: expected a number, or a table with at-least and at-most, found string "three""#);
    insta::assert_snapshot!(read::<Count>("key = -3"), @"1:7: expected a whole number from 0 to 4294967295, found integer -3");
    insta::assert_snapshot!(read::<Count>("key = { at-last = 3 }"), @r#"1:9: unknown key "at-last", did you mean "at-least"? (allowed here: at-least, at-most)"#);
    insta::assert_snapshot!(read::<Count>("key = { at-least = 3, at-most = 2 }"), @"1:7: at-least is more than at-most: no number is both");
}
