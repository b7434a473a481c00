//! Integration tests: the real binary, real clients, a real S3 server in process.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test says what it covered, or that it was skipped"
)]
#![allow(clippy::case_sensitive_file_extension_comparisons, reason = "keys are what they are")]

mod acceptance;
mod batch;
mod children;
mod clients;
mod directory;
mod docs;
mod documents;
mod downloads;
mod drone;
mod faults;
mod fetching;
mod first_publish;
mod foreign_stores;
mod help;
mod hosting;
mod image;
mod key_command;
mod key_limits;
mod key_remedies;
mod keys;
mod list;
mod machine;
mod matrix;
mod memory;
mod mirror;
mod mirror_other;
mod model;
mod namespaces;
mod operations;
mod output;
mod packages;
mod pages;
mod policy;
mod probe;
mod programs;
mod promotion;
mod provenance;
mod races;
mod ready_made;
mod refusals;
mod rooms;
mod s3;
mod s3_remedies;
mod s3_server_selftest;
mod secrets;
mod serve;
mod settings;
mod signers;
mod slow_hosts;
mod splice;
mod store_conformance;
mod support;
mod tar_differential;
mod tar_headers;
mod tarball_remedies;
mod verify;
mod zip_differential;
