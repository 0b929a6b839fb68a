//! Version 2 of a tonic service as a canary. Health checks bypass it.

use std::net::SocketAddr;

use tonic::{Request, Response, Status, service::Routes, transport::Server};
use tower_canary::{Assignment, CanaryLayer, Weight};

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
    let canary = Routes::new(GreeterServer::new(Version2)).prepare();
    let layer = CanaryLayer::new("greeter", canary);
    layer.handle().set_weight(Weight::from_percent(50))?;

    let (health_reporter, health) = tonic_health::server::health_reporter();
    health_reporter.set_serving::<GreeterServer<Version1>>().await;

    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let addr: SocketAddr = addr.parse()?;
    println!("serving gRPC on {addr}; see the README for calls with curl");
    Server::builder()
        .layer(layer)
        .add_service(GreeterServer::new(Version1))
        .add_service(health) // The canary needs no health service.
        .serve(addr)
        .await?;
    Ok(())
}

struct Version1;

#[tonic::async_trait]
impl Greeter for Version1 {
    async fn greet(&self, request: Request<GreetRequest>) -> Result<Response<Greeting>, Status> {
        let text = format!("hello, {}", request.get_ref().name);
        Ok(Response::new(Greeting { text }))
    }
}

struct Version2;

#[tonic::async_trait]
impl Greeter for Version2 {
    async fn greet(&self, request: Request<GreetRequest>) -> Result<Response<Greeting>, Status> {
        let weight = request.extensions().get().map_or(Weight::FULL, Assignment::weight);
        let text = format!("good day, {} (canary weight {weight})", request.get_ref().name);
        Ok(Response::new(Greeting { text }))
    }
}
