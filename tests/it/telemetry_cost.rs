//! What a collector costs that takes everything and answers nothing: no time at the end, and none for a call.
//!
//! The promise for calls is a p99 within 10 % of telemetry off. Medians over rounds in turns are compared, and what
//! is allowed on top is the spread of the rounds without telemetry (the distance of their quartiles), at least
//! half a millisecond. Measured is a gateway that has noticed that its collector hangs: until then, for 5 s, each
//! call pays for its spans. An export in the way of calls costs many times what is allowed; figures for users come
//! from optimised builds, not from here.

mod alone {
    use std::time::Duration;

    use serde_json::json;
    use tokio::time::Instant;

    use crate::collector::{Collector, Mode};
    use crate::support::client::Client;
    use crate::support::wait::wait_for;
    use crate::support::{Gateway, Server};

    /// From SIGTERM to the end, a second of it for a loaded machine and the server's own end.
    const SHUTDOWN: Duration = Duration::from_secs(3);

    /// Rounds for each gateway, one after the other in turns, so that a noisy minute hits both.
    /// An export hangs for 5 s before it is taken for one; until then each call makes its spans.
    const NOTICED: Duration = Duration::from_secs(20);
    const ROUNDS: usize = 15;
    const CALLS: usize = 200;
    /// What is promised, as a part of the p99 without telemetry.
    const PROMISED: f64 = 0.10;
    /// Beside it, in milliseconds: what making the spans takes in a build without optimisation.
    const UNOPTIMISED_MS: f64 = 0.5;

    async fn black_hole() -> Collector {
        tokio::task::spawn_blocking(|| Collector::start(Mode::BlackHole))
            .await
            .unwrap()
    }

    fn gateway(collector: Option<&Collector>) -> Gateway {
        let builder = Gateway::builder()
            .set("log", json!({"level": "info", "format": "json"}))
            .server(Server::gremlin("g1"));
        match collector {
            None => builder,
            Some(collector) => builder.env(
                "OTEL_EXPORTER_OTLP_ENDPOINT",
                &format!("http://{}", collector.authority()),
            ),
        }
        .start()
    }

    async fn call(client: &Client) -> f64 {
        let asked = Instant::now();
        let answer = client.call("g1", "echo", &json!({"text": "hi"})).await;
        let took = asked.elapsed();
        assert_eq!(answer.status, 200, "{}", answer.text());
        took.as_secs_f64() * 1000.0
    }

    /// Waits until the gateway has noticed that its collector hangs: calls make no spans any more.
    async fn until_noticed(client: &Client) {
        let ended = async || {
            let text = client.get("/metrics").await.text();
            let is_ended = |line: &&str| {
                line.starts_with("host_mcp_gateway_otlp_spans") && line.contains("\"ended\"")
            };
            text.lines().find(is_ended).map(str::to_owned)
        };
        wait_for("a collector that hangs is noticed", NOTICED, async || {
            let before = ended().await;
            for _ in 0..5 {
                call(client).await;
            }
            (before.is_some() && before == ended().await).then_some(())
        })
        .await;
    }

    /// The p99 of one round, in milliseconds.
    async fn round(client: &Client) -> f64 {
        let mut times = Vec::with_capacity(CALLS);
        for _ in 0..CALLS {
            times.push(call(client).await);
        }
        times.sort_by(f64::total_cmp);
        times[CALLS * 99 / 100]
    }

    /// The value below which a quarter of the sorted values lies, or two quarters, or three.
    fn quartile(sorted: &[f64], number: usize) -> f64 {
        sorted[sorted.len() * number / 4]
    }

    #[tokio::test]
    async fn a_black_hole_does_not_delay_the_end() {
        let collector = black_hole().await;
        let gateway = gateway(Some(&collector));
        for _ in 0..CALLS {
            call(&gateway.client()).await;
        }
        let asked = Instant::now();
        assert_eq!(gateway.stop().await.code(), Some(0));
        let took = asked.elapsed();
        assert!(
            took <= SHUTDOWN,
            "the end took {took:?}, expected {SHUTDOWN:?} at most"
        );
    }

    #[tokio::test]
    async fn a_black_hole_does_not_delay_calls() {
        let collector = black_hole().await;
        let (off, on) = (gateway(None), gateway(Some(&collector)));
        let clients = [off.client(), on.client()];
        for client in &clients {
            round(client).await;
        }
        until_noticed(&clients[1]).await;
        let mut times = [Vec::new(), Vec::new()];
        for turn in 0..ROUNDS {
            // Who goes first changes, in case that matters.
            for which in [turn % 2, 1 - turn % 2] {
                let p99 = round(&clients[which]).await;
                times[which].push(p99);
            }
        }
        println!(
            "p99 of each round of {CALLS} calls, ms: without {:.2?}, with a black hole {:.2?}",
            times[0], times[1]
        );
        let [without, with] = times.map(|mut times| {
            times.sort_by(f64::total_cmp);
            times
        });
        // How far rounds of the same gateway lie apart says how much a difference means here and now.
        let noise = quartile(&without, 3) - quartile(&without, 1);
        let (without, with) = (quartile(&without, 2), quartile(&with, 2));
        let allowed = without * (1.0 + PROMISED) + noise.max(UNOPTIMISED_MS);
        println!(
            "median p99, ms: without {without:.3}, with {with:.3}, allowed {allowed:.3}, noise {noise:.3}"
        );
        assert!(
            with <= allowed,
            "{with:.3} ms, expected {allowed:.3} ms at most"
        );
    }
}
