//! Generates the gRPC server trait for Spark Connect.
//!
//! The messages come compiled from Apache's own `apache-spark-connect-proto`, which ships only a client; the server
//! side is a list of twelve methods over those messages, so no `.proto` file is needed here.
use tonic_build::manual::{Builder, Method, Service};

/// Whether requests and responses of a method are streams.
enum Shape {
    Unary,
    RequestStream,
    ResponseStream,
}

const METHODS: [(&str, &str, &str, &str, Shape); 12] = [
    (
        "execute_plan",
        "ExecutePlan",
        "ExecutePlanRequest",
        "ExecutePlanResponse",
        Shape::ResponseStream,
    ),
    (
        "analyze_plan",
        "AnalyzePlan",
        "AnalyzePlanRequest",
        "AnalyzePlanResponse",
        Shape::Unary,
    ),
    (
        "config",
        "Config",
        "ConfigRequest",
        "ConfigResponse",
        Shape::Unary,
    ),
    (
        "add_artifacts",
        "AddArtifacts",
        "AddArtifactsRequest",
        "AddArtifactsResponse",
        Shape::RequestStream,
    ),
    (
        "artifact_status",
        "ArtifactStatus",
        "ArtifactStatusesRequest",
        "ArtifactStatusesResponse",
        Shape::Unary,
    ),
    (
        "interrupt",
        "Interrupt",
        "InterruptRequest",
        "InterruptResponse",
        Shape::Unary,
    ),
    (
        "reattach_execute",
        "ReattachExecute",
        "ReattachExecuteRequest",
        "ExecutePlanResponse",
        Shape::ResponseStream,
    ),
    (
        "release_execute",
        "ReleaseExecute",
        "ReleaseExecuteRequest",
        "ReleaseExecuteResponse",
        Shape::Unary,
    ),
    (
        "release_session",
        "ReleaseSession",
        "ReleaseSessionRequest",
        "ReleaseSessionResponse",
        Shape::Unary,
    ),
    (
        "fetch_error_details",
        "FetchErrorDetails",
        "FetchErrorDetailsRequest",
        "FetchErrorDetailsResponse",
        Shape::Unary,
    ),
    (
        "clone_session",
        "CloneSession",
        "CloneSessionRequest",
        "CloneSessionResponse",
        Shape::Unary,
    ),
    (
        "get_status",
        "GetStatus",
        "GetStatusRequest",
        "GetStatusResponse",
        Shape::Unary,
    ),
];

fn main() {
    let mut service = Service::builder()
        .name("SparkConnectService")
        .package("spark.connect")
        .comment("The Spark Connect service.");
    for (name, route, input, output, shape) in METHODS {
        let method = Method::builder()
            .name(name)
            .route_name(route)
            .input_type(format!("::spark_connect_proto::{input}"))
            .output_type(format!("::spark_connect_proto::{output}"))
            .codec_path("crate::codec::PlanCodec");
        service = service.method(match shape {
            Shape::Unary => method.build(),
            Shape::RequestStream => method.client_streaming().build(),
            Shape::ResponseStream => method.server_streaming().build(),
        });
    }
    Builder::new()
        .build_client(false)
        .compile(&[service.build()]);
}
