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
        (InterruptType::Tag, Some(Target::OperationTag(tag))) if !tag.is_empty() => {
            Interrupt::Tag(tag)
        }
        (InterruptType::OperationId, Some(Target::OperationId(id))) if !id.is_empty() => {
            Interrupt::Operation(id)
        }
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
