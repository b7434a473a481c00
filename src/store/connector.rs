//! The SDK's requests, sent by a client whose trust is ours: the SDK's own connector takes further CA certificates, but
//! not a verifier.

use std::time::Duration;

use aws_sdk_s3::primitives::SdkBody;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use hyper::http;
use reqwest::redirect::Policy;
use reqwest::{Body, Client};

use super::trust::{CaBundle, TrustError};

/// How long a connection may take to be made.
const CONNECT_TIME: Duration = Duration::from_secs(10);

/// Sends the SDK's requests with the proxies of the environment.
#[derive(Debug, Clone)]
pub(super) struct Connector(Client);

impl Connector {
    /// A connector that trusts the system's certificates and those of `bundle`.
    pub(super) fn new(bundle: &CaBundle) -> Result<Self, TrustError> {
        let client = Client::builder()
            .tls_backend_preconfigured(bundle.tls_config()?)
            // As in the SDK: an answer that redirects is an answer.
            .redirect(Policy::none())
            .connect_timeout(CONNECT_TIME);
        Ok(Self(client.build()?))
    }

    async fn send(self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let user = |error: BoxError| ConnectorError::user(error);
        let request = request.try_into_http1x().map_err(|error| user(error.into()))?.map(Body::wrap);
        let request = request.try_into().map_err(|error: reqwest::Error| user(error.into()))?;
        let response = http::Response::from(self.0.execute(request).await.map_err(failed)?);
        HttpResponse::try_from(response.map(SdkBody::from_body_1_x))
            .map_err(|error| ConnectorError::other(error.into(), None))
    }
}

fn failed(error: reqwest::Error) -> ConnectorError {
    if error.is_timeout() {
        ConnectorError::timeout(error.into())
    } else if error.is_builder() {
        ConnectorError::user(error.into())
    } else {
        ConnectorError::io(error.into())
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::new(self.clone().send(request))
    }
}

impl HttpClient for Connector {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}
