//! A handler in Rust that plays tricks, through the release binary on the simulated world: each is contained, and told.

use std::process::Command;

use hostler_tests::{guest, host, repository};

/// What `hostler run` prints of an event whose handler plays the trick.
fn played(trick: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let policy = format!(
        "[modules]\nsource = \"dir:.\"\nallow-unsigned = true\n\
         [[handler]]\nname = \"hostile\"\nmodule = \"hostile.wasm\"\n\
         [handler.event]\nsource = [\"aws.autoscaling\"]\n\
         [handler.finish]\nmax-attempts = 1\n\
         [handler.limits]\nmemory = \"256MiB\"\n\
         [handler.config]\ntrick = \"{trick}\"\n"
    );
    std::fs::write(folder.path().join("hostler.toml"), policy).expect("a file can be made");
    std::fs::write(folder.path().join("hostile.wasm"), guest("hostile")).expect("a file can be made");
    let demo = repository().join("host/demo");
    let mut run = Command::new(host());
    run.current_dir(&folder).args(["run", "--policy", "hostler.toml", "--modules", "."]);
    run.arg("--world").arg(demo.join("world.toml")).arg("--event").arg(demo.join("terminate.json"));
    let output = run.env_remove("AWS_LAMBDA_RUNTIME_API").env_remove("HOSTLER_LOG").output().expect("the host starts");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn what_a_handler_in_rust_can_do_wrong_is_contained_and_told() {
    for (trick, told) in [
        ("panic", "the attempt failed: the plugin trapped: wasm trap: wasm `unreachable` instruction executed"),
        ("allocate", "the attempt failed: memory budget of 256.0 MiB spent"),
        ("recurse", "the attempt failed: stack budget of 512.0 KiB spent"),
        ("log", "the attempt failed: host-calls budget of 500 spent during log.log"),
        ("again", "the handler left a state of 368640 bytes (as JSON writes it) for its next attempt"),
        ("command", "the attempt failed: the plugin handed the host more than 4 MiB in one call"),
        ("none", "abandoned after 1 attempt of hostile: no such trick: \"none\""),
    ] {
        let printed = played(trick);
        assert!(printed.contains(told), "{trick}: {printed}");
        assert!(printed.len() < 512 << 10, "{trick}: {} bytes were printed", printed.len());
        assert!(printed.contains("lifecycle action completed with ABANDON"), "{trick}: {printed}");
    }
}
