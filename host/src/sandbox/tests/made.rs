//! Hostile guests that are too large to write by hand.

use super::hostile::{contained, limited};
use super::*;

/// The contract's types and the end of a component, around `parts`: core modules and instances, of which `$guest` is the handler.
fn component(parts: &str) -> Vec<u8> {
    let around = include_str!("../../../../tests/guests/hostile/memory-of-many.wat");
    let (types, _) = around.split_once("    (core module $memory").unwrap();
    let (_, end) = around.split_once("(with \"c\" (instance $c))))\n").unwrap();
    wat::parse_str(format!("{types}\n{parts}\n{end}")).expect("it is well formed")
}

fn sandbox() -> Sandbox {
    Sandbox::new(Capacity { attempts: 2, memory: 64 << 20 }, Pace::Virtual).unwrap()
}

/// A component whose handler does nothing, beside `count` instances of a module of `parts`.
fn beside(parts: &str, count: usize) -> Vec<u8> {
    let with = if parts.contains("import") { r#"(with "base" (instance $base))"# } else { "" };
    component(&format!(
        r#"(core module $base (memory (export "memory") 100))
        (core instance $base (instantiate $base))
        (core module $n {parts})
        {}
        (core module $guest
            (memory (export "memory") 1)
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096))
            (func (export "handle") (param i32) (result i32) (i32.const 1024)))
        (core instance $guest (instantiate $guest))"#,
        format!("(core instance (instantiate $n {with}))").repeat(count)
    ))
}

/// All that a component holds for its instances is one sum: few large ones and many small ones are refused alike.
#[tokio::test(start_paused = true)]
async fn instances() {
    let globals = "(global (mut i64) (i64.const 7))".repeat(10_000);
    let contained = async |parts: &str, count| contained(&sandbox(), &beside(parts, count), &limited()).await;
    assert_eq!(contained(&globals, 1).await, "done");
    insta::assert_snapshot!(contained(&globals, 62).await, @"refused: instance allocation for this component requires 9931472 bytes of `VMComponentContext` and aggregated core instance runtime space which exceeds the configured maximum of 4194304 bytes. `VMComponentContext` used 80 bytes, `core module instances` used 9931392 bytes.");
    assert_eq!(contained("", 62).await, "done");
    insta::assert_snapshot!(contained("", 63).await, @"refused: The component transitively contains 65 core module instances, which exceeds the configured maximum of 64 in the pooling allocator");
    insta::assert_snapshot!(contained("", 1000).await, @"refused: instances count exceeds limit of 1000 (at offset 0x169)");
}

/// What a component copies into its memories before it runs is its own doing.
#[tokio::test(start_paused = true)]
async fn data_without_end() {
    let data = format!("(data (i32.const 100) \"{}\")", "x".repeat(6_000_000)).repeat(2);
    let copies = beside(&format!("(import \"base\" \"memory\" (memory 100)) {data}"), 60);
    let handler = handler("[handler.limits]\ncpu = \"10ms\"");
    assert_eq!(contained(&sandbox(), &copies, &handler).await, "cpu budget of 10ms spent");
}

/// Thousands of lists in lists: refused before anything walks through them, on a stack of any size.
#[test]
fn nested_types() {
    for depth in [2_000, 100_000] {
        let lists = (1..=depth).map(|n| format!("(type $t{n} (list $t{}))", n - 1)).collect::<String>();
        let types = format!("(type $t0 string) {lists}");
        for nested in [
            format!("(component {types} (import \"x\" (func (param \"x\" $t{depth}))))"),
            format!(
                "(component (import \"hostler:handler/types@0.1.0\" (instance {types} (export \"x\" (type (eq $t{depth}))))))"
            ),
        ] {
            let bytes = wat::parse_str(&nested).unwrap();
            let refused = crate::modules::accept::accept(&bytes).expect_err("it is refused").to_string();
            assert!(refused.contains("type nesting is too deep"), "{refused}");
            let refused =
                sandbox().compile(&bytes, "digest".into()).expect_err("it is refused").root_cause().to_string();
            assert!(refused.contains("type nesting is too deep"), "{refused}");
        }
    }
}
