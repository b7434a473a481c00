//! A CloudFormation template of everything that one registry needs on AWS: bucket, CDN, logs, and who publishes.
//!
//! Pure: arguments in, a template out. The policies are those of [`crate::policy`], with CloudFormation's references in place of
//! names. Staging and production are two stacks of one template, with other values for its parameters.

mod publisher;

use std::str::FromStr;

use serde::Serialize;
use serde_json::{Value, json};

use crate::policy::{Document, Policies, Publisher, SIGN, Subject};
use crate::provider::InvalidName;
use crate::store::s3::Location;

pub use publisher::{Pipeline, PublishedBy};

/// The host name of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain(String);

/// What a host name is: labels of letters, digits and dashes (RFC 1123), at least two, as certificates have them.
const DOMAIN: &str = "[a-z0-9]([a-z0-9-]*[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+";

impl FromStr for Domain {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let is_label = |label: &str| {
            let is_inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            !label.is_empty()
                && label.len() <= 63
                && label.bytes().all(is_inner)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if text.len() <= 253 && text.contains('.') && text.split('.').all(is_label) {
            return Ok(Self(text.to_owned()));
        }
        Err(InvalidName {
            what: "domain",
            found: text.to_owned(),
            rule: "expected a host name in lower case, such as registry.example.com".to_owned(),
        })
    }
}

/// The ARN of a certificate for a CDN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate(String);

/// What CloudFront takes: certificates of ACM in us-east-1 ("Requirements for using SSL/TLS certificates with CloudFront").
const CERTIFICATE: &str = "arn:aws[a-z-]*:acm:us-east-1:[0-9]{12}:certificate/[A-Za-z0-9-]+";

impl FromStr for Certificate {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let is_certificate = |resource: &str| {
            let id = resource.strip_prefix("certificate/").unwrap_or_default();
            !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        match parts.as_slice() {
            ["arn", partition, "acm", "us-east-1", account, resource]
                if partition.starts_with("aws")
                    && account.len() == 12
                    && account.bytes().all(|b| b.is_ascii_digit())
                    && is_certificate(resource) =>
            {
                Ok(Self(text.to_owned()))
            }
            _ => Err(InvalidName {
                what: "certificate",
                found: text.to_owned(),
                rule: "expected the ARN of a certificate in us-east-1, where CloudFront looks for them: \
                       arn:aws:acm:us-east-1:123456789012:certificate/ID"
                    .to_owned(),
            }),
        }
    }
}

/// The registry that a template is made for.
#[derive(Debug, Clone)]
pub struct Hosting {
    /// Where clients reach it.
    pub domain: Domain,
    /// The prefix of its keys in the bucket, or none.
    pub prefix: String,
    /// The certificate; without one the CDN has only its own name.
    pub certificate: Option<Certificate>,
    /// Whether all but `store/` and discovery needs a token.
    pub private: bool,
    /// Whether the registry has pages for people.
    pub pages: bool,
    /// Whether a key of AWS KMS is made, by which the publisher signs.
    pub signing_key: bool,
    /// Who publishes.
    pub publisher: PublishedBy,
}

/// A template, and what remains to be done.
#[derive(Debug, Clone)]
pub struct Stack {
    /// The template.
    pub template: Value,
    /// The steps and decisions that remain for the user.
    pub notes: Vec<String>,
}

/// How long the CDN keeps an answer that something does not exist, in seconds; less than it keeps a document.
const MISSING_TTL: u64 = 10;
/// How long it keeps what has no `Cache-Control`, in seconds. Everything that tfreg writes has one.
const DEFAULT_TTL: u64 = 60;
const YEAR: u64 = 31_536_000;

/// Asks for a token; see [`OPEN`].
const TOKEN_FUNCTION: &str = include_str!("token.js");

/// What a registry that asks for a token gives without one: clients send it for what is below `registry/` and `mirror/`, and
/// neither for checksums, signatures nor zips. All else asks for it, rather than `registry/` alone: S3 decodes `/registry%2F…`,
/// which no pattern for `registry/*` matches. Keys below these patterns have no other spelling that leads elsewhere.
const OPEN: [&str; 2] = ["store/*", ".well-known/*"];

/// Makes the template of `hosting`.
///
/// # Errors
/// Fails if the prefix cannot be one, or cannot be written into a policy.
pub fn stack(hosting: &Hosting) -> Result<Stack, String> {
    let location = Location::new("bucket", &hosting.prefix)?;
    // It becomes a part of URLs too.
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
    if !location.prefix().bytes().all(is_plain) {
        return Err(format!(
            "the prefix {:?} has more than letters, digits, dashes, dots and underscores",
            hosting.prefix
        ));
    }
    let publisher: Option<Publisher> = match &hosting.publisher {
        PublishedBy::Existing(publisher) => Some(publisher.clone()),
        _ => None,
    };
    let policies = Policies::new(
        &Subject::in_template(location.clone(), publisher, hosting.signing_key)?.with_pages(hosting.pages),
    );
    let mut template = json!({
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "A Terraform provider registry of plain files: bucket, CDN, logs, and who publishes (made by tfreg hosting)",
        "Parameters": parameters(hosting),
        "Conditions": { "HasCertificate": { "Fn::Not": [{ "Fn::Equals": [{ "Ref": "Certificate" }, ""] }] } },
        "Resources": {
            "Bucket": bucket(),
            "BucketPolicy": {
                "Type": "AWS::S3::BucketPolicy",
                "Properties": { "Bucket": { "Ref": "Bucket" }, "PolicyDocument": substituted(&policies.bucket_policy) }
            },
            "Logs": logs(),
            "LogsPolicy": logs_policy(),
            "OriginAccess": {
                "Type": "AWS::CloudFront::OriginAccessControl",
                "Properties": { "OriginAccessControlConfig": {
                    "Name": { "Fn::Sub": "${AWS::StackName}" },
                    "OriginAccessControlOriginType": "s3",
                    "SigningBehavior": "always",
                    "SigningProtocol": "sigv4"
                } }
            },
            "CachePolicy": cache_policy(),
            "ResponseHeaders": response_headers(),
            "Distribution": distribution(hosting, &location)
        },
        "Outputs": outputs(&location)
    });
    let mut notes = vec![format!("published by {}", hosting.publisher)];
    match &hosting.publisher {
        PublishedBy::Pipeline(pipeline) => pipeline.add_to(&mut template, &policies.publisher_policy),
        PublishedBy::User => {
            template["Resources"]["Publisher"] = json!({
                "Type": "AWS::IAM::User",
                "Properties": { "Policies": [
                    { "PolicyName": "publish", "PolicyDocument": substituted(&policies.publisher_policy) }
                ] }
            });
        }
        PublishedBy::Existing(_) => {}
    }
    if !matches!(hosting.publisher, PublishedBy::Existing(_)) {
        let value = match hosting.publisher {
            PublishedBy::User => json!({ "Ref": "Publisher" }),
            _ => json!({ "Fn::GetAtt": ["Publisher", "Arn"] }),
        };
        template["Outputs"]["Publisher"] =
            json!({ "Description": "Who publishes: the role's ARN, or the user's name", "Value": value });
    }
    if hosting.private {
        add_token(&mut template);
        notes.push(
            "deploy with the parameter TokenHashes: the SHA-256 of each token, such as of `openssl rand -hex 32`".to_owned(),
        );
    }
    if hosting.signing_key {
        add_signing_key(&mut template, &hosting.publisher);
        notes.push(
            "make the certificate of the signing key by `tfreg key create --signer`, with the stack's output SigningKey".to_owned(),
        );
    }
    if hosting.certificate.is_none() {
        notes.push(format!(
            "without --certificate the registry is at the distribution's own name only; {} needs a certificate in us-east-1",
            hosting.domain.0
        ));
    }
    notes.push(format!(
        "point {} (CNAME, or an alias record) to the stack's output DistributionDomain",
        hosting.domain.0
    ));
    notes.push(format!(
        "write the registry's settings once, by rights of your own: `tfreg init TARGET --base-url https://{}/`, with the output Target",
        hosting.domain.0
    ));
    Ok(Stack { template, notes })
}

fn parameters(hosting: &Hosting) -> Value {
    json!({
        "Domain": {
            "Type": "String",
            "Default": hosting.domain.0,
            "AllowedPattern": DOMAIN,
            "Description": "The registry's host name, of which source addresses begin"
        },
        "Certificate": {
            "Type": "String",
            "Default": hosting.certificate.as_ref().map_or("", |certificate| certificate.0.as_str()),
            "AllowedPattern": format!("({CERTIFICATE})?"),
            "Description": "The ARN of a certificate for it in us-east-1; empty: the CDN has its own name only"
        },
        "LogDays": {
            "Type": "Number",
            "Default": 400,
            "MinValue": 1,
            "Description": "How many days the logs of bucket and CDN are kept"
        }
    })
}

/// A text that a policy or a template has references in, as CloudFormation's function for it.
fn substituted(document: &Document) -> Value {
    fn walk(value: &mut Value) {
        match value {
            Value::String(text) if text.contains("${") => *value = json!({ "Fn::Sub": text }),
            Value::Array(values) => values.iter_mut().for_each(walk),
            Value::Object(members) => members.values_mut().for_each(walk),
            _ => {}
        }
    }
    let mut value = to_value(document);
    walk(&mut value);
    value
}

fn to_value(document: &impl Serialize) -> Value {
    // Strings and lists always serialize; null would indicate a bug, and no template with it is valid.
    serde_json::to_value(document).unwrap_or_default()
}

/// What every bucket has: nothing public, no ACLs but where `ownership` needs them, encryption.
fn private_bucket(ownership: &str, lifecycle: &Value) -> Value {
    json!({
        "Type": "AWS::S3::Bucket",
        "DeletionPolicy": "Retain",
        "UpdateReplacePolicy": "Retain",
        "Properties": {
            "PublicAccessBlockConfiguration": {
                "BlockPublicAcls": true, "BlockPublicPolicy": true, "IgnorePublicAcls": true, "RestrictPublicBuckets": true
            },
            "OwnershipControls": { "Rules": [{ "ObjectOwnership": ownership }] },
            "BucketEncryption": { "ServerSideEncryptionConfiguration": [
                { "ServerSideEncryptionByDefault": { "SSEAlgorithm": "AES256" } }
            ] },
            "LifecycleConfiguration": { "Rules": lifecycle }
        }
    })
}

/// The rule that removes what was never finished. No rule may expire what is published.
fn aborted_uploads() -> Value {
    json!({ "Id": "aborted-uploads", "Status": "Enabled", "AbortIncompleteMultipartUpload": { "DaysAfterInitiation": 7 } })
}

fn bucket() -> Value {
    let mut bucket = private_bucket("BucketOwnerEnforced", &json!([aborted_uploads()]));
    bucket["Properties"]["VersioningConfiguration"] = json!({ "Status": "Enabled" });
    bucket["Properties"]["LoggingConfiguration"] =
        json!({ "DestinationBucketName": { "Ref": "Logs" }, "LogFilePrefix": "s3/" });
    bucket
}

fn logs() -> Value {
    let expiry = json!({ "Id": "old-logs", "Status": "Enabled", "ExpirationInDays": { "Ref": "LogDays" } });
    // CloudFront writes its logs by an ACL ("Configure standard logging (legacy)", CloudFront Developer Guide).
    private_bucket("BucketOwnerPreferred", &json!([aborted_uploads(), expiry]))
}

fn logs_policy() -> Value {
    json!({
        "Type": "AWS::S3::BucketPolicy",
        "Properties": {
            "Bucket": { "Ref": "Logs" },
            "PolicyDocument": { "Version": "2012-10-17", "Statement": [
                {
                    "Sid": "AllowLogsOfBucket",
                    "Effect": "Allow",
                    "Principal": { "Service": "logging.s3.amazonaws.com" },
                    "Action": "s3:PutObject",
                    "Resource": { "Fn::Sub": "${Logs.Arn}/s3/*" },
                    "Condition": {
                        "ArnLike": { "aws:SourceArn": { "Fn::GetAtt": ["Bucket", "Arn"] } },
                        "StringEquals": { "aws:SourceAccount": { "Ref": "AWS::AccountId" } }
                    }
                },
                {
                    "Sid": "DenyPlainHttp",
                    "Effect": "Deny",
                    "Principal": "*",
                    "Action": "s3:*",
                    "Resource": [{ "Fn::GetAtt": ["Logs", "Arn"] }, { "Fn::Sub": "${Logs.Arn}/*" }],
                    "Condition": { "Bool": { "aws:SecureTransport": "false" } }
                }
            ] }
        }
    })
}

/// Whatever `Cache-Control` says is done; nothing of the request but its path matters.
fn cache_policy() -> Value {
    json!({
        "Type": "AWS::CloudFront::CachePolicy",
        "Properties": { "CachePolicyConfig": {
            "Name": { "Fn::Sub": "${AWS::StackName}" },
            "MinTTL": 0,
            "DefaultTTL": DEFAULT_TTL,
            "MaxTTL": YEAR,
            "ParametersInCacheKeyAndForwardedToOrigin": {
                "EnableAcceptEncodingGzip": false,
                "EnableAcceptEncodingBrotli": false,
                "CookiesConfig": { "CookieBehavior": "none" },
                "HeadersConfig": { "HeaderBehavior": "none" },
                "QueryStringsConfig": { "QueryStringBehavior": "none" }
            }
        } }
    })
}

fn response_headers() -> Value {
    json!({
        "Type": "AWS::CloudFront::ResponseHeadersPolicy",
        "Properties": { "ResponseHeadersPolicyConfig": {
            "Name": { "Fn::Sub": "${AWS::StackName}" },
            "SecurityHeadersConfig": {
                "ContentTypeOptions": { "Override": true },
                "StrictTransportSecurity": { "AccessControlMaxAgeSec": YEAR, "IncludeSubdomains": false, "Override": true }
            }
        } }
    })
}

fn behavior() -> Value {
    json!({
        "TargetOriginId": "bucket",
        "ViewerProtocolPolicy": "https-only",
        "AllowedMethods": ["GET", "HEAD"],
        "CachedMethods": ["GET", "HEAD"],
        // Clients check the bytes.
        "Compress": false,
        "CachePolicyId": { "Ref": "CachePolicy" },
        "ResponseHeadersPolicyId": { "Ref": "ResponseHeaders" }
    })
}

fn distribution(hosting: &Hosting, location: &Location) -> Value {
    let short = |status: u16| json!({ "ErrorCode": status, "ErrorCachingMinTTL": MISSING_TTL });
    let mut origin = json!({
        "Id": "bucket",
        "DomainName": { "Fn::GetAtt": ["Bucket", "RegionalDomainName"] },
        "OriginAccessControlId": { "Fn::GetAtt": ["OriginAccess", "Id"] },
        // As origins in S3 have to have it, where an origin access control is used.
        "S3OriginConfig": { "OriginAccessIdentity": "" }
    });
    // Discovery is asked for at the host's root, wherever the registry is in the bucket.
    if let Some(prefix) = location.prefix().strip_suffix('/') {
        origin["OriginPath"] = format!("/{prefix}").into();
    }
    let mut config = json!({
        "Enabled": true,
        "Comment": { "Ref": "Domain" },
        "Aliases": { "Fn::If": ["HasCertificate", [{ "Ref": "Domain" }], { "Ref": "AWS::NoValue" }] },
        "ViewerCertificate": { "Fn::If": [
            "HasCertificate",
            {
                "AcmCertificateArn": { "Ref": "Certificate" },
                "SslSupportMethod": "sni-only",
                "MinimumProtocolVersion": "TLSv1.2_2021"
            },
            { "CloudFrontDefaultCertificate": true }
        ] },
        "HttpVersion": "http2and3",
        "IPV6Enabled": true,
        // Without one the root would list the bucket.
        "DefaultRootObject": if hosting.pages { "index.html" } else { ".well-known/terraform.json" },
        "Origins": [origin],
        "DefaultCacheBehavior": behavior(),
        "CustomErrorResponses": [short(403), short(404)],
        "Logging": { "Bucket": { "Fn::GetAtt": ["Logs", "DomainName"] }, "Prefix": "cdn/", "IncludeCookies": false }
    });
    if hosting.private {
        config["DefaultCacheBehavior"]["FunctionAssociations"] = json!([
            { "EventType": "viewer-request", "FunctionARN": { "Fn::GetAtt": ["TokenFunction", "FunctionARN"] } }
        ]);
        let open = |pattern: &str| {
            let mut open = behavior();
            open["PathPattern"] = pattern.into();
            open
        };
        config["CacheBehaviors"] = OPEN.map(open).into_iter().collect();
    }
    json!({ "Type": "AWS::CloudFront::Distribution", "Properties": { "DistributionConfig": config } })
}

/// The key by which releases are signed, and which accounts and users may use it.
fn add_signing_key(template: &mut Value, publisher: &PublishedBy) {
    // As KMS makes it: the policies of the account decide.
    let mut statements = vec![json!({
        "Sid": "LetPoliciesOfTheAccountDecide",
        "Effect": "Allow",
        "Principal": { "AWS": { "Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:root" } },
        "Action": "kms:*",
        "Resource": "*"
    })];
    if let PublishedBy::Existing(publisher) = publisher {
        statements.push(json!({
            "Sid": "SignReleases",
            "Effect": "Allow",
            "Principal": publisher.principal(),
            "Action": SIGN,
            "Resource": "*"
        }));
    }
    template["Resources"]["SigningKey"] = json!({
        "Type": "AWS::KMS::Key",
        "DeletionPolicy": "Retain",
        "UpdateReplacePolicy": "Retain",
        "Properties": {
            "Description": { "Fn::Sub": "Signs the releases of ${Domain}" },
            "KeyUsage": "SIGN_VERIFY",
            // Every client can verify its signatures.
            "KeySpec": "RSA_3072",
            "KeyPolicy": { "Version": "2012-10-17", "Statement": statements }
        }
    });
    template["Outputs"]["SigningKey"] = json!({
        "Description": "What tfreg publish --signer takes",
        "Value": { "Fn::Sub": "awskms:${SigningKey.Arn}" }
    });
}

/// The function that asks for a token, and its parameter.
fn add_token(template: &mut Value) {
    template["Parameters"]["TokenHashes"] = json!({
        "Type": "String",
        "AllowedPattern": "[0-9a-f]{64}(,[0-9a-f]{64})*",
        "Description": "The SHA-256 of each token that is accepted, as hexadecimal digits, separated by commas"
    });
    template["Resources"]["TokenFunction"] = json!({
        "Type": "AWS::CloudFront::Function",
        "Properties": {
            "Name": { "Fn::Sub": "${AWS::StackName}-token" },
            "AutoPublish": true,
            "FunctionCode": { "Fn::Sub": TOKEN_FUNCTION },
            "FunctionConfig": { "Comment": "Asks for a token", "Runtime": "cloudfront-js-2.0" }
        }
    });
}

fn outputs(location: &Location) -> Value {
    let output = |what: &str, value: Value| json!({ "Description": what, "Value": value });
    json!({
        "Target": output(
            "What tfreg publish --to takes",
            json!({ "Fn::Sub": format!("s3://${{Bucket}}/{}", location.prefix()) })
        ),
        "Distribution": output("The distribution's id", json!({ "Ref": "Distribution" })),
        "DistributionDomain": output(
            "What the registry's host name has to point to",
            json!({ "Fn::GetAtt": ["Distribution", "DomainName"] })
        ),
        "Logs": output("What tfreg downloads takes", json!({ "Fn::Sub": "s3://${Logs}/" }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for good in ["registry.example.com", "a.b", "xn--bcher-kva.example", "r-1.example.com"] {
            assert!(good.parse::<Domain>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "localhost",
            "Registry.example.com",
            "https://r.example.com",
            "r.example.com/",
            "-a.b",
            "a-.b",
            "a..b",
            "a.b:8080",
        ] {
            assert!(bad.parse::<Domain>().is_err(), "{bad}");
        }
        assert!("arn:aws:acm:us-east-1:123456789012:certificate/1-a".parse::<Certificate>().is_ok());
        for bad in [
            "",
            "arn:aws:acm:eu-west-1:123456789012:certificate/1-a",
            "arn:aws:acm:us-east-1:1234:certificate/1-a",
            "arn:aws:acm:us-east-1:123456789012:certificate/",
            "arn:aws:iam::123456789012:server-certificate/x",
        ] {
            assert!(bad.parse::<Certificate>().is_err(), "{bad}");
        }
    }
}
