//! `AnalyzePlan`: questions about a plan that do not run it.
use std::sync::Arc;

use spark_connect_proto::{AnalyzePlanRequest, AnalyzePlanResponse};
use tonic::Status;

use super::{ConnectService, key, without_session};
use crate::{analyze, error, execute};

pub(super) async fn serve(
    service: &ConnectService,
    request: AnalyzePlanRequest,
) -> Result<AnalyzePlanResponse, Status> {
    let key = key(&request.session_id, request.user_context.as_ref());
    let observed = request.client_observed_server_side_session_id.as_deref();
    let session = service
        .sessions
        .get_or_create(key, observed)
        .map_err(without_session)?;
    let refuse = |error| session.status(error);
    let question = request.analyze.ok_or_else(|| {
        refuse(error::one_of_not_set(
            "spark.connect.AnalyzePlanRequest",
            "analyze",
        ))
    })?;
    let asked = Arc::clone(&session);
    let answer = service
        .plans
        .spawn(async move { analyze::answer(&asked, question).await })
        .await;
    let answer = answer.unwrap_or_else(|failed| {
        Err(match failed.try_into_panic() {
            Ok(panic) => execute::panicked(panic.as_ref()),
            Err(cancelled) => millstream_spark::error::SparkError::internal(cancelled),
        })
    });
    Ok(AnalyzePlanResponse {
        result: Some(answer.map_err(refuse)?),
        session_id: request.session_id,
        server_side_session_id: session.server_side_session_id().to_string(),
    })
}
