;; Makes a call that changes something in a world that never answers.
;; Contained: wall budget of 10s spent during ecs.drain
(module
    (import "hostler:handler/ecs@0.1.0" "drain" (func $drain (param $instance i32) (param $length i32) (param $result i32)))
    (memory (export "memory") 1)
    (global $next (mut i32) (i32.const 4096))
    (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
        (local $at i32)
        (local.set $at (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
        (global.set $next (i32.add (local.get $at) (local.get $size)))
        (local.get $at))
    (data (i32.const 2048) "i-0123456789abcdef0")
    (func (export "handle") (param $event i32) (result i32)
        (call $drain (i32.const 2048) (i32.const 19) (i32.const 512))
        i32.const 1024))
