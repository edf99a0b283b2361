//! `ArtifactStatus`: which artifacts need not be uploaded again.
use spark_connect_proto::{
    ArtifactStatusesRequest, ArtifactStatusesResponse, artifact_statuses_response::ArtifactStatus,
};
use tonic::Status;

use super::{ConnectService, key, without_session};

pub(super) fn serve(
    service: &ConnectService,
    request: ArtifactStatusesRequest,
) -> Result<ArtifactStatusesResponse, Status> {
    let key = key(&request.session_id, request.user_context.as_ref());
    let observed = request.client_observed_server_side_session_id.as_deref();
    let session = service
        .sessions
        .get_or_create(key, observed)
        .map_err(without_session)?;
    let status = |name: String| {
        let exists = session.artifacts().exists(&name);
        (name, ArtifactStatus { exists })
    };
    Ok(ArtifactStatusesResponse {
        statuses: request.names.into_iter().map(status).collect(),
        session_id: request.session_id,
        server_side_session_id: session.server_side_session_id().to_string(),
    })
}
