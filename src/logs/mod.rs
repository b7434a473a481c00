//! Access logs of a registry's bucket and CDN: what was downloaded, how often, and by which clients.
//!
//! ```text
//! bytes of a file ─► LogFile: decompressed, split into lines ─► Record: one request ─► Tally: counts
//! ```
//!
//! Pure: bytes in, counts out. A file is never held as a whole; what is kept grows with the registry's versions and the days
//! that the logs cover, not with the lines.
//!
//! Formats: Amazon S3 server access logs ("Amazon S3 server access log format", S3 User Guide), and CloudFront standard logs
//! ("Standard logging reference", CloudFront Developer Guide): lines with tabs under a `#Fields` header, and one JSON object a
//! line.

mod client;
mod cloudfront;
mod file;
mod record;
mod s3;
mod tally;

pub use client::Client;
pub use file::LogFile;
pub use record::Since;
pub use tally::{Missing, Place, Row, Tally};
