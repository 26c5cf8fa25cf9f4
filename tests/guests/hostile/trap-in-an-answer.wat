;; Traps where the host asks it for room for an answer: what the call was about has happened by then.
;; Contained: the plugin trapped: wasm trap: wasm `unreachable` instruction executed
(module
    (import "hostler:handler/ecs@0.1.0" "drain" (func $drain (param $instance i32) (param $length i32) (param $result i32)))
    (memory (export "memory") 1)
    (global $trap (mut i32) (i32.const 0))
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
        (if (global.get $trap) (then unreachable))
        (i32.const 4096))
    (data (i32.const 2048) "i-0123456789abcdef0")
    (func (export "handle") (param $event i32) (result i32)
        ;; The instance id is cut short, so that the answer is an error with a text.
        (global.set $trap (i32.const 1))
        (call $drain (i32.const 2048) (i32.const 9) (i32.const 512))
        i32.const 1024))
