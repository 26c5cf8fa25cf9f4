;; Gives the host the same room for every part of the event: it spoils nobody's memory but its own.
;; Contained: done
(module
    (memory (export "memory") 1)
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096))
    (func (export "handle") (param $event i32) (result i32)
        i32.const 1024))
