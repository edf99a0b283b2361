//! `CloneSession`: a new session with the state of another.
use spark_connect_proto::{CloneSessionRequest, CloneSessionResponse};
use tonic::Status;

use super::{ConnectService, key, without_session};

pub(super) fn serve(
    service: &ConnectService,
    request: CloneSessionRequest,
) -> Result<CloneSessionResponse, Status> {
    let key = key(&request.session_id, request.user_context.as_ref());
    let observed = request.client_observed_server_side_session_id.as_deref();
    let source = service
        .sessions
        .get(&key, observed)
        .map_err(without_session)?;
    let clone = service
        .sessions
        .clone_session(&source, request.new_session_id.as_deref())
        .map_err(|error| source.status(error))?;
    Ok(CloneSessionResponse {
        session_id: request.session_id,
        server_side_session_id: source.server_side_session_id().to_string(),
        new_session_id: clone.session_id().to_string(),
        new_server_side_session_id: clone.server_side_session_id().to_string(),
    })
}
