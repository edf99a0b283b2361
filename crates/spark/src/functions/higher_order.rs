//! The adapter between a higher-order function and DataFusion's `HigherOrderUDF`.
use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use arrow::{
    array::ArrayRef,
    datatypes::{DataType, Field, FieldRef},
};
use datafusion::logical_expr::{
    ColumnarValue, Expr, HigherOrderFunctionArgs, HigherOrderReturnFieldArgs, HigherOrderSignature,
    HigherOrderUDF, HigherOrderUDFImpl, LambdaArgument, LambdaParametersProgress, ValueOrLambda,
    Volatility,
    expr::{HigherOrderFunction, Lambda},
};

use super::{Batch, BoundLambda, Call, EvalContext};
use crate::{error::Result, typed::TypedExpr, types::relabel};

/// Computes a higher-order function: the value arguments are in the batch, and each lambda is evaluated over as many
/// element rows as the kernel likes ([`LambdaArgument::evaluate`] spreads the columns it captures).
pub type HigherOrderKernel = fn(&Batch<'_>, &[LambdaArgument]) -> Result<ArrayRef>;

/// A higher-order function over the call's values and `lambdas`.
pub fn higher_order(
    call: &Call<'_>,
    kernel: HigherOrderKernel,
    lambdas: Vec<BoundLambda>,
    data_type: DataType,
    nullable: bool,
) -> TypedExpr {
    let parameters = lambdas
        .iter()
        .map(|l| {
            l.parameters
                .iter()
                .zip(&l.types)
                .map(|(name, (t, n))| Arc::new(Field::new(name, t.clone(), *n)))
                .collect()
        })
        .collect();
    let udf = LambdaUdf {
        name: call.called.to_string(),
        kernel,
        parameters,
        returns: Arc::new(Field::new(call.called, data_type.clone(), nullable)),
        context: Arc::clone(&call.context.eval),
        signature: HigherOrderSignature::user_defined(Volatility::Immutable),
    };
    let mut args: Vec<Expr> = call.args.iter().map(|a| a.expr.clone()).collect();
    let names: Vec<String> = call
        .args
        .iter()
        .map(|a| a.name.clone())
        .chain(lambdas.iter().map(|l| {
            let variables = vec!["namedlambdavariable()"; l.parameters.len()].join(", ");
            format!("lambdafunction({}, {variables})", l.body.name)
        }))
        .collect();
    args.extend(
        lambdas
            .into_iter()
            .map(|l| Expr::Lambda(Lambda::new(l.parameters, l.body.expr))),
    );
    let function = HigherOrderFunction::new(Arc::new(HigherOrderUDF::new_from_impl(udf)), args);
    let name = format!("{}({})", call.shown, names.join(", "));
    call.result(Expr::HigherOrderFunction(function), data_type, nullable)
        .named(name)
}

struct LambdaUdf {
    name: String,
    kernel: HigherOrderKernel,
    parameters: Vec<Vec<FieldRef>>,
    returns: FieldRef,
    context: Arc<EvalContext>,
    signature: HigherOrderSignature,
}

impl LambdaUdf {
    fn identity(&self) -> (&str, &Vec<Vec<FieldRef>>, &FieldRef, &EvalContext) {
        (&self.name, &self.parameters, &self.returns, &self.context)
    }
}

impl fmt::Debug for LambdaUdf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LambdaUdf")
            .field("name", &self.name)
            .field("returns", &self.returns)
            .finish()
    }
}

impl PartialEq for LambdaUdf {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for LambdaUdf {}

impl Hash for LambdaUdf {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

impl HigherOrderUDFImpl for LambdaUdf {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &HigherOrderSignature {
        &self.signature
    }

    fn lambda_parameters(
        &self,
        _: usize,
        _: &[ValueOrLambda<FieldRef, Option<FieldRef>>],
    ) -> datafusion::common::Result<LambdaParametersProgress> {
        Ok(LambdaParametersProgress::Complete(self.parameters.clone()))
    }

    fn coerce_value_types(&self, types: &[DataType]) -> datafusion::common::Result<Vec<DataType>> {
        Ok(types.to_vec())
    }

    fn return_field_from_args(
        &self,
        _: HigherOrderReturnFieldArgs,
    ) -> datafusion::common::Result<FieldRef> {
        Ok(Arc::clone(&self.returns))
    }

    fn clear_null_values(&self) -> bool {
        true
    }

    fn invoke_with_args(
        &self,
        args: HigherOrderFunctionArgs,
    ) -> datafusion::common::Result<ColumnarValue> {
        let (mut values, mut lambdas) = (vec![], vec![]);
        for arg in args.args {
            match arg {
                ValueOrLambda::Value(value) => values.push(value),
                ValueOrLambda::Lambda(lambda) => lambdas.push(lambda),
            }
        }
        let batch = Batch::new(&values, args.number_rows, &self.context, &self.returns);
        let result = (self.kernel)(&batch, &lambdas)?;
        Ok(ColumnarValue::Array(relabel(
            &result,
            self.returns.data_type(),
        )?))
    }
}
