//! Tricks that a handler in Rust can play, by mistake or not: the setting `trick` says which. Each is contained, and its test
//! is in `tests/tests/hostile.rs`. What takes less than a toolchain is in the files beside this crate, one trick each.

use hostler_plugin::prelude::*;

fn handle(event: &Event) -> Result<Outcome> {
    let trick = config::get("trick").unwrap_or_default();
    match trick.as_str() {
        // Panics with a message of a megabyte. The SDK logs it.
        "panic" => panic!("{}", "x".repeat(1 << 20)),
        // Takes memory and never gives it back.
        "allocate" => allocate(),
        // Calls itself without end, with a frame that grows.
        "recurse" => return Ok(Outcome::Abandon(recurse(&event.id, 0).to_string())),
        // Logs megabytes, in many lines with many fields.
        "log" => log(),
        // Asks for the impossible: to be called again in a century, with a state of megabytes.
        "again" => {
            let century = std::time::Duration::from_secs(100 * 365 * 24 * 3600);
            return Ok(Outcome::again(century, "x".repeat(1 << 20)).with_state("\u{1}".repeat(60 << 10)));
        }
        // Hands over a hundred megabytes as one argument of a command.
        "command" => drop(ssh::command("echo").arg("x".repeat(100 << 20)).run(event.instance()?)),
        _ => return Ok(Outcome::Abandon(format!("no such trick: {trick:?}"))),
    }
    Ok(Outcome::Done)
}

fn allocate() {
    let mut hoard: Vec<Vec<u8>> = Vec::new();
    loop {
        hoard.push(vec![1; 1 << 20]);
    }
}

#[expect(unconditional_recursion, reason = "the trick")]
fn recurse(text: &str, depth: u64) -> u64 {
    let longer = format!("{text}{depth}");
    recurse(&longer[..8], depth + 1) + longer.len() as u64
}

fn log() {
    for line in 0..1_000_000 {
        log::info!("{line} {}", "x".repeat(4 << 10));
    }
}

hostler_plugin::export!(handle);
