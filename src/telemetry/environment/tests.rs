//! What each variable does, and that no value of one is a crash.

use super::*;
use proptest::prelude::*;

fn read_from(variables: &[(&str, &str)]) -> Otlp {
    read(&|name| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    })
}

fn url(endpoint: Option<&Endpoint>) -> Option<(&str, Protocol)> {
    endpoint.map(|endpoint| (endpoint.url.as_str(), endpoint.protocol))
}

fn warned(otlp: &Otlp) -> Vec<&str> {
    otlp.warnings.iter().map(|w| w.variable.as_str()).collect()
}

#[test]
fn nothing_set_exports_nothing_and_warns_of_nothing() {
    let otlp = read_from(&[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]);
    assert!(otlp.traces.is_none() && otlp.metrics.is_none() && otlp.logs.is_none());
    assert!(otlp.propagation);
    assert_eq!(otlp.warnings, []);
}

#[test]
fn an_endpoint_without_a_scheme_is_plain_grpc_for_every_signal() {
    let otlp = read_from(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4317")]);
    let expected = Some(("http://localhost:4317", Protocol::Grpc));
    for signal in [&otlp.traces, &otlp.metrics, &otlp.logs] {
        assert_eq!(url(signal.as_ref()), expected);
    }
    let secure = read_from(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4317"),
        ("OTEL_EXPORTER_OTLP_INSECURE", "false"),
        ("OTEL_EXPORTER_OTLP_LOGS_INSECURE", "TRUE"),
    ]);
    assert_eq!(
        url(secure.traces.as_ref()),
        Some(("https://localhost:4317", Protocol::Grpc))
    );
    assert_eq!(url(secure.logs.as_ref()), expected);
}

#[test]
fn the_http_path_is_added_to_the_general_endpoint_only() {
    let otlp = read_from(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/base/"),
        (
            "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
            "https://logs.example:4318/in",
        ),
        ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "grpc"),
    ]);
    assert_eq!(
        url(otlp.traces.as_ref()),
        Some(("http://c:4318/base/v1/traces", Protocol::Http))
    );
    assert_eq!(
        url(otlp.logs.as_ref()),
        Some(("https://logs.example:4318/in", Protocol::Http))
    );
    assert_eq!(
        url(otlp.metrics.as_ref()),
        Some(("http://c:4318/base/", Protocol::Grpc))
    );
}

#[test]
fn the_protocol_is_taken_from_the_variable_before_the_port() {
    let otlp = read_from(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:9"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
    ]);
    assert_eq!(
        url(otlp.traces.as_ref()),
        Some(("http://c:9/v1/traces", Protocol::Http))
    );
    let unknown = read_from(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "carrier-pigeon"),
    ]);
    assert_eq!(
        unknown.traces.as_ref().map(|e| e.protocol),
        Some(Protocol::Http)
    );
    assert_eq!(warned(&unknown), ["OTEL_EXPORTER_OTLP_PROTOCOL"]);
}

#[test]
fn signals_can_be_turned_off_one_by_one_or_together() {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "c:4317");
    let otlp = read_from(&[
        endpoint,
        ("OTEL_TRACES_EXPORTER", "none"),
        ("OTEL_METRICS_EXPORTER", "prometheus"),
    ]);
    assert!(otlp.traces.is_none() && otlp.metrics.is_none() && otlp.logs.is_some());
    let disabled = read_from(&[endpoint, ("OTEL_SDK_DISABLED", "True")]);
    assert!(disabled.traces.is_none() && disabled.metrics.is_none() && disabled.logs.is_none());
    let named = read_from(&[("OTEL_TRACES_EXPORTER", "otlp")]);
    assert_eq!(
        url(named.traces.as_ref()),
        Some(("http://localhost:4317", Protocol::Grpc))
    );
    assert!(named.metrics.is_none());
}

#[test]
fn propagators_are_tracecontext_or_none() {
    for (value, on, warnings) in [
        ("tracecontext,baggage", true, 0),
        ("none", false, 0),
        ("baggage", false, 0),
        ("b3", true, 1),
        ("b3,tracecontext", true, 1),
    ] {
        let otlp = read_from(&[("OTEL_PROPAGATORS", value)]);
        assert_eq!(
            (otlp.propagation, otlp.warnings.len()),
            (on, warnings),
            "{value}"
        );
    }
}

#[test]
fn each_unusable_value_is_one_warning_that_names_the_variable_and_not_the_value() {
    let otlp = read_from(&[
        ("OTEL_SDK_DISABLED", "hunter2"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://user:hunter2@c"),
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "c:4317"),
        ("OTEL_TRACES_EXPORTER", "hunter2"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "hunter2"),
        ("OTEL_TRACES_SAMPLER", "hunter2"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.5"),
    ]);
    assert!(otlp.traces.is_none() && otlp.metrics.is_none() && otlp.logs.is_some());
    assert_eq!(
        warned(&otlp),
        [
            "OTEL_SDK_DISABLED",
            "OTEL_TRACES_EXPORTER",
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "OTEL_BSP_MAX_QUEUE_SIZE",
            "OTEL_TRACES_SAMPLER",
            "OTEL_TRACES_SAMPLER_ARG",
        ]
    );
    let texts: String = otlp.warnings.iter().map(ToString::to_string).collect();
    assert!(!texts.contains("hunter2"), "{texts}");
}

#[test]
fn an_endpoint_is_shown_without_its_password_path_and_query() {
    let otlp = read_from(&[(
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "https://user:hunter2@c.example:4318/hunter2?key=hunter2",
    )]);
    let endpoint = otlp.traces.expect("valid");
    assert_eq!(
        endpoint.to_string(),
        "https://c.example:4318 (http/protobuf)"
    );
    assert_eq!(format!("{endpoint:?}"), endpoint.to_string());
}

proptest! {
    #[test]
    fn no_value_is_a_crash(value in any::<String>()) {
        let otlp = read(&|_| Some(value.clone()));
        for endpoint in [otlp.traces, otlp.metrics, otlp.logs].into_iter().flatten() {
            prop_assert!(is_http_url(&endpoint.url));
        }
    }
}

#[test]
fn what_begins_here_is_sampled_by_the_share_that_a_parent_based_sampler_names() {
    for (sampler, ratio, share) in [
        ("", "0.5", Some(1.0)),
        ("parentbased_always_on", "0.5", Some(1.0)),
        ("parentbased_always_off", "", Some(0.0)),
        ("parentbased_traceidratio", "0.25", Some(0.25)),
        ("parentbased_traceidratio", "", Some(1.0)),
        ("parentbased_traceidratio", "1.5", Some(1.0)),
        ("parentbased_traceidratio", "NaN", Some(1.0)),
        ("always_on", "", None),
        ("always_off", "", None),
        ("traceidratio", "0.25", None),
    ] {
        let otlp = read_from(&[
            ("OTEL_TRACES_SAMPLER", sampler),
            ("OTEL_TRACES_SAMPLER_ARG", ratio),
        ]);
        assert_eq!(otlp.root_share, share, "{sampler} {ratio}");
    }
}
