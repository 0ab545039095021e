//! Runs as traces, sent to a collector that reads them.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use wiremock::{Mock, MockServer, ResponseTemplate, matchers};

use crate::project::Project;
use crate::vendor::{Anthropic, Reply};

/// Takes spans as a collector does.
pub async fn collector() -> MockServer {
    let server = MockServer::start().await;
    let traces = Mock::given(matchers::method("POST"))
        .and(matchers::path("/v1/traces"))
        .and(matchers::header("content-type", "application/x-protobuf"));
    traces.respond_with(ResponseTemplate::new(200)).mount(&server).await;
    server
}

fn words(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &Value| match value {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        Value::DoubleValue(number) => number.to_string(),
        Value::BoolValue(flag) => flag.to_string(),
        other => format!("{other:?}"),
    };
    let pair = |pair: &KeyValue| Some((pair.key.clone(), text(pair.value.as_ref()?.value.as_ref()?)));
    attributes.iter().filter_map(pair).collect()
}

/// Every span that came, with the attributes of the resource.
async fn spans(server: &MockServer) -> (Vec<Span>, BTreeMap<String, String>, String) {
    let (mut spans, mut resource, mut all) = (Vec::new(), BTreeMap::new(), String::new());
    for request in server.received_requests().await.expect("they are kept") {
        all += &String::from_utf8_lossy(&request.body);
        let told = ExportTraceServiceRequest::decode(request.body.as_slice()).expect("OTLP");
        for one in told.resource_spans {
            resource.extend(words(&one.resource.expect("a resource").attributes));
            spans.extend(one.scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
    }
    (spans, resource, all)
}

#[tokio::test]
async fn a_run_is_a_trace_of_its_steps_and_calls_and_holds_nothing_else() {
    let server = collector().await;
    let right = "It is amount.\n\nshop.py\n<<<<<<< SEARCH\n    return amonut\n=======\n    return amount\n>>>>>>> REPLACE\n";
    let vendor = Anthropic::start([Reply::from(right)]).await;
    let mut project = Project::new(&[
        (".gitignore", "__pycache__/\n"),
        ("shop.py", "def total(prices):\n    amount = sum(prices)\n    return amonut\n"),
        ("test_shop.py", "import unittest\n\nfrom shop import total\n\n\nclass Total(unittest.TestCase):\n    def test_sum(self):\n        self.assertEqual(total([1, 2]), 3)\n"),
    ])
    .anthropic(&vendor);
    project.configure(
        "[[ladder]]\nfixer = \"model\"\nprovider = \"anthropic\"\nmodel = \"claude-sonnet-5-5\"\n",
    );
    project.env.insert("OTEL_EXPORTER_OTLP_ENDPOINT".into(), server.uri());
    project.env.insert("OTEL_RESOURCE_ATTRIBUTES".into(), "deployment.environment.name=test".into());
    let ran = project.regreen(&["heal", "--json", "--", "python3", "-m", "unittest"]).expect(0);
    let run = ran.events()[0]["run"].as_str().expect("an id").to_owned();

    let (spans, resource, all) = spans(&server).await;
    assert_eq!(resource["service.name"], "regreen");
    assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(resource["deployment.environment.name"], "test");
    let named = |name: &str| -> Vec<&Span> { spans.iter().filter(|span| span.name == name).collect() };
    let roots: Vec<&Span> = spans.iter().filter(|span| span.parent_span_id.is_empty()).collect();
    assert_eq!((roots.len(), roots[0].name.as_str()), (1, "run"), "{spans:#?}");
    let root = roots[0];
    let told = words(&root.attributes);
    assert_eq!((&told["regreen.run.id"], told["regreen.run.outcome"].as_str()), (&run, "healed"));
    let by_id: BTreeMap<&[u8], &Span> = spans.iter().map(|span| (span.span_id.as_slice(), span)).collect();
    assert_eq!(by_id.len(), spans.len(), "ids are told apart");
    for span in &spans {
        assert_eq!(span.trace_id, root.trace_id);
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
        let parent = by_id.get(span.parent_span_id.as_slice());
        assert!(parent.is_some() || std::ptr::eq(span, root), "{span:#?}");
    }
    for step in ["baseline", "attempt", "prove", "land"] {
        assert_eq!(named(step).len(), 1, "{step}");
        assert_eq!(named(step)[0].parent_span_id, root.span_id);
    }
    let parents = |name: &str| -> Vec<&str> {
        let mut names: Vec<&str> =
            named(name).iter().map(|span| by_id[span.parent_span_id.as_slice()].name.as_str()).collect();
        names.dedup();
        names
    };
    assert_eq!(parents("check"), ["baseline", "attempt", "prove"]);
    assert_eq!(parents("chat claude-sonnet-5-5"), ["attempt"]);
    let call = named("chat claude-sonnet-5-5")[0];
    assert_eq!(call.kind, 3, "a client's");
    let told = words(&call.attributes);
    for (name, value) in [
        ("gen_ai.operation.name", "chat"),
        ("gen_ai.provider.name", "anthropic"),
        ("gen_ai.request.model", "claude-sonnet-5-5"),
    ] {
        assert_eq!(told[name], value);
    }
    let count = |name: &str| told[name].parse::<u64>().expect("a number");
    assert!(count("gen_ai.usage.input_tokens") > 0 && count("gen_ai.usage.output_tokens") > 0);
    for secret in
        ["amonut", "unittest", "It is amount", "SEARCH", &*project.root.to_string_lossy(), crate::vendor::KEY]
    {
        assert!(!all.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn no_run_waits_for_a_collector_or_fails_for_its_sake() {
    // One that takes connections and says nothing, one that is not there, and one that refuses all.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let closed =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let broken = MockServer::start().await;
    let addresses = [
        format!("http://{}", silent.local_addr().expect("an address")),
        format!("http://{closed}"),
        broken.uri(),
    ];
    for address in addresses {
        let mut project = Project::agenda();
        project.env.insert("OTEL_EXPORTER_OTLP_ENDPOINT".into(), address.clone());
        let ran = project.regreen(&["heal", "--no-model", "--", "python3", "-m", "unittest"]).expect(0);
        assert!(!ran.stderr.contains("warning"), "{address}: {}", ran.stderr);
    }
    let mut project = Project::agenda();
    project.env.insert("OTEL_EXPORTER_OTLP_ENDPOINT".into(), "no address".into());
    project.regreen(&["heal", "--no-model", "--", "python3", "-m", "unittest"]).expect(0);
}

#[tokio::test]
async fn there_are_no_traces_where_nobody_wants_them() {
    let server = MockServer::start().await;
    for (name, value) in [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")] {
        let mut project = Project::agenda();
        project.env.insert("OTEL_EXPORTER_OTLP_ENDPOINT".into(), server.uri());
        project.env.insert(name.into(), value.into());
        project.regreen(&["heal", "--no-model", "--", "python3", "-m", "unittest"]).expect(0);
    }
    assert!(server.received_requests().await.expect("they are kept").is_empty());
}
