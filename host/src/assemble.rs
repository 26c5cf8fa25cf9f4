//! Puts the parts together: once at start, for the real world or for a simulated one.

mod by_hand;

use std::path::{Path, PathBuf};
use std::sync::Arc;

#[cfg(feature = "live")]
use crate::aws::{Aws, ssh::SshPort};
use crate::capabilities::Ports;
#[cfg(feature = "live")]
use crate::clock::SystemClock;
use crate::dispatch::{Closing, Dispatch, Hooks, Jitter};
use crate::ledger::{CheckError, Ledger, MemoryStore};
#[cfg(feature = "live")]
use crate::ledger::{DirStore, Store};
use crate::lifecycle::Lifecycle;
#[cfg(feature = "live")]
use crate::modules::SourceError;
use crate::modules::{self, Compiler, DirSource, Modules, OneFile, Source};
#[cfg(feature = "live")]
use crate::policy::LedgerPolicy;
use crate::policy::{Location, Policy};
use crate::ports::Place;
use crate::recording::{Recordings, Replay};
use crate::sandbox::{Capacity, Pace, Sandbox};
use crate::sim::World;

pub use by_hand::{ByHand, Eyes, Hand, ledger_alone, modules_alone};

/// Attempts side by side, at least: a full batch of an SQS event source mapping, and some.
const ATTEMPTS: u32 = 16;

/// Attempts side by side, at most: each may take the memory that its handler's limit allows. More of them wait for their turn.
const MOST_ATTEMPTS: u32 = 128;

/// The largest recording that is held in memory until it is put into a bucket, in bytes: there are as many as attempts.
#[cfg(feature = "live")]
const IN_MEMORY: usize = 8 << 20;

/// Why the parts do not fit together.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// The sandbox could not be set up.
    #[error("the sandbox cannot be set up on this machine: {0:#}")]
    Sandbox(wasmtime::Error),
    /// The world that was asked for cannot serve the policy.
    #[error(
        "the policy takes its modules from s3://{bucket}/, which the simulated world does not have: give a folder with --modules, or run with --live"
    )]
    NoBucket {
        /// The bucket.
        bucket: String,
    },
    /// A replay has no AWS.
    #[error(
        "the policy takes its modules from s3://{bucket}/, which a replay does not reach: give the plugin with --plugin, or a folder with --modules"
    )]
    NoBucketToReplay {
        /// The bucket.
        bucket: String,
    },
    /// What was named as the plugin cannot be one.
    #[error("{} names no file: give the .wasm file of the plugin", .0.display())]
    NoPlugin(PathBuf),
    /// Who asks about work has to say where it is written down.
    #[error(
        "the policy has no [ledger], so that its hosts keep their work in their own memory, where nobody else sees it; name one in \
         the policy, for the hosts too: [ledger] with store = \"s3://BUCKET/PREFIX/\" or \"dir:PATH\""
    )]
    NoLedger,
    /// This build does not reach buckets.
    #[cfg(not(feature = "live"))]
    #[error(
        "s3://{bucket}/ cannot be reached, since this build has no AWS: use one that was made with the feature `live`"
    )]
    NoAws {
        /// The bucket.
        bucket: String,
    },
    /// AWS cannot be reached, or does not know us.
    #[cfg(feature = "live")]
    #[error(transparent)]
    Aws(#[from] crate::aws::AwsError),
    /// There are no plugins to run.
    #[cfg(feature = "live")]
    #[error("no plugin can be had")]
    Modules(#[from] SourceError),
    /// The ledger that the policy names cannot carry work.
    #[error(transparent)]
    Ledger(#[from] CheckError),
}

/// For the real world: AWS, and SSH. What is needed of it is looked for by [`has_ledger`] and [`has_modules`].
#[cfg(feature = "live")]
pub async fn live(aws: &Aws, policy: Policy, modules: Option<&Path>) -> Result<Dispatch, AssembleError> {
    let source = match modules {
        Some(folder) => Arc::new(DirSource::new(folder)),
        None => source(&policy.modules.source, aws),
    };
    let ports = ports(aws);
    let place = aws.place().clone();
    let recordings = policy.recordings.as_ref().map(|store| match store {
        Location::Dir(folder) => Recordings::folder(folder),
        Location::S3 { bucket, prefix } => Recordings::whole(aws.recordings(bucket, prefix), IN_MEMORY),
    });
    let kept = match &policy.ledger {
        Some(LedgerPolicy { store, .. }) => {
            Some(Ledger::new(ledger_store(store, aws), Arc::clone(&ports.clock), place.clone(), holder()))
        }
        None => {
            tracing::warn!("the policy has no [ledger]: what this process is about when it ends begins anew elsewhere");
            None
        }
    };
    let ledger = kept.unwrap_or_else(|| in_memory(&ports, &place));
    let dispatch = assemble(policy, source, ports, aws.lifecycle(), (place, ledger), Pace::Real)?;
    Ok(Dispatch { recordings, ..dispatch })
}

/// Where modules come from: a bucket, or a folder.
#[cfg(feature = "live")]
pub fn source(location: &Location, aws: &Aws) -> Arc<dyn Source> {
    match location {
        Location::Dir(folder) => Arc::new(DirSource::new(folder)),
        Location::S3 { bucket, prefix } => Arc::new(aws.modules(bucket, prefix)),
    }
}

/// What handlers reach of the real world.
#[cfg(feature = "live")]
fn ports(aws: &Aws) -> Ports {
    Ports {
        ecs: aws.ecs(),
        autoscaling: aws.autoscaling(),
        ec2: aws.ec2(),
        ssh: Arc::new(SshPort::new(aws.config())),
        clock: Arc::new(SystemClock),
    }
}

/// The store of a ledger: a bucket, or a folder.
#[cfg(feature = "live")]
pub fn ledger_store(store: &Location, aws: &Aws) -> Arc<dyn Store> {
    match store {
        Location::Dir(folder) => Arc::new(DirStore::new(folder)),
        Location::S3 { bucket, prefix } => Arc::new(aws.ledger(bucket, prefix)),
    }
}

/// Makes sure that the ledger can carry work, for whoever is about to do some. What may pass by itself is said and not waited for: then
/// an event is not lost by it, and a host that does not start takes none.
#[cfg(feature = "live")]
pub async fn has_ledger(dispatch: &Dispatch) -> Result<(), AssembleError> {
    match dispatch.ledger.check().await {
        Err(CheckError::Failed { place, what, source }) if source.retryable() => {
            tracing::error!(place, error = %source, "the ledger cannot be {what} now; it is tried again with each event");
            Ok(())
        }
        checked => Ok(checked?),
    }
}

/// Makes sure that there is a place that plugins come from. Whoever runs none needs none.
#[cfg(feature = "live")]
pub async fn has_modules(dispatch: &Dispatch) -> Result<(), AssembleError> {
    let handlers = dispatch.policy.handlers.iter();
    Ok(dispatch.modules.check(handlers.map(|handler| (handler.module.as_str(), handler.pin.as_ref()))).await?)
}

/// What leases are held by, for people: the log of a Lambda function's instance, or a process of a machine.
#[cfg(feature = "live")]
pub fn holder() -> String {
    if let Ok(log) = std::env::var("AWS_LAMBDA_LOG_STREAM_NAME") {
        return format!("lambda {log}");
    }
    format!("{} (process {})", machine(), std::process::id())
}

/// The name of the machine, for people.
pub(crate) fn machine() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok().or_else(|| std::env::var("HOSTNAME").ok());
    let name = name.as_deref().map(str::trim).filter(|name| !name.is_empty());
    name.unwrap_or("this machine").to_owned()
}

/// For a simulated world, under virtual time: the caller pauses tokio's clock. Modules come from a folder.
pub fn simulated(policy: Policy, modules: Option<&Path>, world: &World) -> Result<Dispatch, AssembleError> {
    let source = match (modules, &policy.modules.source) {
        (Some(folder), _) => DirSource::new(folder),
        (None, Location::Dir(folder)) => DirSource::new(folder),
        (None, Location::S3 { bucket, .. }) => return Err(AssembleError::NoBucket { bucket: bucket.clone() }),
    };
    let (ports, place) = (world.ports(), world.place());
    let ledger = Ledger::new(world.ledger(), Arc::clone(&ports.clock), place.clone(), "this host");
    assemble(policy, Arc::new(source), ports, world.lifecycle(), (place, ledger), Pace::Virtual)
}

/// For a simulated world, with modules that are there already.
pub(crate) fn played(policy: Policy, modules: Modules, sandbox: Arc<Sandbox>, world: &World) -> Dispatch {
    let (ports, lifecycle, place) = (world.ports(), world.lifecycle(), world.place());
    let ledger = Ledger::new(world.ledger(), Arc::clone(&ports.clock), place.clone(), "this host");
    let (hooks, jitter, closing) = (Hooks::default(), Jitter::None, Closing::default());
    Dispatch { policy, modules, sandbox, ports, lifecycle, place, ledger, hooks, jitter, closing, recordings: None }
}

/// For the world of a recording, under virtual time. The modules are one file, a folder, or the folder that the policy names.
pub fn replayed(
    policy: Policy,
    plugin: Option<&Path>,
    modules: Option<&Path>,
    replay: &Arc<Replay>,
    recordings: Recordings,
) -> Result<Dispatch, AssembleError> {
    let source: Arc<dyn Source> = match (plugin, modules, &policy.modules.source) {
        (Some(file), _, _) => Arc::new(OneFile::new(file).ok_or_else(|| AssembleError::NoPlugin(file.to_owned()))?),
        (None, Some(folder), _) => Arc::new(DirSource::new(folder)),
        (None, None, Location::Dir(folder)) => Arc::new(DirSource::new(folder)),
        (None, None, Location::S3 { bucket, .. }) => {
            return Err(AssembleError::NoBucketToReplay { bucket: bucket.clone() });
        }
    };
    let (ports, place) = (replay.ports(), replay.place());
    let ledger = in_memory(&ports, &place);
    let dispatch = assemble(policy, source, ports, replay.clone(), (place, ledger), Pace::Virtual)?;
    Ok(Dispatch { recordings: Some(recordings), ..dispatch })
}

/// A ledger that lives as long as the host.
fn in_memory(ports: &Ports, place: &Place) -> Ledger {
    let store = Arc::new(MemoryStore::new(Arc::clone(&ports.clock)));
    Ledger::new(store, Arc::clone(&ports.clock), place.clone(), "this host")
}

fn assemble(
    policy: Policy,
    source: Arc<dyn Source>,
    ports: Ports,
    lifecycle: Arc<dyn Lifecycle>,
    (place, ledger): (Place, Ledger),
    pace: Pace,
) -> Result<Dispatch, AssembleError> {
    let memory = policy.most_memory();
    let attempts = policy.queue.as_ref().map_or(ATTEMPTS, |queue| queue.concurrency.clamp(ATTEMPTS, MOST_ATTEMPTS));
    let sandbox = Sandbox::new(Capacity { attempts, memory }, pace).map_err(AssembleError::Sandbox)?;
    let sandbox = Arc::new(sandbox);
    let clock = Arc::clone(&ports.clock);
    let modules = match pace {
        Pace::Real => {
            let compiler = (Arc::clone(&sandbox), Compiler::child());
            Modules::new(source, compiler, clock, &policy.modules, ledger.notes(modules::NOTES))
        }
        Pace::Virtual => Modules::of_this_machine(source, Arc::clone(&sandbox), clock, &policy.modules),
    };
    let (hooks, closing) = (Hooks::default(), Closing::default());
    let jitter = match pace {
        Pace::Real => Jitter::Tenth,
        Pace::Virtual => Jitter::None,
    };
    Ok(Dispatch { policy, modules, sandbox, ports, lifecycle, place, ledger, hooks, jitter, closing, recordings: None })
}
