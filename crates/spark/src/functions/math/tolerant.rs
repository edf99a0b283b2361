//! `try_add`, `try_subtract`, `try_multiply`, `try_divide`, `try_mod`: NULL where the operator fails.
//!
//! The operator itself is computed, with its own rules of types, over whole batches. Only a batch in which some row
//! fails is computed again, in halves, until the failing rows are alone.
use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, new_null_array},
    compute::concat,
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use datafusion::{
    common::DFSchema,
    logical_expr::{col, execution_props::ExecutionProps},
    physical_expr::{PhysicalExpr, create_physical_expr},
};

use crate::{
    error::{Result, SparkError},
    functions::{
        Accepts, Batch, Call, EvalContext, Function, FunctionContext, PreparedKernel, Registry,
        Resolution,
    },
    typed::TypedExpr,
};

pub(super) fn register(registry: &mut Registry) {
    for (name, operator) in [
        ("try_add", "+"),
        ("try_subtract", "-"),
        ("try_multiply", "*"),
        ("try_divide", "/"),
        ("try_mod", "%"),
    ] {
        registry.add(Function::rewrite(
            name,
            [Accepts::Any, Accepts::Any],
            move |call| tolerant_call(call, operator),
        ));
    }
}

fn tolerant_call(call: &Call<'_>, operator: &'static str) -> Result<TypedExpr> {
    // The operator over columns that stand for the arguments; constants stay, as they have types of their own.
    let mut fields = vec![];
    let mut operands = vec![];
    for (index, arg) in call.args.iter().enumerate() {
        let column = format!("c{index}");
        let mut operand = arg.clone();
        if operand.as_literal().is_none() {
            operand.expr = col(&column);
        }
        fields.push(Field::new(column, arg.data_type.clone(), true));
        operands.push(operand);
    }
    // Operators only fail under ANSI rules: without them an overflow would wrap.
    let context = FunctionContext {
        eval: Arc::new(EvalContext {
            ansi: true,
            ..EvalContext::clone(&call.context.eval)
        }),
        ..call.context.clone()
    };
    let resolution = Registry::builtin().call(Call::new(operator, operands, &context));
    let Resolution::Value(computed) = resolution? else {
        return Err(SparkError::internal(format!(
            "the operator {operator} is not a value"
        )));
    };
    let schema = Arc::new(Schema::new(fields));
    let expr = create_physical_expr(
        &computed.expr,
        &DFSchema::try_from(Arc::clone(&schema))?,
        &ExecutionProps::new(),
        &Default::default(),
    )?;
    let kernel = Tolerant {
        operator,
        expr,
        schema,
    };
    Ok(call.kernel(Arc::new(kernel), computed.data_type, true))
}

#[derive(Debug)]
struct Tolerant {
    operator: &'static str,
    expr: Arc<dyn PhysicalExpr>,
    schema: SchemaRef,
}

impl PreparedKernel for Tolerant {
    fn fingerprint(&self) -> String {
        format!("{} {}", self.operator, self.expr)
    }

    fn evaluate(&self, batch: &Batch<'_>) -> Result<ArrayRef> {
        let options = RecordBatchOptions::new().with_row_count(Some(batch.len()));
        let columns = batch.arrays()?;
        let schema = Arc::clone(&self.schema);
        let rows = RecordBatch::try_new_with_options(schema, columns, &options)?;
        self.rows(&rows, batch.return_type())
    }
}

impl Tolerant {
    fn rows(&self, rows: &RecordBatch, data_type: &DataType) -> Result<ArrayRef> {
        let computed = self
            .expr
            .evaluate(rows)
            .and_then(|v| v.into_array(rows.num_rows()));
        let error = match computed {
            Ok(array) => return Ok(array),
            Err(error) => SparkError::from(error),
        };
        // A fault of ours is no answer.
        if error.is("INTERNAL_ERROR") {
            return Err(error);
        }
        let count = rows.num_rows();
        if count <= 1 {
            return Ok(new_null_array(data_type, count));
        }
        let half = count / 2;
        let first = self.rows(&rows.slice(0, half), data_type)?;
        let second = self.rows(&rows.slice(half, count - half), data_type)?;
        Ok(concat(&[first.as_ref() as &dyn Array, second.as_ref()])?)
    }
}
