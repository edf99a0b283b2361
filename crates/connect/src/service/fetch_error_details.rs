//! `FetchErrorDetails`: what did not fit into an error's status.
use spark_connect_proto::{FetchErrorDetailsRequest, FetchErrorDetailsResponse};
use tonic::Status;

use super::{ConnectService, key, without_session};
use crate::error;

pub(super) fn serve(
    service: &ConnectService,
    request: FetchErrorDetailsRequest,
) -> Result<FetchErrorDetailsResponse, Status> {
    let key = key(&request.session_id, request.user_context.as_ref());
    let observed = request.client_observed_server_side_session_id.as_deref();
    let session = service
        .sessions
        .get_or_create(key, observed)
        .map_err(without_session)?;
    let errors: Vec<_> = session
        .errors()
        .take(&request.error_id)
        .iter()
        .map(error::to_details)
        .collect();
    Ok(FetchErrorDetailsResponse {
        session_id: request.session_id,
        server_side_session_id: session.server_side_session_id().to_string(),
        root_error_idx: (!errors.is_empty()).then_some(0),
        errors,
    })
}
