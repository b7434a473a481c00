//! Server-side encryption, as the AWS CLI's `--sse` and `--sse-kms-key-id` ask for it.
//!
//! Without them S3 encrypts by the bucket's default. They are for buckets whose policy demands the headers.

use std::str::FromStr;

use aws_sdk_s3::operation::put_object::builders::PutObjectFluentBuilder;
use aws_sdk_s3::types::ServerSideEncryption;

/// The keys with which the server is asked to encrypt written objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Encryption {
    /// Keys of S3 (SSE-S3).
    Aes256,
    /// A key of KMS (SSE-KMS): its id, ARN or alias; `None` is the account's own key for S3.
    Kms(Option<String>),
}

/// The algorithm by its name in the AWS CLI and in S3's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// `AES256`
    Aes256,
    /// `aws:kms`
    Kms,
}

impl FromStr for Algorithm {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "AES256" => Ok(Self::Aes256),
            "aws:kms" => Ok(Self::Kms),
            _ => Err("expected AES256 or aws:kms".to_owned()),
        }
    }
}

impl Encryption {
    /// Combines the two options.
    ///
    /// # Errors
    /// Fails if a key is named without the algorithm that takes one.
    pub fn new(algorithm: Option<Algorithm>, key: Option<String>) -> Result<Option<Self>, String> {
        match (algorithm, key) {
            (Some(Algorithm::Kms), key) => Ok(Some(Self::Kms(key))),
            (Some(Algorithm::Aes256), None) => Ok(Some(Self::Aes256)),
            (None, None) => Ok(None),
            (_, Some(_)) => Err("a key of KMS is for --sse aws:kms".to_owned()),
        }
    }

    /// The request with its headers.
    pub(super) fn ask(&self, request: PutObjectFluentBuilder) -> PutObjectFluentBuilder {
        match self {
            Self::Aes256 => request.server_side_encryption(ServerSideEncryption::Aes256),
            Self::Kms(key) => {
                request.server_side_encryption(ServerSideEncryption::AwsKms).set_ssekms_key_id(key.clone())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_for_kms() {
        let (aes, kms) = (Some("AES256".parse().unwrap()), Some("aws:kms".parse().unwrap()));
        let key = || Some("alias/x".to_owned());
        assert_eq!(Encryption::new(None, None), Ok(None));
        assert_eq!(Encryption::new(aes, None), Ok(Some(Encryption::Aes256)));
        assert_eq!(Encryption::new(kms, None), Ok(Some(Encryption::Kms(None))));
        assert_eq!(Encryption::new(kms, key()), Ok(Some(Encryption::Kms(key()))));
        assert!(Encryption::new(aes, key()).is_err() && Encryption::new(None, key()).is_err());
        assert!("aes256".parse::<Algorithm>().is_err());
    }
}
