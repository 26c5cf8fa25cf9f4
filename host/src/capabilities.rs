//! What a guest can do: one file per interface of the contract.
//!
//! Each file holds the port (a trait over the outside world) and the host functions, which read: grant → call → map error.
//! Everything else about a call (counting it, timing it, logging it) is in `call`. Completing lifecycle actions is not here:
//! that port belongs to `dispatch`.

pub mod autoscaling;
pub mod ec2;
pub mod ecs;
pub mod ssh;

pub(crate) mod call;
pub(crate) mod clock;
pub(crate) mod config;
pub(crate) mod log;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::clock::Clock;

/// The outside world as guests reach it: one port per interface.
#[derive(Clone)]
pub struct Ports {
    /// Amazon ECS.
    pub ecs: Arc<dyn ecs::Ecs>,
    /// EC2 Auto Scaling.
    pub autoscaling: Arc<dyn autoscaling::AutoScaling>,
    /// Amazon EC2.
    pub ec2: Arc<dyn ec2::Ec2>,
    /// SSH to nodes.
    pub ssh: Arc<dyn ssh::Ssh>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}
