//! What all pages load: one stylesheet and one script.

use crate::content::Digest;
use crate::registry::pages::{AssetKind, PageKey};

const STYLE: &str = include_str!("../../templates/pages.css");
const SCRIPT: &str = include_str!("../../templates/pages.js");

/// The files that all pages load, with their keys.
#[must_use]
pub fn assets() -> [(PageKey, &'static [u8]); 2] {
    [(key(AssetKind::Style), STYLE.as_bytes()), (key(AssetKind::Script), SCRIPT.as_bytes())]
}

/// The key of the file of a kind.
pub(super) fn key(kind: AssetKind) -> PageKey {
    let contents = match kind {
        AssetKind::Style => STYLE,
        AssetKind::Script => SCRIPT,
    };
    PageKey::Asset { digest: Digest::of(contents.as_bytes()).short(), kind }
}
