//! Keys and signatures go both ways between `hostler` and the ordinary minisign, and nothing passes that should not.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hostler_tests::{Canary, REGION, Signer, Stack, assert_in_none, files, guest, hostler, hostler_with};
use tempfile::TempDir;

/// A folder with a plugin in it.
struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        let desk = Self(TempDir::new().expect("a folder can be made"));
        fs::write(desk.path().join("probe.wasm"), guest("probe")).expect("a plugin can be written");
        desk
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn hostler(&self, arguments: &[&str]) -> Output {
        hostler(self.path(), arguments)
    }

    fn minisign(&self, arguments: &[&str]) -> Output {
        let mut minisign = Command::new("minisign");
        minisign.current_dir(self.path()).args(arguments).output().expect("there is minisign: `make test` installs it")
    }

    /// A file of the folder.
    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).expect("the file is there")
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, text).expect("a file can be written");
        path
    }

    /// A policy that trusts and revokes these keys.
    fn policy(&self, trusted: &str, revoked: &str) {
        let text = format!(
            "[modules]\nsource = \"dir:.\"\ntrusted-keys = [{trusted}]\nrevoked-keys = [{revoked}]\n\
             [[handler]]\nname = \"h\"\nmodule = \"probe.wasm\"\nevent.source = [\"aws.ec2\"]\n"
        );
        self.write("hostler.toml", &text);
    }

    /// The public key in a file, in quotes.
    fn key(&self, file: &str) -> String {
        format!("{:?}", self.read(file).lines().nth(1).expect("the key is the second line"))
    }
}

/// What a program said, with its exit status.
fn told(output: &Output) -> (Option<i32>, String) {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

fn succeeds(output: &Output) -> String {
    let (status, text) = told(output);
    assert_eq!(status, Some(0), "{text}");
    text
}

#[test]
fn what_hostler_signs_minisign_verifies() {
    let desk = Desk::new();
    succeeds(&desk.hostler(&["keygen", "--unencrypted"]));
    let said = succeeds(&desk.hostler(&["sign", "probe.wasm"]));
    assert!(said.contains(" as probe.wasm, version 1") && said.contains(", which is the time\n"), "{said}");
    let said = succeeds(&desk.hostler(&["sign", "probe.wasm", "--version", "1.4.2"]));
    assert!(said.contains(" as probe.wasm, version 1.4.2, in place of the signature that was there\n"), "{said}");
    let verified = succeeds(&desk.minisign(&["-V", "-p", "hostler.pub", "-m", "probe.wasm"]));
    assert!(verified.contains("file:probe.wasm\tversion:1.4.2\thashed"), "{verified}");
}

#[test]
fn what_minisign_signs_hostler_verifies_with_the_key_of_either() {
    let desk = Desk::new();
    // Debian's writes no checksum for a key without a passphrase.
    succeeds(&desk.minisign(&["-G", "-W", "-p", "theirs.pub", "-s", "theirs.key"]));
    succeeds(&desk.hostler(&["keygen", "--unencrypted", "ours.key"]));
    for (secret, public) in [("theirs.key", "theirs.pub"), ("ours.key", "ours.pub")] {
        succeeds(&desk.minisign(&["-S", "-s", secret, "-m", "probe.wasm"]));
        let said = succeeds(&desk.hostler(&["verify", "probe.wasm", "--key", public]));
        assert!(said.contains(" as probe.wasm, version 1"), "its version is the time: {said}");
        desk.policy(&desk.key(public), "");
        succeeds(&desk.hostler(&["verify", "probe.wasm", "--policy", "hostler.toml"]));
        let (_, checked) = told(&desk.hostler(&["check", "probe.wasm", "--policy", "hostler.toml"]));
        assert!(!checked.contains("the host refuses it"), "{checked}");
        // And hostler signs with it.
        succeeds(&desk.hostler(&["sign", "probe.wasm", "--secret-key", secret]));
        succeeds(&desk.minisign(&["-V", "-p", public, "-m", "probe.wasm"]));
    }
}

#[test]
fn a_key_with_a_passphrase_goes_both_ways_too() {
    let desk = Desk::new();
    let passphrase = desk.write("passphrase", "correct horse\n");
    let passphrase = passphrase.to_str().expect("a folder for tests has a plain name");
    succeeds(&desk.hostler(&["keygen", "--passphrase-file", passphrase]));
    succeeds(&desk.hostler(&["sign", "probe.wasm", "--passphrase-file", passphrase]));
    succeeds(&desk.minisign(&["-V", "-p", "hostler.pub", "-m", "probe.wasm"]));
    let wrong = desk.write("wrong", "battery staple\n");
    let (status, said) =
        told(&desk.hostler(&["sign", "probe.wasm", "--passphrase-file", wrong.to_str().unwrap_or_default()]));
    assert_eq!(status, Some(1));
    assert_eq!(said, "error: cannot use the secret key in hostler.key: the passphrase is not that of the key\n");
    let (status, said) = told(&desk.hostler(&["sign", "probe.wasm", "--passphrase-file", "none"]));
    assert_eq!(status, Some(1));
    assert!(said.starts_with("error: cannot read the passphrase in none: No such file"), "{said}");
}

#[test]
fn neither_passphrases_nor_secret_keys_are_in_anything_that_is_written() {
    let desk = Desk::new();
    let (right, wrong) = ("CanaryOfTheRightPassphrase", "CanaryOfTheWrongPassphrase");
    desk.write("right", &format!("{right}\n"));
    desk.write("wrong", &format!("{wrong}\n"));
    let mut written = Vec::new();
    let mut run = |arguments: &[&str]| {
        let output = hostler_with(desk.path(), arguments, &[("HOSTLER_LOG", "trace"), ("RUST_BACKTRACE", "1")]);
        let (status, said) = told(&output);
        written.push((arguments[0].to_owned(), said.into_bytes()));
        status
    };
    assert_eq!(run(&["keygen", "--passphrase-file", "right"]), Some(0));
    assert_eq!(run(&["keygen", "--unencrypted", "plain.key"]), Some(0));
    for (passphrase, status) in [("right", 0), ("wrong", 1)] {
        assert_eq!(run(&["sign", "probe.wasm", "--passphrase-file", passphrase]), Some(status));
    }
    assert_eq!(run(&["sign", "probe.wasm", "--secret-key", "plain.key"]), Some(0));
    assert_eq!(run(&["verify", "probe.wasm", "--key", "plain.pub"]), Some(0));
    // Whoever mistakes one file for another: a key for a passphrase, a passphrase for a key, the secret one for the public one.
    let plain = desk.read("plain.key");
    let body = plain.lines().nth(1).expect("the key is the second line").to_owned();
    desk.write("cut.key", &plain.replace(&body, &body[..body.len() - 9]));
    assert_eq!(run(&["sign", "probe.wasm", "--secret-key", "cut.key"]), Some(1));
    assert_eq!(run(&["sign", "probe.wasm", "--passphrase-file", "plain.key"]), Some(1));
    assert_eq!(run(&["sign", "probe.wasm", "--secret-key", "right"]), Some(1));
    assert_ne!(run(&["verify", "probe.wasm", "--key", "plain.key"]), Some(0));
    // Or the key for its file.
    for key in [body.as_str(), plain.as_str(), &body[..body.len() - 9]] {
        assert_eq!(run(&["verify", "probe.wasm", "--key", key]), Some(2));
        assert_eq!(run(&["sign", "probe.wasm", "--secret-key", key]), Some(1));
    }
    desk.policy(&format!("{body:?}"), "");
    assert_ne!(run(&["verify", "probe.wasm", "--policy", "hostler.toml"]), Some(0));
    assert_ne!(run(&["check", "probe.wasm", "--policy", "hostler.toml"]), Some(0));

    let holds = ["right", "wrong", "plain.key", "cut.key", "hostler.toml"];
    let kept = files(desk.path()).into_iter().filter(|(path, _)| !holds.iter().any(|name| path.ends_with(name)));
    written.extend(kept);
    // Algorithms, salt, limits and the key's id come first (minisign(1), "secret key format"); then the secret.
    let secret = &BASE64.decode(&body).expect("a key is base64")[62..94];
    let canaries = [
        Canary::new("the right passphrase", right.as_bytes()),
        Canary::new("the wrong passphrase", wrong.as_bytes()),
        Canary::new("the secret key", secret),
        // Those of the seed alone: behind it stands what the public key has too.
        Canary::new("the secret key's line", &body.as_bytes()[84..124]),
    ];
    assert_in_none(&canaries, &written);
}

#[test]
fn no_key_is_written_over_and_nobody_else_can_read_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let desk = Desk::new();
    succeeds(&desk.hostler(&["keygen", "--unencrypted"]));
    let mode = fs::metadata(desk.path().join("hostler.key")).expect("the key is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let before = desk.read("hostler.key");
    let (status, said) = told(&desk.hostler(&["keygen", "--unencrypted"]));
    assert_eq!(status, Some(1));
    assert_eq!(
        said,
        "error: hostler.key is there already, and no key is written over: choose another name, or move it away\n"
    );
    assert_eq!(desk.read("hostler.key"), before);
    let (status, said) = told(&desk.hostler(&["keygen", "--unencrypted", "other.pub"]));
    assert_eq!(status, Some(1));
    assert!(said.contains("that is where the public one goes; choose another name"), "{said}");
    let empty = desk.write("empty", "\n");
    let (status, said) =
        told(&desk.hostler(&["keygen", "other.key", "--passphrase-file", empty.to_str().unwrap_or_default()]));
    assert_eq!((status, desk.path().join("other.key").exists()), (Some(1), false));
    assert_eq!(said, "error: an empty passphrase guards nothing: give one, or say --unencrypted\n");
}

#[test]
fn a_signature_that_does_not_hold_is_told_with_what_to_do() {
    let desk = Desk::new();
    let refused = |arguments: &[&str], expected: &str| {
        let (status, said) = told(&desk.hostler(arguments));
        assert!(said.contains(expected), "{arguments:?}: {said}");
        assert_eq!(status, Some(1), "{arguments:?}: {said}");
    };
    succeeds(&desk.hostler(&["keygen", "--unencrypted"]));
    succeeds(&desk.hostler(&["keygen", "--unencrypted", "other.key"]));
    let (ours, other) = (desk.key("hostler.pub"), desk.key("other.pub"));
    desk.policy(&ours, "");
    let by_policy = ["verify", "probe.wasm", "--policy", "hostler.toml"];
    refused(&by_policy, "is not signed, and only signed modules are taken: sign it with `hostler sign`");
    refused(&["check", "probe.wasm", "--policy", "hostler.toml"], "  is not signed, and only signed modules are taken");

    succeeds(&desk.hostler(&["sign", "probe.wasm"]));
    succeeds(&desk.hostler(&by_policy));
    refused(
        &["verify", "probe.wasm", "--policy", "hostler.toml", "--name", "drain.wasm"],
        "was signed as probe.wasm, and is here as drain.wasm",
    );
    refused(&["verify", "probe.wasm", "--key", "other.pub"], "is signed by key ");
    desk.policy(&other, &ours);
    refused(&by_policy, ", which is revoked: sign it with another");
    desk.policy(&ours, "");
    fs::write(desk.path().join("probe.wasm"), guest("patient")).expect("a plugin can be written");
    refused(&by_policy, "module and signature do not belong together, or one of them was changed");
}

#[test]
fn what_cannot_be_looked_at_is_told_apart() {
    let desk = Desk::new();
    let (status, said) = told(&desk.hostler(&["verify", "gone.wasm", "--key", "RW"]));
    assert_eq!(status, Some(2));
    assert!(said.starts_with("cannot read gone.wasm: "), "{said}");
    let (status, said) = told(&desk.hostler(&["verify", "probe.wasm", "--key", "gone.pub"]));
    assert_eq!(status, Some(2));
    assert!(
        said.starts_with("gone.pub is neither a public key, which begins with RW, nor a file that can be read: "),
        "{said}"
    );
    desk.write("text", "text\ntext\n");
    let (status, said) = told(&desk.hostler(&["verify", "probe.wasm", "--key", "text"]));
    assert_eq!(
        (status, said.as_str()),
        (Some(2), "there is no public key of minisign's in text: `hostler keygen` writes it to NAME.pub\n")
    );
    let (status, said) = told(&desk.hostler(&["sign", "probe.wasm", "--secret-key", "text"]));
    assert_eq!(status, Some(1));
    assert!(said.starts_with("error: cannot use the secret key in text: it is no secret key of minisign's"), "{said}");
    let (status, said) = told(&desk.hostler(&["sign", "probe.wasm"]));
    assert_eq!(status, Some(1));
    assert!(said.contains("cannot read the secret key in hostler.key; `hostler keygen` makes one"), "{said}");
    // Nobody is asked for a passphrase first.
    succeeds(&desk.hostler(&["keygen", "--passphrase-file", "text"]));
    let (status, said) = told(&desk.hostler(&["sign", "probe.wasm", "--secret-key", "hostler.pub"]));
    assert_eq!(status, Some(1));
    assert!(
        said.contains("cannot use the secret key in hostler.pub: it is a public key, with which nobody signs"),
        "{said}"
    );
    desk.write("script.wasm", "#!/bin/sh\n");
    let (status, said) = told(&desk.hostler(&["sign", "script.wasm", "--passphrase-file", "text"]));
    assert_eq!((status, desk.path().join("script.wasm.minisig").exists()), (Some(1), false));
    assert_eq!(said, "error: script.wasm is not WebAssembly: it does not begin with the bytes of a component\n");
}

#[test]
fn what_a_policy_says_of_a_plugin_is_told_of_its_file() {
    let desk = Desk::new();
    succeeds(&desk.hostler(&["keygen", "--unencrypted"]));
    let signed = succeeds(&desk.hostler(&["sign", "probe.wasm"]));
    let id = signed.split("by key ").nth(1).and_then(|rest| rest.split(' ').next()).expect("it says which key");
    desk.policy(&desk.key("hostler.pub"), "");
    let policy = desk.read("hostler.toml");
    let said = succeeds(&desk.hostler(&["policy", "check"]));
    assert!(said.contains(&format!("plugins from dir:.: signed by\n   key {id}  RW")), "{said}");
    assert!(said.contains("warning: there is no [ledger]: each process has to find out by itself"), "{said}");
    let verify = ["verify", "probe.wasm", "--policy", "hostler.toml"];
    let with = |pin: &str| {
        desk.write("hostler.toml", &policy.replace("module =", &format!("sha256 = \"{pin}\"\nmodule =")));
        (succeeds(&desk.hostler(&verify)), told(&desk.hostler(&["check", "probe.wasm"])))
    };
    let other = "a".repeat(64);
    let (verified, (status, checked)) = with(&other);
    let words = format!("handler \"h\" is pinned to sha256 {other}, and does not run this one, which has ");
    assert!(verified.contains(&words) && checked.contains(&words), "{verified}{checked}");
    assert_eq!(status, Some(1), "{checked}");
    let digest = verified.trim_end().rsplit(' ').next().expect("it ends in a digest");
    let (verified, (_, checked)) = with(digest);
    assert!(verified.ends_with("note: handler \"h\" is pinned to it\n"), "{verified}");
    assert!(checked.contains("\nhandler \"h\" is pinned to it"), "{checked}");
    desk.write("hostler.toml", &policy.replace("probe.wasm", "drain.wasm"));
    let said = succeeds(&desk.hostler(&verify));
    assert!(said.ends_with("note: no handler of the policy uses probe.wasm\n"), "{said}");
    // In a folder of the bucket, wherever it lies here.
    desk.write("hostler.toml", &policy.replace("probe.wasm", "team/probe.wasm"));
    let expected = "was signed as probe.wasm, and is here as team/probe.wasm: sign it with --name team/probe.wasm";
    let (status, said) = told(&desk.hostler(&verify));
    assert!(status == Some(1) && said.contains(expected), "{said}");
    let (_, said) = told(&desk.hostler(&["check", "probe.wasm"]));
    assert!(said.contains(expected) && said.contains("handler \"h\" uses it as team/probe.wasm"), "{said}");
    succeeds(&desk.hostler(&["sign", "probe.wasm", "--name", "team/probe.wasm"]));
    succeeds(&desk.hostler(&verify));
}

#[test]
fn what_was_uploaded_is_looked_at_with_the_signature_in_its_metadata() {
    let (desk, stack) = (Desk::new(), Stack::shared());
    let (signer, bucket) = (Signer::new(desk.path()), stack.unique("uploads"));
    stack.create_bucket(&bucket);
    stack.keep_versions(&bucket);
    desk.policy(&desk.key("hostler.pub"), "");
    let place = format!("s3://{bucket}/plugins/probe.wasm");
    desk.write("hostler.toml", &desk.read("hostler.toml").replace("dir:.", &format!("s3://{bucket}/plugins/")));
    let environment = stack.environment();
    let mut environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    environment.extend([("AWS_REGION", REGION), ("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")]);
    let verify = |more: &[&str]| {
        let arguments = [&["verify", &place, "--policy", "hostler.toml"], more].concat();
        told(&hostler_with(desk.path(), &arguments, &environment))
    };
    let (status, said) = verify(&[]);
    let expected = format!("{place} does not exist; upload it, or correct module in the policy\n");
    assert_eq!((status, said), (Some(2), expected));
    stack.put_signed(
        &bucket,
        "plugins/probe.wasm",
        guest("probe"),
        &signer.sign(&guest("probe"), "probe.wasm", "1.4.0"),
    );
    let (status, signed) = verify(&[]);
    assert_eq!(status, Some(0), "{signed}");
    assert!(
        signed.starts_with(&format!("{place} (version-id ")) && signed.ends_with(" as probe.wasm, version 1.4.0\n"),
        "{signed}"
    );
    // Somebody forgets the metadata.
    stack.put_object(&bucket, "plugins/probe.wasm", guest("probe"));
    let (status, said) = verify(&[]);
    assert!(status == Some(1) && said.contains(") is not signed, and only signed modules are taken"), "{said}");
    let version_id = signed.split("(version-id ").nth(1).and_then(|rest| rest.split(',').next()).expect("it is named");
    assert_eq!(verify(&["--version-id", version_id]), (Some(0), signed.clone()));
}

#[test]
fn only_objects_have_versions() {
    let (status, said) = told(&Desk::new().hostler(&["verify", "probe.wasm", "--key", "none", "--version-id", "1"]));
    assert_eq!(status, Some(2));
    assert_eq!(said, "--version-id is for an object, and files have no versions: give s3://BUCKET/KEY\n");
}

#[test]
fn what_is_signed_fits_into_the_metadata_of_an_object() {
    let desk = Desk::new();
    succeeds(&desk.hostler(&["keygen", "--unencrypted"]));
    let said = succeeds(&desk.hostler(&["sign", "probe.wasm", "--version", "1.4.2"]));
    let metadata = said.split("--metadata minisig=").nth(1).map(str::trim).expect("it says how to upload");
    assert!(metadata.len() < 1024, "{metadata}");
    assert_eq!(BASE64.decode(metadata).expect("it is base64"), desk.read("probe.wasm.minisig").as_bytes());
    fs::remove_file(desk.path().join("probe.wasm.minisig")).expect("it is there");
    let long = format!("{}1", "0".repeat(1200));
    let (status, said) = told(&desk.hostler(&["sign", "probe.wasm", "--version", &long]));
    assert_eq!((status, desk.path().join("probe.wasm.minisig").exists()), (Some(1), false));
    assert!(said.contains("and S3 has room for 1536: sign it with a shorter --name or --version"), "{said}");
    for name in ["a\tfile:b.wasm", "../probe.wasm", "s3://bucket/probe.wasm", "probe", ""] {
        let (status, said) = told(&desk.hostler(&["sign", "probe.wasm", "--name", name]));
        assert_eq!(status, Some(1), "{name:?}: {said}");
        assert!(said.contains("is not the name of a module: "), "{said}");
        assert!(said.contains("; give the handler's `module` with --name"), "{said}");
    }
}
