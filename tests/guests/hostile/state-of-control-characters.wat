;; Leaves a state of 11,000 control characters for its next attempt: in the ledger that is 66,000 bytes.
;; Contained: the handler left a state of 66000 bytes (as JSON writes it) for its next attempt; at most 65536 are kept
(module
    (memory (export "memory") 1)
    (global $next (mut i32) (i32.const 4096))
    (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
        (local $at i32)
        (local.set $at (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
        (global.set $next (i32.add (local.get $at) (local.get $size)))
        (local.get $at))
    (data (i32.const 1028) "\02\00\00\00\01\00\00\00\00\00\00\00\00\00\00\00\01\00\00\00\00\20\00\00\f8\2a\00\00")
    (func (export "handle") (param $event i32) (result i32)
        (memory.fill (i32.const 8192) (i32.const 1) (i32.const 11000))
        i32.const 1024))
