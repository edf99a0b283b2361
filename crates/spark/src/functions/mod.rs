//! Spark's functions: one registry from name to definition, and the contract for writing a family of them.
//!
//! A family is a module with one function, `pub(super) fn register(registry: &mut Registry)`; [`Registry::builtin`]
//! calls them all. A [`Function`] says how it is called (name, aliases, [`Parameters`]) and what becomes of a call. The
//! resolver looks the name up in lower case, resolves the arguments, checks their number (`WRONG_NUM_ARGS`), casts them
//! implicitly as Spark does and refuses what cannot be cast (`DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE`). After that a
//! definition sees arguments of exactly the types it declared. An unknown name is `UNRESOLVED_ROUTINE`.
//!
//! # Scalar functions: a kernel
//!
//! The usual case. A kernel turns a [`Batch`] of argument arrays into one array. It must return the declared type (labels
//! inside nested types are fixed for it) and as many rows as the batch has. NULLs are its own business; most kernels map
//! over the values of arrow arrays. Errors are [`SparkError`](crate::error::SparkError)s; the place in the user's program is added for it.
//!
//! ```ignore
//! registry.add(
//!     Function::scalar("upper", [Accepts::STRING], Returns::Type(DataType::Utf8), upper).alias("ucase"),
//! );
//!
//! fn upper(batch: &Batch<'_>) -> Result<ArrayRef> {
//!     let text = batch.strings(0)?;
//!     let upper: StringArray = text.iter().map(|t| t.map(str::to_uppercase)).collect();
//!     Ok(Arc::new(upper))
//! }
//! ```
//!
//! [`Returns::Type`] is NULL only if an argument is; [`Returns::Nullable`] may always be, [`Returns::NotNull`] never;
//! [`Returns::With`] computes both from the call, and may refuse it. A kernel that must prepare something from constant
//! arguments (a schema, a compiled pattern) implements [`PreparedKernel`] and is made in a [`Function::special`] with
//! [`Call::kernel`]. Names are Spark's `prettyName(arg, …)` unless [`Function::shown_as`] says otherwise.
//!
//! # Everything else: a builder
//!
//! [`Function::special`] gets the whole [`Call`] and returns a [`Resolution`]: an expression composed of others
//! (`nvl(a, b)` is a CASE), an aggregate, a generator, a window function. Arguments are checked against the parameters
//! first, as above. [`Function::rewrite`] is a special that returns a plain expression.
//!
//! ```ignore
//! // Composition: the name stays that of the call.
//! registry.add(Function::rewrite("isnull", Parameters::fixed([Accepts::Any]), |call| {
//!     let expr = call.arg(0)?.expr.clone().is_null();
//!     Ok(call.result(expr, DataType::Boolean, false))
//! }));
//!
//! // Aggregate: any DataFusion `AggregateUDF` whose state is columns. `call.aggregate` adds DISTINCT and FILTER, and
//! // words the name (`max(DISTINCT a) FILTER (WHERE …)`).
//! registry.add(Function::rewrite("max", Parameters::fixed([Accepts::Ordered]), |call| {
//!     let data_type = call.arg(0)?.data_type.clone();
//!     call.aggregate(max_udaf(), data_type, true)
//! }));
//!
//! // Generator: element rows that the projection turns into an unnest.
//! registry.add(Function::special("explode", Parameters::fixed([Accepts::one_of([Accepts::Array, Accepts::Map])]),
//!     |call| Ok(Resolution::Generator(Generator::explode(call, false)?))));
//!
//! // Window function: `lag(a) OVER (…)`; the frame comes from the OVER clause.
//! registry.add(Function::special("row_number", Parameters::none(),
//!     |call| call.window(row_number_udwf(), DataType::Int32, false)));
//! ```
//!
//! # Higher-order functions
//!
//! A lambda argument cannot be resolved before its parameter types are known: it arrives in [`Call::lambdas`], and
//! [`Call::bind`] resolves its body for given parameter types. `higher_order.rs` adapts the pair of array kernel and
//! bound body to DataFusion's `HigherOrderUDF`.
//!
//! # What to take from DataFusion
//!
//! Kernels of `datafusion-spark` and DataFusion are welcome where they have Spark's meaning, *checked against Spark*: many
//! share a name and differ in meaning (`array[0]`, `date_format`, `round`, `split`). Wrap one in
//! [`Call::scalar_udf`], which fixes type and nullability to what Spark says.
mod accepts;
mod aes;
mod aggregate;
mod call;
mod casts;
mod collection;
mod concat;
mod conditional;
mod constructors;
mod csv;
mod datetime;
mod definition;
mod encoding;
mod generator;
mod generators;
mod hash;
mod higher_order;
mod json;
mod kernel;
mod math;
mod misc;
mod operators;
mod ranking;
mod regex;
mod registry;
mod rows;
mod session_facts;
mod statistics;
mod string;

#[cfg(test)]
mod fixture_tests;

pub use accepts::Accepts;
pub use aggregate::{AggregateKernel, aggregate_of_kernel};
pub(crate) use aggregate::{GROUPING, GROUPING_ID};
pub(crate) use call::ordinal;
pub use call::{BoundLambda, Call, FunctionContext, LambdaBody, Ordering};
pub(crate) use constructors::named_struct;
pub use definition::wrong_num_args;
pub use definition::{Function, Parameters, Resolution, Returns, WindowCall};
pub use generator::{Generator, GeneratorKind};
pub use higher_order::{HigherOrderKernel, higher_order};
pub(crate) use kernel::KernelUdf;
pub use kernel::{Batch, EvalContext, Kernel, PreparedKernel};
pub(crate) use operators::add_calendar_interval;
pub use registry::Registry;
pub(crate) use registry::search_path;
pub use registry::unresolved_routine;
pub(crate) use session_facts::{bind_clock, rand_kernel, window_time};

/// Adds every family, in order: a later family may replace a function of an earlier one.
fn register_families(registry: &mut Registry) {
    operators::register(registry);
    conditional::register(registry);
    constructors::register(registry);
    aggregate::register(registry);
    generators::register(registry);
    ranking::register(registry);
    session_facts::register(registry);
    casts::register(registry);
    concat::register(registry);
    string::register(registry);
    regex::register(registry);
    encoding::register(registry);
    math::register(registry);
    aes::register(registry);
    hash::register(registry);
    json::register(registry);
    csv::register(registry);
    misc::register(registry);
    datetime::register(registry);
    collection::register(registry);
    statistics::register(registry);
}
