//! Where spans go: a collector that takes OTLP, by the standard variables of OpenTelemetry.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use opentelemetry::KeyValue;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SpanProcessor};
use tokio::runtime::Handle;

use super::spans::Spans;
use crate::config::Environment;
use crate::models::plain_client;
use crate::redact::Redactor;

/// The variables that name a collector.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
/// The variables that name the form in which it is spoken to.
const PROTOCOLS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
/// How long a collector may take for one batch.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Sends the spans of runs to a collector, on a thread of its own: what does not fit its queue is dropped, and nobody waits for it.
pub type Collector = Spans<BatchSpanProcessor>;

/// The collector that the environment names; `None` where it names none, or says that there are to be no traces.
///
/// # Errors
/// Where it names one that cannot be spoken to.
pub fn collector(environment: &Environment, redactor: Redactor) -> Result<Option<Collector>> {
    let first = |names: [&str; 2]| names.into_iter().find_map(|name| environment.get(name));
    let off = environment.get("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
        || environment.get("OTEL_TRACES_EXPORTER").is_some_and(|value| value.trim() == "none");
    if off || first(ENDPOINTS).is_none() {
        return Ok(None);
    }
    match first(PROTOCOLS) {
        None | Some("http/protobuf") => {}
        Some(other) => {
            anyhow::bail!("OTEL_EXPORTER_OTLP_PROTOCOL is {other:?}; traces are sent as http/protobuf")
        }
    }
    let sender = Sender { client: plain_client(TIMEOUT)?, runtime: Handle::current() };
    // The endpoint and the headers are read from the environment by the exporter itself.
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(sender)
        .with_protocol(Protocol::HttpBinary)
        .with_headers(HashMap::new())
        .build()
        .context("the collector of OTEL_EXPORTER_OTLP_ENDPOINT cannot be spoken to")?;
    let mut processor = BatchSpanProcessor::builder(exporter).build();
    let mut resource =
        Resource::builder().with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    if environment.get("OTEL_SERVICE_NAME").is_none() {
        resource = resource.with_service_name("regreen");
    }
    processor.set_resource(&resource.build());
    Ok(Some(Spans::new(processor, redactor)))
}

/// Sends on the program's own runtime: the thread of the spans has none.
#[derive(Debug)]
struct Sender {
    client: reqwest::Client,
    runtime: Handle,
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = reqwest::Request::try_from(request)?;
        let client = self.client.clone();
        let sent = self.runtime.spawn(async move {
            let answer = client.execute(request).await?;
            let status = answer.status();
            // What it says beside that is of no use, and could be of any size.
            let mut response = Response::new(Bytes::new());
            *response.status_mut() = status;
            Ok::<_, reqwest::Error>(response)
        });
        Ok(sent.await??)
    }
}
