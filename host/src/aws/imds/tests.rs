//! Against a small service on loopback that does what it is told.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::*;

/// What was asked: the method, the path, and the token that was shown.
type Asked = (Method, String, Option<String>);

/// What is answered: a status and a text; with a token, how long it lasts in seconds. None is silence.
type Answer = Option<(u16, String, Option<u32>)>;

/// A service at a free port, as `answer` has it.
struct Service {
    endpoint: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Service {
    async fn new(answer: impl Fn(Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let (log, answer) = (Arc::clone(&asked), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (log, answer) = (Arc::clone(&log), Arc::clone(&answer));
                let service = service_fn(move |request: Request<Incoming>| {
                    let token = request.headers().get("x-aws-ec2-metadata-token");
                    let token = token.map(|token| token.to_str().unwrap().to_owned());
                    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
                    log.lock().unwrap().push(format!("{method} {path} {}", token.as_deref().unwrap_or("-")));
                    let answer = answer((method, path, token));
                    async move {
                        let Some((status, text, lasts)) = answer else { return std::future::pending().await };
                        let mut response = Response::builder().status(status);
                        if let Some(lasts) = lasts {
                            response = response.header("x-aws-ec2-metadata-token-ttl-seconds", lasts);
                        }
                        Ok::<_, Infallible>(response.body(Full::<Bytes>::from(text)).unwrap())
                    }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { endpoint, asked }
    }

    fn metadata(&self) -> InstanceMetadata {
        at(&self.endpoint)
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn at(endpoint: &str) -> InstanceMetadata {
    InstanceMetadata::of(|name| (name == ENDPOINT).then(|| endpoint.to_owned())).unwrap()
}

fn token(name: &str) -> Answer {
    Some((200, name.to_owned(), Some(21_600)))
}

fn says(status: u16, text: &str) -> Answer {
    Some((status, text.to_owned(), None))
}

/// A service that answers to every request for a token, and to every question, alike.
async fn always(token: Answer, question: Answer) -> Service {
    Service::new(move |(method, _, _)| if method == Method::PUT { token.clone() } else { question.clone() }).await
}

/// What is said of such a service, with `HERE` for where it is.
async fn error(token: Answer, question: Answer) -> (PortErrorKind, String) {
    let service = always(token, question).await;
    let error = service.metadata().item(Item::SpotAction).await.unwrap_err();
    (error.kind, error.message.replace(&service.endpoint, "HERE"))
}

#[tokio::test]
async fn items_and_the_identity_are_asked_for_with_one_token() {
    let service = Service::new(|(method, path, shown)| match (method, path.as_str(), shown.as_deref()) {
        (Method::PUT, "/latest/api/token", None) => token("one"),
        (Method::GET, "/latest/meta-data/spot/instance-action", Some("one")) => says(200, "{}"),
        (Method::GET, "/latest/dynamic/instance-identity/document", Some("one")) => says(
            200,
            r#"{"instanceId": "i-0123456789abcdef0", "accountId": "123456789012", "region": "eu-central-1", "availabilityZone": "eu-central-1a"}"#,
        ),
        (Method::GET, _, Some("one")) => says(404, "<html>"),
        other => panic!("{other:?}"),
    })
    .await;
    let metadata = service.metadata();
    assert_eq!(metadata.item(Item::SpotAction).await, Ok(Some("{}".to_owned())));
    for item in [Item::TargetLifecycleState, Item::Rebalance, Item::Maintenance] {
        assert_eq!(metadata.item(item).await, Ok(None));
    }
    assert_eq!(metadata.identity().await.unwrap().instance.as_str(), "i-0123456789abcdef0");
    assert_eq!(
        service.asked(),
        [
            "PUT /latest/api/token -",
            "GET /latest/meta-data/spot/instance-action one",
            "GET /latest/meta-data/autoscaling/target-lifecycle-state one",
            "GET /latest/meta-data/events/recommendations/rebalance one",
            "GET /latest/meta-data/events/maintenance/scheduled one",
            "GET /latest/dynamic/instance-identity/document one",
        ]
    );
}

#[tokio::test]
async fn a_token_about_to_expire_is_renewed() {
    let given = AtomicU32::new(0);
    let service = Service::new(move |(method, _, _)| match method {
        Method::PUT => Some((200, given.fetch_add(1, Ordering::SeqCst).to_string(), Some(60))),
        _ => says(200, ""),
    })
    .await;
    let metadata = service.metadata();
    metadata.item(Item::SpotAction).await.unwrap();
    metadata.item(Item::SpotAction).await.unwrap();
    assert_eq!(service.asked()[3], "GET /latest/meta-data/spot/instance-action 1");
}

#[tokio::test]
async fn a_token_that_the_service_has_forgotten_is_replaced() {
    let given = AtomicU32::new(0);
    let service = Service::new(move |(method, _, shown)| match (method, shown.as_deref()) {
        (Method::PUT, _) => token(&given.fetch_add(1, Ordering::SeqCst).to_string()),
        (_, Some("0")) => says(401, ""),
        _ => says(200, "here"),
    })
    .await;
    let metadata = service.metadata();
    assert_eq!(metadata.item(Item::SpotAction).await, Ok(Some("here".to_owned())));
    let asked = service.asked().len();
    assert_eq!(metadata.item(Item::SpotAction).await, Ok(Some("here".to_owned())));
    assert_eq!(service.asked().len(), asked + 1, "{:?}", service.asked());
}

#[tokio::test]
async fn a_service_that_is_not_there_is_told_from_one_whose_token_does_not_arrive() {
    // Bound, and not listened on.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let nowhere = format!("http://{}", socket.local_addr().unwrap());
    let absent = at(&nowhere).item(Item::SpotAction).await.unwrap_err();
    assert_eq!(absent.kind, PortErrorKind::Unavailable);
    insta::assert_snapshot!(absent.message.replace(&nowhere, "HERE"), @"meta-data/spot/instance-action: there is no instance metadata service at HERE (Connection refused (os error 111)): elsewhere than on an EC2 instance, leave [imds] out of the policy; in a container, let it reach that address");

    let (kind, message) = error(None, None).await;
    assert_eq!(kind, PortErrorKind::Timeout);
    insta::assert_snapshot!(message, @"meta-data/spot/instance-action: HERE is there and its token never arrives, as in a container, which is one network hop further than the token may go: run aws ec2 modify-instance-metadata-options --instance-id ID --http-put-response-hop-limit 2");
}

#[tokio::test]
async fn a_service_that_is_switched_off_says_how_to_switch_it_on() {
    for (token, question) in [(says(403, ""), None), (token("one"), says(403, ""))] {
        let (kind, message) = error(token, question).await;
        assert_eq!(kind, PortErrorKind::Denied);
        insta::allow_duplicates! {
            insta::assert_snapshot!(message, @"meta-data/spot/instance-action: the instance metadata service refuses (HTTP 403), as it does when it is switched off: run aws ec2 modify-instance-metadata-options --instance-id ID --http-endpoint enabled");
        }
    }
}

#[tokio::test]
async fn other_failures_say_what_was_answered_and_by_whom() {
    let long = "x".repeat(MAX_TEXT + 1);
    let mut errors = Vec::new();
    for (token, question) in [
        (says(200, "welcome"), None),
        (says(404, ""), None),
        (says(500, ""), None),
        (token("one"), says(401, "")),
        (token("one"), says(503, "")),
        (token("one"), None),
        (token("one"), says(200, &long)),
    ] {
        let (kind, message) = error(token, question).await;
        errors.push(format!("{}: {message}", kind.as_str()));
    }
    insta::assert_snapshot!(errors.join("\n"), @r"
    invalid: meta-data/spot/instance-action: HERE gives no token (HTTP 200), so it is no instance metadata service of version 2: look at what AWS_EC2_METADATA_SERVICE_ENDPOINT says
    invalid: meta-data/spot/instance-action: HERE gives no token (HTTP 404), so it is no instance metadata service of version 2: look at what AWS_EC2_METADATA_SERVICE_ENDPOINT says
    unavailable: meta-data/spot/instance-action: HERE gives no token and answers with HTTP 500
    denied: meta-data/spot/instance-action: HERE refuses a token that it has just given (HTTP 401): is there a proxy between?
    unavailable: meta-data/spot/instance-action: HERE answers with HTTP 503
    timeout: meta-data/spot/instance-action: HERE did not answer within 1s
    invalid: meta-data/spot/instance-action: 65537 bytes of text, where at most 65536 are taken
    ");
}

#[tokio::test]
async fn what_answers_and_is_no_ec2_is_told() {
    let messages = [
        always(token("one"), says(404, "")).await.metadata().identity().await.unwrap_err().message,
        always(token("one"), says(200, "hello")).await.metadata().identity().await.unwrap_err().message,
    ];
    insta::assert_snapshot!(messages.join("\n"), @r"
    dynamic/instance-identity/document: there is none, so this is no metadata service of EC2
    dynamic/instance-identity/document: not JSON: expected value at line 1 column 1, near `hello`
    ");
}

#[test]
fn the_environment_can_switch_it_off_or_say_where_it_is() {
    let of = |set: &'static str, value: &'static str| {
        InstanceMetadata::of(move |name| (name == set).then(|| value.to_owned()))
    };
    for usual in [of("", ""), of(DISABLED, "false"), of(ENDPOINT, "http://[fd00:ec2::254]/")] {
        assert!(usual.is_ok());
    }
    let errors = [
        of(DISABLED, "True"),
        of(ENDPOINT, "169.254.169.254"),
        of(ENDPOINT, "https://169.254.169.254"),
        of(ENDPOINT, "http://a b"),
        of(ENDPOINT, ""),
    ];
    let errors = errors.map(|result| result.unwrap_err().to_string());
    insta::assert_snapshot!(errors.join("\n"), @r#"
    the policy has [imds], but AWS_EC2_METADATA_DISABLED is true, which keeps AWS tools from the instance metadata service: unset it, or leave [imds] out
    AWS_EC2_METADATA_SERVICE_ENDPOINT is "169.254.169.254", which is no address of a service: unset it, or write one such as http://169.254.169.254
    AWS_EC2_METADATA_SERVICE_ENDPOINT is "https://169.254.169.254", which is no address of a service: unset it, or write one such as http://169.254.169.254
    AWS_EC2_METADATA_SERVICE_ENDPOINT is "http://a b", which is no address of a service: unset it, or write one such as http://169.254.169.254
    AWS_EC2_METADATA_SERVICE_ENDPOINT is "", which is no address of a service: unset it, or write one such as http://169.254.169.254
    "#);
}
