//! The contract of [`crate::StateStore`], held against every provider.
mod corruption;
mod crash;
mod model;
mod obligations;
