//! `tfreg` publishes Terraform providers to a registry that consists of files only.
//!
//! ```text
//! release tarballs                       names, sidecars, limits, executable headers     release
//!        │
//!        ▼
//!  PackageSet          one deterministic, self-checked zip a platform                    package, splice
//!        │
//!        ▼              what is there: index, documents, objects ◄── Store               store
//!      Plan  ◄───────── SHA256SUMS of all platforms, signature, merged documents         plan, registry
//!        │
//!        ▼
//!    publish           store objects, then documents, then the index; conflicts are      publish
//!        │             observed and planned again until nothing is left to do
//!        ▼
//!      Store           a directory or an S3 bucket                                       store
//!        │
//!        ▼
//!     verify            read back as clients do, there or through the CDN                 reader, verify
//! ```
//!
//! Each step's output is the next one's only input, so none can be skipped: only a checked [`package::PackageSet`] can
//! become a [`plan::Plan`], and only a plan is written. There is no server and no lock service: readers always see a
//! consistent registry because of the order of the writes and because every write is conditional.
//!
//! # Rooms
//!
//! Lowest first; a room uses only those before it, which `tests/it/rooms.rs` checks.
//!
//! | room | contents |
//! | --- | --- |
//! | [`error`], [`provider`], [`content`] | refusals and errors; names, versions, platforms; digests and sealed bytes |
//! | [`splice`] | gzip and deflate: copying compressed streams into a zip |
//! | [`openpgp`] | secret keys, public keys, signers ([`openpgp::Signer`]), how each client judges a key |
//! | [`registry`] | every key, the documents, settings, SHA256SUMS and mirror files, and how they merge |
//! | [`pages`] | the registry as HTML and feeds, and the providers' documentation |
//! | [`release`] | names of tarballs, the strict tar reader, limits, executable headers |
//! | [`package`] | deterministic zips from tarballs, and their self-check |
//! | [`store`] | a directory or a bucket, with conditional writes, and time limits for retries of reads and writes |
//! | [`kms`] | a key of AWS KMS that signs |
//! | [`reader`] | a registry as its clients see it |
//! | [`plan`] | the objects to read, sign and write; pure, and without secrets |
//! | [`publish`], [`policy`], [`probe`], [`verify`], [`promotion`], [`fetch`], [`serve`], [`logs`], [`hosting`], [`cdn`] | the operations on these |
//! | [`workflow`] | one function for each command: a request in, an outcome out |
//! | [`report`] | the only printer |
//! | [`cli`] | arguments; the only room that reads the environment |

pub mod cdn;
pub mod cli;
pub mod content;
pub mod error;
pub mod fetch;
pub mod hosting;
pub mod kms;
pub mod logs;
pub mod openpgp;
pub mod package;
pub mod pages;
pub mod plan;
pub mod policy;
pub mod probe;
pub mod promotion;
pub mod provider;
pub mod publish;
pub mod reader;
pub mod registry;
pub mod regular;
pub mod release;
pub mod report;
pub mod serve;
pub mod splice;
pub mod store;
pub mod verify;
mod words;
mod worker;
pub mod workflow;
