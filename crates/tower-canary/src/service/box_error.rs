use std::error::Error;

pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// Boxes the error of a body that is about to be wrapped.
///
/// Axum's body wraps its errors, and axum's extractors look only a few levels deep for the error of a
/// length limit, which they answer with 413. So axum's own wrappers are left out here; the body that is
/// built from the wrapped one adds one again.
pub(crate) fn into_box_error(error: impl Into<BoxError>) -> BoxError {
    #[cfg_attr(not(feature = "axum"), expect(unused_mut, reason = "axum's errors are unwrapped"))]
    let mut error = error.into();
    #[cfg(feature = "axum")]
    loop {
        match error.downcast::<axum::Error>() {
            Ok(wrapper) => error = wrapper.into_inner(),
            Err(other) => return other,
        }
    }
    #[cfg(not(feature = "axum"))]
    error
}
