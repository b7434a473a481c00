//! Why KMS did not answer as asked, and what the user can do.
//!
//! Source: the AWS KMS API Reference, "Common Error Types" and the errors of each operation.

use std::error::Error as StdError;
use std::fmt;

use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use super::KmsKey;
use crate::error::{Error, StoreError, chain};
use crate::store::identity::Identity;
use crate::store::trust::{NO_CERTIFICATES, machine_has_certificates};

/// The right that a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Right {
    GetPublicKey,
    DescribeKey,
    Sign,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::GetPublicKey => "kms:GetPublicKey",
            Self::DescribeKey => "kms:DescribeKey",
            Self::Sign => "kms:Sign",
        })
    }
}

/// The facts about a request, besides its answer.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) key: &'a KmsKey,
    pub(super) identity: &'a Identity,
    pub(super) right: Right,
    pub(super) shared_endpoint: bool,
}

impl Context<'_> {
    /// The error of a request.
    pub(super) fn failed<E>(self, error: &SdkError<E, HttpResponse>) -> Error
    where
        E: ProvideErrorMetadata + StdError + 'static,
    {
        let status = error.raw_response().map(|response| response.status().as_u16());
        let service = error.as_service_error();
        let code = service.and_then(ProvideErrorMetadata::code).unwrap_or_default();
        let message = service.and_then(ProvideErrorMetadata::message).unwrap_or_default();
        let answer = match status {
            None => chain(error),
            Some(status) => {
                let said: Vec<&str> = [code, message].into_iter().filter(|text| !text.is_empty()).collect();
                format!("HTTP status {status} {}", said.join(": ")).trim_end().to_owned()
            }
        };
        let remedy = match status {
            None => self.identity.remedy(error).unwrap_or_else(|| no_answer(&answer)),
            Some(_) => self.remedy(code, message),
        };
        let doing = match self.right {
            Right::GetPublicKey => "cannot read the public key of",
            Right::DescribeKey => "cannot read when the key was made of",
            Right::Sign => "cannot sign by",
        };
        StoreError { doing: format!("{doing} {}", self.key), answer, status, remedy: Some(remedy) }.into()
    }

    fn remedy(self, code: &str, message: &str) -> String {
        let Self { key, right, .. } = self;
        let (arn, region) = (key.arn(), key.region());
        match code {
            "AccessDeniedException" | "AccessDenied" => self.denied(message),
            "DisabledException" => format!("enable the key: `aws kms enable-key --region {region} --key-id {arn}`"),
            "KMSInvalidStateException" if message.contains("pending deletion") => format!(
                "keep the key, whose deletion is scheduled: `aws kms cancel-key-deletion --region {region} --key-id {arn}`, then \
                 `aws kms enable-key --region {region} --key-id {arn}`; or sign with another one"
            ),
            "KMSInvalidStateException" | "KeyUnavailableException" => {
                "run this again when the key can be used; the answer says its state".to_owned()
            }
            "InvalidKeyUsageException" | "UnsupportedOperationException" => format!(
                "use a key that signs: `aws kms create-key --key-usage SIGN_VERIFY --key-spec RSA_3072 --region {region}`"
            ),
            "NotFoundException" if key.alias().is_some() => format!(
                "check the alias: `aws kms list-aliases --region {region}` shows those of the account, and their keys"
            ),
            "NotFoundException" | "InvalidArnException" => format!(
                "check the ARN in --signer, and that KMS of the region {region} is asked: AWS_ENDPOINT_URL_KMS, if it is set, has to \
                 lead there"
            ),
            "ThrottlingException" | "TooManyRequestsException" | "LimitExceededException" | "RequestLimitExceeded" => {
                "run this again in a while; other users of the account's keys use up the quota of requests a second".to_owned()
            }
            "ExpiredTokenException" | "ExpiredToken" | "RequestExpired" => self.identity.new_session().unwrap_or_else(|| {
                format!("renew the credentials, {}: the session is over", self.identity.keys())
            }),
            "UnrecognizedClientException" | "InvalidClientTokenId" | "InvalidSignatureException" | "SignatureDoesNotMatch"
            | "IncompleteSignature" | "MissingAuthenticationToken" => format!(
                "check the credentials, {}, and this machine's clock",
                self.identity.keys()
            ),
            "KMSInternalException" | "DependencyTimeoutException" | "InternalFailure" | "ServiceUnavailable" => {
                "run this again in a while".to_owned()
            }
            _ if self.shared_endpoint => format!(
                "AWS_ENDPOINT_URL leads to a server that does not answer as KMS does: name an S3 server by AWS_ENDPOINT_URL_S3 \
                 instead, or the address of KMS by AWS_ENDPOINT_URL_KMS (https://kms.{region}.amazonaws.com)"
            ),
            _ => format!("check what the answer says, and the right {right} on {arn}"),
        }
    }

    /// "User: ARN is not authorized to perform: kms:Sign on resource: ARN because …, with an explicit deny in …".
    fn denied(self, message: &str) -> String {
        let Self { key, right, .. } = self;
        if let Some((_, policy)) = message.split_once("explicit deny in a") {
            let policy = policy.trim_start_matches('n').trim();
            return format!(
                "a policy denies {right} explicitly ({policy}), which no grant overrules: have it changed"
            );
        }
        let on = if key.alias().is_some() { "the key behind " } else { "" };
        format!(
            "grant {right} on {on}{} to these credentials, in the key's own policy or, if that lets the account decide, in theirs",
            key.arn()
        )
    }
}

fn no_answer(chain: &str) -> String {
    if chain.contains("UnknownIssuer") {
        return if machine_has_certificates() {
            "name the file with the certificate of the server's CA by AWS_CA_BUNDLE".to_owned()
        } else {
            NO_CERTIFICATES.to_owned()
        };
    }
    "check the network, AWS_ENDPOINT_URL_KMS and AWS_ENDPOINT_URL, and the proxy settings".to_owned()
}
