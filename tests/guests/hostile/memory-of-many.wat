;; Grows four memories in turn: each of them stays below the limit, and together they do not. A module has one memory at most
;; here, so this is a component of two modules, one of them three times.
;; Contained: memory budget of 8.0 MiB spent
(component
    (import "hostler:handler/types@0.1.0" (instance $types
        (type $event (record
            (field "id" string) (field "kind" string) (field "source" string) (field "detail-type" string)
            (field "account" string) (field "region" string) (field "time" u64) (field "instance" (option string))
            (field "group" (option string)) (field "deadline" (option u64)) (field "attempt" u32)
            (field "state" (option string)) (field "detail" string)))
        (export "event" (type (eq $event)))
        (type $retry (record (field "after-seconds" u32) (field "note" string) (field "state" (option string))))
        (export "retry" (type $shown-retry (eq $retry)))
        (type $outcome (variant (case "done") (case "abandon" string) (case "again" $shown-retry)))
        (export "outcome" (type (eq $outcome)))))
    (alias export $types "event" (type $event))
    (alias export $types "outcome" (type $outcome))

    (core module $memory
        (memory 1)
        (func (export "grow") (result i32) (memory.grow (i32.const 1))))
    (core module $guest
        (import "a" "grow" (func $a (result i32)))
        (import "b" "grow" (func $b (result i32)))
        (import "c" "grow" (func $c (result i32)))
        (memory (export "memory") 1)
        (global $next (mut i32) (i32.const 4096))
        (func (export "cabi_realloc") (param i32 i32 i32) (param $size i32) (result i32)
            (local $at i32)
            (local.set $at (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
            (global.set $next (i32.add (local.get $at) (local.get $size)))
            (local.get $at))
        (func (export "handle") (param $event i32) (result i32)
            (loop
                (if (i32.eq (call $a) (i32.const -1)) (then unreachable))
                (if (i32.eq (call $b) (i32.const -1)) (then unreachable))
                (if (i32.eq (call $c) (i32.const -1)) (then unreachable))
                (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then unreachable))
                (br 0))
            unreachable))
    (core instance $a (instantiate $memory))
    (core instance $b (instantiate $memory))
    (core instance $c (instantiate $memory))
    (core instance $guest (instantiate $guest
        (with "a" (instance $a)) (with "b" (instance $b)) (with "c" (instance $c))))
    (func (export "handle") (param "event" $event) (result (result $outcome (error string)))
        (canon lift (core func $guest "handle") (memory (core memory $guest "memory"))
            (realloc (core func $guest "cabi_realloc")))))
