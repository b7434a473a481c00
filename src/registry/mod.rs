//! The registry's objects and documents: what there is, what it is called, and how it merges. Pure; no input or output.

pub mod checksums;
pub mod discovery;
pub mod download;
pub mod json;
pub mod layout;
pub mod provenance;
pub mod raw;
pub mod versions;
pub mod yanked;

pub use checksums::Checksums;
pub use download::DownloadDocument;
pub use layout::{Area, DocumentMaxAge, Folder, Key, Links, WriteRule};
pub use versions::VersionsDocument;
pub use yanked::YankedRecord;
