//! The discovery document, `/.well-known/terraform.json` (remote service discovery protocol).

use serde_json::Value;

use super::json::{self, Object};
use super::layout::Key;
use super::links::Links;
use super::raw::RawObject;
use crate::error::Refusal;

const SERVICE: &str = "providers.v1";

/// The document that announces the provider registry.
#[must_use]
pub fn document(links: &Links) -> Vec<u8> {
    let mut object = Object::new();
    object.insert(SERVICE.to_owned(), Value::String(links.service()));
    json::to_bytes(&object)
}

/// Whether a registry with these links may be announced by this address. One whose links begin at the host's root may be
/// announced by a full address too.
fn announces(address: &str, links: &Links) -> bool {
    address == links.service() || *links == Links::RootRelative && address.ends_with(&links.service())
}

/// Checks a discovery document that exists already. It may announce other services, and another address of this one; a
/// publish does not change it.
///
/// Returns a warning if clients would not find a provider registry through it.
///
/// # Errors
/// It is not a JSON object.
pub fn check(links: &Links, bytes: &[u8]) -> Result<Option<String>, Refusal> {
    let object = json::parse(&Key::Discovery, bytes)?;
    Ok(match object.get(SERVICE) {
        Some(Value::String(address)) if announces(address, links) => None,
        Some(Value::String(address)) if address.ends_with('/') => Some(format!(
            "{}: {SERVICE:?} is {address:?}, this run's documents are for {:?}; it is left as it is: where the registry has \
             settings, `tfreg reindex TARGET --all` replaces it, else do so by hand if that is not meant",
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

/// The document with the address of a registry with these links, and what it announced before, in words; `None` if it
/// announces the registry already. Other services are kept.
///
/// # Errors
/// It is not a JSON object.
pub fn moved(links: &Links, bytes: &[u8]) -> Result<Option<(String, Vec<u8>)>, Refusal> {
    let mut object = RawObject::parse(&Key::Discovery, bytes)?;
    let found = match object.value(SERVICE) {
        Some(Value::String(address)) if announces(&address, links) => return Ok(None),
        Some(Value::String(address)) => address,
        Some(other) => json::kind(&other).to_owned(),
        None => "no provider registry".to_owned(),
    };
    object.set(SERVICE, &links.service().into());
    Ok(Some((found, object.to_bytes())))
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
    fn other_services_stay_when_the_registry_moves() {
        let absolute = Links::Absolute("https://h/p/".parse().unwrap());
        let text = r#"{"modules.v1": "/m/", "providers.v1": "/registry/"}"#;
        let (from, bytes) = moved(&absolute, text.as_bytes()).unwrap().unwrap();
        assert_eq!(from, "/registry/");
        let expected = "{\n  \"modules.v1\": \"/m/\",\n  \"providers.v1\": \"https://h/p/registry/\"\n}\n";
        assert_eq!(String::from_utf8(bytes.clone()).unwrap(), expected);
        assert_eq!(moved(&absolute, &bytes), Ok(None));
        assert_eq!(moved(&Links::RootRelative, &bytes), Ok(None));
        let (from, bytes) = moved(&Links::RootRelative, b"{}").unwrap().unwrap();
        assert_eq!((from.as_str(), bytes), ("no provider registry", document(&Links::RootRelative)));
        assert!(moved(&absolute, b"[]").is_err());
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
