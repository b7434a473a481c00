//! Integration tests: the real binary, real clients, a real S3 server in process.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod clients;
mod directory;
mod faults;
mod keys;
mod model;
mod races;
mod refusals;
mod s3;
mod s3_server_selftest;
mod secrets;
mod store_conformance;
mod support;
