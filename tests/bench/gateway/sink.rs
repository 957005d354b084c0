//! A collector that takes everything and does nothing with it.

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;

/// Answers 200 to whatever comes to this port of loopback, until it is killed.
pub(crate) fn run(port: u16) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let app = Router::new().fallback(|_: Bytes| async { StatusCode::OK });
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
        Ok(axum::serve(listener, app).await?)
    })
}
