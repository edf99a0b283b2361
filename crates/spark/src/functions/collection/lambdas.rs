//! `transform`, `filter`, `exists`, `forall`, `zip_with`: one evaluation of the lambda for all elements of a batch.
use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array, ListArray, UInt64Array},
    buffer::NullBuffer,
    compute::take,
    datatypes::DataType,
};
use datafusion::logical_expr::LambdaArgument;

use super::elements::{Gathered, Spans, item_of};
use crate::{
    error::{Result, SparkError},
    functions::{
        Accepts, Batch, BoundLambda, Call, Function, HigherOrderKernel, Parameters, Registry,
        higher_order,
    },
    typed::TypedExpr,
    types::list,
};

pub(super) fn register(registry: &mut Registry) {
    let one = || Parameters::fixed([Accepts::Array, Accepts::Any]);
    registry.add(Function::rewrite("transform", one(), |call| {
        let lambda = bind_element(call)?;
        let data_type = list(lambda.body.data_type.clone(), lambda.body.nullable);
        let nullable = call.arg(0)?.nullable;
        Ok(higher_order(
            call,
            transform,
            vec![lambda],
            data_type,
            nullable,
        ))
    }));
    registry.add(Function::rewrite("filter", one(), |call| {
        let lambda = predicate(call, bind_element(call)?)?;
        let (data_type, nullable) = (call.arg(0)?.data_type.clone(), call.arg(0)?.nullable);
        Ok(higher_order(
            call,
            filter,
            vec![lambda],
            data_type,
            nullable,
        ))
    }));
    for (name, kernel) in [("exists", exists as HigherOrderKernel), ("forall", forall)] {
        registry.add(Function::rewrite(name, one(), move |call| {
            let element = item_of(call, 0)?;
            let lambda = predicate(call, call.bind(0, &[element])?)?;
            let nullable = call.arg(0)?.nullable || lambda.body.nullable;
            Ok(higher_order(
                call,
                kernel,
                vec![lambda],
                DataType::Boolean,
                nullable,
            ))
        }));
    }
    let two = Parameters::fixed([Accepts::Array, Accepts::Array, Accepts::Any]);
    registry.add(Function::rewrite("zip_with", two, |call| {
        let elements = [(item_of(call, 0)?.0, true), (item_of(call, 1)?.0, true)];
        let lambda = call.bind(0, &elements)?;
        let data_type = list(lambda.body.data_type.clone(), lambda.body.nullable);
        Ok(higher_order(
            call,
            zip_with,
            vec![lambda],
            data_type,
            call.any_nullable(),
        ))
    }));
}

/// Of one parameter, the element; of two, the element and its index from zero.
fn bind_element(call: &Call<'_>) -> Result<BoundLambda> {
    let element = item_of(call, 0)?;
    match call.lambdas.first().map(|l| l.arity()) {
        Some(2) => call.bind(0, &[element, (DataType::Int32, false)]),
        _ => call.bind(0, &[element]),
    }
}

/// The lambda as messages and names show it.
pub(super) fn lambda_text(lambda: &BoundLambda) -> String {
    let variables = vec!["namedlambdavariable()"; lambda.parameters.len()].join(", ");
    format!("lambdafunction({}, {variables})", lambda.body.name)
}

/// The call's text, lambdas included.
pub(super) fn call_text(call: &Call<'_>, lambdas: &[&BoundLambda]) -> String {
    let mut parts: Vec<String> = call.args.iter().map(|a| a.name.clone()).collect();
    parts.extend(lambdas.iter().map(|l| lambda_text(l)));
    format!("{}({})", call.shown, parts.join(", "))
}

/// The refusal of a lambda that returns another type than `required`.
pub(super) fn wrong_body(
    call: &Call<'_>,
    lambdas: &[&BoundLambda],
    lambda: &BoundLambda,
    index: usize,
    required: &str,
) -> SparkError {
    SparkError::analysis(
        "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE",
        &[
            ("sqlExpr", &crate::error::quoted(call_text(call, lambdas))),
            ("paramIndex", crate::functions::ordinal(index)),
            ("requiredType", required),
            ("inputSql", &crate::error::quoted(lambda_text(lambda))),
            ("inputType", &lambda.body.type_sql()),
        ],
    )
}

/// A lambda that must return BOOLEAN.
pub(super) fn predicate(call: &Call<'_>, mut lambda: BoundLambda) -> Result<BoundLambda> {
    match lambda.body.data_type {
        DataType::Boolean => {}
        DataType::Null => {
            lambda.body = crate::cast::coerce(lambda.body, &DataType::Boolean, &call.context.eval)?
        }
        _ => {
            return Err(wrong_body(
                call,
                &[&lambda],
                &lambda,
                call.args.len(),
                "\"BOOLEAN\"",
            ));
        }
    }
    Ok(lambda)
}

/// Evaluates a lambda over `rows` elements; element `i` belongs to row `owners[i]`.
pub(super) fn evaluate(
    lambda: &LambdaArgument,
    parameters: &[ArrayRef],
    owners: &[u64],
) -> Result<ArrayRef> {
    let rows = owners.len();
    let owners = UInt64Array::from(owners.to_vec());
    let parameters: Vec<_> = parameters
        .iter()
        .map(|p| {
            let p = Arc::clone(p);
            move || Ok(Arc::clone(&p))
        })
        .collect();
    let parameters: Vec<&dyn Fn() -> datafusion::common::Result<ArrayRef>> = parameters
        .iter()
        .map(|p| p as &dyn Fn() -> datafusion::common::Result<ArrayRef>)
        .collect();
    let value = lambda.evaluate(&parameters, |captured| {
        captured
            .iter()
            .map(|c| Ok(take(c, &owners, None)?))
            .collect()
    })?;
    Ok(value.into_array(rows)?)
}

/// The lambda of a call.
pub(super) fn lambda_at(lambdas: &[LambdaArgument], index: usize) -> Result<&LambdaArgument> {
    lambdas
        .get(index)
        .ok_or_else(|| SparkError::internal(format!("no lambda {index}")))
}

/// The elements of all rows in order, their rows, and their indexes.
struct Elements {
    values: ArrayRef,
    owners: Vec<u64>,
    indexes: ArrayRef,
    lengths: Vec<usize>,
    nulls: Option<NullBuffer>,
}

impl Elements {
    fn of(lists: &ListArray) -> Result<Self> {
        let (mut picks, mut owners, mut indexes, mut lengths) = (vec![], vec![], vec![], vec![]);
        for row in 0..lists.len() {
            let span = lists.span(row).unwrap_or(0..0);
            lengths.push(span.len());
            owners.extend(std::iter::repeat_n(row as u64, span.len()));
            indexes.extend(0..span.len() as i32);
            picks.extend(span.map(|at| at as u64));
        }
        let values = take(lists.values(), &UInt64Array::from(picks), None)?;
        let indexes: ArrayRef = Arc::new(Int32Array::from(indexes));
        Ok(Self {
            values,
            owners,
            indexes,
            lengths,
            nulls: lists.nulls().cloned(),
        })
    }

    fn evaluate(&self, lambdas: &[LambdaArgument]) -> Result<ArrayRef> {
        let parameters = [Arc::clone(&self.values), Arc::clone(&self.indexes)];
        evaluate(lambda_at(lambdas, 0)?, &parameters, &self.owners)
    }

    /// One array for each row of what was computed for its elements.
    fn regroup(self, values: ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
        let mut out = Gathered::new(vec![values], self.lengths.len());
        let mut start = 0;
        for (row, length) in self.lengths.iter().enumerate() {
            if self.nulls.as_ref().is_some_and(|n| n.is_null(row)) {
                out.end_null();
                continue;
            }
            out.extend(0, start..start + length);
            start += length;
            out.end();
        }
        out.finish(data_type)
    }
}

fn transform(batch: &Batch<'_>, lambdas: &[LambdaArgument]) -> Result<ArrayRef> {
    let elements = Elements::of(&batch.lists(0)?)?;
    let values = elements.evaluate(lambdas)?;
    elements.regroup(values, batch.return_type())
}

fn is_true(flags: &BooleanArray, at: usize) -> bool {
    flags.is_valid(at) && flags.value(at)
}

fn filter(batch: &Batch<'_>, lambdas: &[LambdaArgument]) -> Result<ArrayRef> {
    let elements = Elements::of(&batch.lists(0)?)?;
    let flags = elements.evaluate(lambdas)?;
    let flags = flags.as_boolean();
    let mut out = Gathered::new(vec![Arc::clone(&elements.values)], batch.len());
    let mut start = 0;
    for (row, length) in elements.lengths.iter().enumerate() {
        if elements.nulls.as_ref().is_some_and(|n| n.is_null(row)) {
            out.end_null();
            continue;
        }
        (start..start + length)
            .filter(|at| is_true(flags, *at))
            .for_each(|at| out.push(0, at));
        start += length;
        out.end();
    }
    out.finish(batch.return_type())
}

/// Three-valued: `decisive` if one element is so, else NULL if one is unknown.
fn quantify(batch: &Batch<'_>, lambdas: &[LambdaArgument], decisive: bool) -> Result<ArrayRef> {
    let elements = Elements::of(&batch.lists(0)?)?;
    let flags = elements.evaluate(lambdas)?;
    let flags = flags.as_boolean();
    let mut start = 0;
    let result: BooleanArray = elements
        .lengths
        .iter()
        .enumerate()
        .map(|(row, length)| {
            if elements.nulls.as_ref().is_some_and(|n| n.is_null(row)) {
                return None;
            }
            let mut span = start..start + length;
            start += length;
            if span
                .clone()
                .any(|at| flags.is_valid(at) && flags.value(at) == decisive)
            {
                return Some(decisive);
            }
            span.all(|at| flags.is_valid(at)).then_some(!decisive)
        })
        .collect();
    Ok(Arc::new(result))
}

fn exists(batch: &Batch<'_>, lambdas: &[LambdaArgument]) -> Result<ArrayRef> {
    quantify(batch, lambdas, true)
}

fn forall(batch: &Batch<'_>, lambdas: &[LambdaArgument]) -> Result<ArrayRef> {
    quantify(batch, lambdas, false)
}

/// As long as the longer array; the other is filled with NULLs.
fn zip_with(batch: &Batch<'_>, lambdas: &[LambdaArgument]) -> Result<ArrayRef> {
    let (left, right) = (batch.lists(0)?, batch.lists(1)?);
    let (mut left_picks, mut right_picks): (Vec<Option<u64>>, Vec<Option<u64>>) = (vec![], vec![]);
    let (mut owners, mut lengths) = (vec![], vec![]);
    let nulls = NullBuffer::union(left.nulls(), right.nulls());
    for row in 0..batch.len() {
        let spans = (left.span(row), right.span(row));
        let (a, b) = match spans {
            (Some(a), Some(b)) => (a, b),
            _ => (0..0, 0..0),
        };
        let length = a.len().max(b.len());
        lengths.push(length);
        owners.extend(std::iter::repeat_n(row as u64, length));
        for at in 0..length {
            left_picks.push((at < a.len()).then_some((a.start + at) as u64));
            right_picks.push((at < b.len()).then_some((b.start + at) as u64));
        }
    }
    let values = take(left.values(), &UInt64Array::from(left_picks), None)?;
    let others = take(right.values(), &UInt64Array::from(right_picks), None)?;
    let results = evaluate(
        lambda_at(lambdas, 0)?,
        &[Arc::clone(&values), others],
        &owners,
    )?;
    let indexes: ArrayRef = Arc::new(Int32Array::from(Vec::<i32>::new()));
    Elements {
        values,
        owners,
        indexes,
        lengths,
        nulls,
    }
    .regroup(results, batch.return_type())
}

/// `typed` under the name of the call with these lambdas.
pub(super) fn renamed(typed: TypedExpr, call: &Call<'_>, lambdas: &[&BoundLambda]) -> TypedExpr {
    let name = call_text(call, lambdas);
    typed.named(name)
}
