//! Lambda functions and their variables.
use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::logical_expr::{Expr, expr::LambdaVariable};
use spark_connect_proto::expression::LambdaFunction;

use super::{Expressions, extract};
use crate::{
    error::{Result, SparkError},
    functions::{BoundLambda, LambdaBody},
    typed::TypedExpr,
};

/// The variables of one lambda while its body is resolved.
pub(super) struct Frame {
    variables: Vec<(String, TypedExpr)>,
}

/// A lambda whose parameter types are not known yet.
pub(super) struct Unbound<'e, 'a> {
    expressions: &'e Expressions<'a>,
    lambda: &'e LambdaFunction,
}

impl<'e, 'a> Unbound<'e, 'a> {
    pub(super) fn new(expressions: &'e Expressions<'a>, lambda: &'e LambdaFunction) -> Self {
        Self {
            expressions,
            lambda,
        }
    }
}

impl LambdaBody for Unbound<'_, '_> {
    fn arity(&self) -> usize {
        self.lambda.arguments.len()
    }

    fn bind(&self, types: &[(DataType, bool)]) -> Result<BoundLambda> {
        if self.arity() > types.len() {
            return Err(SparkError::analysis(
                "INVALID_LAMBDA_FUNCTION_CALL.NUM_ARGS_MISMATCH",
                &[
                    ("expectedNumArgs", &self.arity().to_string()),
                    ("actualNumArgs", &types.len().to_string()),
                ],
            ));
        }
        let mut variables = vec![];
        let mut parameters = vec![];
        for (argument, (data_type, nullable)) in self.lambda.arguments.iter().zip(types) {
            let name = argument.name_parts.first().cloned().unwrap_or_default();
            let internal = self.expressions.planner.ids.column(&name).name;
            let field = Arc::new(Field::new(&internal, data_type.clone(), *nullable));
            let expr = Expr::LambdaVariable(LambdaVariable::new(internal.clone(), Some(field)));
            let value = TypedExpr::new(expr, data_type.clone(), *nullable, "namedlambdavariable()");
            variables.push((name, value));
            parameters.push(internal);
        }
        let body = self
            .lambda
            .function
            .as_deref()
            .ok_or_else(|| super::not_set("Lambda", "function"))?;
        self.expressions
            .lambdas
            .borrow_mut()
            .push(Frame { variables });
        let body = self.expressions.value(body);
        self.expressions.lambdas.borrow_mut().pop();
        let types = types.iter().take(parameters.len()).cloned().collect();
        Ok(BoundLambda {
            parameters,
            types,
            body: body?,
        })
    }
}

impl Expressions<'_> {
    pub(super) fn find_lambda_variable(&self, parts: &[String]) -> Result<Option<TypedExpr>> {
        let Some((name, fields)) = parts.split_first() else {
            return Ok(None);
        };
        let found = self.lambdas.borrow().iter().rev().find_map(|frame| {
            frame
                .variables
                .iter()
                .find(|(n, _)| self.names().same(n, name))
                .map(|(_, v)| v.clone())
        });
        let Some(mut value) = found else {
            return Ok(None);
        };
        for field in fields {
            value = extract::by_name(value, field, self.names())?;
        }
        Ok(Some(value))
    }

    pub(super) fn lambda_variable(&self, parts: &[String]) -> Result<TypedExpr> {
        self.find_lambda_variable(parts)?.ok_or_else(|| {
            SparkError::analysis(
                "UNRESOLVED_COLUMN.WITHOUT_SUGGESTION",
                &[("objectName", &crate::error::quoted_name(parts))],
            )
        })
    }
}
