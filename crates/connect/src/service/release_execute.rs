//! `ReleaseExecute`: the client has read an operation's responses, some or all.
use spark_connect_proto::{
    ReleaseExecuteRequest, ReleaseExecuteResponse, release_execute_request::Release,
};
use tonic::Status;

use super::{ConnectService, key, without_session};
use crate::error;

pub(super) fn serve(
    service: &ConnectService,
    request: ReleaseExecuteRequest,
) -> Result<ReleaseExecuteResponse, Status> {
    let key = key(&request.session_id, request.user_context.as_ref());
    let observed = request.client_observed_server_side_session_id.as_deref();
    let session = service
        .sessions
        .get(&key, observed)
        .map_err(without_session)?;
    let executions = session.executions();
    let known = match request.release {
        Some(Release::ReleaseAll(_)) => executions.release(&request.operation_id),
        Some(Release::ReleaseUntil(until)) => match executions.find(&request.operation_id) {
            Ok(execution) => {
                execution.release_until(&until.response_id);
                true
            }
            // The client releases concurrently; an operation that is gone needs no release.
            Err(_) => false,
        },
        None => {
            return Err(session.status(error::one_of_not_set(
                "spark.connect.ReleaseExecuteRequest",
                "release",
            )));
        }
    };
    Ok(ReleaseExecuteResponse {
        session_id: request.session_id,
        server_side_session_id: session.server_side_session_id().to_string(),
        operation_id: known.then_some(request.operation_id),
    })
}
