//! `AddArtifacts`: an upload into the session.
use std::sync::Arc;

use spark_connect_proto::{AddArtifactsRequest, AddArtifactsResponse};
use tonic::{Status, Streaming};

use super::{ConnectService, key, without_session};
use crate::{artifacts::Upload, error, sessions::Session};

pub(super) async fn serve(
    service: &ConnectService,
    mut requests: Streaming<AddArtifactsRequest>,
) -> Result<AddArtifactsResponse, Status> {
    let mut upload = Upload::default();
    let mut target: Option<Arc<Session>> = None;
    while let Some(request) = requests.message().await? {
        // The first message names the session, the others repeat it.
        let session = match &target {
            Some(session) => Arc::clone(session),
            None => {
                let key = key(&request.session_id, request.user_context.as_ref());
                let observed = request.client_observed_server_side_session_id.as_deref();
                let session = service
                    .sessions
                    .get_or_create(key, observed)
                    .map_err(without_session)?;
                target.insert(session).clone()
            }
        };
        if let Some(payload) = request.payload {
            upload
                .take(session.artifacts(), payload)
                .map_err(|error| session.status(error))?;
        }
    }
    let Some(session) = target else {
        return Err(without_session(error::invalid_request(
            "AddArtifacts: an empty upload",
        )));
    };
    Ok(AddArtifactsResponse {
        artifacts: upload.finish().map_err(|error| session.status(error))?,
        session_id: session.session_id().to_string(),
        server_side_session_id: session.server_side_session_id().to_string(),
    })
}
