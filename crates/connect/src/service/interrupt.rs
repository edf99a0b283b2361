//! `Interrupt`: stops running operations.
use spark_connect_proto::{
    InterruptRequest, InterruptResponse,
    interrupt_request::{Interrupt as Target, InterruptType},
};
use tonic::Status;

use super::{ConnectService, key, without_session};
use crate::{error, execution::Interrupt};

pub(super) fn serve(
    service: &ConnectService,
    request: InterruptRequest,
) -> Result<InterruptResponse, Status> {
    let key = key(&request.session_id, request.user_context.as_ref());
    let observed = request.client_observed_server_side_session_id.as_deref();
    let session = service
        .sessions
        .get_or_create(key, observed)
        .map_err(without_session)?;
    let interrupt = match (request.interrupt_type(), request.interrupt) {
        (InterruptType::All, _) => Interrupt::All,
        (InterruptType::Tag, Some(Target::OperationTag(tag))) => Interrupt::Tag(tag),
        // A client that is interrupted before it has given its operation an id sends none; nothing has it.
        (InterruptType::OperationId, Some(Target::OperationId(id))) => Interrupt::Operation(id),
        (kind, target) => {
            let message = format!(
                "Interrupt: {} does not go with {target:?}",
                kind.as_str_name()
            );
            return Err(session.status(error::invalid_request(message)));
        }
    };
    Ok(InterruptResponse {
        interrupted_ids: session.executions().interrupt(&interrupt),
        session_id: request.session_id,
        server_side_session_id: session.server_side_session_id().to_string(),
    })
}
