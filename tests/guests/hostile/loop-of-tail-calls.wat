;; Computes without end and without a loop: two functions give way to each other for ever, in no more stack than one.
;; Contained: cpu budget of 200ms spent
(module
    (memory (export "memory") 1)
    (global $next (mut i32) (i32.const 4096))
    (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
        (local $at i32)
        (local.set $at (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
        (global.set $next (i32.add (local.get $at) (local.get $size)))
        (local.get $at))
    (func $ping (param i32) (result i32) (return_call $pong (local.get 0)))
    (func $pong (param i32) (result i32) (return_call $ping (local.get 0)))
    (func (export "handle") (param $event i32) (result i32)
        (return_call $ping (i32.const 0))))
