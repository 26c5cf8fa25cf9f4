//! Guests for tests: handlers of a few instructions, written as core modules and wrapped like any plugin.
//!
//! The canonical ABI gives `handle` a pointer to the event and takes a pointer to the result, in memory. In the result, byte 0
//! is 1 for an error; byte 4 is 0 for done, 1 for abandon, 2 for again; what belongs to it follows from byte 8. In the event,
//! `attempt` is at byte 96.

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::{PackageId, Resolve, WorldId};

/// Where guests put their result.
const RESULT: &str = "1024";

const DRAIN: &str = r#"(import "hostler:handler/ecs@0.1.0" "drain" (func $drain (param i32 i32 i32)))"#;

/// Hands on the error of `drain` as the handler's own: its message is a pointer at 520 and a length at 524.
const HAND_ON: &str = "(i32.store8 (i32.const 1024) (i32.const 1))
    (i32.store (i32.const 1028) (i32.load (i32.const 520)))
    (i32.store (i32.const 1032) (i32.load (i32.const 524)))";

/// A component whose `handle` is `body`, a sequence of instructions that leaves a pointer to the result; `$event` points to
/// the event. `imports` are core imports, `data` is put into memory.
pub(crate) fn guest_with(imports: &str, data: &str, body: &str) -> Vec<u8> {
    component(&core(imports, data, body))
}

fn core(imports: &str, data: &str, body: &str) -> String {
    format!(
        r#"(module
            {imports}
            (memory (export "memory") 1)
            (global $next (mut i32) (i32.const 4096))
            (func (export "cabi_realloc") (param $old i32) (param $old_size i32) (param $align i32) (param $size i32) (result i32)
                (local $at i32)
                (local.set $at (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
                (global.set $next (i32.add (local.get $at) (local.get $size)))
                (local.get $at))
            {data}
            (func (export "handle") (param $event i32) (result i32) {body}))"#
    )
}

/// Wraps a core module of the contract's world.
pub(crate) fn component(core: &str) -> Vec<u8> {
    let (resolve, package) = contract();
    let world = resolve.select_world(&[package], Some("handler")).expect("the contract has its world");
    encode(core, &resolve, world)
}

/// Finds the environment empty and draws a random number, through WASI 0.2, or traps; then says `done`.
pub(crate) fn wasi() -> Vec<u8> {
    let (mut resolve, _) = contract();
    for wit in [
        "package wasi:cli@0.2.3; interface environment { get-environment: func() -> list<tuple<string, string>>; }",
        "package wasi:random@0.2.3; interface random { get-random-u64: func() -> u64; }",
    ] {
        resolve.push_str("wasi.wit", wit).expect("what is taken of WASI resolves");
    }
    let package = resolve.push_str(
        "test.wit",
        "package test:wasi; world both { include hostler:handler/handler@0.1.0; import wasi:cli/environment@0.2.3; \
         import wasi:random/random@0.2.3; }",
    );
    let world = resolve.select_world(&[package.expect("the world resolves")], None).expect("there is one world");
    let imports = r#"(import "wasi:cli/environment@0.2.3" "get-environment" (func $environment (param i32)))
        (import "wasi:random/random@0.2.3" "get-random-u64" (func $random (result i64)))"#;
    let body = "(call $environment (i32.const 512)) (if (i32.load (i32.const 516)) (then unreachable))
        (drop (call $random)) i32.const 1024";
    encode(&core(imports, "", body), &resolve, world)
}

/// A guest of `tests/guests/hostile/`: a component, or a core module, which may import what `hostile.wit` there says.
pub(crate) fn hostile(text: &str) -> Vec<u8> {
    if text.contains("\n(component") {
        return wat::parse_str(text).expect("the component's text is well formed");
    }
    let (mut resolve, _) = contract();
    let wit = include_str!("../../../tests/guests/hostile/hostile.wit");
    let package = resolve.push_str("hostile.wit", wit).expect("what is taken of WASI resolves");
    let world = if text.contains("[resource-new]") { "owner" } else { "hostile" };
    let world = resolve.select_world(&[package], Some(world)).expect("it has its worlds");
    encode(text, &resolve, world)
}

pub(crate) fn contract() -> (Resolve, PackageId) {
    let mut resolve = Resolve::default();
    let (package, _) =
        resolve.push_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../wit")).expect("the contract resolves");
    (resolve, package)
}

fn encode(core: &str, resolve: &Resolve, world: WorldId) -> Vec<u8> {
    let mut core = wat::parse_str(core).expect("the guest's text is well formed");
    embed_component_metadata(&mut core, resolve, world, StringEncoding::UTF8).expect("metadata fits a core module");
    let mut encoder = ComponentEncoder::default().validate(true).module(&core).expect("the core module fits the world");
    encoder.encode().expect("the component encodes")
}

/// Says `done`.
pub(crate) fn done() -> Vec<u8> {
    guest_with("", "", &format!("i32.const {RESULT}"))
}

/// Says `abandon("because")`.
pub(crate) fn abandon() -> Vec<u8> {
    let data = r#"(data (i32.const 1028) "\01") (data (i32.const 1032) "\00\08\00\00\07\00\00\00") (data (i32.const 2048) "because")"#;
    guest_with("", data, &format!("i32.const {RESULT}"))
}

/// Returns the error "broken".
pub(crate) fn error() -> Vec<u8> {
    let data = r#"(data (i32.const 1024) "\01") (data (i32.const 1028) "\00\08\00\00\06\00\00\00") (data (i32.const 2048) "broken")"#;
    guest_with("", data, &format!("i32.const {RESULT}"))
}

/// Says `again` after `seconds` with the note "waiting" and the state "kept", until attempt `until`; then `done`.
pub(crate) fn again(seconds: u8, until: u32) -> Vec<u8> {
    let data = format!(
        r#"(data (i32.const 1028) "\02")
           (data (i32.const 1032) "\{seconds:02x}\00\00\00\00\08\00\00\07\00\00\00\01\00\00\00\10\08\00\00\04\00\00\00")
           (data (i32.const 2048) "waiting") (data (i32.const 2064) "kept")"#
    );
    let body = format!(
        "(if (i32.ge_u (i32.load offset=96 (local.get $event)) (i32.const {until}))
            (then (i32.store8 (i32.const 1028) (i32.const 0))))
         i32.const {RESULT}"
    );
    guest_with("", &data, &body)
}

/// Drains the event's instance, then says `again` after `seconds` until attempt `until`; after that `done` in even attempts and
/// `abandon` in odd ones, so that who decides twice decides otherwise. Hands on the error's message as its own.
pub(crate) fn drains_and_looks_again(seconds: u8, until: u32) -> Vec<u8> {
    let data = format!(
        r#"(data (i32.const 1028) "\02")
           (data (i32.const 1032) "\{seconds:02x}\00\00\00\00\08\00\00\07\00\00\00\01\00\00\00\10\08\00\00\04\00\00\00")
           (data (i32.const 2048) "waiting") (data (i32.const 2064) "kept")"#
    );
    // In the event the instance is a pointer at 60 and a length at 64.
    let body = format!(
        "(call $drain (i32.load offset=60 (local.get $event)) (i32.load offset=64 (local.get $event)) (i32.const 512))
         (if (i32.load8_u (i32.const 512)) (then {HAND_ON}) (else
             (if (i32.ge_u (i32.load offset=96 (local.get $event)) (i32.const {until})) (then
                 (i32.store8 (i32.const 1028) (i32.and (i32.load offset=96 (local.get $event)) (i32.const 1)))
                 (i32.store (i32.const 1032) (i32.const 2048))
                 (i32.store (i32.const 1036) (i32.const 7))))))
         i32.const {RESULT}"
    );
    guest_with(DRAIN, &data, &body)
}

/// Never returns.
pub(crate) fn spin() -> Vec<u8> {
    guest_with("", "", "(loop (br 0)) unreachable")
}

/// Grows its memory, a megabyte at a time, and traps when it gets no more.
pub(crate) fn hungry() -> Vec<u8> {
    guest_with("", "", "(loop (br_if 0 (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable")
}

/// Traps in its first attempt, then says `done`.
pub(crate) fn traps_once() -> Vec<u8> {
    let first = "(if (i32.eq (i32.load offset=96 (local.get $event)) (i32.const 1)) (then unreachable))";
    guest_with("", "", &format!("{first} i32.const {RESULT}"))
}

/// Returns the error "broken" in its attempts from `from` to before `until`, and says `done` in others.
pub(crate) fn error_in(from: u32, until: u32) -> Vec<u8> {
    let attempt = "(i32.load offset=96 (local.get $event))";
    let body = format!(
        "(if (i32.and (i32.ge_u {attempt} (i32.const {from})) (i32.lt_u {attempt} (i32.const {until}))) (then
             (i32.store8 (i32.const 1024) (i32.const 1))
             (i32.store (i32.const 1028) (i32.const 2048))
             (i32.store (i32.const 1032) (i32.const 6))))
         i32.const {RESULT}"
    );
    guest_with("", r#"(data (i32.const 2048) "broken")"#, &body)
}

/// Recurses until the stack ends.
pub(crate) fn deep() -> Vec<u8> {
    guest_with(
        "(func $down (param i32) (result i32) (i32.add (call $down (local.get 0)) (i32.const 1)))",
        "",
        "(call $down (i32.const 0))",
    )
}

/// Asks for the time without end.
pub(crate) fn chatty() -> Vec<u8> {
    let import = r#"(import "hostler:handler/clock@0.1.0" "now" (func $now (result i64)))"#;
    guest_with(import, "", "(loop (drop (call $now)) (br 0)) unreachable")
}

/// Sleeps, whether the host lets it or not, then says `done`.
pub(crate) fn sleepy(milliseconds: u32) -> Vec<u8> {
    let import = r#"(import "hostler:handler/clock@0.1.0" "sleep" (func $sleep (param i32 i32)))"#;
    guest_with(import, "", &format!("(call $sleep (i32.const {milliseconds}) (i32.const 512)) i32.const {RESULT}"))
}

/// Writes `text` into the log, then says `done`.
pub(crate) fn says(text: &str) -> Vec<u8> {
    let import = r#"(import "hostler:handler/log@0.1.0" "log" (func $log (param i32 i32 i32 i32 i32)))"#;
    let data = format!("(data (i32.const 2048) {text:?})");
    let length = text.len();
    let body = format!(
        "(call $log (i32.const 1) (i32.const 2048) (i32.const {length}) (i32.const 0) (i32.const 0)) i32.const {RESULT}"
    );
    guest_with(import, &data, &body)
}

/// Reads the setting `key`, then says `done`.
pub(crate) fn reads(key: &str) -> Vec<u8> {
    let import = r#"(import "hostler:handler/config@0.1.0" "get" (func $get (param i32 i32 i32)))"#;
    let data = format!("(data (i32.const 2048) {key:?})");
    let body = format!("(call $get (i32.const 2048) (i32.const {}) (i32.const 512)) i32.const {RESULT}", key.len());
    guest_with(import, &data, &body)
}

/// Drains `instance`, then says `done` whatever came of it: the mistake that a test harness is for.
pub(crate) fn drain_blindly(instance: &str) -> Vec<u8> {
    let data = format!(r#"(data (i32.const 2048) "{instance}")"#);
    let length = instance.len();
    let body = format!("(call $drain (i32.const 2048) (i32.const {length}) (i32.const 512)) i32.const {RESULT}");
    guest_with(DRAIN, &data, &body)
}

/// Drains `instance`, then says `done`, or hands on the error's message as its own.
pub(crate) fn drain_of(instance: &str) -> Vec<u8> {
    drain_or(instance, HAND_ON)
}

/// Drains `instance`, then says `done`, or traps: the mistake of an author who unwraps.
pub(crate) fn drain_or_trap(instance: &str) -> Vec<u8> {
    drain_or(instance, "unreachable")
}

/// Drains `instance`, then says `done`; where it was an error, runs `otherwise` first.
fn drain_or(instance: &str, otherwise: &str) -> Vec<u8> {
    let data = format!(r#"(data (i32.const 2048) "{instance}")"#);
    // The result of `drain` goes to 512: byte 0 is 1 for an error.
    let body = format!(
        "(call $drain (i32.const 2048) (i32.const {}) (i32.const 512))
         (if (i32.load8_u (i32.const 512)) (then {otherwise}))
         i32.const {RESULT}",
        instance.len()
    );
    guest_with(DRAIN, &data, &body)
}
