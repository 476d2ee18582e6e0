//! The HTTP server of the admin endpoints.
//!
//! Owns paths, methods and bounds of the connections. No body of a request is ever read.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{CONNECTIONS_MAX, PATIENCE, status};
use crate::telemetry::Telemetry;

/// How long a request's head may take.
const HEAD_PATIENCE: Duration = Duration::from_secs(10);

/// How long a connection buffer may grow; a request's head must fit in it.
const BUFFER_BYTES: usize = 16 * 1024;

/// How long nothing is accepted after a failure to accept, such as a lack of descriptors.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(200);

/// How long running answers are waited for at the end.
const FAREWELL: Duration = Duration::from_secs(1);

/// The content type of `/metrics`.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The content type of `/status`.
const JSON: &str = "application/json; charset=utf-8";

/// The content type of all else.
const TEXT: &str = "text/plain; charset=utf-8";

/// Serves the endpoints on `listener` until `shutdown` is over.
pub async fn serve(
    listener: TcpListener,
    telemetry: Arc<Telemetry>,
    shutdown: impl Future<Output = ()>,
) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        // Connections beyond the bound wait in the listener's backlog.
        let accepted = async {
            let slot = Arc::clone(&slots).acquire_owned().await.ok();
            (slot, listener.accept().await)
        };
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            (slot, accepted) = accepted => match accepted {
                Ok((stream, _)) => {
                    let telemetry = Arc::clone(&telemetry);
                    connections.spawn(async move {
                        converse(stream, telemetry).await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection to the admin endpoints");
                    tokio::time::sleep(ACCEPT_BACKOFF).await;
                }
            },
        }
    }
    drop(listener);
    let rest = async { while connections.join_next().await.is_some() {} };
    // What is not done by then is cut off with the set.
    timeout(FAREWELL, rest).await.ok();
}

/// Serves one connection: one request, within its time.
async fn converse(stream: TcpStream, telemetry: Arc<Telemetry>) {
    let service = service_fn(move |request| {
        let telemetry = Arc::clone(&telemetry);
        async move { Ok::<_, Infallible>(answer(&request, telemetry).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_buf_size(BUFFER_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(PATIENCE, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection to the admin endpoints failed"),
        Err(_) => tracing::debug!("a connection to the admin endpoints took too long"),
    }
}

/// The answer to one request.
async fn answer(request: &Request<Incoming>, telemetry: Arc<Telemetry>) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    if !matches!(path, "/metrics" | "/healthz" | "/readyz" | "/status") {
        return response(StatusCode::NOT_FOUND, TEXT, "not found\n".to_owned());
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refusal = response(
            StatusCode::METHOD_NOT_ALLOWED,
            TEXT,
            "method not allowed\n".to_owned(),
        );
        refusal
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refusal;
    }
    match path {
        "/metrics" => rendered(METRICS, move || telemetry.render()).await,
        "/status" => rendered(JSON, move || status::status(&telemetry)).await,
        "/readyz" => {
            let (ready, body) = status::readiness(&telemetry);
            let code = if ready {
                StatusCode::OK
            } else {
                StatusCode::SERVICE_UNAVAILABLE
            };
            response(code, TEXT, body)
        }
        _ => response(StatusCode::OK, TEXT, "ok\n".to_owned()),
    }
}

/// A long body, rendered beside the tasks of sessions: ten thousand series take 20 ms.
async fn rendered(
    content_type: &'static str,
    render: impl FnOnce() -> String + Send + 'static,
) -> Response<Full<Bytes>> {
    match tokio::task::spawn_blocking(render).await {
        Ok(body) => response(StatusCode::OK, content_type, body),
        Err(error) => {
            tracing::error!(%error, "an admin endpoint failed");
            response(
                StatusCode::INTERNAL_SERVER_ERROR,
                TEXT,
                "internal error\n".to_owned(),
            )
        }
    }
}

/// A response.
fn response(code: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests;
