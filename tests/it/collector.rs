//! An OTLP collector that speaks the real protocol: gRPC and HTTP/protobuf on one port.

use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{
    LogsService, LogsServiceServer,
};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tonic::{Request, Response, Status};

/// How a collector treats what comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Takes everything.
    Normal,
    /// Takes connections and bytes, and never answers.
    BlackHole,
    /// Answers every request with status 500.
    Failing,
    /// Takes requests over HTTP/protobuf and answers them half a minute later.
    Slow,
}

/// What has arrived so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Received {
    pub(crate) spans: Vec<Span>,
    pub(crate) metrics: Vec<Metric>,
    pub(crate) logs: Vec<LogRecord>,
    /// The attributes of every resource, one after the other.
    pub(crate) resource: Vec<KeyValue>,
}

impl Received {
    /// The one span with this name.
    pub(crate) fn span(&self, name: &str) -> &Span {
        let mut found = self.spans.iter().filter(|span| span.name == name);
        let span = found.next();
        assert!(found.next().is_none(), "two spans {name:?}");
        span.unwrap_or_else(|| panic!("no span {name:?} in {:?}", self.spans))
    }
}

/// The text of an attribute, whatever its type.
pub(crate) fn attribute(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    Some(match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    })
}

/// A running collector; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Collector {
    address: SocketAddr,
    state: Arc<Shared>,
    runtime: Option<Runtime>,
}

#[derive(Debug, Default)]
struct Shared {
    received: Mutex<Received>,
    changed: Condvar,
}

impl Collector {
    /// Starts on a free port of the loopback, on a runtime of its own.
    pub(crate) fn start(mode: Mode) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("collector")
            .enable_all()
            .build()
            .expect("runtime");
        let listener = runtime
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .expect("free port");
        let address = listener.local_addr().expect("bound");
        let state = Arc::new(Shared::default());
        match mode {
            Mode::Normal => {
                let app = router(&state);
                runtime.spawn(async move { axum::serve(listener, app).await });
            }
            Mode::Failing => {
                let app = Router::new().fallback(|| async { StatusCode::INTERNAL_SERVER_ERROR });
                runtime.spawn(async move { axum::serve(listener, app).await });
            }
            Mode::Slow => {
                let app = Router::new().fallback(|| async {
                    tokio::time::sleep(Duration::from_secs(30)).await;
                    StatusCode::OK
                });
                runtime.spawn(async move { axum::serve(listener, app).await });
            }
            Mode::BlackHole => {
                runtime.spawn(async move {
                    let mut held = Vec::new();
                    while let Ok((connection, _)) = listener.accept().await {
                        held.push(connection);
                    }
                });
            }
        }
        Self {
            address,
            state,
            runtime: Some(runtime),
        }
    }

    /// `host:port`, without a scheme.
    pub(crate) fn authority(&self) -> String {
        self.address.to_string()
    }

    /// Waits until what has arrived fits, and answers it; panics with it after `limit`.
    pub(crate) fn wait_for(&self, limit: Duration, fits: impl Fn(&Received) -> bool) -> Received {
        let received = self.state.received.lock().expect("not poisoned");
        let (received, waited) = self
            .state
            .changed
            .wait_timeout_while(received, limit, |received| !fits(received))
            .expect("not poisoned");
        assert!(!waited.timed_out(), "not within {limit:?}: {received:#?}");
        received.clone()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Shared {
    fn add(&self, change: impl FnOnce(&mut Received)) {
        change(&mut self.received.lock().expect("not poisoned"));
        self.changed.notify_all();
    }

    fn traces(&self, request: ExportTraceServiceRequest) {
        self.add(|received| {
            for group in request.resource_spans {
                let resource = group.resource.unwrap_or_default();
                received.resource.extend(resource.attributes);
                let spans = group.scope_spans.into_iter().flat_map(|scope| scope.spans);
                received.spans.extend(spans);
            }
        });
    }

    fn metrics(&self, request: ExportMetricsServiceRequest) {
        self.add(|received| {
            for group in request.resource_metrics {
                let metrics = group
                    .scope_metrics
                    .into_iter()
                    .flat_map(|scope| scope.metrics);
                received.metrics.extend(metrics);
            }
        });
    }

    fn logs(&self, request: ExportLogsServiceRequest) {
        self.add(|received| {
            for group in request.resource_logs {
                let logs = group
                    .scope_logs
                    .into_iter()
                    .flat_map(|scope| scope.log_records);
                received.logs.extend(logs);
            }
        });
    }
}

fn router(state: &Arc<Shared>) -> Router {
    let http = Router::new()
        .route("/v1/traces", post(take::<ExportTraceServiceRequest>))
        .route("/v1/metrics", post(take::<ExportMetricsServiceRequest>))
        .route("/v1/logs", post(take::<ExportLogsServiceRequest>))
        .with_state(Arc::clone(state));
    tonic::service::Routes::new(TraceServiceServer::new(Grpc(Arc::clone(state))))
        .add_service(MetricsServiceServer::new(Grpc(Arc::clone(state))))
        .add_service(LogsServiceServer::new(Grpc(Arc::clone(state))))
        .into_axum_router()
        .merge(http)
}

/// A request of one signal.
trait Signal: Message + Default {
    fn hand_to(self, state: &Shared);
}

impl Signal for ExportTraceServiceRequest {
    fn hand_to(self, state: &Shared) {
        state.traces(self);
    }
}

impl Signal for ExportMetricsServiceRequest {
    fn hand_to(self, state: &Shared) {
        state.metrics(self);
    }
}

impl Signal for ExportLogsServiceRequest {
    fn hand_to(self, state: &Shared) {
        state.logs(self);
    }
}

async fn take<S: Signal>(State(state): State<Arc<Shared>>, body: Bytes) -> StatusCode {
    match S::decode(body) {
        Ok(request) => {
            request.hand_to(&state);
            StatusCode::OK
        }
        Err(_) => StatusCode::BAD_REQUEST,
    }
}

#[derive(Clone, Debug)]
struct Grpc(Arc<Shared>);

#[tonic::async_trait]
impl TraceService for Grpc {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.traces(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Grpc {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.0.metrics(request.into_inner());
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl LogsService for Grpc {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        self.0.logs(request.into_inner());
        Ok(Response::new(ExportLogsServiceResponse::default()))
    }
}
