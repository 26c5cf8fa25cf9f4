//! AWS on a bad day: proxies in front of the servers, for a host that has to stand it.
//!
//! [`Microburst`] throttles, fails and stalls as AWS does. What it does not know is here: answers that are lost once the request has taken effect, S3's
//! conflicts, entries of an SQS batch that fail on their own, and deletions under a condition, which ministack carries out
//! without looking.

mod sqs;

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::chance::Chance;
use crate::http::{Request, Response, Server};
use crate::microburst::Microburst;
use crate::stack::{Emulator, Stack};

/// How often things go wrong, from 0 to 1.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rates {
    /// Calls whose answer is lost after they have taken effect.
    pub lost: f64,
    /// Conditional writes to S3 that meet another one: 409, and nothing is written.
    pub conflict: f64,
    /// Entries of a batch call of SQS that fail while the call succeeds.
    pub entry: f64,
}

/// What a proxy has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Calls that arrived.
    pub calls: u64,
    /// Answers that were lost.
    pub lost: u64,
    /// Conditional writes that met a conflict.
    pub conflicts: u64,
    /// Entries of batches that failed.
    pub entries: u64,
}

/// A proxy in front of one server.
#[derive(Debug)]
pub struct Chaos {
    /// Where it listens.
    pub server: Server,
    fate: Arc<Mutex<Fate>>,
}

/// What is to go wrong, and what has.
#[derive(Debug)]
struct Fate {
    rates: Rates,
    chance: Chance,
    figures: Figures,
}

impl Chaos {
    /// Starts one that passes calls on to `to`. Behind that is `truth`, which is asked for what a condition depends on.
    pub fn start(to: SocketAddr, truth: SocketAddr, seed: u64, rates: Rates) -> Self {
        let fate = Arc::new(Mutex::new(Fate { rates, chance: Chance::new(seed), figures: Figures::default() }));
        let proxy = Proxy { to, truth, fate: Arc::clone(&fate), objects: Mutex::default() };
        Self { server: Server::start(move |request| proxy.answer(request)), fate }
    }

    /// Lets nothing go wrong any more. Conditions are still looked at.
    pub fn calm(&self) {
        lock(&self.fate).rates = Rates::default();
    }

    /// What it has done up to now.
    pub fn figures(&self) -> Figures {
        lock(&self.fate).figures
    }
}

struct Proxy {
    to: SocketAddr,
    truth: SocketAddr,
    fate: Arc<Mutex<Fate>>,
    /// One for each object that is written under a condition, so that nobody comes between the look and the write.
    objects: Mutex<HashMap<String, Arc<Mutex<()>>>>,
}

impl Proxy {
    fn answer(&self, request: Request) -> Response {
        let (loses, conflicts) = {
            let mut fate = lock(&self.fate);
            fate.figures.calls += 1;
            let Rates { lost, conflict, .. } = fate.rates;
            (fate.chance.strikes(lost), fate.chance.strikes(conflict) && is_conditional_put(&request))
        };
        if conflicts {
            lock(&self.fate).figures.conflicts += 1;
            let message =
                "The conditional request cannot succeed due to a conflicting operation against this resource.";
            return s3_error(409, "ConditionalRequestConflict", message);
        }
        let response = if sqs::is_batch(&request) {
            self.batch(request)
        } else if is_conditional(&request) {
            let object = lock(&self.objects).entry(request.target.clone()).or_default().clone();
            let _alone = lock(&object);
            self.refusal(&request).unwrap_or_else(|| self.pass_on(&request))
        } else {
            self.pass_on(&request)
        };
        if loses {
            lock(&self.fate).figures.lost += 1;
            return Response::none();
        }
        response
    }

    /// A connection that breaks behind us breaks before us too.
    fn pass_on(&self, request: &Request) -> Response {
        request.send(self.to).unwrap_or_else(|_| Response::none())
    }

    /// Why a deletion under a condition is not carried out ("How to perform conditional deletes").
    fn refusal(&self, request: &Request) -> Option<Response> {
        let expected = request.value("if-match").filter(|_| request.method == "DELETE")?;
        let path = request.target.split('?').next().unwrap_or_default();
        let look = Request { method: "HEAD".into(), target: path.into(), body: Vec::new(), ..request.clone() };
        let look = look.without("if-match");
        let found = match look.send(self.truth) {
            Ok(found) => found,
            Err(_) => return Some(Response::none()),
        };
        if found.status == 404 {
            return Some(s3_error(404, "NoSuchKey", "The specified key does not exist."));
        }
        let is = found.header("etag").unwrap_or_default();
        let matches = expected == "*" || unquoted(expected) == unquoted(is);
        let message = "At least one of the pre-conditions you specified did not hold";
        (!matches).then(|| s3_error(412, "PreconditionFailed", message))
    }

    /// A batch call of SQS, some entries of which never get there.
    fn batch(&self, request: Request) -> Response {
        let fails = |_: &str| {
            let mut fate = lock(&self.fate);
            let rate = fate.rates.entry;
            let fails = fate.chance.strikes(rate);
            fate.figures.entries += u64::from(fails);
            fails
        };
        sqs::batch(request, fails, |request| self.pass_on(request))
    }
}

fn is_conditional(request: &Request) -> bool {
    request.value("if-match").is_some() || request.value("if-none-match").is_some()
}

fn is_conditional_put(request: &Request) -> bool {
    request.method == "PUT" && is_conditional(request)
}

fn s3_error(status: u16, code: &str, message: &str) -> Response {
    let xml = format!("<Error><Code>{code}</Code><Message>{message}</Message><RequestId>0</RequestId></Error>");
    let mut response = Response::new(status, xml);
    response.headers.push(("content-type".into(), "application/xml".into()));
    response
}

fn unquoted(etag: &str) -> &str {
    etag.trim_matches('"')
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A bad day of every service: for each server the proxies in front of it.
#[derive(Debug)]
pub struct Storm {
    ministack: Front,
    moto: Front,
    autoscaling: Front,
}

/// Host, chaos, microburst, server: an answer that microburst makes up can be lost too.
#[derive(Debug)]
struct Front {
    chaos: Chaos,
    microburst: Microburst,
}

impl Storm {
    /// Starts the proxies. Until [`Storm::rage`] only what `rates` say goes wrong.
    pub fn start(stack: &Stack, seed: u64, rates: Rates) -> Self {
        let front = |server: SocketAddr, nth: u64| {
            let seed = seed.wrapping_mul(3).wrapping_add(nth);
            let microburst = Microburst::start(stack, server, seed);
            Front { chaos: Chaos::start(microburst.address(), server, seed, rates), microburst }
        };
        // Python takes seconds to start, so they start side by side.
        std::thread::scope(|scope| {
            let moto = scope.spawn(|| front(stack.address(Emulator::Moto), 1));
            let autoscaling = scope.spawn(|| front(stack.autoscaling.server.address, 2));
            Self {
                ministack: front(stack.address(Emulator::Ministack), 0),
                moto: moto.join().expect("the proxy of moto starts"),
                autoscaling: autoscaling.join().expect("the proxy of Auto Scaling starts"),
            }
        })
    }

    /// What leads the AWS SDK through it, to be set after [`Stack::environment`]. Who we are is asked without it: a
    /// host that cannot know that does not start.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL_S3", self.ministack.chaos.server.url()),
            ("AWS_ENDPOINT_URL_SQS", self.ministack.chaos.server.url()),
            ("AWS_ENDPOINT_URL_ECS", self.moto.chaos.server.url()),
            ("AWS_ENDPOINT_URL_EC2", self.moto.chaos.server.url()),
            ("AWS_ENDPOINT_URL_AUTO_SCALING", self.autoscaling.chaos.server.url()),
        ]
    }

    /// Lets every call be throttled, failed, reset or slow with about this probability.
    pub fn rage(&self, probability: f64) {
        self.fronts().into_iter().for_each(|front| front.microburst.storm(probability));
    }

    /// Lets nothing go wrong any more.
    pub fn calm(&self) {
        for front in self.fronts() {
            front.chaos.calm();
            front.microburst.calm();
        }
    }

    fn fronts(&self) -> [&Front; 3] {
        [&self.ministack, &self.moto, &self.autoscaling]
    }
}

/// The figures, a line for each server.
impl fmt::Display for Storm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (front, services) in self.fronts().into_iter().zip(["S3 and SQS", "ECS and EC2", "Auto Scaling"]) {
            let Figures { calls, lost, conflicts, entries } = front.chaos.figures();
            let (_, faults) = front.microburst.figures();
            writeln!(
                f,
                "{services}: {calls} calls; {faults} throttled, failed, reset or slow, {lost} answers lost, \
                 {conflicts} conflicts, {entries} entries of batches failed"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
