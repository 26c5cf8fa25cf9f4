;; Wants to wait on a shared memory, which would block a thread of the host.
;; Contained: refused: *
(module
    (memory (export "memory") 1)
    (memory $shared 1 1 shared)
    (global $next (mut i32) (i32.const 4096))
    (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
        (local $at i32)
        (local.set $at (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
        (global.set $next (i32.add (local.get $at) (local.get $size)))
        (local.get $at))
    (func (export "handle") (param $event i32) (result i32)
        (drop (memory.atomic.wait32 $shared (i32.const 0) (i32.const 0) (i64.const -1)))
        i32.const 1024))
