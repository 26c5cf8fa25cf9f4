;; Asks for sockets, a hundred times: traps if it gets one.
;; Contained: done
(module
    (import "wasi:sockets/tcp-create-socket@0.2.3" "create-tcp-socket" (func $tcp (param i32 i32)))
    (import "wasi:sockets/udp-create-socket@0.2.3" "create-udp-socket" (func $udp (param i32 i32)))
    (memory (export "memory") 1)
    (global $next (mut i32) (i32.const 4096))
    (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
        (local $at i32)
        (local.set $at (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
        (global.set $next (i32.add (local.get $at) (local.get $size)))
        (local.get $at))
    (global $left (mut i32) (i32.const 100))
    (func (export "handle") (param $event i32) (result i32)
        (loop
            (call $tcp (i32.const 0) (i32.const 512))
            (call $udp (i32.const 0) (i32.const 520))
            (if (i32.eqz (i32.and (i32.load8_u (i32.const 512)) (i32.load8_u (i32.const 520)))) (then unreachable))
            (global.set $left (i32.sub (global.get $left) (i32.const 1)))
            (br_if 0 (global.get $left)))
        i32.const 1024))
