//! Who has the host killed at the worst moments: between a decision and Auto Scaling's answer to it, and between what the sweep has
//! written down and given away.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use hostler_tests::Chance;
use hostler_tests::http::{Request, Response, Server};

/// In one of so many calls of each kind the host is killed.
const COMPLETIONS: usize = 12;
const GIVEN_AWAY: usize = 2;

/// Stands before Auto Scaling and SQS, and has the host killed in the middle of a call: before it gets through, or after it has
/// taken effect.
pub(crate) struct Assassin {
    autoscaling: Server,
    sqs: Server,
    struck: mpsc::Receiver<()>,
}

/// What decides on a strike, and tells of it.
struct Hand {
    chance: Chance,
    strike: mpsc::Sender<()>,
}

impl Assassin {
    /// `environment` leads to those who are to be stood before. The host sends to the queue at `url` what its sweep has found, and
    /// nothing else.
    pub(crate) fn before(environment: &[(&'static str, String)], url: &str, seed: u64) -> Self {
        let (strike, struck) = mpsc::channel();
        let hand = Arc::new(Mutex::new(Hand { chance: Chance::new(seed), strike }));
        let says = |request: &Request, text: &str| String::from_utf8_lossy(&request.body).contains(text);
        let completes = move |request: &Request| says(request, "Action=CompleteLifecycleAction");
        let url = format!("{url:?}");
        let gives_away = move |request: &Request| {
            request.value("x-amz-target") == Some("AmazonSQS.SendMessage") && says(request, &url)
        };
        Self {
            autoscaling: stand(address(environment, "AWS_ENDPOINT_URL_AUTO_SCALING"), &hand, COMPLETIONS, completes),
            sqs: stand(address(environment, "AWS_ENDPOINT_URL_SQS"), &hand, GIVEN_AWAY, gives_away),
            struck,
        }
    }

    /// What leads the AWS SDK to it.
    pub(crate) fn environment(&self) -> [(&'static str, String); 2] {
        [("AWS_ENDPOINT_URL_AUTO_SCALING", self.autoscaling.url()), ("AWS_ENDPOINT_URL_SQS", self.sqs.url())]
    }

    /// Waits for a call to strike at, or for so long: whether one has come, which is not answered before the host is dead.
    pub(crate) fn wait(&self, patience: Duration) -> bool {
        self.struck.recv_timeout(patience).is_ok()
    }

    /// Strikes at nobody for what was called up to now.
    pub(crate) fn pardon(&self) {
        while self.struck.try_recv().is_ok() {}
    }
}

/// Stands before one service, and strikes at one in so many of the calls that are its victims.
fn stand(
    service: SocketAddr,
    hand: &Arc<Mutex<Hand>>,
    one_in: usize,
    is_victim: impl Fn(&Request) -> bool + Send + Sync + 'static,
) -> Server {
    let hand = Arc::clone(hand);
    Server::start(move |request: Request| {
        let pass_on = || request.send(service).unwrap_or_else(|_| Response::none());
        if !is_victim(&request) {
            return pass_on();
        }
        let (strikes, before) = {
            let mut hand = hand.lock().expect("nothing panics here");
            (hand.chance.below(one_in) == 0, hand.chance.below(2) == 0)
        };
        if !strikes {
            return pass_on();
        }
        if !before {
            pass_on();
        }
        let _ = hand.lock().expect("nothing panics here").strike.send(());
        Response::none()
    })
}

/// The address in a URL of this machine.
fn address(environment: &[(&'static str, String)], name: &str) -> SocketAddr {
    let (_, url) = environment.iter().find(|(known, _)| *known == name).expect("it has an endpoint");
    url.trim_start_matches("http://").parse().expect("the endpoint is an address")
}
