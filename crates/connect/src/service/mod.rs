//! The twelve methods of `spark.connect.SparkConnectService`, one file each.
//!
//! A method finds its session, hands the work to the module that owns it and wraps the answer; what takes long (plans)
//! runs on the environment's execution runtime, so that the gRPC runtime always has a thread for the next request.
mod add_artifacts;
mod analyze_plan;
mod artifact_status;
mod clone_session;
mod config;
mod execute_plan;
mod fetch_error_details;
mod get_status;
mod interrupt;
mod reattach_execute;
mod release_execute;
mod release_session;

use std::sync::Arc;

use futures::stream::BoxStream;
use millstream_spark::error::SparkError;
use spark_connect_proto::{
    AddArtifactsRequest, AddArtifactsResponse, AnalyzePlanRequest, AnalyzePlanResponse,
    ArtifactStatusesRequest, ArtifactStatusesResponse, CloneSessionRequest, CloneSessionResponse,
    ConfigRequest, ConfigResponse, ExecutePlanRequest, ExecutePlanResponse,
    FetchErrorDetailsRequest, FetchErrorDetailsResponse, GetStatusRequest, GetStatusResponse,
    InterruptRequest, InterruptResponse, ReattachExecuteRequest, ReleaseExecuteRequest,
    ReleaseExecuteResponse, ReleaseSessionRequest, ReleaseSessionResponse, UserContext,
};
use tokio::runtime::Handle;
use tonic::{Request, Response, Status, Streaming};

use crate::{
    error,
    rpc::spark_connect_service_server::SparkConnectService,
    sessions::{SessionKey, Sessions},
};

/// The service.
#[derive(Debug, Clone)]
pub struct ConnectService {
    sessions: Arc<Sessions>,
    /// Where plans run.
    plans: Handle,
}

impl ConnectService {
    /// A service over `sessions` whose plans run on `plans`.
    pub fn new(sessions: Arc<Sessions>, plans: Handle) -> Self {
        Self { sessions, plans }
    }
}

fn key(session_id: &str, user: Option<&UserContext>) -> SessionKey {
    let user_id = user.map(|user| user.user_id.clone()).unwrap_or_default();
    SessionKey {
        user_id,
        session_id: session_id.to_string(),
    }
}

/// The status for an error outside of any session.
fn without_session(error: SparkError) -> Status {
    error::to_status(&error, None)
}

type Responses = BoxStream<'static, Result<ExecutePlanResponse, Status>>;

#[tonic::async_trait]
impl SparkConnectService for ConnectService {
    type ExecutePlanStream = Responses;
    type ReattachExecuteStream = Responses;

    async fn execute_plan(
        &self,
        request: Request<ExecutePlanRequest>,
    ) -> Result<Response<Responses>, Status> {
        execute_plan::serve(self, request.into_inner()).map(Response::new)
    }

    async fn reattach_execute(
        &self,
        request: Request<ReattachExecuteRequest>,
    ) -> Result<Response<Responses>, Status> {
        reattach_execute::serve(self, request.into_inner()).map(Response::new)
    }

    async fn release_execute(
        &self,
        request: Request<ReleaseExecuteRequest>,
    ) -> Result<Response<ReleaseExecuteResponse>, Status> {
        release_execute::serve(self, request.into_inner()).map(Response::new)
    }

    async fn analyze_plan(
        &self,
        request: Request<AnalyzePlanRequest>,
    ) -> Result<Response<AnalyzePlanResponse>, Status> {
        analyze_plan::serve(self, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn config(
        &self,
        request: Request<ConfigRequest>,
    ) -> Result<Response<ConfigResponse>, Status> {
        config::serve(self, request.into_inner()).map(Response::new)
    }

    async fn add_artifacts(
        &self,
        request: Request<Streaming<AddArtifactsRequest>>,
    ) -> Result<Response<AddArtifactsResponse>, Status> {
        add_artifacts::serve(self, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn artifact_status(
        &self,
        request: Request<ArtifactStatusesRequest>,
    ) -> Result<Response<ArtifactStatusesResponse>, Status> {
        artifact_status::serve(self, request.into_inner()).map(Response::new)
    }

    async fn interrupt(
        &self,
        request: Request<InterruptRequest>,
    ) -> Result<Response<InterruptResponse>, Status> {
        interrupt::serve(self, request.into_inner()).map(Response::new)
    }

    async fn release_session(
        &self,
        request: Request<ReleaseSessionRequest>,
    ) -> Result<Response<ReleaseSessionResponse>, Status> {
        release_session::serve(self, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn fetch_error_details(
        &self,
        request: Request<FetchErrorDetailsRequest>,
    ) -> Result<Response<FetchErrorDetailsResponse>, Status> {
        fetch_error_details::serve(self, request.into_inner()).map(Response::new)
    }

    async fn clone_session(
        &self,
        request: Request<CloneSessionRequest>,
    ) -> Result<Response<CloneSessionResponse>, Status> {
        clone_session::serve(self, request.into_inner()).map(Response::new)
    }

    async fn get_status(
        &self,
        request: Request<GetStatusRequest>,
    ) -> Result<Response<GetStatusResponse>, Status> {
        get_status::serve(self, request.into_inner()).map(Response::new)
    }
}
