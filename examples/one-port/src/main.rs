//! axum routes and tonic services on one port, behind one canary.

use axum::{Router, extract::Path, routing::get};
use tokio::net::TcpListener;
use tonic::{Request, Response, Status, service::Routes};
use tower_canary::{CanaryLayer, Weight, axum::RouterExt as _};

use self::proto::{
    GreetRequest, Greeting,
    greeter_server::{Greeter, GreeterServer},
};

mod proto {
    #![allow(unreachable_pub, unused_qualifications, reason = "generated")]
    tonic::include_proto!("hello");
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let layer = CanaryLayer::new("greeter", version("good day"));
    layer.handle().set_weight(Weight::from_percent(50))?;
    let app = version("hello").canary(layer);

    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(addr).await?;
    println!("try `curl -i {}/greet/ann`, twice", listener.local_addr()?);
    Ok(axum::serve(listener, app.into_make_service()).await?)
}

/// Returns one version of the service, with HTTP and gRPC routes.
fn version(greeting: &'static str) -> Router {
    let greet = async move |Path(name): Path<String>| format!("{greeting}, {name}\n");
    Router::new()
        .route("/greet/{name}", get(greet))
        .merge(grpc(greeting))
        // tonic's fallback would answer unknown paths with 200 and a gRPC status.
        .fallback(async || (axum::http::StatusCode::NOT_FOUND, "no such page\n"))
}

fn grpc(greeting: &'static str) -> Router {
    Routes::new(GreeterServer::new(GreeterService(greeting))).into_axum_router().reset_fallback()
}

struct GreeterService(&'static str);

#[tonic::async_trait]
impl Greeter for GreeterService {
    async fn greet(&self, request: Request<GreetRequest>) -> Result<Response<Greeting>, Status> {
        let text = format!("{}, {}", self.0, request.get_ref().name);
        Ok(Response::new(Greeting { text }))
    }
}
