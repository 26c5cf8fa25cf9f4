//! How fast we ask AWS: AWS's own token buckets, kept on our side.
//!
//! AWS gives an account, in each region, a bucket of calls for each family of operations, and refuses what goes beyond. A
//! [`Budget`] keeps such buckets for a whole process. Ports wait for their turn before they send, so that the SDK's timeouts do not run
//! meanwhile; and the clients tell it, by its being their interceptor, how AWS answered each try.
//!
//! Others draw on the same buckets of AWS: a second process, the console, a deployment. So AWS may push back all the same, and
//! then the family slows down to half its rate, and comes back by and by. The SDK's adaptive retry mode is not used for this: it
//! has one limiter for all of a service, in which reads would hold back heartbeats, and it waits inside the call's timeout.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef, InterceptorContext,
};
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_runtime_api::client::retries::RequestAttempts;
use aws_smithy_runtime_api::client::retries::classifiers::{ClassifyRetry as _, RetryAction, RetryReason};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::retry::ErrorKind;
use leaky_bucket::RateLimiter;
use tokio::time::Instant;

/// What a call costs at the full rate, in tokens of the bucket. At half the rate it costs twice as much.
const PRICE: usize = 100;

/// The least of its rate that AWS can push a family down to, in percent: at that, 1,000 lifecycle actions are still completed
/// within the hour that a hook waits by default.
const SLOWEST: usize = 10;

/// What comes back in each second in which AWS does not push back, in percent of the full rate: after the first push, ten seconds to the full rate.
const RECOVERY: usize = 5;

/// Within this time, further refusals are of calls that were under way already, and tell nothing new.
const SAME_PUSH: Duration = Duration::from_secs(1);

/// The operations that share a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    /// ECS "Cluster read actions".
    EcsClusterReads,
    /// ECS "Cluster resource read actions".
    EcsReads,
    /// ECS "Cluster resource modify actions".
    EcsModifies,
    /// EC2's "Non-mutating actions", filtered or paged: a bucket for each of them, and we use one.
    Ec2Reads,
    /// What keeps lifecycle actions alive and ends them: apart, so that no read stands in its way.
    Lifecycle,
    /// Everything else of EC2 Auto Scaling.
    AutoScaling,
}

impl Family {
    const ALL: [Self; 6] =
        [Self::EcsClusterReads, Self::EcsReads, Self::EcsModifies, Self::Ec2Reads, Self::Lifecycle, Self::AutoScaling];

    /// The family of an operation; none where AWS's limits are far from what we do (S3, SQS, STS).
    fn of(operation: &str) -> Option<Self> {
        match operation {
            "ListClusters" => Some(Self::EcsClusterReads),
            "DescribeContainerInstances" | "DescribeTasks" | "ListContainerInstances" | "ListTasks" => {
                Some(Self::EcsReads)
            }
            "StopTask" | "UpdateContainerInstancesState" => Some(Self::EcsModifies),
            "DescribeInstances" => Some(Self::Ec2Reads),
            "CompleteLifecycleAction" | "DescribeLifecycleHooks" | "RecordLifecycleActionHeartbeat" => {
                Some(Self::Lifecycle)
            }
            "DescribeAutoScalingInstances" | "SetInstanceProtection" => Some(Self::AutoScaling),
            _ => None,
        }
    }

    /// How many calls it takes at once when it is full, and how many come back in a second.
    ///
    /// "Request throttling for the Amazon ECS API" and "Request throttling for the Amazon EC2 API" say so. EC2 Auto Scaling publishes
    /// no figures, only that its operations share a bucket; ours are modest guesses, 20 calls a second taken together.
    fn size(self) -> (usize, u64) {
        match self {
            Self::EcsClusterReads => (50, 20),
            Self::EcsReads | Self::Ec2Reads => (100, 20),
            Self::EcsModifies => (100, 40),
            Self::Lifecycle => (50, 15),
            Self::AutoScaling => (20, 5),
        }
    }
}

/// The buckets of one account in one region. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct Budget(Arc<[Bucket; Family::ALL.len()]>);

impl Budget {
    /// Full buckets.
    pub(super) fn new() -> Self {
        Self(Arc::new(Family::ALL.map(Bucket::new)))
    }

    /// Waits until `operation` (`service:Operation`) may be sent once.
    pub(super) async fn turn(&self, operation: &str) {
        if let Some(bucket) = self.bucket(operation) {
            bucket.turn().await;
        }
    }

    fn bucket(&self, operation: &str) -> Option<&Bucket> {
        let family = Family::of(operation.rsplit(':').next()?)?;
        self.0.iter().find(|bucket| bucket.family == family)
    }

    fn bucket_in(&self, config: &ConfigBag) -> Option<&Bucket> {
        self.bucket(config.load::<Metadata>()?.name())
    }
}

impl Intercept for Budget {
    fn name(&self) -> &'static str {
        "Budget"
    }

    /// The SDK does not wait for anybody before it tries again, so the next call pays for it.
    fn read_before_attempt(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let is_retry = config.load::<RequestAttempts>().is_some_and(|attempts| attempts.attempts() > 1);
        if let Some(bucket) = self.bucket_in(config).filter(|_| is_retry) {
            bucket.lock().owed += 1;
        }
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(bucket) = self.bucket_in(config).filter(|_| is_throttled(context.inner(), components)) {
            bucket.slow_down();
        }
        Ok(())
    }
}

/// Whether AWS asked to slow down, by the SDK's own judgement.
fn is_throttled(context: &InterceptorContext, components: &RuntimeComponents) -> bool {
    components.retry_classifiers().any(|classifier| {
        matches!(
            classifier.classify_retry(context),
            RetryAction::RetryIndicated(RetryReason::RetryableError { kind: ErrorKind::ThrottlingError, .. })
        )
    })
}

/// One bucket, as AWS keeps it, but slower while AWS pushes back.
#[derive(Debug)]
struct Bucket {
    family: Family,
    /// First come, first served, and one at a time: what a call costs is settled when its turn comes, not when it began to wait.
    next: tokio::sync::Mutex<()>,
    tokens: RateLimiter,
    pace: Mutex<Pace>,
}

impl Bucket {
    fn new(family: Family) -> Self {
        let (burst, a_second) = family.size();
        let full = burst * PRICE;
        let interval = Duration::from_millis(1000_u64.div_ceil(a_second));
        let tokens = RateLimiter::builder().max(full).initial(full).refill(PRICE).interval(interval).build();
        let pace = Mutex::new(Pace { percent: 100, since: None, owed: 0 });
        Self { family, next: tokio::sync::Mutex::default(), tokens, pace }
    }

    async fn turn(&self) {
        let _next = self.next.lock().await;
        let price = self.lock().price(Instant::now());
        self.tokens.acquire(price).await;
    }

    fn slow_down(&self) {
        let Some(percent) = self.lock().slow_down(Instant::now()) else { return };
        // AWS's bucket is empty, so ours must not be full. Where somebody waits, it is empty already.
        self.tokens.try_acquire(self.tokens.balance());
        let (_, a_second) = self.family.size();
        tracing::warn!(family = ?self.family, percent, "AWS asks to slow down: {percent}% of the usual {a_second} calls a second for now, and more as AWS allows it");
    }

    fn lock(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How much of the full rate AWS lets us have.
#[derive(Debug)]
struct Pace {
    /// Of the full rate, at the last push back.
    percent: usize,
    /// The last push back.
    since: Option<Instant>,
    /// Calls that were sent without a turn.
    owed: usize,
}

impl Pace {
    fn percent(&self, now: Instant) -> usize {
        let Some(since) = self.since else { return 100 };
        let seconds = usize::try_from((now - since).as_secs()).unwrap_or(usize::MAX);
        self.percent.saturating_add(seconds.saturating_mul(RECOVERY)).min(100)
    }

    /// The price of one call, with what is owed.
    fn price(&mut self, now: Instant) -> usize {
        (1 + std::mem::take(&mut self.owed)) * PRICE * 100 / self.percent(now)
    }

    /// Half the rate from now on; none when this is the same push as the last.
    fn slow_down(&mut self, now: Instant) -> Option<usize> {
        if self.since.is_some_and(|since| now < since + SAME_PUSH) {
            return None;
        }
        self.percent = (self.percent(now) / 2).max(SLOWEST);
        self.since = Some(now);
        Some(self.percent)
    }
}

#[cfg(test)]
mod tests;
