//! Relations: from unresolved protobuf to [`Resolved`] plans, one node at a time, inputs first.
//!
//! Every node ends in a DataFusion plan whose columns have internal names; see [`crate::scope`]. Nodes that compute columns
//! go through `project.rs`, which is where generators, window functions, time windows and global aggregates are taken
//! apart into plan nodes of their own.
mod aggregate;
mod analytic;
mod columns;
mod deduplicate;
mod filter;
mod generate;
mod grouping;
mod join;
mod lateral;
mod local;
mod missing;
mod observe;
mod pivot;
mod project;
mod read;
mod sample;
mod session;
mod set_operation;
mod show;
mod sort;
mod statistics;
mod unpivot;
mod watermark;
mod window;

use spark_connect_proto::{Relation, relation::RelType};

pub(crate) use aggregate::AggregateParts;
pub(crate) use filter::streaming_action;
pub(crate) use local::{table_of_batches, unqualified};
pub(crate) use project::Below;
pub(crate) use read::table_not_found;

use crate::{
    error::{Exception, Result, SparkError},
    planner::Planner,
    scope::Resolved,
    sql::Statement,
};

/// The input of a node; every node but leaves must have one.
pub(crate) fn input<'r>(relation: &'r Option<Box<Relation>>, node: &str) -> Result<&'r Relation> {
    relation.as_deref().ok_or_else(|| {
        SparkError::new(
            Exception::InvalidPlan,
            "CONNECT_INVALID_PLAN.INVALID_ONE_OF_FIELD_NOT_SET",
            &[
                ("fullName", &format!("spark.connect.{node}")),
                ("name", "input"),
            ],
        )
    })
}

impl<'a> Planner<'a> {
    /// Resolves a relation and everything below it.
    pub(crate) fn relation(&self, relation: &Relation) -> Result<Resolved> {
        let plan_id = relation.common.as_ref().and_then(|c| c.plan_id);
        Ok(self.node(relation)?.with_plan_id(plan_id))
    }

    fn node(&self, relation: &Relation) -> Result<Resolved> {
        let Some(kind) = &relation.rel_type else {
            return Err(SparkError::new(
                Exception::InvalidPlan,
                "CONNECT_INVALID_PLAN.INVALID_ONE_OF_FIELD_NOT_SET",
                &[("fullName", "spark.connect.Relation"), ("name", "rel_type")],
            ));
        };
        match kind {
            RelType::Read(node) => self.read(node),
            RelType::Project(node) => self.project(node),
            RelType::Filter(node) => self.filter(node),
            RelType::Join(node) => self.join(node),
            RelType::SetOp(node) => self.set_operation(node),
            RelType::Sort(node) => self.sort(node),
            RelType::Limit(node) => self.limit(node),
            RelType::Offset(node) => self.offset(node),
            RelType::Tail(node) => self.tail(node),
            RelType::Aggregate(node) => self.aggregate(node),
            RelType::Sql(node) => self.sql(node),
            RelType::WithRelations(node) => self.with_relations(node),
            RelType::LocalRelation(node) => self.local_relation(node),
            RelType::CachedLocalRelation(node) => self.cached_local_relation(&node.hash),
            RelType::ChunkedCachedLocalRelation(node) => self.chunked_local_relation(node),
            RelType::CachedRemoteRelation(node) => {
                self.catalog.cached_remote(self, &node.relation_id)
            }
            RelType::Range(node) => self.range(node),
            RelType::Sample(node) => self.sample(node),
            RelType::Deduplicate(node) => self.deduplicate(node),
            RelType::SubqueryAlias(node) => self.subquery_alias(node),
            RelType::Repartition(node) => self.repartition(node),
            RelType::RepartitionByExpression(node) => self.repartition_by_expression(node),
            RelType::Hint(node) => self.hint(node),
            RelType::ToDf(node) => self.to_df(node),
            RelType::ToSchema(node) => self.to_schema(node),
            RelType::WithColumns(node) => self.with_columns(node),
            RelType::WithColumnsRenamed(node) => self.with_columns_renamed(node),
            RelType::Drop(node) => self.drop_columns(node),
            RelType::FillNa(node) => self.fill_na(node),
            RelType::DropNa(node) => self.drop_na(node),
            RelType::Replace(node) => self.replace(node),
            RelType::Unpivot(node) => self.unpivot(node),
            RelType::WithWatermark(node) => self.with_watermark(node),
            RelType::CollectMetrics(node) => self.collect_metrics(node),
            RelType::Parse(node) => self.parse(node),
            RelType::ShowString(node) => self.show_string(node),
            RelType::HtmlString(node) => self.html_string(node),
            RelType::Summary(node) => self.summary(node),
            RelType::Describe(node) => self.describe(node),
            RelType::Crosstab(node) => self.crosstab(node),
            RelType::Cov(node) => self.covariance(node),
            RelType::Corr(node) => self.correlation(node),
            RelType::LateralJoin(node) => self.lateral_join(node),
            RelType::UnresolvedTableValuedFunction(node) => self.table_function(node),
            RelType::Catalog(node) => self.catalog.catalog_relation(self, node),
            other => Err(SparkError::unsupported(format!(
                "the relation {}",
                name_of(other)
            ))),
        }
    }

    fn sql(&self, sql: &spark_connect_proto::Sql) -> Result<Resolved> {
        match crate::sql::parse_sql_relation(sql, &self.context.eval.time_zone)? {
            Statement::Query(relation) => self.relation(&relation),
            Statement::Command(command) => self.catalog.statement(self, &command),
        }
    }

    fn with_relations(&self, node: &spark_connect_proto::WithRelations) -> Result<Resolved> {
        self.refer(&node.references);
        let root = node.root.as_deref().ok_or_else(|| {
            SparkError::analysis("CONNECT_INVALID_PLAN.INVALID_WITH_RELATION_REFERENCE", &[])
        })?;
        self.relation(root)
    }
}

/// The name of a relation in messages.
fn name_of(kind: &RelType) -> String {
    let debug = format!("{kind:?}");
    debug
        .split(['(', ' ', '{'])
        .next()
        .unwrap_or_default()
        .to_string()
}
