//! gcp: being written.
