//! Connectors: the systems that rows come from and go to, one folder each.
pub mod datetime;
pub mod format;
