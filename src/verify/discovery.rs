//! The discovery document, by which clients find the registry of a host.

use serde_json::Value;
use url::Url;

use crate::reader::web::SERVICE;
use crate::reader::{Fetched, Reply};
use crate::registry::{Key, json};

use super::finding::{Finding, Group, Rule, Severity, rules};
use super::served;

rules! { Discovery:
    /// Source: Terraform's `disco`: 404 means that the host has no services.
    MISSING = "discovery-missing", Error,
        "there is no discovery document",
        "terraform init says: Invalid provider registry host",
        "serve .well-known/terraform.json at the root of the host; a publish creates it where it is absent";
    UNREADABLE = "discovery-unreadable", Error,
        "the discovery document cannot be read",
        "terraform init says: could not connect to the host",
        "let the CDN or web server answer it with the status 200";
    /// Source: Terraform's `disco` follows three redirects.
    REDIRECTS = "discovery-redirects", Error,
        "too many redirects lead to the discovery document",
        "terraform init follows three, and says then: could not connect to the host; OpenTofu 1.11 and newer follow ten",
        "answer .well-known/terraform.json itself, or by one redirect";
    /// Source: Terraform's `disco` takes the media type apart, and refuses every other.
    CONTENT_TYPE = "discovery-content-type", Error,
        "the discovery document does not have the content type application/json",
        "terraform init says: discovery URL returned an unsupported Content-Type",
        "have the web server give it that type; on S3 upload it with tfreg only";
    CONTENT_TYPE_PARAMETERS = "discovery-content-type-parameters", Warning,
        "the content type of the discovery document has parameters",
        "clients are documented to demand application/json; that they overlook parameters is not promised",
        "have the web server give application/json and nothing more";
    /// Source: Terraform's `disco` reads 1 MiB.
    SIZE = "discovery-size", Error,
        "the discovery document is larger than 1 MiB",
        "terraform init refuses it",
        "look at what is served there";
    JSON = "discovery-json", Error,
        "the discovery document is no strict JSON object",
        "terraform init says: discovery document is not valid JSON; or two readers read it differently",
        "write it again, without a byte order mark; a publish creates it where it is absent";
    NO_SERVICE = "discovery-service", Error,
        "the discovery document announces no provider registry",
        "terraform init says: the host does not support provider registries",
        "add \"providers.v1\": \"/registry/\"";
    ADDRESS = "discovery-address", Error,
        "the address of the provider registry cannot be used",
        "terraform init cannot ask it",
        "write a path or an https URL, without a query";
    /// Source: Terraform resolves paths against the address, and adds no slash: what is behind the last one is dropped.
    SLASH = "discovery-slash", Error,
        "the address of the provider registry does not end in a slash",
        "clients drop its last part, and ask elsewhere: every provider seems to be missing",
        "write the slash: \"/registry/\"";
    PLAIN_HTTP = "discovery-plain-http", Warning,
        "the provider registry is reached by plain http",
        "whoever is on the way can replace documents, with the key in them",
        "write an https address";
    ELSEWHERE = "discovery-elsewhere", Error,
        "the discovery document leads away from this registry's documents",
        "clients do not find what is published here",
        "the address ends in registry/, below which the documents are";
    CACHE = "discovery-cache", Warning,
        "the discovery document may be kept too long, or nothing says how long",
        "when the registry moves, clients go on asking at the old address",
        "set Cache-Control: public, max-age=60, must-revalidate on .well-known/";
}

/// The limits of clients.
pub(super) const LARGEST: u64 = 1 << 20;
const MOST_REDIRECTS: usize = 3;

/// Checks the discovery document; returns the address of the provider registry, if there is a usable one.
pub(super) fn check(subject: &str, reply: Reply<Fetched>, in_store: bool) -> (Vec<Finding>, Option<Url>) {
    if let Reply::TooLarge(_) = reply {
        let finding = SIZE.at(subject).found(format!("more than {LARGEST} bytes")).expected("1 MiB at most");
        return (vec![finding], None);
    }
    let document = match served::found(reply, subject, [&MISSING, &UNREADABLE], "a JSON document") {
        Ok(document) => document,
        Err(finding) => return (vec![finding], None),
    };
    let mut findings: Vec<Finding> = [
        redirects(subject, document.redirects),
        content_type(subject, &document),
        served::document_cache(subject, &document.headers)
            .map(|found| CACHE.at(subject).found(found.found).expected(found.expected)),
    ]
    .into_iter()
    .flatten()
    .collect();
    match service(subject, &document) {
        Ok(service) => {
            findings.extend(slash(subject, &service));
            findings.extend(plain_http(subject, &document.url, &service));
            findings.extend(elsewhere(subject, &service, in_store));
            let usable = service.path().ends_with('/');
            (findings, usable.then_some(service))
        }
        Err(finding) => {
            findings.push(finding);
            (findings, None)
        }
    }
}

fn redirects(subject: &str, count: usize) -> Option<Finding> {
    (count > MOST_REDIRECTS)
        .then(|| REDIRECTS.at(subject).found(format!("{count} redirects")).expected("3 at most"))
}

fn content_type(subject: &str, document: &Fetched) -> Option<Finding> {
    let found = document.headers.http.as_ref()?.content_type.as_deref().unwrap_or("none");
    let rule = match served::media_type(found).as_str() {
        _ if found == "application/json" => return None,
        "application/json" => &CONTENT_TYPE_PARAMETERS,
        _ => &CONTENT_TYPE,
    };
    Some(rule.at(subject).found(found).expected("application/json"))
}

fn told(problem: &str, document: &Fetched) -> String {
    format!("{problem} ({})", served::shape(document))
}

/// The address in the document.
fn service(subject: &str, document: &Fetched) -> Result<Url, Finding> {
    let object = json::parse(&Key::Discovery, &document.bytes).map_err(|refusal| {
        JSON.at(subject).found(told(&refusal.found, document)).expected("one JSON object")
    })?;
    let address = match object.get(SERVICE) {
        Some(Value::String(address)) => address,
        Some(other) => {
            return Err(NO_SERVICE
                .at(subject)
                .found(format!("{SERVICE:?} is {}", json::kind(other)))
                .expected("an address"));
        }
        None => return Err(NO_SERVICE.at(subject).found(format!("no {SERVICE:?}")).expected("an address")),
    };
    let unusable = |why: &str| {
        ADDRESS.at(subject).found(format!("{address:?}: {why}")).expected("a path, or https://HOST/…/")
    };
    let service = document.url.join(address).map_err(|error| unusable(&error.to_string()))?;
    if !matches!(service.scheme(), "https" | "http") {
        return Err(unusable("neither https nor http"));
    }
    if service.query().is_some() || service.fragment().is_some() {
        return Err(unusable("it has a query or a fragment"));
    }
    Ok(service)
}

fn slash(subject: &str, service: &Url) -> Option<Finding> {
    (!service.path().ends_with('/'))
        .then(|| SLASH.at(subject).found(service.path()).expected(format!("{}/", service.path())))
}

fn plain_http(subject: &str, document: &Url, service: &Url) -> Option<Finding> {
    (document.scheme() == "https" && service.scheme() != "https")
        .then(|| PLAIN_HTTP.at(subject).found(service).expected("https"))
}

/// In a directory or a bucket the keys of documents begin with `registry/`, whatever the host and its prefix. On a
/// host, a request shows whether the address is right.
fn elsewhere(subject: &str, service: &Url, in_store: bool) -> Option<Finding> {
    (in_store && service.path().ends_with('/') && !service.path().ends_with("/registry/"))
        .then(|| ELSEWHERE.at(subject).found(service.path()).expected("/registry/, or a prefix before it"))
}
