//! The CLI configuration of Terraform and OpenTofu, as far as it says how a registry is reached: the tokens of its
//! `credentials` blocks, and the addresses of its `host` blocks.
//!
//! Source: Terraform 1.11 and OpenTofu 1.12, `internal/command/cliconfig`.

use std::collections::BTreeMap;
use std::fmt;

use hcl_edit::expr::{Expression, Object, ObjectKey};
use hcl_edit::structure::{Block, Body};
use reqwest::header::HeaderValue;
use serde_json::Value;
use url::Url;
use zeroize::Zeroizing;

use super::web::{SERVICE, is_allowed};
use crate::registry::MirrorHost;

/// How the name of a variable with a token begins; the host is behind it.
const VARIABLE: &str = "TF_TOKEN_";

/// A bearer token. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(HeaderValue);

impl Token {
    /// The token with this text.
    ///
    /// # Errors
    /// It cannot be sent in a header.
    pub fn new(text: &str) -> Result<Self, String> {
        let header = Zeroizing::new(format!("Bearer {}", text.trim()));
        let mut header = HeaderValue::from_str(&header)
            .map_err(|_| "the token has a line end or another sign that no header may have".to_owned())?;
        header.set_sensitive(true);
        Ok(Self(header))
    }

    /// The header `Authorization` with it.
    pub(super) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// What is configured of a registry's host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostConfig {
    /// The token that is sent to its registry service.
    pub token: Option<Token>,
    /// Where its registry service is; then it is not discovered.
    pub service: Option<Url>,
}

/// What is configured of all hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientConfig(BTreeMap<MirrorHost, HostConfig>);

impl ClientConfig {
    /// What is configured of a host.
    #[must_use]
    pub fn of(&self, host: &MirrorHost) -> HostConfig {
        self.0.get(host).cloned().unwrap_or_default()
    }

    /// Adds what a file says, in HCL or JSON; what it says of a host counts more than what was read before.
    ///
    /// # Errors
    /// It cannot be read. The text is without anything of the file's contents, which may be tokens.
    pub fn add(&mut self, text: &str) -> Result<(), String> {
        let blocks = if text.trim_start().starts_with('{') { json_blocks(text)? } else { hcl_blocks(text)? };
        for ConfigBlock { kind, host: name, attributes } in blocks {
            // Clients pass over hosts that are none.
            let Ok(host) = MirrorHost::given(&name) else { continue };
            match kind {
                Kind::Credentials => {
                    let Some(token) = attributes.get("token") else { continue };
                    let token = token.as_ref().ok_or_else(|| not_text(&format!("token of {name}")))?;
                    let token = Token::new(token).map_err(|error| format!("{name}: {error}"))?;
                    self.0.entry(host).or_default().token = Some(token);
                }
                Kind::Host => {
                    let Some(address) = attributes.get(SERVICE) else { continue };
                    let address =
                        address.as_ref().ok_or_else(|| not_text(&format!("{SERVICE:?} of {name}")))?;
                    let service =
                        service(address).map_err(|error| format!("{SERVICE:?} of {name}: {error}"))?;
                    self.0.entry(host).or_default().service = Some(service);
                }
            }
        }
        Ok(())
    }

    /// Adds a token of an environment variable, which counts more than one of a file. Variables of other names are passed
    /// over, and so are empty ones: in pipelines, those of secrets that are missing are empty.
    ///
    /// # Errors
    /// The token cannot be sent.
    pub fn add_variable(&mut self, name: &str, value: &str) -> Result<(), String> {
        let Some(host) = name.strip_prefix(VARIABLE).filter(|_| !value.trim().is_empty()) else {
            return Ok(());
        };
        // Dashes are no signs for most shells, nor are dots; underscores are none for hosts.
        let host = host.replace("__", "-").replace('_', ".");
        let Ok(host) = MirrorHost::given(&host) else { return Ok(()) };
        let token = Token::new(value).map_err(|error| format!("{name}: {error}"))?;
        self.0.entry(host).or_default().token = Some(token);
        Ok(())
    }

    /// The name of the variable with the token of a host.
    #[must_use]
    pub fn variable(host: &MirrorHost) -> String {
        format!("{VARIABLE}{}", host.as_str().replace('-', "__").replace('.', "_"))
    }
}

/// Reads the address of a registry service.
fn service(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    if !is_allowed(&url) {
        return Err("expected https:// (http only on this machine)".to_owned());
    }
    if !url.path().ends_with('/') {
        return Err("expected a slash at its end".to_owned());
    }
    Ok(url)
}

fn not_text(what: &str) -> String {
    format!("the {what} is no plain text in quotes")
}

enum Kind {
    Credentials,
    Host,
}

impl Kind {
    fn of(name: &str) -> Option<Self> {
        match name {
            "credentials" => Some(Self::Credentials),
            "host" => Some(Self::Host),
            _ => None,
        }
    }
}

/// A block of the configuration. The value of an attribute that is no text is `None`.
struct ConfigBlock {
    kind: Kind,
    host: String,
    attributes: BTreeMap<String, Option<Zeroizing<String>>>,
}

fn hcl_blocks(text: &str) -> Result<Vec<ConfigBlock>, String> {
    // The parser's own message has the line in it.
    let body: Body = text.parse().map_err(|error: hcl_edit::parser::Error| {
        format!("line {}, column {}: it is no HCL", error.location().line(), error.location().column())
    })?;
    Ok(body.blocks().filter_map(hcl_block).collect())
}

fn hcl_block(block: &Block) -> Option<ConfigBlock> {
    let kind = Kind::of(block.ident.as_str())?;
    let host = block.labels.first()?.as_str().to_owned();
    let text = |expression: &Expression| expression.as_str().map(|text| Zeroizing::new(text.to_owned()));
    let attributes = match kind {
        Kind::Credentials => {
            let attributes = block.body.attributes();
            attributes.map(|attribute| (attribute.key.to_string(), text(&attribute.value))).collect()
        }
        Kind::Host => {
            let services = block.body.get_attribute("services").map(|services| &services.value);
            let services = services.and_then(Expression::as_object).into_iter().flat_map(Object::iter);
            let name = |key: &ObjectKey| match key {
                ObjectKey::Ident(name) => Some(name.as_str().to_owned()),
                ObjectKey::Expression(expression) => expression.as_str().map(str::to_owned),
            };
            services.filter_map(|(key, value)| Some((name(key)?, text(value.expr())))).collect()
        }
    };
    Some(ConfigBlock { kind, host, attributes })
}

fn json_blocks(text: &str) -> Result<Vec<ConfigBlock>, String> {
    let value: Value = serde_json::from_str(text)
        .map_err(|error| format!("line {}, column {}: it is no JSON", error.line(), error.column()))?;
    let mut blocks = Vec::new();
    for (name, hosts) in value.as_object().into_iter().flatten() {
        for (host, members) in hosts.as_object().into_iter().flatten() {
            let Some(kind) = Kind::of(name) else { continue };
            let members = match kind {
                Kind::Credentials => Some(members),
                Kind::Host => members.get("services"),
            };
            let text = |value: &Value| value.as_str().map(|text| Zeroizing::new(text.to_owned()));
            let members = members.and_then(Value::as_object).into_iter().flatten();
            let attributes = members.map(|(name, value)| (name.clone(), text(value))).collect();
            blocks.push(ConfigBlock { kind, host: host.clone(), attributes });
        }
    }
    Ok(blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> ClientConfig {
        let mut config = ClientConfig::default();
        config.add(text).unwrap();
        config
    }

    fn host(text: &str) -> MirrorHost {
        text.parse().unwrap()
    }

    fn token(text: &str) -> Option<Token> {
        Token::new(text).ok()
    }

    #[test]
    fn the_blocks_of_a_configuration_are_read() {
        let hcl = r#"
# A comment.
plugin_cache_dir   = "$HOME/.terraform.d/plugin-cache"
disable_checkpoint = true
provider_installation {
  network_mirror {
    url     = "https://mirror.example.com/"
    include = ["example.com/*/*"]
  }
  direct {}
}
credentials "Registry.Example.com" {
  token = "secret-1"
}
credentials "bücher.example" { token = "secret-2" }
credentials "localhost:8443" { token = "secret-3" }
credentials_helper "x" { args = [] }
host "registry.example.org" {
  services = {
    "providers.v1" = "http://127.0.0.1:8080/registry/",
    "modules.v1"   = "https://example.com/m/"
  }
}
"#;
        let json = r#"{"credentials": {"registry.example.com": {"token": "secret-1"}, "bücher.example": {"token": "secret-2"},
            "localhost:8443": {"token": "secret-3"}}, "plugin_cache_dir": "x", "host": {"registry.example.org":
            {"services": {"providers.v1": "http://127.0.0.1:8080/registry/"}}}}"#;
        for text in [hcl, json] {
            let config = config(text);
            assert_eq!(config.of(&host("registry.example.com")).token, token("secret-1"));
            assert_eq!(config.of(&host("xn--bcher-kva.example")).token, token("secret-2"));
            assert_eq!(config.of(&host("localhost:8443")).token, token("secret-3"));
            let service = config.of(&host("registry.example.org"));
            assert_eq!(service.service.unwrap().as_str(), "http://127.0.0.1:8080/registry/");
            assert_eq!(service.token, None);
            assert_eq!(config.of(&host("example.com")), HostConfig::default());
            assert!(!format!("{config:?}").contains("secret"));
        }
    }

    #[test]
    fn a_later_file_counts_more_and_a_variable_most() {
        let mut config = config("credentials \"a.example\" { token = \"1\" }");
        config.add("credentials \"a.example\" { token = \"2\" }").unwrap();
        assert_eq!(config.of(&host("a.example")).token, token("2"));
        for (name, of) in [
            ("TF_TOKEN_a_example", "a.example"),
            ("TF_TOKEN_my__registry_example_com", "my-registry.example.com"),
            ("TF_TOKEN_xn____bcher__kva_example", "xn--bcher-kva.example"),
            ("TF_TOKEN_bücher_example", "xn--bcher-kva.example"),
            ("TF_TOKEN_localhost:8443", "localhost:8443"),
        ] {
            config.add_variable(name, "3\n").unwrap();
            assert_eq!(config.of(&host(of)).token, token("3"), "{name}");
        }
        for host in ["my-registry.example.com", "xn--bcher-kva.example", "localhost:8443"] {
            let mut config = ClientConfig::default();
            config.add_variable(&ClientConfig::variable(&host.parse().unwrap()), "4").unwrap();
            assert_eq!(config.of(&host.parse().unwrap()).token, token("4"));
        }
        config.add_variable("TF_TOKEN_a_example", "").unwrap();
        config.add_variable("OTHER_a_example", "5").unwrap();
        assert_eq!(config.of(&host("a.example")).token, token("3"));
    }

    #[test]
    fn what_cannot_be_read_is_not_repeated() {
        for bad in [
            "credentials \"a.example\" {\n  token = \"hidden",
            "credentials \"a.example\" { token = hidden }",
            "credentials \"a.example\" { token = \"hid${1}den\" }",
            "credentials \"a.example\" { token = \"hid\\nden\" }",
            "{\"credentials\": {\"a.example\": {\"token\": \"hidden\"}",
            "{\"credentials\": {\"a.example\": {\"token\": [\"hidden\"]}}}",
            "host \"a.example\" { services = { \"providers.v1\" = \"http://hidden.example/\" } }",
            "host \"a.example\" { services = { \"providers.v1\" = \"https://hidden.example/x\" } }",
        ] {
            let error = ClientConfig::default().add(bad).unwrap_err();
            assert!(!error.contains("hid"), "{error}");
        }
        assert!(ClientConfig::default().add_variable("TF_TOKEN_a_example", "hid\nden").is_err());
    }
}
