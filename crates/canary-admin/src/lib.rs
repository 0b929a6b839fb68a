//! The control plane of canary rollouts.
