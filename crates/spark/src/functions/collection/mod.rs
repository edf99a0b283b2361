//! Functions of arrays and maps.
//!
//! Most of them choose elements: they name the places of the elements of each new array and copy them once at the end
//! ([`elements::Gathered`]). Positions that users give count from 1, or from the end if negative; only `get` counts from 0.
//! Lambdas are evaluated over the elements of a whole batch at once, except for `aggregate` and comparators, which go step
//! by step through all arrays at the same time.
//!
//! | module | functions |
//! |---|---|
//! | `search` | `size`, `array_contains`, `array_position`, `array_max`, `element_at`, `array_join`, … |
//! | `sets` | `array_distinct`, `array_union`, `array_intersect`, `array_except`, `arrays_overlap` |
//! | `shape` | `sort_array`, `array_remove`, `array_insert`, `slice`, `flatten`, `arrays_zip`, `shuffle`, … |
//! | `sequence` | `sequence` of numbers, dates and timestamps |
//! | `maps` | `map_keys`, `map_from_arrays`, `map_concat`, `str_to_map`, … |
//! | `lambdas` | `transform`, `filter`, `exists`, `forall`, `zip_with` |
//! | `fold` | `aggregate`, `array_sort` |
//! | `map_lambdas` | `map_filter`, `map_zip_with`, `transform_keys`, `transform_values` |
mod elements;
mod fold;
mod lambdas;
mod map_lambdas;
mod maps;
mod search;
mod sequence;
mod sets;
mod shape;
mod sort;

use super::Registry;

/// Adds the family.
pub(super) fn register(registry: &mut Registry) {
    search::register(registry);
    sets::register(registry);
    shape::register(registry);
    sequence::register(registry);
    maps::register(registry);
    lambdas::register(registry);
    fold::register(registry);
    sort::register(registry);
    map_lambdas::register(registry);
}

#[cfg(test)]
mod oracle_tests;
