//! What the end-to-end tests stand on: real servers on free loopback ports, which end with the test.
//!
//! [`Stack`] is AWS: `ministack` (S3, SQS, STS, Lambda), `moto` (ECS, EC2, Secrets Manager), and Auto Scaling of our own, since neither of the
//! two checks what it is told. A [`Storm`] in front of them makes it the AWS of a bad day. A [`Fleet`] is what a test has of it
//! for itself. [`Node`] is a node's sshd, and [`Metadata`] what a node is told. [`Agent`] is the host as a process that lives,
//! [`Function`] the host as a Lambda function, [`Browser`] a reader of pages, and [`Signer`] an author of plugins.
//! A [`Canary`] is a secret that must come out nowhere. A test writes its policy of the pieces in
//! [`policy`] and of its own, and sends what is in [`events`].
//! `make test` installs and builds what they run.
//!
//! Everything is blocking, and speaks plain HTTP: the tests look at AWS with other eyes than the host's own SDK.

mod agent;
mod autoscaling;
mod browser;
mod canary;
mod chance;
mod chaos;
pub mod events;
mod fleet;
mod function;
pub mod http;
mod metadata;
mod microburst;
mod node;
pub mod policy;
mod process;
mod queue;
mod signer;
mod stack;

use std::path::{Path, PathBuf};

pub use agent::{Agent, Refusal};
pub use autoscaling::{AutoScaling, Call, Ended, Story};
pub use browser::Browser;
pub use canary::{Canary, assert_in_none, files};
pub use chance::Chance;
pub use chaos::{Chaos, Figures, Rates, Storm};
pub use fleet::{Fleet, Instance};
pub use function::{Function, Invocation};
pub use metadata::Metadata;
pub use microburst::Microburst;
pub use node::Node;
pub use process::{Process, poll};
pub use queue::Queue;
pub use signer::{Signer, hostler, hostler_with};
pub use stack::{ACCOUNT, Emulator, REGION, Stack, signed};

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is in a folder of the repository")
}

/// Cargo's target directory.
pub fn target() -> PathBuf {
    let configured = std::env::var_os("CARGO_TARGET_DIR").filter(|folder| !folder.is_empty());
    repository().join(configured.unwrap_or_else(|| "target".into()))
}

/// The host under test: `HOSTLER_BIN`, or the release binary.
pub fn host() -> PathBuf {
    built(std::env::var_os("HOSTLER_BIN").map_or_else(|| target().join("release/hostler"), PathBuf::from))
}

/// A plugin of this repository, as `hostler build` made it.
pub fn plugin(name: &str) -> Vec<u8> {
    read(&repository().join("plugins/dist").join(name).with_extension("wasm"))
}

/// A guest of `tests/guests`, as `hostler build` made it.
pub fn guest(name: &str) -> Vec<u8> {
    read(&target().join("guests").join(name).with_extension("wasm"))
}

/// The same component with another text in the place of one of that length.
pub fn renamed(component: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut renamed = component.to_vec();
    let found: Vec<_> = (0..component.len()).filter(|at| component[*at..].starts_with(from.as_bytes())).collect();
    assert!(!found.is_empty(), "there is no {from:?} in the component");
    for at in found {
        renamed[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
    renamed
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(built(path.to_owned())).expect("what is built can be read")
}

fn built(path: PathBuf) -> PathBuf {
    assert!(path.exists(), "{} is missing: `make test` builds it", path.display());
    path
}
