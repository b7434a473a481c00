//! `tfreg` publishes Terraform providers to a registry that is nothing but files.
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
//! Pure and synchronous: [`provider`], [`splice`], [`release`], [`package`], [`registry`], [`plan`], [`policy`]. Asynchronous:
//! [`fetch`], [`probe`], [`reader`], [`store`], [`publish`], [`verify`], [`serve`]. Only [`cli`] reads the environment, and
//! only [`report`] prints.

pub mod cli;
pub mod digest;
pub mod error;
pub mod fetch;
pub mod package;
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
