;; Looks for variables and arguments: traps if there is one.
;; Contained: done
(module
    (import "wasi:cli/environment@0.2.3" "get-environment" (func $variables (param i32)))
    (import "wasi:cli/environment@0.2.3" "get-arguments" (func $arguments (param i32)))
    (memory (export "memory") 1)
    (global $next (mut i32) (i32.const 4096))
    (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
        (local $at i32)
        (local.set $at (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
        (global.set $next (i32.add (local.get $at) (local.get $size)))
        (local.get $at))
    (func (export "handle") (param $event i32) (result i32)
        (call $variables (i32.const 512))
        (call $arguments (i32.const 520))
        (if (i32.or (i32.load (i32.const 516)) (i32.load (i32.const 524))) (then unreachable))
        i32.const 1024))
