;; Hands over a list that begins between two elements.
;; Contained: the plugin trapped: list pointer is not aligned
(module
    (import "hostler:handler/log@0.1.0" "log" (func $log (param $level i32) (param $text i32) (param $length i32) (param $fields i32) (param $count i32)))
    (memory (export "memory") 1)
    (global $next (mut i32) (i32.const 4096))
    (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
        (local $at i32)
        (local.set $at (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
        (global.set $next (i32.add (local.get $at) (local.get $size)))
        (local.get $at))
    (func (export "handle") (param $event i32) (result i32)
        (call $log (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 2049) (i32.const 1))
        i32.const 1024))
