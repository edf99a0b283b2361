//! `ReattachExecute`: continues to read an operation's responses.
use futures::StreamExt;
use spark_connect_proto::ReattachExecuteRequest;
use tonic::Status;

use super::{ConnectService, Responses, key, without_session};
use crate::{error, execution::StreamLimits};

pub(super) fn serve(
    service: &ConnectService,
    request: ReattachExecuteRequest,
) -> Result<Responses, Status> {
    let key = key(&request.session_id, request.user_context.as_ref());
    let observed = request.client_observed_server_side_session_id.as_deref();
    let session = service
        .sessions
        .get(&key, observed)
        .map_err(without_session)?;
    let refuse = |error| session.status(error);
    let execution = session
        .executions()
        .find(&request.operation_id)
        .map_err(refuse)?;
    if !execution.request().reattachable {
        return Err(refuse(error::cursor_not_reattachable()));
    }
    let limits = StreamLimits::of(session.spark().conf());
    let after = request
        .last_response_id
        .as_deref()
        .filter(|id| !id.is_empty());
    execution
        .attach(after, limits)
        .map(StreamExt::boxed)
        .map_err(refuse)
}
