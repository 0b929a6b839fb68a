//! The control plane of canary rollouts: an HTTP API and a page for operators, as an axum router.

mod access;
mod admin;
mod audit;
mod canary;
mod document;
mod extract;
pub mod gateway;
mod page;
mod problem;
mod recorder;
mod router;
mod routes;
mod shared;
mod stream;
mod streams;
mod view;

pub use canary_api::{Operator, Role};

pub use self::{
    access::{Access, TokenFileError},
    admin::{Admin, AdminBuilder},
};
