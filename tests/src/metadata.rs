//! The instance metadata service, IMDSv2, as far as the host asks it: it gives a token first, and for that the rest.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::http::{Request, Response, Server};
use crate::process::poll;
use crate::stack::REGION;

/// What a token is asked for with: how long it is to live, in seconds.
const TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";

/// What a token is shown in.
const TOKEN: &str = "x-aws-ec2-metadata-token";

/// The longest life of a token ("Use the Instance Metadata Service to access instance metadata").
const LONGEST_TTL: u64 = 21_600;

/// How long the host may take to ask again: its poll, and what a busy machine adds to it.
const NEXT_ROUNDS: Duration = Duration::from_secs(30);

/// The server.
#[derive(Debug)]
pub struct Metadata {
    server: Server,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// The tokens that are known, and when they expire.
    tokens: BTreeMap<String, Instant>,
    /// How many were given.
    given: usize,
    /// How many questions were refused for want of a token.
    refused: usize,
    /// What there is, by its path below `/latest/`.
    items: BTreeMap<String, String>,
    /// How often each path was answered, with what there is or that there is nothing.
    answered: BTreeMap<String, usize>,
}

impl Metadata {
    /// How each token begins.
    pub const TOKENS: &str = "token-of-the-metadata-service-";

    /// The service of an instance to which nothing has been announced.
    pub fn of(instance: &str, account: &str) -> Self {
        let document = json!({
            "accountId": account, "architecture": "arm64", "availabilityZone": format!("{REGION}a"),
            "imageId": "ami-12c6146b", "instanceId": instance, "instanceType": "m7g.large",
            "pendingTime": "2026-01-15T03:00:00Z", "privateIp": "127.0.0.1", "region": REGION, "version": "2017-09-30",
        });
        let mut state = State::default();
        state.items.insert("dynamic/instance-identity/document".into(), document.to_string());
        let state = Arc::new(Mutex::new(state));
        let served = Arc::clone(&state);
        Self { server: Server::start(move |request| lock(&served).answer(&request)), state }
    }

    /// What leads the AWS SDK here, to be set after [`crate::Stack::environment`].
    pub fn environment(&self) -> [(&'static str, String); 2] {
        [("AWS_EC2_METADATA_DISABLED", "false".into()), ("AWS_EC2_METADATA_SERVICE_ENDPOINT", self.server.url())]
    }

    /// Announces something: `item` is a path below `meta-data/`, such as `spot/instance-action`.
    pub fn announce(&self, item: &str, text: &str) {
        lock(&self.state).items.insert(format!("meta-data/{item}"), text.into());
    }

    /// Forgets every token, as the service does when it starts anew.
    pub fn forget_tokens(&self) {
        lock(&self.state).tokens.clear();
    }

    /// How many questions were refused for want of a token that is known.
    pub fn refused(&self) -> usize {
        lock(&self.state).refused
    }

    /// How often an item was asked for.
    pub fn answered(&self, item: &str) -> usize {
        lock(&self.state).answered.get(&format!("meta-data/{item}")).copied().unwrap_or_default()
    }

    /// Waits until an item has been asked for so many times more.
    pub fn wait_for_rounds(&self, item: &str, rounds: usize) {
        let before = self.answered(item);
        assert!(poll(NEXT_ROUNDS, || self.answered(item) >= before + rounds), "nobody asks for {item} any more");
    }
}

impl State {
    fn answer(&mut self, request: &Request) -> Response {
        let Some(path) = request.target.strip_prefix("/latest/") else { return Response::new(404, "") };
        match (request.method.as_str(), path) {
            ("PUT", "api/token") => self.token(request),
            ("GET", path) if self.knows(request) => {
                *self.answered.entry(path.to_owned()).or_default() += 1;
                self.items.get(path).map_or_else(|| Response::new(404, ""), |text| Response::new(200, text.as_str()))
            }
            ("GET", _) => {
                self.refused += 1;
                Response::new(401, "")
            }
            _ => Response::new(405, ""),
        }
    }

    fn token(&mut self, request: &Request) -> Response {
        let ttl = request.value(TTL).and_then(|seconds| seconds.parse().ok());
        let Some(ttl) = ttl.filter(|seconds| (1..=LONGEST_TTL).contains(seconds)) else {
            return Response::new(400, "");
        };
        let token = format!("{}{}", Metadata::TOKENS, self.given);
        self.given += 1;
        self.tokens.insert(token.clone(), Instant::now() + Duration::from_secs(ttl));
        let mut response = Response::new(200, token);
        response.headers.push((TTL.into(), ttl.to_string()));
        response
    }

    fn knows(&self, request: &Request) -> bool {
        let expires = request.value(TOKEN).and_then(|token| self.tokens.get(token));
        expires.is_some_and(|at| Instant::now() < *at)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(metadata: &Metadata, request: Request) -> (u16, String) {
        let response = request.send(metadata.server.address).expect("an answer");
        (response.status, response.text())
    }

    #[test]
    fn nothing_is_told_without_a_token_that_lives() {
        let metadata = Metadata::of("i-0123456789abcdef0", "123456789012");
        let put = || Request::new("PUT", "/latest/api/token", "");
        assert_eq!(status(&metadata, put()).0, 400, "a token has to be given a life");
        let (_, short) = status(&metadata, put().header(TTL, "1"));
        let (_, long) = status(&metadata, put().header(TTL, "21600"));

        let ask = |item: &str, token: &str| {
            let request = Request::new("GET", &format!("/latest/meta-data/{item}"), "");
            status(&metadata, request.header(TOKEN, token))
        };
        assert_eq!(ask("spot/instance-action", "made-up").0, 401);
        assert_eq!(ask("spot/instance-action", &long).0, 404, "nothing is announced");
        metadata.announce("spot/instance-action", "soon");
        assert_eq!(ask("spot/instance-action", &long), (200, "soon".to_owned()));
        assert!(poll(Duration::from_secs(10), || ask("spot/instance-action", &short).0 == 401), "it never expires");
        metadata.forget_tokens();
        assert_eq!(ask("spot/instance-action", &long).0, 401);
        assert!(metadata.refused() >= 3);
    }
}
