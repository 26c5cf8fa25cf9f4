;; Wants to be called again in 136 years, with a note of a megabyte.
;; Contained: again after 136years*, noting 1027 bytes
(module
    (memory (export "memory") 1)
    (global $next (mut i32) (i32.const 4096))
    (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
        (local $at i32)
        (local.set $at (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
        (global.set $next (i32.add (local.get $at) (local.get $size)))
        (local.get $at))
    (data (i32.const 1028) "\02\00\00\00\ff\ff\ff\ff\00\00\01\00\00\00\10\00")
    (func (export "handle") (param $event i32) (result i32)
        (drop (memory.grow (i32.const 16)))
        (memory.fill (i32.const 65536) (i32.const 120) (i32.const 1048576))
        i32.const 1024))
