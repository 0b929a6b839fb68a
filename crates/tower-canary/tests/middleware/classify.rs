//! Closures as classifiers.

use http::Response;
use tower_canary::classify::{Classification, Classify, HeadClassification, Protocol};

#[test]
fn a_closure_leaves_grpc_trailers_to_the_default_classifier() {
    let closure = |head: &Response<()>| match head.status().as_u16() {
        429 => Classification::Failure,
        _ => Classification::Success,
    };
    assert_eq!(closure.head(Protocol::Grpc, &Response::new(())), HeadClassification::AtEnd);
    assert_eq!(closure.trailers(Protocol::Grpc, None), Classification::Failure);
    assert_eq!(
        closure.head(Protocol::Http, &Response::new(())),
        HeadClassification::Final(Classification::Success)
    );
}
