;; Fails with an error of three megabytes.
;; Contained: the handler returned an error: xxx*…
(module
    (memory (export "memory") 1)
    (global $next (mut i32) (i32.const 4096))
    (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
        (local $at i32)
        (local.set $at (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
        (global.set $next (i32.add (local.get $at) (local.get $size)))
        (local.get $at))
    (data (i32.const 1024) "\01\00\00\00\00\00\01\00\00\00\30\00")
    (func (export "handle") (param $event i32) (result i32)
        (drop (memory.grow (i32.const 64)))
        (memory.fill (i32.const 65536) (i32.const 120) (i32.const 3145728))
        i32.const 1024))
