;; Looks up a name, which would tell somebody else's server about it: traps if that is begun.
;; Contained: done
(module
    (import "wasi:sockets/instance-network@0.2.3" "instance-network" (func $network (result i32)))
    (import "wasi:sockets/ip-name-lookup@0.2.3" "resolve-addresses" (func $resolve (param $network i32) (param $name i32) (param $length i32) (param $result i32)))
    (memory (export "memory") 1)
    (global $next (mut i32) (i32.const 4096))
    (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
        (local $at i32)
        (local.set $at (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
        (global.set $next (i32.add (local.get $at) (local.get $size)))
        (local.get $at))
    (data (i32.const 2048) "secret.example.com")
    (func (export "handle") (param $event i32) (result i32)
        (call $resolve (call $network) (i32.const 2048) (i32.const 18) (i32.const 512))
        (if (i32.eqz (i32.load8_u (i32.const 512))) (then unreachable))
        i32.const 1024))
