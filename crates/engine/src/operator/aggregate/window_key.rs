//! `window_key(start, end)`: the struct of a time window from the two columns it was while grouping.
//!
//! A window always has a start, so one without is no window: the NULL of a grouping set that does not have it.
use std::{hash::Hash, sync::Arc};

use arrow::{
    array::{ArrayRef, StructArray},
    datatypes::{DataType, FieldRef},
};
use datafusion::{
    common::{Result, internal_err},
    logical_expr::{
        ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
        Signature, Volatility,
    },
};

/// Name of the function.
pub(in crate::operator) const WINDOW_KEY: &str = "window_key";

/// `window_key(start, end)`: the window as the query knows it.
pub(crate) fn join_window(start: Expr, end: Expr, window: FieldRef) -> Expr {
    let udf = ScalarUDF::new_from_impl(WindowKey {
        window,
        signature: Signature::any(2, Volatility::Immutable),
    });
    udf.call(vec![start, end])
}

/// `start` or `end` of a window.
pub(crate) fn window_part(window: Expr, part: &str) -> Expr {
    datafusion::functions::core::expr_fn::get_field(window, part)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct WindowKey {
    window: FieldRef,
    signature: Signature,
}

impl ScalarUDFImpl for WindowKey {
    fn name(&self) -> &str {
        WINDOW_KEY
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.window.data_type().clone())
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs) -> Result<FieldRef> {
        Ok(Arc::clone(&self.window))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let DataType::Struct(fields) = self.window.data_type() else {
            return internal_err!("a time window is a struct");
        };
        let bounds = args
            .args
            .into_iter()
            .map(|bound| bound.into_array(args.number_rows))
            .collect::<Result<Vec<ArrayRef>>>()?;
        let present = bounds.first().and_then(|start| start.nulls().cloned());
        let windows =
            StructArray::try_new_with_length(fields.clone(), bounds, present, args.number_rows)?;
        Ok(ColumnarValue::Array(Arc::new(windows)))
    }
}
