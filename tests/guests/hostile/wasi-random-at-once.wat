;; Asks for a gigabyte of random bytes.
;; Contained: the plugin trapped: requested len 1073741824 exceeds limit 65536
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
        (call $random (i64.const 1073741824) (i32.const 512))
        i32.const 1024))
