//! Aggregate functions beyond sums and extremes.
//!
//! Their states are columns, so that streaming queries can keep them. Moments are updated and merged by the formulas Spark
//! uses, one value at a time, which makes results equal to the last bit where the order of rows is.
//!
//! | module | functions |
//! |---|---|
//! | `flags` | `count_if`, `bool_and`, `bool_or`, `bit_and`, `bit_or`, `bit_xor`, `approx_count_distinct` |
//! | `moments` | `stddev`, `variance`, `skewness`, `kurtosis`, `product` |
//! | `pairs` | `corr`, `covar_pop`, `covar_samp`, `regr_…` |
//! | `by_order` | `max_by`, `min_by` |
//! | `percentiles` | `percentile`, `percentile_approx`, `percentile_cont`, `percentile_disc`, `median`, `mode` |
//! | `histogram`, `sketch` | `histogram_numeric`, `count_min_sketch` |
//! | `text` | `listagg` |
mod by_order;
mod flags;
mod histogram;
mod java_random;
mod moments;
mod pairs;
mod percentiles;
mod running;
mod sketch;
mod text;

use super::Registry;

/// Adds the family.
pub(super) fn register(registry: &mut Registry) {
    flags::register(registry);
    moments::register(registry);
    pairs::register(registry);
    by_order::register(registry);
    percentiles::register(registry);
    histogram::register(registry);
    sketch::register(registry);
    text::register(registry);
}
