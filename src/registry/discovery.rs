//! The discovery document, `/.well-known/terraform.json` (remote service discovery protocol).

use serde_json::Value;

use super::json::{self, Object};
use super::layout::{Key, Links};
use crate::error::Refusal;

const SERVICE: &str = "providers.v1";

/// The document that announces the provider registry.
#[must_use]
pub fn document(links: &Links) -> Vec<u8> {
    let mut object = Object::new();
    object.insert(SERVICE.to_owned(), Value::String(links.service()));
    json::to_bytes(&object)
}

/// Checks a discovery document that exists already. It may announce other services, and another address of this one; it
/// is not changed.
///
/// Returns a warning if clients would not find a provider registry through it.
///
/// # Errors
/// It is not a JSON object.
pub fn check(links: &Links, bytes: &[u8]) -> Result<Option<String>, Refusal> {
    let object = json::parse(&Key::Discovery, bytes)?;
    Ok(match object.get(SERVICE) {
        // A root-relative registry may be announced by a full address too.
        Some(Value::String(address)) if *address == links.service() => None,
        Some(Value::String(address))
            if *links == Links::RootRelative && address.ends_with(&links.service()) =>
        {
            None
        }
        Some(Value::String(address)) if address.ends_with('/') => Some(format!(
            "{}: {SERVICE:?} is {address:?}, this run's documents are for {:?}; it is left as it is, replace it by hand if \
             that is not meant",
            Key::Discovery,
            links.service()
        )),
        Some(Value::String(address)) => Some(format!(
            "{}: {SERVICE:?} is {address:?}, and clients need a slash at its end",
            Key::Discovery
        )),
        Some(other) => {
            Some(format!("{}: {SERVICE:?} is {}, not an address", Key::Discovery, json::kind(other)))
        }
        None => {
            Some(format!("{}: it has no {SERVICE:?}, so clients find no provider registry", Key::Discovery))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn discovery_announces_the_service() {
        let bytes = document(&Links::RootRelative);
        assert_eq!(String::from_utf8(bytes.clone()).unwrap(), "{\n  \"providers.v1\": \"/registry/\"\n}\n");
        assert_eq!(check(&Links::RootRelative, &bytes), Ok(None));
        assert_eq!(check(&Links::RootRelative, br#"{"providers.v1":"https://h/registry/"}"#), Ok(None));
        let absolute = Links::Absolute("https://h/p/".parse().unwrap());
        assert_eq!(check(&absolute, &document(&absolute)), Ok(None));
        assert!(check(&absolute, &bytes).unwrap().unwrap().contains("https://h/p/registry/"));
    }

    #[test]
    fn what_clients_cannot_use_is_said() {
        for text in [r#"{"modules.v1":"/m/"}"#, r#"{"providers.v1":"/registry"}"#, r#"{"providers.v1":{}}"#] {
            assert!(check(&Links::RootRelative, text.as_bytes()).unwrap().is_some(), "{text}");
        }
        for text in ["", "[]", "{", "\u{feff}{}"] {
            assert!(check(&Links::RootRelative, text.as_bytes()).is_err(), "{text}");
        }
    }
}
