//! Use cases: decide, record, do, record.
