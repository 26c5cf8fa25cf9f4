//! Too much of everything, handed to every host function of the contract: generated from the contract, so that a function which
//! is added is tried too.

use wit_parser::abi::{AbiVariant, WasmType};
use wit_parser::{Function, Resolve, Type, TypeDefKind, TypeId, WorldKey};

use super::hostile::{attempt, told};
use super::*;

/// A place in the parameters of a host function where a guest says how much there is: a text or a list.
struct Place {
    interface: String,
    function: String,
    /// In words, such as `command.arguments`.
    path: String,
    /// The parameter of the core function that holds the length.
    length: usize,
    /// Bytes of one element in the guest.
    element: usize,
    core: Vec<WasmType>,
    results: Vec<WasmType>,
    /// Whether the last parameter is where the answer goes.
    answered: bool,
}

/// Every place of every function that a guest can import.
fn places() -> Vec<Place> {
    let (resolve, package) = guests::contract();
    let world = resolve.select_world(&[package], Some("handler")).unwrap();
    let mut places = Vec::new();
    for (key, _) in &resolve.worlds[world].imports {
        let interface = resolve.name_world_key(key);
        // The rest are types that the world uses.
        let WorldKey::Interface(id) = key else { continue };
        for function in resolve.interfaces[*id].functions.values() {
            let signature = resolve.wasm_signature(AbiVariant::GuestImport, function);
            assert!(!signature.indirect_params, "{} takes too many parameters for this test", function.name);
            for (path, length, element) in lengths(&resolve, function) {
                let (core, results) = (signature.params.clone(), signature.results.clone());
                let (interface, function) = (interface.clone(), function.name.clone());
                let answered = signature.retptr;
                places.push(Place { interface, function, path, length, element, core, results, answered });
            }
        }
    }
    places
}

/// Where a function's parameters hold lengths: in words, as the number of the core parameter, and the bytes of one element.
fn lengths(resolve: &Resolve, function: &Function) -> Vec<(String, usize, usize)> {
    let (mut found, mut next) = (Vec::new(), 0);
    for parameter in &function.params {
        walk(resolve, &parameter.ty, &parameter.name, &mut next, &mut found);
    }
    found
}

fn walk(resolve: &Resolve, ty: &Type, path: &str, next: &mut usize, found: &mut Vec<(String, usize, usize)>) {
    let listed = |element: usize, next: &mut usize, found: &mut Vec<_>| {
        found.push((path.to_owned(), *next + 1, element));
        *next += 2;
    };
    match ty {
        Type::String => listed(1, next, found),
        Type::Id(id) => walk_defined(resolve, *id, path, next, found, listed),
        _ => *next += 1,
    }
}

fn walk_defined(
    resolve: &Resolve,
    id: TypeId,
    path: &str,
    next: &mut usize,
    found: &mut Vec<(String, usize, usize)>,
    listed: impl Fn(usize, &mut usize, &mut Vec<(String, usize, usize)>),
) {
    match &resolve.types[id].kind {
        TypeDefKind::List(element) => listed(bytes(resolve, element), next, found),
        TypeDefKind::Record(record) => {
            for field in &record.fields {
                walk(resolve, &field.ty, &format!("{path}.{}", field.name), next, found);
            }
        }
        TypeDefKind::Option(inner) => {
            // Its discriminant.
            *next += 1;
            walk(resolve, inner, path, next, found);
        }
        TypeDefKind::Enum(_) => *next += 1,
        TypeDefKind::Type(alias) => walk(resolve, alias, path, next, found),
        other => panic!("{path} is a {other:?}, which this test does not know yet"),
    }
}

/// Bytes of an element of a list, in the guest.
fn bytes(resolve: &Resolve, ty: &Type) -> usize {
    match ty {
        Type::U8 => 1,
        Type::String => 8,
        Type::Id(id) => match &resolve.types[*id].kind {
            TypeDefKind::Tuple(tuple) => tuple.types.iter().map(|ty| bytes(resolve, ty)).sum(),
            other => panic!("a list of {other:?}, which this test does not know yet"),
        },
        other => panic!("a list of {other:?}, which this test does not know yet"),
    }
}

/// A guest that hands over `size` bytes at the place, of a memory that is all zeros, and nothing anywhere else.
fn guest(place: &Place, size: usize) -> Vec<u8> {
    let types = |types: &[WasmType]| types.iter().map(|ty| format!(" {}", name(*ty))).collect::<String>();
    let import = format!(
        r#"(import "{}" "{}" (func $call (param{}) (result{})))"#,
        place.interface,
        place.function,
        types(&place.core),
        types(&place.results)
    );
    let arguments = place.core.iter().enumerate().map(|(at, ty)| match at {
        _ if at == place.length => format!("(i32.const {}) ", size / place.element),
        // The zeros begin behind everything else.
        _ if at + 1 == place.length => "(i32.const 65536) ".to_owned(),
        _ if place.answered && at + 1 == place.core.len() => "(i32.const 512) ".to_owned(),
        // An option is there.
        _ if at + 2 == place.length => "(i32.const 1) ".to_owned(),
        _ => format!("({}.const 0) ", name(*ty)),
    });
    let body = format!(
        "(if (i32.eq (memory.grow (i32.const {})) (i32.const -1)) (then unreachable))
         (call $call {}){} i32.const 1024",
        size / 65536 + 1,
        arguments.collect::<String>(),
        "(drop)".repeat(place.results.len()),
    );
    guests::guest_with(&import, "", &body)
}

fn name(ty: WasmType) -> &'static str {
    match ty {
        WasmType::I64 | WasmType::PointerOrI64 => "i64",
        WasmType::F32 => "f32",
        WasmType::F64 => "f64",
        WasmType::I32 | WasmType::Pointer | WasmType::Length => "i32",
    }
}

const LIMITS: &str = "[handler.limits]\nmemory = \"256MiB\"\nwall = \"10s\"";

#[test]
fn every_place_of_the_contract_where_there_can_be_too_much_is_known() {
    let places = places();
    let places: Vec<_> = places.iter().map(|place| format!("{} {}", place.function, place.path)).collect();
    insta::assert_snapshot!(places.join("\n"), @"
    find-container-instance instance
    drain instance
    list-tasks instance
    stop-task instance
    stop-task task
    stop-task reason
    describe-instance instance
    set-instance-protection instance
    describe-instance instance
    exec instance
    exec command.program
    exec command.arguments
    exec command.stdin
    get key
    log message
    log fields
    ");
}

#[tokio::test(start_paused = true)]
async fn a_hundred_megabytes_at_any_place_end_the_attempt() {
    let sandbox = Sandbox::new(Capacity { attempts: 1, memory: 256 << 20 }, Pace::Virtual).unwrap();
    for place in places() {
        let module = sandbox.compile(&guest(&place, 100 << 20), "digest".into()).unwrap();
        let report = attempt(&sandbox, &module, &handler(LIMITS)).await;
        let told = told(&report);
        assert_eq!(told, "the plugin handed the host more than 4 MiB in one call", "{} {}", place.function, place.path);
    }
}

/// What one call may hand over is the guest's to use: it is answered, as any other call is, or spends the memory it was told of.
#[tokio::test(start_paused = true)]
async fn what_is_allowed_at_any_place_is_answered_and_charged() {
    let (log, _guard) = crate::testing::log();
    let sandbox = Sandbox::new(Capacity { attempts: 1, memory: 256 << 20 }, Pace::Virtual).unwrap();
    // An element of a list takes up to three times as much room in the host.
    let size = 1 << 20;
    for place in places() {
        let module = sandbox.compile(&guest(&place, size), "digest".into()).unwrap();
        let report = attempt(&sandbox, &module, &handler(LIMITS)).await;
        let (function, path) = (&place.function, &place.path);
        assert_eq!(report.outcome, Outcome::Done, "{function} {path}");
        let handed = report.peak_memory.saturating_sub((size / 65536 + 2) as u64 * 65536);
        assert!(handed >= size as u64, "{function} {path}: {handed} bytes were charged");

        // The guest itself fits, and what it hands over does not.
        let tight = format!("[handler.limits]\nmemory = \"{}B\"", size * 2 - 1000);
        let failure = failure_of(attempt(&sandbox, &module, &handler(&tight)).await);
        assert!(failure.starts_with("memory budget of 2.0 MiB spent during "), "{function} {path}: {failure}");
    }
    // Each was logged once, or twice, and nothing of a megabyte.
    let longest = log.told().lines().map(str::len).max().unwrap();
    assert!((4 << 10..16 << 10).contains(&longest), "the longest line has {longest} bytes");
    let refused = log.told().lines().filter(|line| line.contains("result=")).map(str::len).max().unwrap();
    assert!((200..1 << 10).contains(&refused), "the longest line of a call that was refused has {refused} bytes");
}
