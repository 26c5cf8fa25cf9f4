;; Hands over a text that ends beyond its memory.
;; Contained: the plugin trapped: string pointer/length out of bounds of memory
(module
    (import "hostler:handler/config@0.1.0" "get" (func $get (param $key i32) (param $length i32) (param $result i32)))
    (memory (export "memory") 1)
    (global $next (mut i32) (i32.const 4096))
    (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
        (local $at i32)
        (local.set $at (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
        (global.set $next (i32.add (local.get $at) (local.get $size)))
        (local.get $at))
    (func (export "handle") (param $event i32) (result i32)
        (call $get (i32.const 65530) (i32.const 100) (i32.const 512))
        i32.const 1024))
