//! `describe`, `summary`, `crosstab`, `cov` and `corr`.
use spark_connect_proto::{
    Aggregate, Expression, Project, Relation, StatCorr, StatCov, StatCrosstab, StatDescribe,
    StatSummary,
    aggregate::{GroupType, Pivot},
    expression::{
        Alias, Cast, ExprType, Literal, UnresolvedAttribute, UnresolvedFunction, cast,
        literal::LiteralType,
    },
    relation::RelType,
};

use super::input;
use crate::{
    error::{Result, SparkError},
    planner::Planner,
    scope::Resolved,
    types::is_numeric,
};

fn expression(kind: ExprType) -> Expression {
    Expression {
        common: None,
        expr_type: Some(kind),
    }
}

fn column(name: &str) -> Expression {
    let quoted = crate::error::quoted_id(name);
    expression(ExprType::UnresolvedAttribute(UnresolvedAttribute {
        unparsed_identifier: quoted,
        plan_id: None,
        is_metadata_column: None,
    }))
}

fn call(name: &str, arguments: Vec<Expression>) -> Expression {
    expression(ExprType::UnresolvedFunction(UnresolvedFunction {
        function_name: name.to_string(),
        arguments,
        ..Default::default()
    }))
}

fn string(text: &str) -> Expression {
    expression(ExprType::Literal(Literal {
        data_type: None,
        literal_type: Some(LiteralType::String(text.to_string())),
    }))
}

fn double(value: f64) -> Expression {
    expression(ExprType::Literal(Literal {
        data_type: None,
        literal_type: Some(LiteralType::Double(value)),
    }))
}

fn as_string(inner: Expression) -> Expression {
    expression(ExprType::Cast(Box::new(Cast {
        expr: Some(Box::new(inner)),
        eval_mode: cast::EvalMode::Unspecified.into(),
        cast_to_type: Some(cast::CastToType::TypeStr("string".to_string())),
    })))
}

/// NULL for text that is no number.
fn as_double(inner: Expression) -> Expression {
    expression(ExprType::Cast(Box::new(Cast {
        expr: Some(Box::new(inner)),
        eval_mode: cast::EvalMode::Try.into(),
        cast_to_type: Some(cast::CastToType::TypeStr("double".to_string())),
    })))
}

fn named(inner: Expression, name: &str) -> Expression {
    expression(ExprType::Alias(Box::new(Alias {
        expr: Some(Box::new(inner)),
        name: vec![name.to_string()],
        metadata: None,
    })))
}

fn relation(kind: RelType) -> Relation {
    Relation {
        common: None,
        rel_type: Some(kind),
    }
}

impl Planner<'_> {
    pub(super) fn describe(&self, node: &StatDescribe) -> Result<Resolved> {
        let statistics = ["count", "mean", "stddev", "min", "max"].map(str::to_string);
        let child = input(&node.input, "StatDescribe")?;
        self.statistics_table(child, &node.cols, &statistics)
    }

    pub(super) fn summary(&self, node: &StatSummary) -> Result<Resolved> {
        let default =
            ["count", "mean", "stddev", "min", "25%", "50%", "75%", "max"].map(str::to_string);
        let statistics = if node.statistics.is_empty() {
            &default[..]
        } else {
            &node.statistics[..]
        };
        let child = input(&node.input, "StatSummary")?;
        self.statistics_table(child, &[], statistics)
    }

    /// A row for each statistic, a text column for each column.
    fn statistics_table(
        &self,
        child: &Relation,
        wanted: &[String],
        statistics: &[String],
    ) -> Result<Resolved> {
        let rows = self.relation(child)?;
        if rows.is_streaming {
            return Err(super::filter::streaming_action());
        }
        let all = rows.output.iter().filter(|a| {
            is_numeric(&a.data_type) || a.data_type == arrow::datatypes::DataType::Utf8
        });
        let columns: Vec<(String, bool)> = all
            .filter(|a| wanted.is_empty() || wanted.iter().any(|w| self.names.same(w, &a.name)))
            .map(|a| (a.name.clone(), is_numeric(&a.data_type)))
            .collect();
        for name in wanted {
            if !rows.output.iter().any(|a| self.names.same(&a.name, name)) {
                return Err(crate::scope::unresolved_column(
                    std::slice::from_ref(name),
                    rows.output.iter(),
                ));
            }
        }
        let mut branches: Option<Relation> = None;
        for statistic in statistics {
            let mut items = vec![named(string(statistic), "summary")];
            for (name, numeric) in &columns {
                items.push(named(
                    as_string(self.statistic(statistic, name, *numeric)?),
                    name,
                ));
            }
            let branch = relation(RelType::Aggregate(Box::new(Aggregate {
                input: Some(Box::new(child.clone())),
                group_type: GroupType::Groupby.into(),
                aggregate_expressions: items,
                ..Default::default()
            })));
            branches = Some(match branches {
                None => branch,
                Some(before) => relation(RelType::SetOp(Box::new(
                    spark_connect_proto::SetOperation {
                        left_input: Some(Box::new(before)),
                        right_input: Some(Box::new(branch)),
                        set_op_type: spark_connect_proto::set_operation::SetOpType::Union.into(),
                        is_all: Some(true),
                        ..Default::default()
                    },
                ))),
            });
        }
        let Some(table) = branches else {
            return Err(SparkError::internal("a summary of nothing"));
        };
        self.relation(&table)
    }

    fn statistic(&self, statistic: &str, name: &str, numeric: bool) -> Result<Expression> {
        let null = || {
            expression(ExprType::Literal(Literal {
                data_type: None,
                literal_type: Some(LiteralType::Null(spark_connect_proto::DataType {
                    kind: Some(spark_connect_proto::data_type::Kind::String(
                        Default::default(),
                    )),
                })),
            }))
        };
        Ok(match statistic.to_ascii_lowercase().as_str() {
            "count" => call("count", vec![column(name)]),
            "count_distinct" => expression(ExprType::UnresolvedFunction(UnresolvedFunction {
                function_name: "count".into(),
                arguments: vec![column(name)],
                is_distinct: true,
                ..Default::default()
            })),
            "min" => call("min", vec![column(name)]),
            "max" => call("max", vec![column(name)]),
            "mean" if !numeric => call("avg", vec![as_double(column(name))]),
            "mean" => call("avg", vec![column(name)]),
            "stddev" if !numeric => call("stddev", vec![as_double(column(name))]),
            "stddev" => call("stddev", vec![column(name)]),
            other => match other
                .strip_suffix('%')
                .and_then(|n| n.trim().parse::<f64>().ok())
            {
                Some(_) if !numeric => null(),
                Some(percent) => call(
                    "percentile_approx",
                    vec![column(name), double(percent / 100.0)],
                ),
                None => {
                    return Err(SparkError::plain(
                        crate::error::Exception::IllegalArgument,
                        format!("{other} is not a recognised statistic"),
                    ));
                }
            },
        })
    }

    pub(super) fn crosstab(&self, node: &StatCrosstab) -> Result<Resolved> {
        let child = input(&node.input, "StatCrosstab")?;
        let label = format!("{}_{}", node.col1, node.col2);
        let text = |name: &str| call("coalesce", vec![as_string(column(name)), string("null")]);
        let projected = relation(RelType::Project(Box::new(Project {
            input: Some(Box::new(child.clone())),
            expressions: vec![
                named(text(&node.col1), &label),
                named(text(&node.col2), "pivot#"),
            ],
        })));
        let table = relation(RelType::Aggregate(Box::new(Aggregate {
            input: Some(Box::new(projected)),
            group_type: GroupType::Pivot.into(),
            grouping_expressions: vec![column(&label)],
            aggregate_expressions: vec![call("count", vec![string("1")])],
            pivot: Some(Pivot {
                col: Some(column("pivot#")),
                values: vec![],
            }),
            ..Default::default()
        })));
        self.relation(&relation(RelType::FillNa(Box::new(
            spark_connect_proto::NaFill {
                input: Some(Box::new(table)),
                cols: vec![],
                values: vec![Literal {
                    data_type: None,
                    literal_type: Some(LiteralType::Long(0)),
                }],
            },
        ))))
    }

    pub(super) fn covariance(&self, node: &StatCov) -> Result<Resolved> {
        let item = named(
            call("covar_samp", vec![column(&node.col1), column(&node.col2)]),
            "cov",
        );
        self.one_number(input(&node.input, "StatCov")?, item)
    }

    pub(super) fn correlation(&self, node: &StatCorr) -> Result<Resolved> {
        if node.method.as_deref().is_some_and(|m| m != "pearson") {
            return Err(SparkError::unsupported(
                "a correlation other than Pearson's",
            ));
        }
        let item = named(
            call("corr", vec![column(&node.col1), column(&node.col2)]),
            "corr",
        );
        self.one_number(input(&node.input, "StatCorr")?, item)
    }

    fn one_number(&self, child: &Relation, item: Expression) -> Result<Resolved> {
        let rows = self.relation(child)?;
        self.select(rows, &[item])
    }
}
