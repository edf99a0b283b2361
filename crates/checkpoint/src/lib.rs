//! placeholder
pub mod fault;
pub mod storage;
