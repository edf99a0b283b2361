//! Functions of patterns: Java's regular expressions and SQL's LIKE.
//!
//! A Java pattern is translated by `java` to one of `fancy-regex`, which hands everything without lookaround and back
//! references to a linear-time engine. Compiled patterns are shared process-wide: small batches would otherwise spend their
//! time compiling.
mod extract;
mod java;
mod like;
mod pattern;
mod property;
mod replace;
mod split;

use super::Registry;

/// Adds the family.
pub(super) fn register(registry: &mut Registry) {
    like::register(registry);
    extract::register(registry);
    replace::register(registry);
    split::register(registry);
}
