;; Is refused memory, does not mind, and says so: nothing is left of the refusal.
;; Contained: done
(module
    (memory (export "memory") 1)
    (global $next (mut i32) (i32.const 4096))
    (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
        (local $at i32)
        (local.set $at (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
        (global.set $next (i32.add (local.get $at) (local.get $size)))
        (local.get $at))
    (func (export "handle") (param $event i32) (result i32)
        (if (i32.ne (memory.grow (i32.const 1000)) (i32.const -1)) (then unreachable))
        i32.const 1024))
