//! `ExecutePlan`: starts an operation and attaches to it.
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use futures::StreamExt;
use prost::Message;
use spark_connect_proto::{
    ExecutePlanRequest, Plan, ResultChunkingOptions,
    execute_plan_request::request_option::RequestOption,
};
use tonic::Status;
use uuid::Uuid;

use super::{ConnectService, Responses, key, without_session};
use crate::{
    error, execute,
    execution::{OperationRequest, StreamLimits},
};

pub(super) fn serve(
    service: &ConnectService,
    request: ExecutePlanRequest,
) -> Result<Responses, Status> {
    let key = key(&request.session_id, request.user_context.as_ref());
    let observed = request.client_observed_server_side_session_id.as_deref();
    let session = service
        .sessions
        .get_or_create(key, observed)
        .map_err(without_session)?;
    let refuse = |error| session.status(error);

    let options = Options::of(&request);
    let operation_id = match request.operation_id {
        Some(id) if Uuid::parse_str(&id).is_err() => return Err(refuse(error::handle_format(&id))),
        Some(id) => id,
        None => Uuid::new_v4().to_string(),
    };
    let plan = request.plan.ok_or_else(|| {
        refuse(error::invalid_request(
            "ExecutePlan: the request has no plan",
        ))
    })?;
    let operation = OperationRequest {
        operation_id,
        tags: request.tags,
        reattachable: options.reattachable,
        plan_hash: hash(&plan),
    };
    let ids = session.response_ids(&operation.operation_id);
    let limits = match options.reattachable {
        true => StreamLimits::of(session.spark().conf()),
        false => StreamLimits::NONE,
    };
    let registered = session
        .executions()
        .register(operation, ids)
        .map_err(refuse)?;
    let execution = match registered {
        Ok(new) => {
            let run = execute::run(
                Arc::clone(&session),
                Arc::clone(&new),
                plan,
                options.chunking,
            );
            service.plans.spawn(run);
            new
        }
        Err(existing) => existing,
    };
    execution
        .attach(None, limits)
        .map(StreamExt::boxed)
        .map_err(refuse)
}

struct Options {
    reattachable: bool,
    chunking: Option<ResultChunkingOptions>,
}

impl Options {
    fn of(request: &ExecutePlanRequest) -> Self {
        let mut options = Self {
            reattachable: false,
            chunking: None,
        };
        for option in request
            .request_options
            .iter()
            .filter_map(|option| option.request_option.as_ref())
        {
            match option {
                RequestOption::ReattachOptions(reattach) => {
                    options.reattachable = reattach.reattachable
                }
                RequestOption::ResultChunkingOptions(chunking) => {
                    options.chunking = Some(*chunking)
                }
                RequestOption::Extension(extension) => {
                    tracing::warn!(
                        type_url = extension.type_url,
                        "unknown request option, without effect"
                    );
                }
            }
        }
        options
    }
}

fn hash(plan: &Plan) -> u64 {
    let mut hasher = DefaultHasher::new();
    plan.encode_to_vec().hash(&mut hasher);
    hasher.finish()
}
