//! AWS KMS: a key whose secret never leaves it.

mod failure;
mod reference;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_sdk_kms::Client;
use aws_sdk_kms::config::Region;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{KeyUsageType, MessageType, SigningAlgorithmSpec};

use crate::error::{Error, Refusal, Result};
use crate::openpgp::gpg::CertificateFile;
use crate::openpgp::remote::{DigestSigner, Hash, Kind, RemoteKey, RemoteSigner};
use crate::openpgp::signer::Holder;
use crate::store::access::{self, Access};
use crate::store::identity::Identity;
use failure::{Context, Right};
pub use reference::KmsKey;

/// A key in KMS: its public half, and what asks for signatures by it.
pub struct Kms {
    asked: Arc<Asked>,
    key: RemoteKey,
}

/// What asks KMS.
struct Asked {
    client: Client,
    key: KmsKey,
    identity: Identity,
    kind: Kind,
    /// Whether `AWS_ENDPOINT_URL` leads requests to a server that is perhaps for S3 only.
    shared_endpoint: bool,
}

impl Kms {
    /// Reads the public half of a key, with the credentials of `access`. `profile_setting` is the option that names a profile.
    ///
    /// # Errors
    /// KMS cannot be asked, does not allow it, or has a key that signs nothing that clients could verify.
    pub async fn open(key: KmsKey, access: &Access, profile_setting: &'static str) -> Result<Self> {
        let identity =
            Identity::find(profile_setting, access.profile.as_deref(), access.role_arn.as_deref()).await?;
        let shared = Access { region: Some(key.region().to_owned()), ..access.clone() }.sdk_config().await?;
        let shared_endpoint = shared.endpoint_url().is_some();
        let (retries, timeouts) = access::of_services();
        let config = aws_sdk_kms::config::Builder::from(&shared)
            .region(Region::new(key.region().to_owned()))
            .retry_config(retries)
            .timeout_config(timeouts);
        let client = Client::from_conf(config.build());
        let context = Context { key: &key, identity: &identity, right: Right::GetPublicKey, shared_endpoint };
        let answer = client.get_public_key().key_id(key.arn()).send().await;
        let answer = answer.map_err(|error| context.failed(&error))?;
        let spec = answer.key_spec().map_or("an unknown kind", |spec| spec.as_str());
        if answer.key_usage() != Some(&KeyUsageType::SignVerify) {
            let usage = answer.key_usage().map_or("none", |usage| usage.as_str());
            return Err(unfit(&key, &format!("a key of KMS for {usage}, {spec}")));
        }
        let public = answer.public_key().map(AsRef::as_ref).unwrap_or_default();
        let public =
            RemoteKey::from_spki(public).map_err(|found| unfit(&key, &format!("{spec}: {found}")))?;
        let kind = public.kind();
        Ok(Self { asked: Arc::new(Asked { client, key, identity, kind, shared_endpoint }), key: public })
    }

    /// The signer by this key, whose certificate is in a file.
    ///
    /// # Errors
    /// The certificate is of another key, or not fit to sign with.
    pub fn signer(self, certificate: &CertificateFile) -> Result<RemoteSigner> {
        let reference = self.asked.key.to_string();
        RemoteSigner::open((Holder::Kms, reference), certificate, &self.key, self.asked)
    }

    /// Makes the certificate of this key: see [`RemoteKey::certify`].
    ///
    /// # Errors
    /// KMS does not tell when the key was made, or does not sign.
    pub async fn certificate(self, user_id: &str, expires: Option<SystemTime>) -> Result<String> {
        let asked = &self.asked;
        let answer = asked.client.describe_key().key_id(asked.key.arn()).send().await;
        let answer = answer.map_err(|error| asked.context(Right::DescribeKey).failed(&error))?;
        let created = answer.key_metadata().and_then(|about| about.creation_date());
        let created = created
            .and_then(|time| u64::try_from(time.secs()).ok())
            .map(|seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        let Some(created) = created else {
            return Err(Refusal::new(&asked.key, "KMS does not tell when the key was made")
                .found("an answer without CreationDate")
                .expected("the time of the key, from which its fingerprint is made")
                .remedy("check what answers at AWS_ENDPOINT_URL_KMS")
                .into());
        };
        let source = asked.key.to_string();
        let digests: Arc<dyn DigestSigner> = Arc::clone(&self.asked) as Arc<dyn DigestSigner>;
        self.key.certify(&source, created, user_id, expires, digests).await
    }
}

impl Asked {
    fn context(&self, right: Right) -> Context<'_> {
        Context { key: &self.key, identity: &self.identity, right, shared_endpoint: self.shared_endpoint }
    }
}

#[async_trait]
impl DigestSigner for Asked {
    async fn sign_digest(&self, hash: Hash, digest: &[u8]) -> Result<Vec<u8>> {
        // OpenPGP signs the digest as Ed25519's message; so to KMS it is no digest, but the message itself.
        let (message, algorithm) = match (self.kind, hash) {
            (Kind::Rsa, Hash::Sha256) => (MessageType::Digest, SigningAlgorithmSpec::RsassaPkcs1V15Sha256),
            (Kind::Rsa, Hash::Sha384) => (MessageType::Digest, SigningAlgorithmSpec::RsassaPkcs1V15Sha384),
            (Kind::Rsa, Hash::Sha512) => (MessageType::Digest, SigningAlgorithmSpec::RsassaPkcs1V15Sha512),
            (Kind::Ecdsa, Hash::Sha256) => (MessageType::Digest, SigningAlgorithmSpec::EcdsaSha256),
            (Kind::Ecdsa, Hash::Sha384) => (MessageType::Digest, SigningAlgorithmSpec::EcdsaSha384),
            (Kind::Ecdsa, Hash::Sha512) => (MessageType::Digest, SigningAlgorithmSpec::EcdsaSha512),
            (Kind::Ed25519, _) => (MessageType::Raw, SigningAlgorithmSpec::Ed25519Sha512),
        };
        let request = self.client.sign().key_id(self.key.arn()).message(Blob::new(digest));
        let answer = request.message_type(message).signing_algorithm(algorithm).send().await;
        let answer = answer.map_err(|error| self.context(Right::Sign).failed(&error))?;
        Ok(answer.signature().map(|bytes| bytes.as_ref().to_vec()).unwrap_or_default())
    }
}

fn unfit(key: &KmsKey, found: &str) -> Error {
    Refusal::new(key, "clients cannot verify signatures by this key")
        .found(found)
        .expected(
            "a key with the usage SIGN_VERIFY, and RSA_2048, RSA_3072, RSA_4096, ECC_NIST_P256, ECC_NIST_P384, ECC_NIST_P521 or \
             ECC_NIST_EDWARDS25519",
        )
        .remedy(format!(
            "make another one: `aws kms create-key --key-usage SIGN_VERIFY --key-spec RSA_3072 --region {}`",
            key.region()
        ))
        .into()
}
