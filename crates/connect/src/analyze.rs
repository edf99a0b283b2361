//! Questions about plans: schema, tree string, explain and the like.
use std::sync::{Arc, Once};

use millstream_spark::{
    error::SparkError,
    session::{refuse_streaming, same_semantics, semantic_hash},
};
use spark_connect_proto::{
    Plan, Relation, StorageLevel,
    analyze_plan_request::Analyze,
    analyze_plan_response::{
        DdlParse, Explain, GetStorageLevel, InputFiles, IsLocal, IsStreaming, JsonToDdl, Persist,
        Result as Answer, SameSemantics, Schema, SemanticHash, SparkVersion, TreeString, Unpersist,
    },
    plan::OpType,
    relation::RelType,
};

use crate::{error, sessions::Session};

/// The version of Spark whose client protocol this server speaks.
pub const SPARK_VERSION: &str = "4.2.0";

/// Answers one question.
pub async fn answer(session: &Arc<Session>, question: Analyze) -> Result<Answer, SparkError> {
    let spark = session.spark();
    Ok(match question {
        Analyze::SparkVersion(_) => Answer::SparkVersion(SparkVersion {
            version: SPARK_VERSION.to_string(),
        }),
        Analyze::Schema(of) => {
            let resolved = spark.resolve(&root(of.plan)?).await?;
            Answer::Schema(Schema {
                schema: Some(spark.schema(&resolved)),
            })
        }
        Analyze::TreeString(of) => {
            let resolved = spark.resolve(&root(of.plan)?).await?;
            Answer::TreeString(TreeString {
                tree_string: spark.tree_string(&resolved, of.level),
            })
        }
        Analyze::Explain(of) => {
            let mode = of.explain_mode();
            let explain_string = spark.explain(&root(of.plan)?, mode).await?;
            Answer::Explain(Explain { explain_string })
        }
        Analyze::IsStreaming(of) => {
            let resolved = spark.resolve(&root(of.plan)?).await?;
            Answer::IsStreaming(IsStreaming {
                is_streaming: resolved.is_streaming,
            })
        }
        Analyze::IsLocal(of) => Answer::IsLocal(IsLocal {
            is_local: is_local(&root(of.plan)?),
        }),
        Analyze::InputFiles(of) => {
            let resolved = spark.resolve(&root(of.plan)?).await?;
            Answer::InputFiles(InputFiles {
                files: spark.input_files(&resolved).await?,
            })
        }
        Analyze::DdlParse(ddl) => Answer::DdlParse(DdlParse {
            parsed: Some(spark.ddl_parse(&ddl.ddl_string)?),
        }),
        Analyze::JsonToDdl(json) => Answer::JsonToDdl(JsonToDdl {
            ddl_string: spark.json_to_ddl(&json.json_string)?,
        }),
        Analyze::SameSemantics(of) => {
            let target = spark.resolve(&root(of.target_plan)?).await?;
            let other = spark.resolve(&root(of.other_plan)?).await?;
            Answer::SameSemantics(SameSemantics {
                result: same_semantics(&target, &other),
            })
        }
        Analyze::SemanticHash(of) => {
            let resolved = spark.resolve(&root(of.plan)?).await?;
            Answer::SemanticHash(SemanticHash {
                result: semantic_hash(&resolved),
            })
        }
        Analyze::Persist(of) => {
            let relation = of
                .relation
                .ok_or_else(|| error::invalid_request("AnalyzePlan: persist has no relation"))?;
            let resolved = spark.resolve(&relation).await?;
            refuse_streaming(&resolved)?;
            static TOLD: Once = Once::new();
            TOLD.call_once(|| {
                tracing::warn!("persist has no effect: a DataFrame is computed at every use");
            });
            Answer::Persist(Persist {})
        }
        Analyze::Unpersist(_) => Answer::Unpersist(Unpersist {}),
        // Nothing is ever stored.
        Analyze::GetStorageLevel(_) => {
            let none = StorageLevel {
                replication: 1,
                ..Default::default()
            };
            Answer::GetStorageLevel(GetStorageLevel {
                storage_level: Some(none),
            })
        }
    })
}

fn root(plan: Option<Plan>) -> Result<Relation, SparkError> {
    match plan.and_then(|plan| plan.op_type) {
        Some(OpType::Root(relation)) => Ok(relation),
        Some(_) => Err(error::invalid_request(
            "AnalyzePlan: the plan is a command, not a relation",
        )),
        None => Err(error::one_of_not_set("spark.connect.Plan", "op_type")),
    }
}

/// Whether collecting the relation starts no work, since its rows are in the plan.
fn is_local(relation: &Relation) -> bool {
    use RelType::{CachedLocalRelation, ChunkedCachedLocalRelation, LocalRelation};
    matches!(
        relation.rel_type,
        Some(LocalRelation(_) | CachedLocalRelation(_) | ChunkedCachedLocalRelation(_))
    )
}
