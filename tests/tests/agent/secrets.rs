//! Secrets are planted, and everything that a host writes is searched for them.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hostler_tests::http::{Response, Server};
use hostler_tests::{ACCOUNT, Agent, Canary, Metadata, Node, Queue, assert_in_none, events, files, policy, poll};
use serde_json::json;

use crate::scene::{CANNOT_SERVE, HOOK, SOON, Scene};

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
fn secrets_are_in_nothing_that_the_host_writes_however_much_it_logs() {
    let scene = Scene::new();
    let stack = scene.fleet.stack;
    let node = Node::start(stack, &scene.instance.id);
    let private = fs::read_to_string(node.key()).expect("the key can be read");
    let public = fs::read_to_string(node.key().with_extension("pub")).expect("the key can be read");
    let (unknown, unknown_public) = stranger(scene.folder());
    // Cut behind what is secret in it.
    let body: Vec<_> = unknown.lines().filter(|line| !line.starts_with("-----END")).collect();
    let mut damaged = body.join("\n");
    damaged.truncate(damaged.len() - 9);
    let secret = stack.create_secret(&private);

    let queue = Queue::create(stack, "events");
    let granted = node.grant(r#"[["touch", "*"]]"#);
    let sources = [
        ("file", format!("file:{}", node.key().display())),
        ("environment", "env:NUPROJ_KEY".to_owned()),
        ("kept", format!("secretsmanager:{secret}")),
        ("unknown", "env:NUPROJ_UNKNOWN".to_owned()),
        ("damaged", "env:NUPROJ_DAMAGED".to_owned()),
        ("crashes", "env:NUPROJ_KEY".to_owned()),
    ];
    let mut handlers = String::new();
    for (name, source) in &sources {
        let grant = granted.replace(&format!("file:{}", node.key().display()), source);
        let command = json!(["touch", node.marker(name)]).to_string();
        handlers += &policy::handler(name, "probe");
        handlers += &policy::terminations(&format!("{}-{name}", scene.fleet.group), HOOK);
        handlers += &format!("[handler.grants]\n{grant}\n[handler.finish]\nmax-attempts = 1\n");
        handlers += &format!("[handler.config]\ncommand = '{command}'\n");
        if *name == "crashes" {
            handlers += "panics = \"in the end\"\n";
        }
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
    let ended = || agent.said("abandoned").len() + agent.said("gave up").len();
    assert!(poll(SOON, || ended() == sources.len()), "{:#?}", agent.said("attempt"));
    let attempts = agent.said("attempt");
    for (name, answer) in [
        ("file", "command: \"\""),
        ("environment", "command: \"\""),
        ("kept", "command: \"\""),
        ("unknown", "command: ErrorCode::Denied"),
        ("damaged", "command: ErrorCode::"),
        ("crashes", "the plugin trapped: "),
    ] {
        let attempt = attempts.iter().rfind(|line| line["handler"] == name).expect("each has its attempt");
        let note = attempt["note"].as_str().unwrap_or_default();
        assert!(note.starts_with(answer), "{name}: {note}");
    }
    assert!(node.marker("crashes").exists(), "it crashed before it used the key");
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
        Canary::new("a token of the metadata service", Metadata::TOKENS.as_bytes()),
    ];
    assert_in_none(&canaries, &files(scene.folder()));
}

/// What a service that gives credentials may answer when something is wrong with it, around the secrets that it has.
fn damaged(access_key: &str, token: &str) -> Vec<(&'static str, Response)> {
    let document = json!({
        "Code": "Success", "AccessKeyId": "test", "SecretAccessKey": access_key, "Token": token,
        "Expiration": "2100-01-01T00:00:00Z",
    });
    let whole = document.to_string();
    let changed = |key: &str, value: serde_json::Value| {
        let mut document = document.clone();
        document[key] = value;
        Response::new(200, document.to_string())
    };
    vec![
        ("no-text", Response::new(200, [whole.as_bytes(), b"\xff"].concat())),
        ("cut", Response::new(200, &whole[..whole.len() - 1])),
        ("more", Response::new(200, format!("{whole}{whole}"))),
        ("escaped", Response::new(200, whole.replace("Canary", "\\uCanary"))),
        ("number", Response::new(200, whole.replace(&format!("{access_key:?}"), access_key))),
        ("list", Response::new(200, format!("[{whole}]"))),
        ("expires", changed("Expiration", json!(token))),
        ("code", changed("Code", json!("Failed"))),
        ("absent", Response::new(404, whole.as_str())),
        ("status", Response::new(500, whole)),
    ]
}

#[test]
fn what_a_service_gives_credentials_in_is_in_nothing_that_is_written_though_it_makes_no_sense() {
    let scene = Scene::new();
    let queue = Queue::create(scene.fleet.stack, "events");
    let policy = scene.policy_of_queue(&queue.url, &scene.spot());
    let (access_key, token) = ("CanaryOfTheRolesAccessKey0123456789abcde", "CanaryOfTheRolesSessionToken0123456789ab");
    let authorization = "CanaryOfTheAuthorizationToken0123456789a";
    let shown = |service: &'static str, damage: &'static str, answer: Response| {
        let answered = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&answered);
        // Both that of containers and that of instances, which gives a token and the name of a role first.
        let server = Server::start(move |request| match (request.method.as_str(), &*request.target) {
            ("PUT", _) => {
                let mut given = Response::new(200, Metadata::TOKENS);
                given.headers.push(("x-aws-ec2-metadata-token-ttl-seconds".into(), "21600".into()));
                given
            }
            (_, "/latest/meta-data/iam/security-credentials/") => Response::new(200, "hostler"),
            (_, "/credentials" | "/latest/meta-data/iam/security-credentials/hostler") => {
                counted.fetch_add(1, Ordering::Relaxed);
                answer.clone()
            }
            _ => Response::new(404, "not found"),
        });
        let lead = match service {
            "container" => vec![
                ("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("{}/credentials", server.url())),
                ("AWS_CONTAINER_AUTHORIZATION_TOKEN", authorization.to_owned()),
            ],
            _ => vec![
                ("AWS_EC2_METADATA_DISABLED", "false".to_owned()),
                ("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.url()),
            ],
        };
        let more = [
            ("HOSTLER_LOG", "trace".to_owned()),
            ("LOG_SENSITIVE_BODIES", "true".to_owned()),
            // Blank counts as none: those of the service are what is left.
            ("AWS_ACCESS_KEY_ID", String::new()),
            ("AWS_SECRET_ACCESS_KEY", String::new()),
        ];
        let environment = scene.environment(lead.into_iter().chain(more));
        let refusal = Agent::refuses(&scene.folder().join(format!("{service}-{damage}")), &policy, &environment);
        assert_eq!(refusal.status, CANNOT_SERVE, "{service}, {damage}: {}", refusal.log);
        assert!(answered.load(Ordering::Relaxed) > 0, "{service}, {damage}: nobody asked for it");
    };
    let cases: Vec<_> = ["container", "instance"]
        .into_iter()
        .flat_map(|service| damaged(access_key, token).into_iter().map(move |damage| (service, damage)))
        .collect();
    // So few at a time that each has its answer before the SDK gives up.
    for few in cases.chunks(4) {
        std::thread::scope(|threads| {
            for (service, (damage, answer)) in few {
                threads.spawn(|| shown(service, damage, answer.clone()));
            }
        });
    }
    let canaries = [
        Canary::new("the role's secret access key", access_key.as_bytes()),
        Canary::new("the role's session token", token.as_bytes()),
        Canary::new("the authorization token", authorization.as_bytes()),
        Canary::new("a token of the metadata service", Metadata::TOKENS.as_bytes()),
    ];
    assert_in_none(&canaries, &files(scene.folder()));
}
