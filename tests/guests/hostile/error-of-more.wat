;; Fails with an error that takes all of its memory.
;; Contained: the plugin handed the host more than 4 MiB in one call
(module
    (memory (export "memory") 1)
    (global $next (mut i32) (i32.const 4096))
    (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
        (local $at i32)
        (local.set $at (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
        (global.set $next (i32.add (local.get $at) (local.get $size)))
        (local.get $at))
    (data (i32.const 1024) "\01\00\00\00\00\00\01\00\00\00\60\00")
    (func (export "handle") (param $event i32) (result i32)
        (drop (memory.grow (i32.const 96)))
        i32.const 1024))
