//! A CloudFront distribution, which is told what has changed, so that it asks for that again.
//!
//! One operation of CloudFront's API is needed, CreateInvalidation (API version 2020-05-31). It is made of the parts of which the
//! AWS SDK makes its clients; the client for CloudFront has some hundred operations, and as many types.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::str::FromStr;

use aws_config::SdkConfig;
use aws_runtime::auth::SigV4OperationSigningConfig;
use aws_runtime::auth::sigv4::{SCHEME_ID, SigV4AuthScheme};
use aws_smithy_runtime::client::identity::IdentityCache;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime::client::retries::classifiers::HttpStatusCodeClassifier;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::auth::AuthSchemeOptionResolverParams;
use aws_smithy_runtime_api::client::auth::static_resolver::StaticAuthSchemeOptionResolver;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponentsBuilder;
use aws_smithy_runtime_api::client::runtime_plugin::StaticRuntimePlugin;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::config_bag::Layer;
use aws_smithy_xml::decode::{Document, ScopedDecoder, try_data};
use aws_smithy_xml::encode::{ScopeWriter, XmlWriter};
use aws_types::SigningName;
use aws_types::region::SigningRegion;
use aws_types::service_config::ServiceConfigKey;

use crate::error::{StoreError, chain};
use crate::provider::InvalidName;
use crate::store::access::{self, Access};
use crate::store::identity::Identity;

/// The id of a CloudFront distribution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distribution(String);

impl FromStr for Distribution {
    type Err = InvalidName;

    /// Reads an id, or the ARN that ends in it.
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let id = match text.strip_prefix("arn:") {
            Some(arn) if arn.contains(":cloudfront::") => arn.split_once(":distribution/").map(|(_, id)| id),
            Some(_) => None,
            None => Some(text),
        };
        let is_id = |id: &&str| {
            !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
        };
        id.filter(is_id).map(|id| Self(id.to_owned())).ok_or_else(|| InvalidName {
            what: "distribution",
            found: text.to_owned(),
            rule: "expected the id or the ARN of a CloudFront distribution, such as EDFDVBD6EXAMPLE"
                .to_owned(),
        })
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The namespace of the API's documents.
const NAMESPACE: &str = "http://cloudfront.amazonaws.com/doc/2020-05-31/";

/// Makes a distribution ask for `paths` again, which begin with a slash: one batch. `reference` is another one for each batch. Gives
/// the id of the invalidation.
///
/// # Errors
/// Fails if CloudFront cannot be asked, or does not allow it.
pub async fn invalidate(
    distribution: &Distribution,
    paths: &[String],
    reference: &str,
    access: &Access,
) -> Result<String, StoreError> {
    // No option names a profile for it.
    let identity =
        Identity::find("AWS_PROFILE", access.profile.as_deref(), access.role_arn.as_deref()).await?;
    let shared = access.sdk_config().await?;
    let (endpoint, region) = endpoint(&shared);
    let mut signing = Layer::new("signing");
    signing.store_put(AuthSchemeOptionResolverParams::new(()));
    signing.store_put(SigV4OperationSigningConfig {
        region: Some(SigningRegion::from(region)),
        name: Some(SigningName::from_static("cloudfront")),
        ..SigV4OperationSigningConfig::default()
    });
    let mut components = RuntimeComponentsBuilder::new("signing")
        .with_auth_scheme(SigV4AuthScheme::new())
        .with_auth_scheme_option_resolver(Some(StaticAuthSchemeOptionResolver::new(vec![SCHEME_ID])))
        .with_identity_cache(Some(IdentityCache::no_cache()))
        .with_sleep_impl(shared.sleep_impl())
        .with_http_client(shared.http_client());
    if let Some(credentials) = shared.credentials_provider() {
        components = components.with_identity_resolver(SCHEME_ID, credentials);
    }
    // A batch that is sent twice is one to CloudFront, by its reference.
    let (retries, timeouts) = access::of_services();
    let operation = Operation::builder()
        .service_name("CloudFront")
        .operation_name("CreateInvalidation")
        .runtime_plugin(
            StaticRuntimePlugin::new().with_config(signing.freeze()).with_runtime_components(components),
        )
        .endpoint_url(&endpoint)
        .standard_retry(&retries)
        .retry_classifier(HttpStatusCodeClassifier::default())
        .timeout_config(timeouts)
        .serializer(|(path, body): (String, String)| request(&path, body))
        .deserializer(|response: &HttpResponse| read(response))
        .build();
    let path = format!("/2020-05-31/distribution/{distribution}/invalidation");
    operation
        .invoke((path, batch(paths, reference)))
        .await
        .map_err(|error| failed(distribution, &identity, &error))
}

/// Where CloudFront is, and for which region requests to it are signed: it has one address in each part of AWS.
fn endpoint(shared: &SdkConfig) -> (String, &'static str) {
    let is_china = shared.region().is_some_and(|region| region.as_ref().starts_with("cn-"));
    let (usual, region) = if is_china {
        ("https://cloudfront.cn-northwest-1.amazonaws.com.cn", "cn-northwest-1")
    } else {
        ("https://cloudfront.amazonaws.com", "us-east-1")
    };
    let key =
        ServiceConfigKey::builder().service_id("CloudFront").env("AWS_ENDPOINT_URL").profile("endpoint_url");
    let key = key.build().ok();
    let own = key.and_then(|key| shared.service_config().and_then(|config| config.load_config(key)));
    let endpoint = own.or_else(|| shared.endpoint_url().map(str::to_owned));
    (endpoint.unwrap_or_else(|| usual.to_owned()), region)
}

/// The body of the request.
fn batch(paths: &[String], reference: &str) -> String {
    let mut text = String::new();
    let mut writer = XmlWriter::new(&mut text);
    let mut root = writer.start_el("InvalidationBatch").write_ns(NAMESPACE, None).finish();
    let mut list = root.start_el("Paths").finish();
    element(&mut list, "Quantity", &paths.len().to_string());
    let mut items = list.start_el("Items").finish();
    for path in paths {
        element(&mut items, "Path", path);
    }
    items.finish();
    list.finish();
    element(&mut root, "CallerReference", reference);
    root.finish();
    text
}

fn element(scope: &mut ScopeWriter<'_, '_>, name: &str, value: &str) {
    let mut element = scope.start_el(name).finish();
    element.data(value);
    element.finish();
}

fn request(path: &str, body: String) -> Result<HttpRequest, BoxError> {
    let mut request = HttpRequest::new(SdkBody::from(body));
    request.set_method("POST")?;
    request.set_uri(path)?;
    request.headers_mut().insert("content-type", "application/xml");
    Ok(request)
}

/// An answer that is not the one that was asked for.
#[derive(Debug)]
struct Answer {
    code: Option<String>,
    message: Option<String>,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said: Vec<&str> = [&self.code, &self.message].into_iter().flatten().map(String::as_str).collect();
        f.write_str(&said.join(": "))
    }
}

impl StdError for Answer {}

fn read(response: &HttpResponse) -> Result<String, OrchestratorError<Answer>> {
    let body = response.body().bytes().unwrap_or_default();
    let id = if response.status().is_success() { text(body, &["Id"]) } else { None };
    id.ok_or_else(|| {
        let part = |name| text(body, &["Error", name]);
        OrchestratorError::operation(Answer { code: part("Code"), message: part("Message") })
    })
}

/// The text of an element below the root.
fn text(xml: &[u8], names: &[&str]) -> Option<String> {
    fn find(scope: &mut ScopedDecoder<'_, '_>, names: &[&str]) -> Option<String> {
        let [name, rest @ ..] = names else { return try_data(scope).ok().map(Cow::into_owned) };
        while let Some(mut tag) = scope.next_tag() {
            if tag.start_el().local() == *name {
                return find(&mut tag, rest);
            }
        }
        None
    }
    let mut document = Document::try_from(xml).ok()?;
    find(&mut document.root_element().ok()?, names)
}

fn failed(
    distribution: &Distribution,
    identity: &Identity,
    error: &SdkError<Answer, HttpResponse>,
) -> StoreError {
    let status = error.raw_response().map(|response| response.status().as_u16());
    let answer = match (status, error.as_service_error()) {
        (Some(status), Some(answer)) => format!("HTTP status {status} {answer}").trim_end().to_owned(),
        _ => chain(error),
    };
    let code = error.as_service_error().and_then(|answer| answer.code.as_deref());
    let remedy = match code {
        Some("AccessDenied") => Some(
            "grant cloudfront:CreateInvalidation on the distribution: `tfreg policy --cdn ARN --allow-invalidation` prints the policy"
                .to_owned(),
        ),
        Some("NoSuchDistribution") => Some("check the id in --invalidate".to_owned()),
        _ => identity.remedy(error),
    };
    let doing = format!("the distribution {distribution} was not told what has changed");
    StoreError { doing, answer, status, remedy }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions_are_named_by_id_or_arn() {
        for text in ["EDFDVBD6EXAMPLE", "arn:aws:cloudfront::123456789012:distribution/EDFDVBD6EXAMPLE"] {
            assert_eq!(text.parse::<Distribution>().unwrap().to_string(), "EDFDVBD6EXAMPLE");
        }
        for bad in ["", "E/F", "d111111abcdef8.cloudfront.net", "arn:aws:s3:::distribution/E", "arn:E"] {
            assert!(bad.parse::<Distribution>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_batch_has_each_path() {
        let paths = ["/registry/a/b/versions".to_owned(), "/a&b".to_owned()];
        assert_eq!(
            batch(&paths, "once"),
            "<InvalidationBatch xmlns=\"http://cloudfront.amazonaws.com/doc/2020-05-31/\"><Paths><Quantity>2</Quantity><Items>\
             <Path>/registry/a/b/versions</Path><Path>/a&amp;b</Path></Items></Paths><CallerReference>once</CallerReference>\
             </InvalidationBatch>"
        );
    }

    #[test]
    fn answers_are_read() {
        let error = b"<?xml version=\"1.0\"?>\n<ErrorResponse xmlns=\"http://x/\"><Error><Type>Sender</Type><Code>AccessDenied</Code>\
                      <Message>no &lt;right&gt;</Message></Error></ErrorResponse>";
        assert_eq!(text(error, &["Error", "Code"]).as_deref(), Some("AccessDenied"));
        assert_eq!(text(error, &["Error", "Message"]).as_deref(), Some("no <right>"));
        assert_eq!(text(error, &["Id"]), None);
        for bad in [&b""[..], b"<", b"no xml", b"\xff"] {
            assert_eq!(text(bad, &["Error", "Code"]), None);
        }
    }
}
