//! Access to AWS: credentials, region and endpoint.
//!
//! The standard configuration is that of the AWS CLI. A run that reads from one account and writes to another sets the
//! profile, role, region or endpoint of the second account in addition.

use std::time::Duration;

use aws_config::meta::region::ProvideRegion as _;
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider};
use aws_config::provider_config::ProviderConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{AppName, Region, RuntimeComponents, SharedCredentialsProvider, SharedHttpClient};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, ConnectorBuilder};
use aws_types::service_config::ServiceConfigKey;

use super::StoreError;
use super::connector::Connector;
use super::identity::Identity;
use super::s3::encryption::Encryption;
use super::trust::{CaBundle, machine_has_certificates};
use crate::store::budget::Patience;

/// Settings that override the standard AWS configuration, and settings that the SDK does not read from the environment.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// A profile, whose credentials take precedence over those of the environment.
    pub profile: Option<String>,
    /// A role to assume, with the credentials found otherwise.
    pub role_arn: Option<String>,
    /// The bucket's region.
    pub region: Option<String>,
    /// The S3 server's address; if it is set, requests are path-style.
    pub endpoint_url: Option<String>,
    /// Certificates to trust in addition to the system's (`AWS_CA_BUNDLE`).
    pub ca_bundle: Option<CaBundle>,
    /// The server-side encryption to request for written objects.
    pub encryption: Option<Encryption>,
    /// Whether this is the account of the tarballs, whose settings have names of their own (`--source-…`).
    pub is_source: bool,
    /// How long reads are retried.
    pub patience: Patience,
}

/// A client, and what is needed to explain its failures.
#[derive(Debug, Clone)]
pub struct Connection {
    /// Sends each request once: the caller decides whether, and how often, it may be repeated.
    pub client: Client,
    /// The source of its credentials.
    pub identity: Identity,
    /// The setting that names the bucket's region.
    pub region_setting: &'static str,
}

/// A document or a head request is small: an answer that takes longer will not come.
pub(super) const DOCUMENT_TIMEOUT: Duration = Duration::from_mins(1);
/// A service beside S3 answers within some milliseconds, or within a second.
const SERVICE_TIMEOUT: Duration = Duration::from_secs(30);
/// How often such a request is sent at most; the pauses in between are those of the SDK, up to some seconds.
const SERVICE_ATTEMPTS: u32 = 4;
/// The session name of an assumed role in the account's logs.
const SESSION: &str = "tfreg";

/// How long an attempt may take, and how long connecting.
fn timeouts(attempt: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(10))
        .operation_attempt_timeout(attempt)
        .build()
}

/// How requests to other services than S3 are sent, which are small and may be repeated.
#[must_use]
pub fn of_services() -> (RetryConfig, TimeoutConfig) {
    (RetryConfig::standard().with_max_attempts(SERVICE_ATTEMPTS), timeouts(SERVICE_TIMEOUT))
}

impl Access {
    /// Creates a client for S3. Makes no request, unless a profile requires one.
    ///
    /// # Errors
    /// Fails if a named profile does not exist.
    pub async fn connect(&self) -> Result<Connection, StoreError> {
        let identity =
            Identity::find("--source-profile", self.profile.as_deref(), self.role_arn.as_deref()).await?;
        let region_setting = if self.is_source { "--source-region" } else { "AWS_REGION" };
        Ok(Connection { client: self.client().await?, identity, region_setting })
    }

    async fn client(&self) -> Result<Client, StoreError> {
        let shared = self.sdk_config().await?;
        let mut config = aws_sdk_s3::config::Builder::from(&shared)
            // Like the AWS CLI, S3 works without a configured region; if the bucket is elsewhere, the answer names its
            // region.
            .region(shared.region().cloned().unwrap_or(Region::from_static("us-east-1")))
            // Other S3 servers rarely have a host name for each bucket.
            .force_path_style(self.endpoint_url.is_some() || has_endpoint(&shared))
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts(DOCUMENT_TIMEOUT));
        // So that logs of the bucket tell these requests from those of users.
        config.set_app_name(AppName::new("tfreg").ok());
        if let Some(url) = &self.endpoint_url {
            config = config.endpoint_url(url);
        }
        Ok(Client::from_conf(config.build()))
    }

    /// The configuration of clients: the standard one, with the settings and the role's credentials of this access.
    ///
    /// # Errors
    /// Fails if the certificates of `AWS_CA_BUNDLE` cannot be used.
    pub async fn sdk_config(&self) -> Result<SdkConfig, StoreError> {
        let shared = self.shared_config(&self.http_client()?).await;
        let Some(role) = &self.role_arn else { return Ok(shared) };
        let region = shared.region().cloned().unwrap_or(Region::from_static("us-east-1"));
        let role = AssumeRoleProvider::builder(role).configure(&shared).region(region).session_name(SESSION);
        let credentials = SharedCredentialsProvider::new(role.build().await);
        Ok(shared.into_builder().credentials_provider(credentials).build())
    }

    /// The SDK's own client ignores proxies and `AWS_CA_BUNDLE`, so the connector is built here.
    fn http_client(&self) -> Result<SharedHttpClient, StoreError> {
        if let Some(bundle) = &self.ca_bundle {
            let connector = Connector::new(bundle).map_err(|error| StoreError {
                doing: "cannot use the certificates of AWS_CA_BUNDLE or SSL_CERT_FILE".to_owned(),
                answer: error.to_string(),
                status: None,
                remedy: None,
            })?;
            return Ok(SharedHttpClient::new(connector));
        }
        let trust = TrustStore::empty().with_native_roots(machine_has_certificates());
        let tls = TlsContext::builder().with_trust_store(trust).build().unwrap_or_default();
        Ok(Builder::new().build_with_connector_fn(move |connection, components| {
            let mut builder = ConnectorBuilder::default().proxy_config(ProxyConfig::from_env());
            builder.set_connector_settings(connection.cloned());
            builder.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
            builder.tls_provider(Provider::Rustls(CryptoMode::Ring)).tls_context(tls.clone()).build()
        }))
    }

    async fn shared_config(&self, http: &SharedHttpClient) -> SdkConfig {
        let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http.clone());
        let mut region = self.region.clone().map(Region::new);
        if let Some(profile) = &self.profile {
            loader = loader.profile_name(profile);
            // By default the region and the credentials of the environment take precedence over a profile's, but here
            // they belong to another account.
            if region.is_none() {
                region = ProfileFileRegionProvider::builder().profile_name(profile).build().region().await;
            }
        }
        if let Some(region) = region {
            loader = loader.region(region);
        }
        let shared = loader.load().await;
        let Some(profile) = &self.profile else { return shared };
        let config = ProviderConfig::without_region()
            .with_region(shared.region().cloned())
            .with_http_client(http.clone());
        let credentials = ProfileFileCredentialsProvider::builder().profile_name(profile).configure(&config);
        let credentials = SharedCredentialsProvider::new(credentials.build());
        shared.into_builder().credentials_provider(credentials).build()
    }
}

/// Whether the standard configuration names an S3 server.
fn has_endpoint(shared: &SdkConfig) -> bool {
    let for_s3 = ServiceConfigKey::builder().service_id("S3").env("AWS_ENDPOINT_URL").profile("endpoint_url");
    let key = for_s3.build().ok();
    shared.endpoint_url().is_some()
        || key.is_some_and(|key| {
            shared.service_config().is_some_and(|config| config.load_config(key).is_some())
        })
}
