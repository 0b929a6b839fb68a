//! Version 1, stable: an axum router with HTTP routes and a gRPC service.

use axum::{
    Json, Router,
    extract::Path,
    routing::{get, post},
};
use tonic::{Request, Response, Status};

use crate::{
    catalog::{self, Order, Product, Receipt, UnknownProduct},
    proto::{
        Price, PriceRequest,
        prices_server::{self, PricesServer},
    },
    streaming::{self, PriceStream},
};

pub(crate) fn router() -> Router {
    Router::new()
        .route("/products/{id}", get(product))
        .route("/checkout", post(checkout))
        .route_service(
            &streaming::grpc_path(prices_server::SERVICE_NAME),
            PricesServer::new(Prices),
        )
        .merge(streaming::router())
}

async fn product(Path(id): Path<u32>) -> Result<Json<Product>, UnknownProduct> {
    Ok(Json(catalog::find(id)?))
}

async fn checkout(Json(order): Json<Order>) -> Result<Json<Receipt>, UnknownProduct> {
    Ok(Json(Receipt { total_cents: order.total_cents()? }))
}

struct Prices;

#[tonic::async_trait]
impl prices_server::Prices for Prices {
    type WatchStream = PriceStream;

    async fn get(&self, request: Request<PriceRequest>) -> Result<Response<Price>, Status> {
        let Product { id, cents, .. } = catalog::find(request.get_ref().product_id)?;
        Ok(Response::new(Price { product_id: id, cents }))
    }

    async fn watch(&self, request: Request<PriceRequest>) -> Result<Response<PriceStream>, Status> {
        let Product { id, cents, .. } = catalog::find(request.get_ref().product_id)?;
        streaming::prices(&request, Price { product_id: id, cents })
    }
}
