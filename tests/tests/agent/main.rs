//! The agent as a process: on a node that is told of its end, on a queue, while plugins are uploaded, and where it cannot serve.

mod hot_swap;
mod node;
mod queue;
mod refusals;
mod scene;
mod secrets;
