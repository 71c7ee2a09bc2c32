//! The operator's listener: health, readiness, metrics.
