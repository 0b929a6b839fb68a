//! Version 2, the canary: everything is a tenth off, and whatever faults were ordered are in it.

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
    faults::Faults,
    live::{self, PriceStream},
    proto::{
        Price, PriceRequest,
        prices_server::{self, PricesServer},
    },
};

pub(crate) fn router(faults: Faults) -> Router {
    let faults = Arc::new(faults);
    let prices = Prices { faults: Arc::clone(&faults) };
    Router::new()
        .route("/products/{id}", get(product))
        .route("/checkout", post(checkout))
        .route_service(&live::grpc_path(prices_server::SERVICE_NAME), PricesServer::new(prices))
        .merge(live::router())
        .with_state(faults)
}

async fn product(State(faults): State<Arc<Faults>>, Path(id): Path<u32>) -> Result<Json<Product>> {
    faults.strike().await?;
    let product = catalog::find(id)?;
    Ok(Json(Product { cents: on_sale(product.cents), ..product }))
}

async fn checkout(
    State(faults): State<Arc<Faults>>,
    Json(order): Json<Order>,
) -> Result<Json<Receipt>> {
    faults.strike().await?;
    Ok(Json(Receipt { total_cents: on_sale(order.total_cents()?) }))
}

struct Prices {
    faults: Arc<Faults>,
}

#[tonic::async_trait]
impl prices_server::Prices for Prices {
    type WatchStream = PriceStream;

    async fn get(&self, request: Request<PriceRequest>) -> Result<Response<Price>, Status> {
        self.faults.strike().await?;
        let Product { id, cents, .. } = catalog::find(request.get_ref().product_id)?;
        Ok(Response::new(Price { product_id: id, cents: on_sale(cents) }))
    }

    async fn watch(&self, request: Request<PriceRequest>) -> Result<Response<PriceStream>, Status> {
        self.faults.strike().await?;
        let Product { id, cents, .. } = catalog::find(request.get_ref().product_id)?;
        live::prices(&request, Price { product_id: id, cents: on_sale(cents) })
    }
}

const fn on_sale(cents: u64) -> u64 {
    cents - cents / 10
}
