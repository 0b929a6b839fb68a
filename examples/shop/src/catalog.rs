//! The products. Both versions have the same ones; [`v2`](crate::v2) sells them at a discount.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Product {
    pub(crate) id: u32,
    pub(crate) name: &'static str,
    pub(crate) cents: u64,
}

pub(crate) fn find(id: u32) -> Result<Product, UnknownProduct> {
    CATALOG.iter().find(|product| product.id == id).cloned().ok_or(UnknownProduct(id))
}

#[derive(Debug, Deserialize)]
pub(crate) struct Order {
    items: Vec<Item>,
}

#[derive(Debug, Deserialize)]
struct Item {
    product: u32,
    quantity: u32,
}

#[derive(Debug, Serialize)]
pub(crate) struct Receipt {
    pub(crate) total_cents: u64,
}

impl Order {
    pub(crate) fn total_cents(&self) -> Result<u64, UnknownProduct> {
        self.items.iter().map(|item| Ok(find(item.product)?.cents * u64::from(item.quantity))).sum()
    }
}

/// The error for an unknown product id, a client error in HTTP and gRPC.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UnknownProduct(u32);

impl IntoResponse for UnknownProduct {
    fn into_response(self) -> Response {
        (StatusCode::NOT_FOUND, format!("there is no product {}\n", self.0)).into_response()
    }
}

impl From<UnknownProduct> for tonic::Status {
    fn from(UnknownProduct(id): UnknownProduct) -> Self {
        Self::not_found(format!("there is no product {id}"))
    }
}

const CATALOG: [Product; 3] = [
    Product { id: 1, name: "teapot", cents: 2_500 },
    Product { id: 2, name: "kettle", cents: 4_000 },
    Product { id: 3, name: "a pound of tea", cents: 900 },
];
