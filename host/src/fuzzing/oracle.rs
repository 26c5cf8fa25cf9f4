//! EventBridge's patterns once more, as slow as they come: from the pattern as it is written, with nothing of the matcher.

use std::net::IpAddr;

use serde_json::Value;
use toml::Value as Written;

/// Whether the table `pattern` matches `value`.
pub(super) fn matches(pattern: &toml::Table, value: Option<&Value>) -> bool {
    if let Some(Value::Array(elements)) = value {
        let mut found = elements.iter().map(|element| matches(pattern, Some(element)));
        return if asks_for_absence(pattern) { found.all(|found| found) } else { found.any(|found| found) };
    }
    pattern.iter().all(|(name, wanted)| match (name.as_str(), wanted) {
        ("$or", Written::Array(branches)) => {
            branches.iter().filter_map(Written::as_table).any(|branch| matches(branch, value))
        }
        (name, Written::Table(below)) => matches(below, value.and_then(|value| value.get(name))),
        (name, Written::Array(tests)) => {
            let mut leaves = Vec::new();
            collect(value.and_then(|value| value.get(name)), &mut leaves);
            tests.iter().any(|test| match operator(test) {
                Some(("exists", Written::Boolean(false))) => leaves.is_empty(),
                _ => leaves.iter().any(|leaf| passes(test, leaf)),
            })
        }
        _ => false,
    })
}

/// Whether it has nothing but `exists = false` in it.
fn asks_for_absence(pattern: &toml::Table) -> bool {
    let absent = |test| matches!(operator(test), Some(("exists", Written::Boolean(false))));
    pattern.iter().all(|(name, wanted)| match wanted {
        Written::Array(branches) if name == "$or" => {
            branches.iter().filter_map(Written::as_table).all(asks_for_absence)
        }
        Written::Array(tests) => tests.iter().all(absent),
        Written::Table(below) => asks_for_absence(below),
        _ => false,
    })
}

/// What is neither a table nor an array, in a value and the arrays in it.
fn collect<'v>(value: Option<&'v Value>, leaves: &mut Vec<&'v Value>) {
    match value {
        Some(Value::Array(elements)) => elements.iter().for_each(|element| collect(Some(element), leaves)),
        Some(Value::Object(_)) | None => {}
        Some(leaf) => leaves.push(leaf),
    }
}

/// The operator that a test is, and what it takes.
fn operator(test: &Written) -> Option<(&str, &Written)> {
    test.as_table()?.iter().next().map(|(name, operand)| (name.as_str(), operand))
}

fn passes(test: &Written, leaf: &Value) -> bool {
    let text = leaf.as_str();
    match (operator(test), test) {
        (None, Written::String(expected)) => text == Some(expected),
        (None, Written::Boolean(expected)) => leaf.as_bool() == Some(*expected),
        (None, number) => leaf.as_f64().is_some_and(|leaf| Some(leaf) == as_f64(number)),
        (Some(("exists", wanted)), _) => wanted.as_bool() == Some(true),
        (Some(("anything-but", Written::Array(not))), _) => !not.iter().any(|test| passes(test, leaf)),
        (Some(("anything-but", Written::Table(not))), _) => !not.iter().any(|(name, operand)| {
            let operands = operand.as_array().map_or(std::slice::from_ref(operand), Vec::as_slice);
            operands.iter().any(|operand| text.is_some_and(|text| of_text(name, operand, text)))
        }),
        (Some(("anything-but", not)), _) => !passes(not, leaf),
        (Some(("numeric", Written::Array(bounds))), _) => {
            let Some(number) = leaf.as_f64() else { return false };
            bounds.chunks(2).all(|pair| {
                let Some(bound) = as_f64(&pair[1]) else { return false };
                match pair[0].as_str() {
                    Some("<") => number < bound,
                    Some("<=") => number <= bound,
                    Some("=") => number == bound,
                    Some(">=") => number >= bound,
                    Some(">") => number > bound,
                    _ => false,
                }
            })
        }
        (Some(("cidr", network)), _) => network.as_str().zip(text).is_some_and(|(network, text)| within(network, text)),
        (Some((name, operand)), _) => text.is_some_and(|text| of_text(name, operand, text)),
    }
}

fn as_f64(number: &Written) -> Option<f64> {
    number.as_float().or_else(|| number.as_integer().map(|number| number as f64))
}

fn of_text(name: &str, operand: &Written, text: &str) -> bool {
    let folded = operand.get("equals-ignore-case").and_then(Written::as_str);
    match (name, operand.as_str(), folded) {
        ("equals-ignore-case", Some(wanted), _) => text.to_lowercase() == wanted.to_lowercase(),
        ("prefix", Some(wanted), _) => text.starts_with(wanted),
        ("prefix", _, Some(wanted)) => text.to_lowercase().starts_with(&wanted.to_lowercase()),
        ("suffix", Some(wanted), _) => text.ends_with(wanted),
        ("suffix", _, Some(wanted)) => text.to_lowercase().ends_with(&wanted.to_lowercase()),
        ("wildcard", Some(wanted), _) => wildcard(wanted, text),
        _ => panic!("{name} is no operator on texts, and was accepted"),
    }
}

/// By a table of which beginning of the pattern matches which beginning of the text.
fn wildcard(pattern: &str, text: &str) -> bool {
    let mut parts = Vec::new();
    let mut chars = pattern.chars();
    while let Some(char) = chars.next() {
        parts.push(match char {
            '*' => None,
            '\\' => chars.next(),
            char => Some(char),
        });
    }
    let text: Vec<char> = text.chars().collect();
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    for part in parts {
        let mut next = vec![false; text.len() + 1];
        for at in 0..=text.len() {
            next[at] = match part {
                None => reached[at] || (at > 0 && next[at - 1]),
                Some(char) => at > 0 && reached[at - 1] && text[at - 1] == char,
            };
        }
        reached = next;
    }
    reached[text.len()]
}

/// Bit by bit.
fn within(network: &str, address: &str) -> bool {
    let Some((network, prefix)) = network.split_once('/') else { return false };
    let (Ok(network), Ok(address)) = (network.parse::<IpAddr>(), address.parse::<IpAddr>()) else { return false };
    let bits = |address: IpAddr| match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    let (network, address) = (bits(network), bits(address));
    let bit = |bytes: &[u8], at: usize| (bytes[at / 8] >> (7 - at % 8)) & 1;
    network.len() == address.len()
        && (0..prefix.parse().unwrap_or_default()).all(|at| bit(&network, at) == bit(&address, at))
}
