//! What a page says about other pages, for the run that writes it next: a block of JSON in the page itself, so that both
//! are replaced by one conditional write. Browsers do not run such a block.

use std::fmt;

use serde_json::Value;

use crate::error::Refusal;
use crate::registry::json::{self, Object};
use crate::registry::pages::PageKey;

const BEGIN: &str = "<script type=\"application/json\" id=\"tf-data\">";
const END: &str = "</script>";
/// In every page that tfreg writes.
const GENERATOR: &str = "<meta name=\"generator\" content=\"tfreg\">";
/// In every feed that tfreg writes.
const FEED_GENERATOR: &str = "<generator>tfreg</generator>";

/// The JSON text as a script element may hold it: nothing in it ends the element.
pub(super) fn embedded(value: &Value) -> String {
    // Outside of strings JSON has none of these.
    value.to_string().replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

/// Whether tfreg has written the page or feed; images and the like have no mark.
pub(super) fn is_ours(page: &[u8]) -> bool {
    let text = String::from_utf8_lossy(page);
    text.contains(GENERATOR) || text.contains(FEED_GENERATOR)
}

/// The refusal of an object at the key of a page that tfreg has not written: it is never overwritten.
#[must_use]
pub fn foreign(key: &PageKey, found: impl fmt::Display) -> Refusal {
    Refusal::new(key, "there is an object at the place of a page that tfreg has not written")
        .found(found)
        .expected("a page of tfreg, or nothing")
        .remedy("move the object to another key, or turn pages off; nothing was written")
}

/// Refuses a page or feed that tfreg has not written.
///
/// # Errors
/// It has no mark of tfreg.
pub fn check_ours(key: &PageKey, page: &[u8]) -> Result<(), Refusal> {
    if is_ours(page) {
        return Ok(());
    }
    Err(foreign(key, format!("{} bytes without tfreg's mark", page.len())))
}

/// The object that is the member `name` of the data of a page.
///
/// # Errors
/// As [`read`]; or there is no such object.
pub(super) fn object(key: &PageKey, page: &[u8], name: &str) -> Result<Object, Refusal> {
    match read(key, page)?.remove(name) {
        Some(Value::Object(object)) => Ok(object),
        _ => Err(unclear(key, format!("no {name:?}"))),
    }
}

/// The data of a page.
///
/// # Errors
/// The page is not one of tfreg's, or its data cannot be understood. That is never taken for no data.
fn read(key: &PageKey, page: &[u8]) -> Result<Object, Refusal> {
    check_ours(key, page)?;
    let text = std::str::from_utf8(page).ok();
    let block = text.and_then(|text| Some(text.split_once(BEGIN)?.1.split_once(END)?.0));
    match block.map(json::value) {
        Some(Ok(Value::Object(object))) => Ok(object),
        Some(Err(error)) => Err(foreign(key, format!("data that is not strict JSON: {error}"))),
        _ => Err(foreign(key, "a page without its data")),
    }
}

/// The refusal of data that is JSON, but says something else than expected.
pub(super) fn unclear(key: &PageKey, found: impl fmt::Display) -> Refusal {
    foreign(key, format!("a page whose data cannot be understood: {found}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_survives_what_would_end_its_element() {
        let value = serde_json::json!({ "</script><script>": "<!-- & \u{2028}" });
        let page = format!("<html>{GENERATOR}{BEGIN}{}{END}</html>", embedded(&value));
        assert_eq!(page.matches("</script").count(), 1, "{page}");
        assert_eq!(Value::Object(read(&PageKey::Registry, page.as_bytes()).unwrap()), value);
    }

    #[test]
    fn what_cannot_be_understood_is_never_taken_for_nothing() {
        for bad in [
            "",
            "<html>my own page</html>",
            GENERATOR,
            &format!("{GENERATOR}{BEGIN}"),
            &format!("{GENERATOR}{BEGIN}[]{END}"),
            &format!("{GENERATOR}{BEGIN}{{\"a\":1,\"a\":2}}{END}"),
        ] {
            let refusal = read(&PageKey::Registry, bad.as_bytes()).unwrap_err();
            assert!(refusal.to_string().contains("index.html"), "{refusal}");
        }
    }
}
