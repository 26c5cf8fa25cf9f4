//! aws

pub mod ssh;
