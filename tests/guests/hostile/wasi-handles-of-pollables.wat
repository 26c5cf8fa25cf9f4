;; Sets a timer again and again, and keeps every handle.
;; Contained: handles budget of 1024 spent during a call of WASI
(module
    (import "wasi:clocks/monotonic-clock@0.2.3" "subscribe-duration" (func $subscribe (param i64) (result i32)))
    (memory (export "memory") 1)
    (global $next (mut i32) (i32.const 4096))
    (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
        (local $at i32)
        (local.set $at (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
        (global.set $next (i32.add (local.get $at) (local.get $size)))
        (local.get $at))
    (func (export "handle") (param $event i32) (result i32)
        (loop (drop (call $subscribe (i64.const 1000000))) (br 0))
        unreachable))
