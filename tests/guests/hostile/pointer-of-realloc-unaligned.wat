;; Gives the host room for the event that is not aligned.
;; Contained: the plugin trapped: realloc return: result not aligned
(module
    (memory (export "memory") 1)
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4097))
    (func (export "handle") (param $event i32) (result i32)
        i32.const 1024))
