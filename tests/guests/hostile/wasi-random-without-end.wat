;; Asks for as many random bytes as it gets, without end.
;; Contained: cpu budget of 200ms spent
(module
    (import "wasi:random/random@0.2.3" "get-random-bytes" (func $random (param i64 i32)))
    (memory (export "memory") 1)
    (global $next (mut i32) (i32.const 4096))
    (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
        (local $at i32)
        (local.set $at (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
        (global.set $next (i32.add (local.get $at) (local.get $size)))
        (local.get $at))
    (func (export "handle") (param $event i32) (result i32)
        (loop
            (global.set $next (i32.const 4096))
            (call $random (i64.const 32768) (i32.const 512))
            (br 0))
        unreachable))
