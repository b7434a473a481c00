//! The registry's objects and documents: their names, contents and merging. Pure; no input or output.

pub mod checksums;
pub mod discovery;
pub mod download;
mod file_name;
pub mod json;
pub mod layout;
pub mod links;
mod marks;
pub mod mirror;
pub mod packages;
pub mod pages;
pub mod provenance;
pub mod raw;
pub mod settings;
pub mod versions;
pub mod yanked;

pub use checksums::Checksums;
pub use download::DownloadDocument;
pub use layout::{Area, DocumentMaxAge, Folder, Key, WriteRule};
pub use links::{BaseUrl, Links};
pub use marks::Mark;
pub use mirror::{MirrorHost, MirrorIndex, MirrorVersion};
pub use packages::{Packages, ZipFacts};
pub use settings::Settings;
pub use versions::VersionsDocument;
pub use yanked::YankedRecord;
