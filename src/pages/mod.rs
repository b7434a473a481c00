//! The registry as people read it: pages, feeds and the providers' documentation. Data in, bytes out: no input or output.
//!
//! Every page is a function of the registry's documents and of what its earlier self says about the pages that exist
//! ([`data`]): the same in gives the same bytes. No page loads anything from another host, and each has a
//! Content-Security-Policy that forbids it; scripts copy and search, and everything else works without them.

mod assets;
pub mod data;
pub mod directory;
pub mod docs;
pub mod feed;
mod frame;
mod hcl;
mod key;
mod links;
pub mod origin;
#[cfg(test)]
mod properties;
pub mod provider_page;
pub mod release_page;

pub use assets::assets;
pub use directory::Directory;
pub use frame::Site;
pub use links::links;
pub use provider_page::{ListedRelease, ProviderFacts, Yanked};
pub use release_page::{OfferedFile, ReleaseFacts};
