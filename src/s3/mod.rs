//! The S3 edge: HTTP and XML in, use cases out.
