//! `GetStatus`: where the session's operations stand.
use spark_connect_proto::{
    GetStatusRequest, GetStatusResponse, get_status_response::OperationStatus,
};
use tonic::Status;

use super::{ConnectService, key, without_session};

pub(super) fn serve(
    service: &ConnectService,
    request: GetStatusRequest,
) -> Result<GetStatusResponse, Status> {
    let key = key(&request.session_id, request.user_context.as_ref());
    let observed = request.client_observed_server_side_session_id.as_deref();
    let session = service
        .sessions
        .get(&key, observed)
        .map_err(without_session)?;
    let executions = session.executions();
    let wanted = match request.operation_status {
        None => vec![],
        Some(status) if status.operation_ids.is_empty() => executions.operation_ids(),
        Some(status) => status.operation_ids,
    };
    let status = |operation_id: String| OperationStatus {
        state: executions.state(&operation_id).into(),
        operation_id,
        extensions: vec![],
    };
    Ok(GetStatusResponse {
        operation_statuses: wanted.into_iter().map(status).collect(),
        session_id: request.session_id,
        server_side_session_id: session.server_side_session_id().to_string(),
        extensions: vec![],
    })
}
