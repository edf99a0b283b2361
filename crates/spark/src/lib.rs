//! Spark's language: Spark Connect relations and expressions resolved to DataFusion plans, with Spark's meaning.
//!
//! A plan arrives as Spark Connect protobuf, unresolved: names are text, types are missing, casts are implicit. SQL text is
//! parsed into the same protobuf by [`sql`]. Resolution gives a DataFusion `LogicalPlan` in which nothing is left to be
//! guessed, and beside it what Spark knows and DataFusion does not: column names as users see them, nullability, metadata.
//!
//! | module | owns |
//! |---|---|
//! | [`error`] | Spark's error conditions, messages and exception classes |
//! | [`types`] | Spark types as Arrow types |
//! | [`conf`] | a session's configuration |
//! | [`typed`] | resolved expressions |
//! | [`cast`] | `CAST` and implicit casts |
//! | [`functions`] | the function registry and the contract of function families |
//! | [`literal`], [`interval`] | constants |
//! | [`sql`] | SQL text to protobuf |
//! | [`session`] | a session: catalog, views, commands, execution |
//! | [`streaming`] | starting streaming queries |
pub mod cast;
mod coercion;
pub mod conf;
pub mod error;
mod expression;
mod fold;
pub mod functions;
pub mod interval;
pub mod literal;
mod planner;
mod range;
mod relation;
pub mod scope;
pub mod session;
pub mod sql;
pub mod streaming;
pub mod typed;
pub mod types;
