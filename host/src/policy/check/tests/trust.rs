//! Who may sign modules.

use super::*;

#[test]
fn who_may_sign_has_to_be_said_or_that_nobody_has_to() {
    let modules = |keys: &str| format!("[modules]\nsource = \"dir:dist\"\n{keys}\n{HANDLER}");
    let trust = |keys: &str| sound(&modules(keys)).modules.trust;
    assert_eq!(
        (trust(&format!("trusted-keys = [{KEY}]")).keys.len(), trust("allow-unsigned = true").unsigned),
        (1, true)
    );
    let both = format!("trusted-keys = [{KEY}]\nallow-unsigned = true");
    assert!(trust(&both).unsigned);
    insta::assert_snapshot!(sound(&modules(&both)).warnings[1].message, @"a plugin without a signature is taken from whoever can write to the source: whoever is no signer leaves it out, so remove this line once all plugins are signed");
    insta::assert_snapshot!(mistakes(&modules("")), @r#"1:1: no plugin can be accepted: name who may sign them, trusted-keys = ["RW…"] (`hostler keygen` makes a key), or write allow-unsigned = true to take them from whoever can write to the source"#);
    insta::assert_snapshot!(mistakes(&modules("allow-unsigned = false")), @r#"1:1: no plugin can be accepted: name who may sign them, trusted-keys = ["RW…"] (`hostler keygen` makes a key), or write allow-unsigned = true to take them from whoever can write to the source"#);
    insta::assert_snapshot!(mistakes(&modules("allow-unsigned = true\ntrusted-keys = [\"x\"]")), @"4:17: not a minisign public key: write the second line of the .pub file, 56 characters that begin with RW");
    insta::assert_snapshot!(mistakes(&modules(&format!("trusted-keys = [{KEY}]\nrevoked-keys = [{KEY}]"))), @"4:17: the key on line 3 is trusted: remove it there");
}

#[test]
fn who_may_sign_a_module_is_the_same_for_all_its_handlers() {
    let other = KEY.replace("M0QTa", "M0QTb");
    let handler = |name: &str, module: &str, rest: &str| {
        format!("[[handler]]\nname = \"{name}\"\nmodule = \"{module}.wasm\"\n{rest}\nevent.source = [\"aws.ec2\"]\n")
    };
    let with = |modules: &str, handlers: &[String]| {
        format!("[modules]\nsource = \"dir:dist\"\n{modules}\n{}", handlers.concat())
    };
    let own = format!("trusted-keys = [{KEY}, {other}]");
    let again = format!("trusted-keys = [{other}, {KEY}]");
    let trust = |modules: &str| {
        let handlers =
            [handler("a", "m", &own), handler("b", "m", &again), handler("c", "n", &format!("trusted-keys = [{KEY}]"))];
        sound(&with(modules, &handlers)).modules.trust
    };
    // There need be no others where each has its own.
    for modules in ["", "allow-unsigned = true", &format!("trusted-keys = [{KEY}]")] {
        let of_modules = trust(modules).of_modules;
        assert_eq!(
            of_modules.iter().map(|(module, keys)| (module.as_str(), keys.len())).collect::<Vec<_>>(),
            [("m.wasm", 2), ("n.wasm", 1)]
        );
    }
    let mistaken = |modules: &str, first: &str, second: &str| {
        mistakes(&with(modules, &[handler("a", "m", first), handler("b", "m", second)]))
    };
    insta::assert_snapshot!(mistaken("", &own, ""), @r#"
    1:1: no plugin can be accepted: name who may sign them, trusted-keys = ["RW…"] (`hostler keygen` makes a key), or write allow-unsigned = true to take them from whoever can write to the source
    9:1: the handler on line 4 runs m.wasm too, and has other trusted-keys: who may sign a module is the same for all its handlers
    "#);
    insta::assert_snapshot!(mistaken("allow-unsigned = true", &own, &format!("trusted-keys = [{KEY}]")), @"12:16: the handler on line 4 runs m.wasm too, and has other trusted-keys: who may sign a module is the same for all its handlers");
    insta::assert_snapshot!(mistaken("allow-unsigned = true", "", &own), @"12:16: the handler on line 4 runs m.wasm too, and has other trusted-keys: who may sign a module is the same for all its handlers");
    insta::assert_snapshot!(mistaken(&format!("revoked-keys = [{other}]"), &own, &again), @"
    7:77: this key is in revoked-keys of [modules]: name another
    12:17: this key is in revoked-keys of [modules]: name another
    ");
    insta::assert_snapshot!(mistaken("", "trusted-keys = []", "trusted-keys = []"), @"
    7:16: nobody could sign this plugin: name at least one key, or leave trusted-keys out to trust those of [modules]
    12:16: nobody could sign this plugin: name at least one key, or leave trusted-keys out to trust those of [modules]
    ");
    insta::assert_snapshot!(mistaken("", "trusted-keys = [\"x\"]", "trusted-keys = [\"x\"]"), @"
    7:17: not a minisign public key: write the second line of the .pub file, 56 characters that begin with RW
    12:17: not a minisign public key: write the second line of the .pub file, 56 characters that begin with RW
    ");
}
