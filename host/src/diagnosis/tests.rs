//! What is said of an item that is stuck.
