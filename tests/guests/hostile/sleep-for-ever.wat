;; Sleeps for as long as the contract can say: 49 days. It is refused at once each time, so it asks again.
;; Contained: host-calls budget of 100 spent during clock.sleep
(module
    (import "hostler:handler/clock@0.1.0" "sleep" (func $sleep (param i32 i32)))
    (memory (export "memory") 1)
    (global $next (mut i32) (i32.const 4096))
    (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
        (local $at i32)
        (local.set $at (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
        (global.set $next (i32.add (local.get $at) (local.get $size)))
        (local.get $at))
    (func (export "handle") (param $event i32) (result i32)
        (loop (call $sleep (i32.const -1) (i32.const 512)) (br 0))
        unreachable))
