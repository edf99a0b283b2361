//! A resolved expression: DataFusion's expression together with what Spark knows about it.
//!
//! DataFusion derives types and nullability in its own way and prints names in its own way. Spark's answers are part of
//! the contract with clients (schema, column names, error messages), so they are computed here, beside the expression,
//! and never asked of DataFusion.
use arrow::datatypes::DataType;
use datafusion::{
    common::{Column, ScalarValue},
    logical_expr::{Expr, lit},
};

use crate::{
    error::{QueryContext, quoted},
    types::{Metadata, sql_name},
};

/// An expression of known type, nullability and name.
#[derive(Debug, Clone, PartialEq)]
pub struct TypedExpr {
    /// What DataFusion evaluates. Every operand has exactly the type it needs: no coercion is left to do.
    pub expr: Expr,
    /// Spark's type of the result.
    pub data_type: DataType,
    /// Whether Spark's schema says that the result may be NULL.
    pub nullable: bool,
    /// The expression as Spark prints it, e.g. `(a + 1)`: name of an unaliased column, and text in messages.
    pub name: String,
    /// Name of the column, where Spark takes another than `name`: the last part of `a.b`, the column below a cast.
    pub output_name: Option<String>,
    /// Column metadata that goes along: event-time and window marks, comments.
    pub metadata: Metadata,
    /// Qualifier of the column that this is, if it is nothing else.
    pub qualifier: Vec<String>,
    /// Where in the program, for errors at run time.
    pub context: Option<QueryContext>,
}

impl TypedExpr {
    /// An expression without metadata.
    pub fn new(expr: Expr, data_type: DataType, nullable: bool, name: impl Into<String>) -> Self {
        Self {
            expr,
            data_type,
            nullable,
            name: name.into(),
            output_name: None,
            metadata: Metadata::new(),
            qualifier: vec![],
            context: None,
        }
    }

    /// A constant named `name`.
    pub fn literal(value: ScalarValue, name: impl Into<String>) -> Self {
        let (data_type, nullable) = (value.data_type(), value.is_null());
        Self::new(lit(value), data_type, nullable, name)
    }

    /// A string constant, which Spark names by its text.
    pub fn string(text: impl Into<String>) -> Self {
        let text = text.into();
        Self::literal(ScalarValue::Utf8(Some(text.clone())), text)
    }

    /// An INT constant.
    pub fn int(value: i32) -> Self {
        Self::literal(ScalarValue::Int32(Some(value)), value.to_string())
    }

    /// A BOOLEAN constant.
    pub fn boolean(value: bool) -> Self {
        Self::literal(ScalarValue::Boolean(Some(value)), value.to_string())
    }

    /// NULL of type VOID.
    pub fn null() -> Self {
        Self::literal(ScalarValue::Null, "NULL")
    }

    /// The same value under another expression text.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self.output_name = None;
        self
    }

    /// The constant, if this is one as it stands (nothing is folded).
    pub fn as_literal(&self) -> Option<&ScalarValue> {
        match &self.expr {
            Expr::Literal(value, _) => Some(value),
            _ => None,
        }
    }

    /// The text, if this is a string constant.
    pub fn as_string_literal(&self) -> Option<&str> {
        match self.as_literal()? {
            ScalarValue::Utf8(Some(text)) => Some(text),
            _ => None,
        }
    }

    /// The column, if this is nothing but one.
    pub fn as_column(&self) -> Option<&Column> {
        match &self.expr {
            Expr::Column(column) => Some(column),
            _ => None,
        }
    }

    /// Whether Spark takes the value for one that depends on the row alone. Other calls that are evaluated anew for every
    /// row count as such: the time of a batch, or a call that does nothing but raise an error.
    pub fn is_deterministic(&self) -> bool {
        use datafusion::common::tree_node::TreeNode;
        const OTHERWISE: [&str; 9] = [
            "monotonically_increasing_id",
            "rand",
            "randn",
            "random",
            "randstr",
            "shuffle",
            "spark_partition_id",
            "uniform",
            "uuid",
        ];
        !self
            .expr
            .exists(|expr| {
                Ok(matches!(expr, Expr::ScalarFunction(call) if OTHERWISE.contains(&call.func.name())))
            })
            .unwrap_or(true)
    }

    /// Whether the value is the same for every row: no column, lambda variable, subquery, aggregate or volatile call.
    pub fn is_foldable(&self) -> bool {
        use datafusion::common::tree_node::TreeNode;
        !self.expr.is_volatile()
            && !self
                .expr
                .exists(|e| {
                    Ok(matches!(
                        e,
                        Expr::Column(_)
                            | Expr::OuterReferenceColumn(_, _)
                            | Expr::AggregateFunction(_)
                            | Expr::WindowFunction(_)
                            | Expr::ScalarSubquery(_)
                            | Expr::InSubquery(_)
                            | Expr::Exists(_)
                            | Expr::LambdaVariable(_)
                    ))
                })
                .unwrap_or(true)
    }

    /// Whether an aggregate function is somewhere inside.
    pub fn has_aggregate(&self) -> bool {
        use datafusion::common::tree_node::TreeNode;
        self.expr
            .exists(|e| Ok(matches!(e, Expr::AggregateFunction(_))))
            .unwrap_or(false)
    }

    /// Whether a window function is somewhere inside.
    pub fn has_window(&self) -> bool {
        use datafusion::common::tree_node::TreeNode;
        self.expr
            .exists(|e| Ok(matches!(e, Expr::WindowFunction(_))))
            .unwrap_or(false)
    }

    /// The expression as messages show it: `"(a + 1)"`.
    pub fn sql(&self) -> String {
        quoted(&self.name)
    }

    /// The type as messages show it: `"INT"`.
    pub fn type_sql(&self) -> String {
        quoted(sql_name(&self.data_type))
    }

    /// Name of a column made of this without an alias.
    pub fn column_name(&self) -> &str {
        self.output_name.as_deref().unwrap_or(&self.name)
    }
}
