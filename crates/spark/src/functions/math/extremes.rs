//! `greatest` and `least`.
use std::{cmp::Ordering, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, make_comparator, new_null_array},
    compute::{SortOptions, interleave},
};

use crate::{
    coercion,
    error::{Result, SparkError, quoted_id},
    functions::{
        Accepts, Batch, Call, Function, Parameters, PreparedKernel, Registry, rows::with_args,
    },
    typed::TypedExpr,
    types::{is_orderable, same_type},
};

pub(super) fn register(registry: &mut Registry) {
    for (name, wanted) in [("greatest", Ordering::Greater), ("least", Ordering::Less)] {
        let parameters = Parameters::variadic(2, Accepts::Any);
        registry.add(Function::rewrite(name, parameters, move |call| {
            extreme_call(call, wanted)
        }));
    }
}

fn extreme_call(call: &Call<'_>, wanted: Ordering) -> Result<TypedExpr> {
    let name = call.name();
    let mixed = || {
        let types: Vec<String> = call.args.iter().map(TypedExpr::type_sql).collect();
        let function = quoted_id(call.called);
        let types = format!("[{}]", types.join(", "));
        call.mismatch(
            "DATA_DIFF_TYPES",
            &[("functionName", &function), ("dataType", &types)],
        )
    };
    let types = call.args.iter().map(|a| &a.data_type);
    // Text is not compared with anything else.
    let texts = |t: &&arrow::datatypes::DataType| **t == arrow::datatypes::DataType::Utf8;
    let nulls = |t: &&arrow::datatypes::DataType| **t == arrow::datatypes::DataType::Null;
    let (text, other) = (
        types.clone().any(|t| texts(&t)),
        types.clone().any(|t| !texts(&t) && !nulls(&t)),
    );
    if text && other {
        return Err(mixed());
    }
    let unified = coercion::unify(call.args.clone(), &call.context.eval)?;
    let (args, data_type) = unified.ok_or_else(mixed)?;
    if !args.iter().all(|a| same_type(&a.data_type, &data_type)) {
        return Err(mixed());
    }
    if !is_orderable(&data_type) {
        return Err(call.mismatch(
            "INVALID_ORDERING_TYPE",
            &[
                ("functionName", &quoted_id(call.called)),
                (
                    "dataType",
                    &crate::error::quoted(crate::types::sql_name(&data_type)),
                ),
            ],
        ));
    }
    let nullable = args.iter().all(|a| a.nullable);
    let call = with_args(call, args);
    Ok(call
        .kernel(Arc::new(Extreme { wanted }), data_type, nullable)
        .named(name))
}

#[derive(Debug)]
struct Extreme {
    wanted: Ordering,
}

impl PreparedKernel for Extreme {
    fn fingerprint(&self) -> String {
        format!("{:?}", self.wanted)
    }

    /// NULLs are left out; NaN is greater than any number.
    fn evaluate(&self, batch: &Batch<'_>) -> Result<ArrayRef> {
        let arrays = batch.arrays()?;
        let mut best: Vec<Option<usize>> = vec![None; batch.len()];
        for (index, array) in arrays.iter().enumerate() {
            let comparators: Vec<_> = arrays
                .iter()
                .take(index)
                .map(|earlier| make_comparator(array, earlier, SortOptions::default()))
                .collect::<std::result::Result<_, _>>()?;
            for (row, best) in best.iter_mut().enumerate() {
                if array.is_null(row) {
                    continue;
                }
                let beats = match *best {
                    None => true,
                    Some(earlier) => {
                        comparators
                            .get(earlier)
                            .ok_or_else(|| SparkError::internal("an argument was not compared"))?(
                            row, row,
                        ) == self.wanted
                    }
                };
                if beats {
                    *best = Some(index);
                }
            }
        }
        let nulls = new_null_array(batch.return_type(), 1);
        let mut sources: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
        let null_source = sources.len();
        sources.push(nulls.as_ref());
        let picks: Vec<(usize, usize)> = best
            .iter()
            .enumerate()
            .map(|(row, best)| best.map_or((null_source, 0), |index| (index, row)))
            .collect();
        Ok(interleave(&sources, &picks)?)
    }
}
