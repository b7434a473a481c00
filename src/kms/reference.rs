//! The name of a key in AWS KMS.

use std::fmt;
use std::str::FromStr;

/// The ARN of a key or of an alias. The whole ARN is demanded: it names the region and the account, so that no
/// configuration decides which key signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KmsKey {
    arn: String,
    partition: String,
    region: String,
    account: String,
    resource: String,
}

impl KmsKey {
    /// The ARN.
    #[must_use]
    pub fn arn(&self) -> &str {
        &self.arn
    }

    /// The region of the key.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }

    /// The part of AWS that it is in: `aws`, `aws-cn` or another.
    #[must_use]
    pub fn partition(&self) -> &str {
        &self.partition
    }

    /// The alias with its beginning, `alias/`, if the ARN is that of one.
    #[must_use]
    pub fn alias(&self) -> Option<&str> {
        self.resource.starts_with("alias/").then_some(self.resource.as_str())
    }

    /// The ARN of every key of its account and region.
    #[must_use]
    pub fn all_keys(&self) -> String {
        format!("arn:{}:kms:{}:{}:key/*", self.partition, self.region, self.account)
    }
}

impl FromStr for KmsKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "expected the ARN of a key of AWS KMS, such as \
                                awskms:arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab";
        let arn = text.strip_prefix("///").unwrap_or(text);
        let is_word = |text: &str, more: &[u8]| {
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
        };
        let parts: Vec<&str> = arn.splitn(6, ':').collect();
        let ["arn", partition, "kms", region, account, resource] = parts.as_slice() else {
            return Err(format!("{arn:?} is no ARN of KMS; {EXPECTED}"));
        };
        let name = resource.strip_prefix("key/").or_else(|| resource.strip_prefix("alias/"));
        let is_named = name.is_some_and(|name| is_word(name, b"-_/"));
        let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
        if !(partition.starts_with("aws")
            && is_word(partition, b"-")
            && is_word(region, b"-")
            && is_account
            && is_named)
        {
            return Err(format!("{arn:?} is no ARN of a key or an alias; {EXPECTED}"));
        }
        Ok(Self {
            arn: arn.to_owned(),
            partition: (*partition).to_owned(),
            region: (*region).to_owned(),
            account: (*account).to_owned(),
            resource: (*resource).to_owned(),
        })
    }
}

impl fmt::Display for KmsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "awskms:{}", self.arn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_aliases_are_named_by_whole_arns() {
        let key: KmsKey =
            "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab".parse().unwrap();
        assert_eq!((key.region(), key.partition(), key.alias()), ("eu-west-1", "aws", None));
        assert_eq!(key.to_string(), format!("awskms:{}", key.arn()));
        let alias: KmsKey = "///arn:aws-cn:kms:cn-north-1:123456789012:alias/releases/v1".parse().unwrap();
        assert_eq!(alias.alias(), Some("alias/releases/v1"));
        assert_eq!(alias.all_keys(), "arn:aws-cn:kms:cn-north-1:123456789012:key/*");
        for bad in [
            "",
            "1234abcd-12ab-34cd-56ef-1234567890ab",
            "alias/releases",
            "//kms.example.com/alias/x",
            "arn:aws:kms:eu-west-1:123456789012:key/",
            "arn:aws:kms:eu-west-1:123456789012:key/*",
            "arn:aws:kms::123456789012:key/x",
            "arn:aws:kms:eu-west-1:1:key/x",
            "arn:aws:s3:eu-west-1:123456789012:key/x",
            "arn:aws:kms:eu-west-1:123456789012:grant/x",
            "arn:aws:kms:eu-west-1:123456789012:key/x y",
        ] {
            assert!(bad.parse::<KmsKey>().is_err(), "{bad}");
        }
    }
}
