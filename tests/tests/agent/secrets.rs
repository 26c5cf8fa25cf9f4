//! Secrets are planted, and everything that a host writes is searched for them.

use std::fs;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hostler_tests::{ACCOUNT, Metadata, Node, Queue, events, policy, poll};
use serde_json::json;

use crate::scene::{HOOK, SOON, Scene};

/// A secret that is planted, in each form in which it might come out.
struct Canary {
    name: &'static str,
    forms: Vec<Vec<u8>>,
}

impl Canary {
    fn new(name: &'static str, secret: &[u8]) -> Self {
        let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        let list: Vec<_> = secret.iter().map(u8::to_string).collect();
        let texts = [hex.to_uppercase(), hex, list.join(", "), list.join(","), BASE64.encode(secret)];
        let forms = texts.into_iter().map(String::into_bytes).chain([secret.to_vec()]).collect();
        Self { name, forms }
    }

    /// A private key, in OpenSSH's form: what is in the file, line by line, and what is in the key.
    fn of_key(name: &'static str, private: &str, public: &str) -> Vec<Self> {
        let body: Vec<_> = private.lines().filter(|line| !line.starts_with("-----")).collect();
        let decoded = BASE64.decode(body.concat()).expect("a private key is base64");
        let public = BASE64.decode(public.split(' ').nth(1).unwrap_or_default()).expect("a public key is base64");
        let public = &public[public.len() - 32..];
        // The seed stands before the public key, where that stands last.
        let at =
            decoded.windows(32).rposition(|window| window == public).expect("the private key holds the public one");
        // The lines before hold the public key alone.
        let secret = &body[body.len() / 2..];
        let lines = secret.iter().filter(|line| line.len() > 30).map(|line| Self::new(name, line.as_bytes()));
        lines.chain([Self::new(name, &decoded[at - 32..at])]).collect()
    }

    fn is_in(&self, bytes: &[u8]) -> bool {
        self.forms.iter().any(|form| bytes.windows(form.len()).any(|window| window == form))
    }
}

/// The files below a folder, with what they hold.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).expect("the folder can be read").map(|entry| entry.expect("an entry").path());
    let below = |path: std::path::PathBuf| {
        if path.is_dir() {
            files(&path)
        } else {
            vec![(path.display().to_string(), fs::read(&path).unwrap_or_default())]
        }
    };
    entries.flat_map(below).collect()
}

fn assert_in_none(canaries: &[Canary], written: &[(String, Vec<u8>)]) {
    for canary in canaries {
        for (file, bytes) in written {
            assert!(!canary.is_in(bytes), "{} is in {file}", canary.name);
        }
    }
}

/// A key that no node lets in: the private one, and the public one.
fn stranger(folder: &Path) -> (String, String) {
    let path = folder.join("stranger");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&path).status();
    assert!(made.is_ok_and(|status| status.success()), "there is no ssh-keygen");
    let read = |path: &Path| fs::read_to_string(path).expect("a key can be read");
    let keys = (read(&path), read(&path.with_extension("pub")));
    fs::remove_file(&path).expect("a key can be removed");
    keys
}

#[test]
fn a_canary_is_found_in_whatever_form_it_comes() {
    let canary = Canary::new("a secret", b"s3cret");
    for text in ["..s3cret..", "[115, 51, 99, 114, 101, 116]", "7333637265 733363726574", "733363726574", "czNjcmV0"] {
        assert!(canary.is_in(text.as_bytes()), "{text}");
    }
    assert!(!canary.is_in(b"s3cre"));
}

#[test]
fn secrets_are_in_nothing_that_the_host_writes_however_much_it_logs() {
    let scene = Scene::new();
    let stack = scene.fleet.stack;
    let node = Node::start(stack, &scene.instance.id);
    let private = fs::read_to_string(node.key()).expect("the key can be read");
    let public = fs::read_to_string(node.key().with_extension("pub")).expect("the key can be read");
    let (unknown, unknown_public) = stranger(scene.folder());
    // With its last line gone, and the one before it cut.
    let damaged = unknown.lines().take(4).collect::<Vec<_>>().join("\n");
    let secret = stack.create_secret(&private);

    let queue = Queue::create(stack, "events");
    let granted = node.grant(r#"[["touch", "*"]]"#);
    let sources = [
        ("file", format!("file:{}", node.key().display())),
        ("environment", "env:NUPROJ_KEY".to_owned()),
        ("kept", format!("secretsmanager:{secret}")),
        ("unknown", "env:NUPROJ_UNKNOWN".to_owned()),
        ("damaged", "env:NUPROJ_DAMAGED".to_owned()),
    ];
    let mut handlers = String::new();
    for (name, source) in &sources {
        let grant = granted.replace(&format!("file:{}", node.key().display()), source);
        let command = json!(["touch", node.marker(name)]).to_string();
        handlers += &policy::handler(name, "probe");
        handlers += &policy::terminations(&format!("{}-{name}", scene.fleet.group), HOOK);
        handlers += &format!("[handler.grants]\n{grant}\n[handler.config]\ncommand = '{command}'\n");
    }
    let at = |name: &str| format!("dir:{}", scene.folder().join(name).display());
    let recordings = format!("[recordings]\nstore = \"{}\"\n", at("recordings"));
    let policy = scene.policy(&at("ledger"), &(policy::queue(&queue.url) + &recordings + &handlers));
    let (access_key, token) = ("CanaryOfTheSecretAccessKey0123456789abcd", "CanaryOfTheSessionToken0123456789abcdefg");
    let environment = [
        ("HOSTLER_LOG", "trace".to_owned()),
        // Lets the AWS SDK log what Secrets Manager answers.
        ("LOG_SENSITIVE_BODIES", "true".to_owned()),
        ("NUPROJ_KEY", private.clone()),
        ("NUPROJ_UNKNOWN", unknown.clone()),
        ("NUPROJ_DAMAGED", damaged),
        ("AWS_SECRET_ACCESS_KEY", access_key.to_owned()),
        ("AWS_SESSION_TOKEN", token.to_owned()),
    ];
    let agent = scene.start("agent", &policy, environment);
    for (name, _) in &sources {
        let group = format!("{}-{name}", scene.fleet.group);
        let token = stack.autoscaling.hold_back(&group, HOOK, &scene.instance.id);
        queue.send(&[events::termination(&group, HOOK, &scene.instance.id, &token).to_string()]);
    }
    assert!(poll(SOON, || agent.said("abandoned").len() == sources.len()), "{:#?}", agent.said("attempt"));
    let attempts = agent.said("attempt");
    for (name, answer) in [
        ("file", "command: \"\""),
        ("environment", "command: \"\""),
        ("kept", "command: \"\""),
        ("unknown", "command: ErrorCode::Denied"),
        ("damaged", "command: "),
    ] {
        let attempt = attempts.iter().rfind(|line| line["handler"] == name).expect("each has its attempt");
        let note = attempt["note"].as_str().unwrap_or_default();
        assert!(note.starts_with(answer), "{name}: {note}");
    }
    assert_eq!(agent.terminate().0, Some(0));

    let written = files(scene.folder());
    for kind in ["/agent/log", "/ledger/", "/recordings/"] {
        assert!(written.iter().any(|(file, bytes)| file.contains(kind) && !bytes.is_empty()), "there is no {kind}");
    }
    let mut canaries = Canary::of_key("the key that nodes let in", &private, &public);
    canaries.extend(Canary::of_key("the key that no node lets in", &unknown, &unknown_public));
    canaries.extend([
        Canary::new("the secret access key", access_key.as_bytes()),
        Canary::new("the session token", token.as_bytes()),
    ]);
    assert_in_none(&canaries, &written);
}

#[test]
fn what_the_metadata_service_gives_to_the_host_alone_is_in_nothing_that_it_writes() {
    let scene = Scene::new();
    let metadata = Metadata::of(&scene.instance.id, ACCOUNT);
    let (access_key, token) = ("CanaryOfTheRolesAccessKey0123456789abcde", "CanaryOfTheRolesSessionToken0123456789ab");
    let credentials = json!({
        "Code": "Success", "AccessKeyId": "test", "SecretAccessKey": access_key, "Token": token,
        "Expiration": "2100-01-01T00:00:00Z",
    });
    metadata.announce("iam/security-credentials/", "hostler");
    metadata.announce("iam/security-credentials/hostler", &credentials.to_string());
    let environment = [
        ("HOSTLER_LOG", "trace".to_owned()),
        ("LOG_SENSITIVE_BODIES", "true".to_owned()),
        // Blank counts as none: those of the role are what is left.
        ("AWS_ACCESS_KEY_ID", String::new()),
        ("AWS_SECRET_ACCESS_KEY", String::new()),
    ];
    let environment = metadata.environment().into_iter().chain(environment);
    let agent = scene.start("agent", &scene.policy_of_node(&scene.spot()), environment);
    metadata.wait_for_rounds("spot/instance-action", 2);
    assert!(metadata.answered("iam/security-credentials/hostler") > 0, "the role's credentials were not asked for");
    assert_eq!(agent.terminate().0, Some(0));
    let canaries = [
        Canary::new("the role's secret access key", access_key.as_bytes()),
        Canary::new("the role's session token", token.as_bytes()),
        Canary { name: "a token of the metadata service", forms: vec![Metadata::TOKENS.as_bytes().to_vec()] },
    ];
    assert_in_none(&canaries, &files(scene.folder()));
}
