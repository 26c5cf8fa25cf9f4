;; Fills a table as far as it goes, then takes memory that would be within its limit without the table.
;; Contained: memory budget of 8.0 MiB spent
(module
    (memory (export "memory") 1)
    (global $next (mut i32) (i32.const 4096))
    (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
        (local $at i32)
        (local.set $at (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
        (global.set $next (i32.add (local.get $at) (local.get $size)))
        (local.get $at))
    (table $table 0 funcref)
    (func (export "handle") (param $event i32) (result i32)
        (if (i32.eq (table.grow $table (ref.null func) (i32.const 20000)) (i32.const -1)) (then unreachable))
        (if (i32.ne (memory.grow (i32.const 123)) (i32.const -1)) (then (return (i32.const 1024))))
        unreachable))
