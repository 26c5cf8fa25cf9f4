;; Takes memory, and grows a table past what any table can have, of which Wasmtime says that it failed without having asked whether it
;; may: whoever takes back then what the growth before was charged never comes to a limit.
;; Contained: memory budget of 8.0 MiB spent
(module
    (memory (export "memory") 1)
    (global $next (mut i32) (i32.const 4096))
    (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
        (local $at i32)
        (local.set $at (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
        (global.set $next (i32.add (local.get $at) (local.get $size)))
        (local.get $at))
    (table $table i64 1 funcref)
    (func (export "handle") (param $event i32) (result i32)
        (loop
            (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then unreachable))
            (drop (table.grow $table (ref.null func) (i64.const -1)))
            ;; 16 MiB are twice as much as there is.
            (br_if 0 (i32.lt_u (memory.size) (i32.const 256))))
        i32.const 1024))
