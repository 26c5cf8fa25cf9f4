;; Writes five hundred lines to standard output, one letter each.
;; Contained: done; 450 log lines dropped
(module
    (import "wasi:cli/stdout@0.2.3" "get-stdout" (func $stdout (result i32)))
    (import "wasi:io/streams@0.2.3" "[method]output-stream.blocking-write-and-flush" (func $write (param $stream i32) (param $bytes i32) (param $length i32) (param $result i32)))
    (memory (export "memory") 1)
    (global $next (mut i32) (i32.const 4096))
    (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
        (local $at i32)
        (local.set $at (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
        (global.set $next (i32.add (local.get $at) (local.get $size)))
        (local.get $at))
    (data (i32.const 2048) "x\n")
    (global $left (mut i32) (i32.const 500))
    (func (export "handle") (param $event i32) (result i32)
        (local $stream i32)
        (local.set $stream (call $stdout))
        (loop
            (call $write (local.get $stream) (i32.const 2048) (i32.const 2) (i32.const 512))
            (global.set $left (i32.sub (global.get $left) (i32.const 1)))
            (br_if 0 (global.get $left)))
        i32.const 1024))
