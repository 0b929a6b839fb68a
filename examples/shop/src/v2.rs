//! Version 2, the canary: a 10 % discount, and the faults configured on the command line.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, State},
    response::Result,
    routing::{get, post},
};
use tonic::{Request, Response, Status};

use crate::{
    catalog::{self, Order, Product, Receipt},
    fault_injection::FaultInjector,
    proto::{
        Price, PriceRequest,
        prices_server::{self, PricesServer},
    },
    streaming::{self, PriceStream},
};

pub(crate) fn router(faults: FaultInjector) -> Router {
    let faults = Arc::new(faults);
    let prices = Prices { faults: Arc::clone(&faults) };
    Router::new()
        .route("/products/{id}", get(product))
        .route("/checkout", post(checkout))
        .route_service(
            &streaming::grpc_path(prices_server::SERVICE_NAME),
            PricesServer::new(prices),
        )
        .merge(streaming::router())
        .with_state(faults)
}

async fn product(
    State(faults): State<Arc<FaultInjector>>,
    Path(id): Path<u32>,
) -> Result<Json<Product>> {
    faults.inject().await?;
    let product = catalog::find(id)?;
    Ok(Json(Product { cents: discounted(product.cents), ..product }))
}

async fn checkout(
    State(faults): State<Arc<FaultInjector>>,
    Json(order): Json<Order>,
) -> Result<Json<Receipt>> {
    faults.inject().await?;
    Ok(Json(Receipt { total_cents: discounted(order.total_cents()?) }))
}

struct Prices {
    faults: Arc<FaultInjector>,
}

#[tonic::async_trait]
impl prices_server::Prices for Prices {
    type WatchStream = PriceStream;

    async fn get(&self, request: Request<PriceRequest>) -> Result<Response<Price>, Status> {
        self.faults.inject().await?;
        let Product { id, cents, .. } = catalog::find(request.get_ref().product_id)?;
        Ok(Response::new(Price { product_id: id, cents: discounted(cents) }))
    }

    async fn watch(&self, request: Request<PriceRequest>) -> Result<Response<PriceStream>, Status> {
        self.faults.inject().await?;
        let Product { id, cents, .. } = catalog::find(request.get_ref().product_id)?;
        streaming::prices(&request, Price { product_id: id, cents: discounted(cents) })
    }
}

const fn discounted(cents: u64) -> u64 {
    cents - cents / 10
}
