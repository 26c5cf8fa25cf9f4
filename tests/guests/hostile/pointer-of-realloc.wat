;; Gives the host room for the event that lies beyond its memory.
;; Contained: the plugin trapped: realloc return: beyond end of memory
(module
    (memory (export "memory") 1)
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const -16))
    (func (export "handle") (param $event i32) (result i32)
        i32.const 1024))
