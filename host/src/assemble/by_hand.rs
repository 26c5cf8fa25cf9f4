//! For people who ask about work or decide over it: the ledger of a policy, and AWS, where it is to be had.
//!
//! A ledger in a folder is of use without AWS too, so that AWS cannot be reached is told and no reason to stop; one in a bucket is not.

use std::sync::Arc;

use super::AssembleError;
#[cfg(feature = "live")]
use crate::aws::{Aws, AwsError};
use crate::capabilities::Ports;
use crate::diagnosis::Services;
use crate::dispatch::Dispatch;
use crate::ledger::{DirStore, Store};
use crate::modules::{DirSource, Source};
use crate::policy::{LedgerPolicy, Location, Policy};
use crate::ports::Place;

/// What a person's command works with.
pub struct ByHand {
    /// The policy.
    pub policy: Policy,
    /// Where its ledger is.
    pub store: Arc<dyn Store>,
    #[cfg(feature = "live")]
    aws: Result<Aws, AwsError>,
}

/// What looks at the world.
pub struct Eyes {
    /// What handlers reach too.
    pub ports: Ports,
    /// What they do not.
    pub services: Arc<dyn Services>,
    /// Which account and region is seen.
    pub place: Place,
}

/// What acts with a person's own credentials.
pub struct Hand {
    /// A host like any other, on the same ledger.
    pub dispatch: Dispatch,
    /// Who that is: an ARN.
    pub caller: String,
}

/// The ledger of a policy, and nothing else.
pub async fn ledger_alone(policy: &Policy) -> Result<Arc<dyn Store>, AssembleError> {
    match &named(policy)?.store {
        Location::Dir(folder) => Ok(Arc::new(DirStore::new(folder))),
        #[cfg(feature = "live")]
        bucket @ Location::S3 { .. } => Ok(super::ledger_store(bucket, &Aws::connect().await?)),
        #[cfg(not(feature = "live"))]
        Location::S3 { bucket, .. } => Err(AssembleError::NoAws { bucket: bucket.clone() }),
    }
}

/// Where plugins are, and nothing else.
pub async fn modules_alone(location: &Location) -> Result<Arc<dyn Source>, AssembleError> {
    match location {
        Location::Dir(folder) => Ok(Arc::new(DirSource::new(folder))),
        #[cfg(feature = "live")]
        bucket @ Location::S3 { .. } => Ok(super::source(bucket, &Aws::connect().await?)),
        #[cfg(not(feature = "live"))]
        Location::S3 { bucket, .. } => Err(AssembleError::NoAws { bucket: bucket.clone() }),
    }
}

fn named(policy: &Policy) -> Result<&LedgerPolicy, AssembleError> {
    policy.ledger.as_ref().ok_or(AssembleError::NoLedger)
}

#[cfg(feature = "live")]
impl ByHand {
    /// Connects to AWS; without it there has to be a ledger in a folder.
    pub async fn new(policy: Policy) -> Result<Self, AssembleError> {
        let location = &named(&policy)?.store;
        let (store, aws): (Arc<dyn Store>, _) = match (location, Aws::connect().await) {
            (location, Ok(aws)) => (super::ledger_store(location, &aws), Ok(aws)),
            (Location::Dir(folder), Err(error)) => (Arc::new(DirStore::new(folder)), Err(error)),
            (Location::S3 { .. }, Err(error)) => return Err(error.into()),
        };
        Ok(Self { policy, store, aws })
    }

    /// Who asks: an ARN; none without AWS.
    pub fn caller(&self) -> Option<String> {
        self.aws.as_ref().ok().map(|aws| aws.caller().to_owned())
    }

    /// What looks at the world, or why nothing does.
    pub fn eyes(&self) -> Result<Eyes, String> {
        let aws = self.aws.as_ref().map_err(told)?;
        Ok(Eyes { ports: super::ports(aws), services: aws.services(), place: aws.place().clone() })
    }

    /// What acts on the world, or why nothing does.
    pub async fn hand(&self) -> Result<Hand, String> {
        let aws = self.aws.as_ref().map_err(told)?;
        let dispatch = async {
            let dispatch = super::live(aws, self.policy.clone(), None).await?;
            super::has_ledger(&dispatch).await?;
            Ok(dispatch)
        };
        let dispatch = dispatch.await.map_err(|error: AssembleError| format!("{:#}", anyhow::Error::from(error)))?;
        Ok(Hand { dispatch, caller: aws.caller().to_owned() })
    }
}

/// The whole chain of an error: its head says only that we do not know who we are.
#[cfg(feature = "live")]
fn told(error: &AwsError) -> String {
    use std::error::Error;
    let chain = std::iter::successors(Some(error as &dyn Error), |&error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(not(feature = "live"))]
impl ByHand {
    /// Opens the ledger.
    pub async fn new(policy: Policy) -> Result<Self, AssembleError> {
        let store = ledger_alone(&policy).await?;
        Ok(Self { policy, store })
    }

    /// Nobody, as far as AWS is concerned.
    pub fn caller(&self) -> Option<String> {
        None
    }

    /// Why nothing looks at the world.
    pub fn eyes(&self) -> Result<Eyes, String> {
        Err(NO_AWS.to_owned())
    }

    /// Why nothing acts on the world.
    pub async fn hand(&self) -> Result<Hand, String> {
        Err(NO_AWS.to_owned())
    }
}

#[cfg(not(feature = "live"))]
const NO_AWS: &str = "this build has no AWS: it was made without the feature `live`";
