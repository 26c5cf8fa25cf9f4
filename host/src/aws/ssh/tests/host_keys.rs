//! How a node proves itself.

use super::*;

async fn exec(fixture: &Fixture, server: &Server, host_keys: HostKeys) -> Result<CommandOutput, PortError> {
    let mut request = fixture.request(server.port, &["x"]);
    request.host_keys = host_keys;
    fixture.port.exec(request).await
}

#[tokio::test]
async fn a_known_key_is_accepted_and_any_other_is_not() {
    let fixture = Fixture::new();
    let server = fixture.server(Script::Echo).await;
    let known = |key: &PrivateKey| fixture.file("known_hosts", &format!("{INSTANCE} {}\n", public(key)));
    assert!(exec(&fixture, &server, HostKeys::KnownHosts(known(&server.key))).await.is_ok());

    let mut told = Vec::new();
    for text in [
        String::new(),
        format!("{INSTANCE} {}\n", public(&fresh())),
        format!("127.0.0.1 {}\n", public(&server.key)),
        format!("{INSTANCE} {key}\n@revoked * {key}\n", key = public(&server.key)),
    ] {
        let error =
            exec(&fixture, &server, HostKeys::KnownHosts(fixture.file("known_hosts", &text))).await.unwrap_err();
        assert_eq!(error.kind, PortErrorKind::Denied);
        assert!(error.message.contains(&print(&server.key)), "{error}");
        told.push(fixture.told(&error));
    }
    insta::assert_snapshot!(told.join("\n"), @r"i-0123456789abcdef0 presented the host key PRINT (ssh-ed25519), but known-hosts:DIR/known_hosts has no key for i-0123456789abcdef0; if that is the node's own key, which its console shows, add it there under the instance id
i-0123456789abcdef0 presented the host key PRINT (ssh-ed25519), but known-hosts:DIR/known_hosts has other keys for i-0123456789abcdef0 (PRINT); if that is the node's own key, which its console shows, add it there under the instance id
i-0123456789abcdef0 presented the host key PRINT (ssh-ed25519), but known-hosts:DIR/known_hosts has no key for i-0123456789abcdef0; if that is the node's own key, which its console shows, add it there under the instance id
i-0123456789abcdef0 presented the host key PRINT (ssh-ed25519), but known-hosts:DIR/known_hosts revokes that key; give the node a new one");
    assert!(!server.seen().iter().skip(3).any(|seen| seen.starts_with("login")), "{:?}", server.seen());
}

#[tokio::test]
async fn of_several_keys_the_node_presents_the_one_we_know() {
    let fixture = Fixture::new();
    let ecdsa = PrivateKey::random(&mut safe_rng(), Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 }).unwrap();
    let server = fixture.server_with(Script::Echo, |config| config.keys.push(ecdsa.clone())).await;
    let path = fixture.file("known_hosts", &format!("{INSTANCE} {}\n", public(&ecdsa)));
    assert!(exec(&fixture, &server, HostKeys::KnownHosts(path)).await.is_ok());
}

/// A certificate for the server's key, as good as `change` leaves it.
fn certificate(
    subject: &PrivateKey,
    ca: &PrivateKey,
    valid: std::ops::Range<u64>,
    change: impl FnOnce(&mut Builder),
) -> Certificate {
    let mut builder =
        Builder::new_with_random_nonce(&mut safe_rng(), subject.public_key(), valid.start, valid.end).unwrap();
    builder.key_id("node").unwrap();
    change(&mut builder);
    builder.sign(ca).unwrap()
}

fn good(builder: &mut Builder) {
    builder.cert_type(CertType::Host).unwrap().valid_principal("web-1").unwrap().valid_principal(INSTANCE).unwrap();
}

const ALWAYS: std::ops::Range<u64> = 0..u64::MAX;

async fn server_with_certificate(fixture: &Fixture, certify: impl FnOnce(&PrivateKey) -> Certificate) -> Server {
    fixture.server_with(Script::Echo, |config| config.certificates = vec![certify(&config.keys[0])]).await
}

#[tokio::test]
async fn a_certificate_of_the_ca_for_the_instance_id_is_accepted() {
    let (fixture, ca) = (Fixture::new(), fresh());
    let path = fixture.file("ca.pub", &format!("# ours\n{}\n\n{}\n", public(&fresh()), public(&ca)));
    let server = server_with_certificate(&fixture, |key| certificate(key, &ca, ALWAYS, good)).await;
    assert!(exec(&fixture, &server, HostKeys::Ca(path)).await.is_ok());

    let path = fixture.file("known_hosts", &format!("@cert-authority i-* {}\n", public(&ca)));
    assert!(exec(&fixture, &server, HostKeys::KnownHosts(path)).await.is_ok());

    let path = fixture
        .file("known_hosts", &format!("@cert-authority i-* {}\n{INSTANCE} {}", public(&fresh()), public(&server.key)));
    let known = exec(&fixture, &server, HostKeys::KnownHosts(path)).await;
    assert!(known.is_ok(), "a certificate of somebody else's is no worse than the plain key: {known:?}");
}

#[tokio::test]
async fn any_other_certificate_is_refused_with_what_is_wrong_with_it() {
    let (fixture, ca) = (Fixture::new(), fresh());
    let path = fixture.file("ca.pub", &public(&ca));
    let mut told = Vec::new();
    let principal = |builder: &mut Builder, name: &str| {
        builder.cert_type(CertType::Host).unwrap().valid_principal(name).unwrap();
    };
    type Certify<'a> = Box<dyn FnOnce(&PrivateKey) -> Certificate + 'a>;
    let wrong: [Certify<'_>; 8] = [
        Box::new(|key| certificate(key, &fresh(), ALWAYS, good)),
        Box::new(|key| certificate(key, &ca, 0..1_000_000_000, good)),
        Box::new(|key| certificate(key, &ca, 4_000_000_000..u64::MAX, good)),
        Box::new(|key| certificate(key, &ca, ALWAYS, |builder| principal(builder, "i-0aaaaaaaaaaaaaaa0"))),
        Box::new(|key| certificate(key, &ca, ALWAYS, |builder| principal(builder, "i-*"))),
        Box::new(|key| {
            certificate(key, &ca, ALWAYS, |builder| {
                builder.cert_type(CertType::Host).unwrap().all_principals_valid().unwrap();
            })
        }),
        Box::new(|key| {
            certificate(key, &ca, ALWAYS, |builder| {
                builder.valid_principal(INSTANCE).unwrap();
            })
        }),
        Box::new(|key| {
            certificate(key, &ca, ALWAYS, |builder| {
                good(builder);
                builder.critical_option("force-command", "x").unwrap();
            })
        }),
    ];
    for certify in wrong {
        let server = server_with_certificate(&fixture, certify).await;
        let error = exec(&fixture, &server, HostKeys::Ca(path.clone())).await.unwrap_err();
        assert_eq!(error.kind, PortErrorKind::Denied);
        assert!(error.message.contains(&print(&server.key)), "{error}");
        told.push(fixture.told(&error));
    }
    let server = fixture.server(Script::Echo).await;
    told.push(fixture.told(&exec(&fixture, &server, HostKeys::Ca(path)).await.unwrap_err()));
    insta::assert_snapshot!(told.join("\n"), @r#"i-0123456789abcdef0 presented the host key PRINT (ssh-ed25519), but its certificate is signed by PRINT, which is no authority in ca:DIR/ca.pub; sign the node's host key with that CA (ssh-keygen -s CA -h -n INSTANCE-ID) and name the certificate in its sshd_config as HostCertificate
i-0123456789abcdef0 presented the host key PRINT (ssh-ed25519), but its certificate is good from 1970-01-01T00:00:00Z to 2001-09-09T01:46:40Z and it is NOW; sign its key again
i-0123456789abcdef0 presented the host key PRINT (ssh-ed25519), but its certificate is good from 2096-10-02T07:06:40Z to forever and it is NOW; sign its key again
i-0123456789abcdef0 presented the host key PRINT (ssh-ed25519), but its certificate is for "i-0aaaaaaaaaaaaaaa0"; sign its key again with -n i-0123456789abcdef0
i-0123456789abcdef0 presented the host key PRINT (ssh-ed25519), but its certificate is for "i-*"; sign its key again with -n i-0123456789abcdef0
i-0123456789abcdef0 presented the host key PRINT (ssh-ed25519), but its certificate is for nobody in particular; sign its key again with -n i-0123456789abcdef0
i-0123456789abcdef0 presented the host key PRINT (ssh-ed25519), but its certificate is one for users; sign its key with ssh-keygen -h
i-0123456789abcdef0 presented the host key PRINT (ssh-ed25519), but its certificate has the critical option "force-command", which means nothing for a host
i-0123456789abcdef0 presented the host key PRINT (ssh-ed25519), but it has no certificate, and ca:DIR/ca.pub takes only certificates; sign the node's host key with that CA (ssh-keygen -s CA -h -n INSTANCE-ID) and name the certificate in its sshd_config as HostCertificate"#);
}

#[tokio::test]
async fn a_signature_that_is_not_the_cas_is_refused() {
    let (fixture, ca) = (Fixture::new(), fresh());
    let path = fixture.file("ca.pub", &public(&ca));
    // The principal is part of what was signed: change a byte of it afterwards.
    let forge = |key: &PrivateKey| {
        let honest = certificate(key, &ca, ALWAYS, |builder| {
            builder.cert_type(CertType::Host).unwrap().valid_principal("i-0123456789abcdef1").unwrap();
        });
        let mut bytes = honest.to_bytes().unwrap();
        let at = bytes.windows(19).position(|window| window == b"i-0123456789abcdef1").unwrap();
        bytes[at + 18] = b'0';
        Certificate::from_bytes(&bytes).unwrap()
    };
    let server = server_with_certificate(&fixture, forge).await;
    let error = exec(&fixture, &server, HostKeys::Ca(path)).await.unwrap_err();
    insta::assert_snapshot!(fixture.told(&error), @r"i-0123456789abcdef0 presented the host key PRINT (ssh-ed25519), but the signature on its certificate is not that of the authority in ca:DIR/ca.pub");
}

fn printed(key: &PrivateKey) -> Option<String> {
    Some(format!("-----BEGIN SSH HOST KEY KEYS-----\n{}\n-----END SSH HOST KEY KEYS-----\n", public(key)))
}

#[tokio::test]
async fn what_the_console_shows_is_accepted_and_asked_for_once() {
    let fixture = Fixture::new();
    let server = fixture.server(Script::Echo).await;
    // Not in the latest output, which has scrolled on; then in the one kept from the boot.
    *fixture.cloud.consoles.lock().unwrap() = [Some("login:".to_owned()), printed(&server.key)].into();
    for _ in 0..2 {
        assert!(exec(&fixture, &server, HostKeys::Console).await.is_ok());
    }
    let calls = fixture.cloud.calls.lock().unwrap().clone();
    assert_eq!(calls, [format!("console {INSTANCE} latest=true"), format!("console {INSTANCE} latest=false")]);
}

#[tokio::test]
async fn a_console_that_shows_nothing_yet_is_unavailable() {
    let fixture = Fixture::new();
    let server = fixture.server(Script::Echo).await;
    let mut told = Vec::new();
    for console in [None, Some("booting".to_owned())] {
        *fixture.cloud.consoles.lock().unwrap() = [console].into();
        let error = exec(&fixture, &server, HostKeys::Console).await.unwrap_err();
        assert!(error.kind == PortErrorKind::Unavailable && error.retryable());
        told.push(fixture.told(&error));
    }
    insta::assert_snapshot!(told.join("\n"), @r"i-0123456789abcdef0 has no console output yet, so its host key cannot be checked; it appears some minutes after the boot: try again
the console output of i-0123456789abcdef0 shows no SHA256 fingerprint of a host key: either cloud-init is not done booting, or its module keys_to_console is off, or what it printed has scrolled away; try again in a minute, or use ca: or known-hosts: in host-keys");
    assert!(server.seen().is_empty(), "nobody was connected to");
}

#[tokio::test]
async fn a_console_that_shows_another_key_is_asked_again_next_time() {
    let fixture = Fixture::new();
    let server = fixture.server(Script::Echo).await;
    *fixture.cloud.consoles.lock().unwrap() = [printed(&fresh()), printed(&server.key)].into();
    let error = exec(&fixture, &server, HostKeys::Console).await.unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Denied);
    insta::assert_snapshot!(fixture.told(&error), @r"i-0123456789abcdef0 presented the host key PRINT (ssh-ed25519), but its console has other keys for i-0123456789abcdef0 (PRINT); its keys were changed after it was launched, or something else answers at its address");
    assert!(exec(&fixture, &server, HostKeys::Console).await.is_ok());
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named() {
    let fixture = Fixture::new();
    let server = fixture.server(Script::Echo).await;
    let dir: &Path = fixture.folder.path();
    let mut told = Vec::new();
    for host_keys in [
        HostKeys::Ca(dir.join("absent")),
        HostKeys::Ca(fixture.file("empty", "# nothing\n")),
        HostKeys::Ca(fixture.file("private", "\n-----BEGIN OPENSSH PRIVATE KEY-----\n")),
        HostKeys::KnownHosts(dir.to_owned()),
        HostKeys::KnownHosts(fixture.file("bad", &format!("{INSTANCE} ssh-ed25519 x\n"))),
    ] {
        let error = exec(&fixture, &server, host_keys).await.unwrap_err();
        assert_eq!(error.kind, PortErrorKind::Other);
        told.push(fixture.told(&error));
    }
    insta::assert_snapshot!(told.join("\n"), @r"ca:DIR/absent in the policy cannot be used: there is no such file
ca:DIR/empty in the policy cannot be used: it holds no public key; put the CA's .pub file there
ca:DIR/private in the policy cannot be used: line 2 is not a public key (such as ssh-ed25519 AAAA… name)
known-hosts:DIR in the policy cannot be used: it is not a file
known-hosts:DIR/bad in the policy cannot be used: line 1 names i-0123456789abcdef0 and is not of the form [@MARKER] NAMES KEY-TYPE BASE64-KEY");
}
