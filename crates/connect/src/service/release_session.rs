//! `ReleaseSession`: the client is done; its queries stop.
use spark_connect_proto::{ReleaseSessionRequest, ReleaseSessionResponse};
use tonic::Status;

use super::{ConnectService, key};

pub(super) async fn serve(
    service: &ConnectService,
    request: ReleaseSessionRequest,
) -> Result<ReleaseSessionResponse, Status> {
    let key = key(&request.session_id, request.user_context.as_ref());
    // A session that does not exist, or not any more, is released already.
    let released = service
        .sessions
        .release(&key, request.allow_reconnect)
        .await;
    Ok(ReleaseSessionResponse {
        session_id: request.session_id,
        server_side_session_id: released
            .map(|session| session.server_side_session_id().to_string())
            .unwrap_or_default(),
    })
}
