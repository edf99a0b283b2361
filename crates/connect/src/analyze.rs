//! Questions about plans: schema, tree string, explain and the like.
use std::sync::Arc;

use millstream_spark::error::SparkError;
use spark_connect_proto::{
    Plan, Relation, StorageLevel,
    analyze_plan_request::Analyze,
    analyze_plan_response::{
        DdlParse, Explain, GetStorageLevel, InputFiles, IsLocal, IsStreaming, JsonToDdl, Persist,
        Result as Answer, SameSemantics, Schema, SemanticHash, SparkVersion, TreeString, Unpersist,
    },
    plan::OpType,
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
                schema: Some(spark.schema(&resolved)?),
            })
        }
        Analyze::TreeString(of) => {
            let resolved = spark.resolve(&root(of.plan)?).await?;
            Answer::TreeString(TreeString {
                tree_string: spark.tree_string(&resolved, of.level)?,
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
                is_streaming: resolved.is_streaming(),
            })
        }
        Analyze::IsLocal(of) => {
            let resolved = spark.resolve(&root(of.plan)?).await?;
            Answer::IsLocal(IsLocal {
                is_local: resolved.is_local(),
            })
        }
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
                result: target.same_semantics(&other),
            })
        }
        Analyze::SemanticHash(of) => {
            let resolved = spark.resolve(&root(of.plan)?).await?;
            Answer::SemanticHash(SemanticHash {
                result: resolved.semantic_hash(),
            })
        }
        Analyze::Persist(of) => {
            spark
                .persist(&relation(of.relation)?, of.storage_level)
                .await?;
            Answer::Persist(Persist {})
        }
        Analyze::Unpersist(of) => {
            spark.unpersist(&relation(of.relation)?).await?;
            Answer::Unpersist(Unpersist {})
        }
        Analyze::GetStorageLevel(of) => {
            let level: StorageLevel = spark.storage_level(&relation(of.relation)?).await?;
            Answer::GetStorageLevel(GetStorageLevel {
                storage_level: Some(level),
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

fn relation(relation: Option<Relation>) -> Result<Relation, SparkError> {
    relation.ok_or_else(|| error::invalid_request("AnalyzePlan: the request has no relation"))
}
