//! The agent as a process: on a node that is told of its end, on a queue, and where it cannot serve.

mod node;
mod queue;
mod refusals;
mod scene;
