//! Describes a failed answer of S3, and what to do about it.
//!
//! The cause is found from S3's error code, the message (which names an action, a policy or a region), the headers, and
//! the first bytes of an answer that does not come from S3. The status alone says little: 403 is a missing right, a
//! denial, a wrong clock, a quota or a proxy.

use std::error::Error as StdError;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use crate::error::chain;
use crate::store::identity::Identity;
use crate::store::trust::{NO_CERTIFICATES, machine_has_certificates};

/// The operation that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    Read,
    List,
    Write,
}

impl Doing {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Read => "cannot read",
            Self::List => "cannot list",
            Self::Write => "cannot write",
        }
    }
}

/// The facts about a request, besides its answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) doing: Doing,
    pub(super) bucket: &'a str,
    pub(super) identity: &'a Identity,
    /// The setting that names the bucket's region.
    pub(super) region_setting: &'a str,
    /// Whether server-side encryption is requested.
    pub(super) encrypts: bool,
}

/// A failed request, as far as it was answered.
#[derive(Debug, Default)]
pub(super) struct Failure {
    pub(super) status: Option<u16>,
    /// S3's error code; empty where the answer has none.
    pub(super) code: String,
    message: String,
    /// The region that `x-amz-bucket-region` names.
    region: Option<String>,
    /// The server that answered, from its header `Server`.
    server: Option<String>,
    /// The answer's body, as text.
    body: String,
    /// The failure with its causes, where there was no answer.
    chain: String,
    /// The remedy, if the request could not be signed.
    unsigned: Option<String>,
}

/// How much of a body is inspected.
const MAX_BODY: usize = 4096;

impl Failure {
    pub(super) fn of<E>(error: &SdkError<E, HttpResponse>, identity: &Identity) -> Self
    where
        E: ProvideErrorMetadata + StdError + 'static,
    {
        let response = error.raw_response();
        let header = |name: &str| {
            let value = response.and_then(|response| response.headers().get(name));
            value.filter(|value| !value.is_empty()).map(str::to_owned)
        };
        let service = error.as_service_error();
        let body = response.and_then(|response| response.body().bytes()).unwrap_or_default();
        let body = String::from_utf8_lossy(body.get(..MAX_BODY).unwrap_or(body)).into_owned();
        Self {
            status: response.map(|response| response.status().as_u16()),
            code: service.and_then(ProvideErrorMetadata::code).unwrap_or_default().to_owned(),
            message: service.and_then(ProvideErrorMetadata::message).unwrap_or_default().to_owned(),
            region: header("x-amz-bucket-region").filter(|region| is_region(region)),
            server: header("server"),
            body,
            chain: chain(error),
            unsigned: if response.is_none() { identity.remedy(error) } else { None },
        }
    }

    /// Whether the request could not be sent because there are no credentials.
    pub(super) fn is_unsigned(&self) -> bool {
        self.unsigned.is_some()
    }

    /// The answer in words.
    pub(super) fn answer(&self) -> String {
        let Some(status) = self.status else { return self.chain.clone() };
        let mut said: Vec<&str> = vec![&self.code, &self.message];
        if self.is_web_page() {
            said = vec!["with an HTML page, which is no answer of S3's"];
        }
        said.retain(|text| !text.is_empty());
        let said = said.join(": ");
        if !said.is_empty() {
            format!("HTTP status {status} {said}")
        } else if (200..300).contains(&status) {
            format!("HTTP status {status} with an answer that cannot be understood: {}", self.chain)
        } else {
            format!("HTTP status {status}")
        }
    }

    /// Whether the answer does not come from S3, but from a proxy, a login page or a web server.
    pub(super) fn is_web_page(&self) -> bool {
        let start = self.body.trim_start().get(..32).unwrap_or(self.body.trim_start()).to_ascii_lowercase();
        self.code.is_empty() && (start.starts_with("<!doctype html") || start.starts_with("<html"))
    }

    fn says(&self, text: &str) -> bool {
        self.message.to_ascii_lowercase().contains(text)
    }

    /// The region that the answer names, if the request went to the wrong one.
    fn expected_region(&self) -> Option<&str> {
        // "the region 'us-east-1' is wrong; expecting 'eu-west-1'"
        let expecting = || self.message.split_once("expecting '")?.1.split('\'').next();
        // "The eu-west-1 location constraint is incompatible for the region specific endpoint this request was sent to."
        let constraint = || self.message.split_once(" location constraint")?.0.rsplit(' ').next();
        // <Region>eu-west-1</Region>
        let element = || self.body.split_once("<Region>")?.1.split('<').next();
        let named = expecting().or_else(constraint).or_else(element).filter(|region| is_region(region));
        named.or(self.region.as_deref())
    }

    /// What the user can do, if that is known.
    pub(super) fn remedy(&self, context: Context<'_>) -> Option<String> {
        if let Some(remedy) = &self.unsigned {
            return Some(remedy.clone());
        }
        let Some(status) = self.status else { return Some(no_answer(&self.chain)) };
        if status == 407 || self.is_web_page() {
            return Some(self.not_s3());
        }
        self.by_code(context).or_else(|| self.by_status(status, context))
    }

    fn not_s3(&self) -> String {
        let server =
            self.server.as_deref().filter(|server| server.bytes().all(|byte| (0x20..0x7f).contains(&byte)));
        let server = server.map_or(String::new(), |server| format!(" (it calls itself {server:?})"));
        format!(
            "a proxy or a web server has answered in place of S3{server}: check HTTPS_PROXY, HTTP_PROXY, NO_PROXY and \
             AWS_ENDPOINT_URL"
        )
    }

    fn by_code(&self, context: Context<'_>) -> Option<String> {
        let Context { bucket, identity, .. } = context;
        let keys = identity.keys();
        let code = self.code.as_str();
        Some(match code {
            "NoSuchBucket" => format!("create the bucket {bucket}, or correct its name"),
            "RequestTimeTooSkewed" => {
                let element = |name: &str| {
                    let (_, rest) = self.body.split_once(&format!("<{name}>"))?;
                    rest.split('<').next().filter(|text| text.len() < 40)
                };
                let times = match (element("RequestTime"), element("ServerTime")) {
                    (Some(here), Some(there)) => format!(" (here {here}, there {there})"),
                    _ => String::new(),
                };
                format!("set this machine's clock: it is wrong by more than 15 minutes{times}")
            }
            "SignatureDoesNotMatch" => format!(
                "check the secret key: it is not the one of this access key id, or was changed when it was copied ({keys})"
            ),
            "InvalidAccessKeyId" => format!(
                "check the access key id: S3 does not know it ({keys}). It was deleted, is that of another S3 server \
                 (AWS_ENDPOINT_URL), or is one of a session and AWS_SESSION_TOKEN is not set"
            ),
            "ExpiredToken" | "TokenRefreshRequired" | "InvalidToken" => {
                let again = || format!("get new credentials: the session is over ({keys})");
                identity.new_session().unwrap_or_else(again)
            }
            "AuthorizationHeaderMalformed"
            | "PermanentRedirect"
            | "TemporaryRedirect"
            | "IllegalLocationConstraintException" => self.other_region(context),
            "AccessDenied" | "Forbidden" | "AccessDeniedException" => self.denied(context),
            "KMS.NotFoundException" | "KMS.DisabledException" | "KMS.KMSInvalidStateException" => {
                "name a key of KMS that exists, is enabled, and is in the bucket's region: --sse-kms-key-id, or the bucket's \
                 default encryption"
                    .to_owned()
            }
            "AllAccessDisabled" | "AccountProblem" | "NotSignedUp" => {
                "the account itself is not in order: ask AWS Support, or who pays for it".to_owned()
            }
            _ if code.contains("Quota") || code.contains("StorageFull") || self.says("quota") => format!(
                "make room in the bucket {bucket}, or raise its quota, or that of its owner; it is no right that is missing"
            ),
            _ if self.says("checksum") || self.body.contains("x-amz-checksum") || self.body.contains("x-amz-sdk-checksum") => {
                "use a version of this S3 server that knows x-amz-checksum-sha256, which each object is sent with"
                    .to_owned()
            }
            _ if context.doing == Doing::Write && context.encrypts && (self.says("encrypt") || self.says("kms")) => {
                "leave --sse out, or name the encryption that this server knows".to_owned()
            }
            _ => return None,
        })
    }

    fn by_status(&self, status: u16, context: Context<'_>) -> Option<String> {
        match status {
            301 | 307 => Some(self.other_region(context)),
            // The answer to a HEAD request has no body, but a header that names the region if that is the cause.
            400 if self.code.is_empty() && self.region.is_some() => Some(self.other_region(context)),
            401 | 403 => Some(self.denied(context)),
            _ => None,
        }
    }

    fn other_region(&self, context: Context<'_>) -> String {
        let setting = context.region_setting;
        let (option, assignment) = if setting.starts_with("--") { ("give", " ") } else { ("set", "=") };
        match self.expected_region() {
            Some(region) => {
                format!("{option} {setting}{assignment}{region}, the region of the bucket {}", context.bucket)
            }
            None => format!("{option} {setting}: the region of the bucket {}", context.bucket),
        }
    }

    /// Decides by the action and the policy in the message: "User: ARN is not authorized to perform: ACTION on
    /// resource: ARN with an explicit deny in a resource-based policy".
    fn denied(&self, context: Context<'_>) -> String {
        let Context { doing, bucket, .. } = context;
        let behind = |text: &str| {
            let (_, rest) = self.message.split_once(text)?;
            rest.split_whitespace().next().map(|word| word.trim_matches(['"', '.', ',']))
        };
        let action = behind("not authorized to perform: ");
        let resource = behind("on resource: ");
        let deny = self.message.split_once("explicit deny in a").map(|(_, rest)| {
            rest.strip_prefix('n')
                .unwrap_or(rest)
                .trim_start()
                .split([':', '.', ','])
                .next()
                .unwrap_or_default()
        });
        if let Some(action) = action.filter(|action| action.starts_with("kms:")) {
            let key = resource.map_or(String::new(), |key| format!(" {key}"));
            let deny = deny.map_or(String::new(), |policy| format!(", and lift the denial in its {policy}"));
            return format!(
                "the bucket's objects are encrypted by a key of KMS: grant {action} on the key{key}, in the key's policy and in \
                 that of these credentials{deny} (to publish, kms:GenerateDataKey and kms:Decrypt are needed)"
            );
        }
        // If a policy demands the header, sending it would have allowed the write.
        let encryption =
            "; where the bucket's policy demands server-side encryption, give --sse aws:kms or --sse AES256";
        let encryption = if doing == Doing::Write && !context.encrypts { encryption } else { "" };
        if let Some(policy) = deny {
            let what = action.unwrap_or("this");
            return format!(
                "a policy denies {what} explicitly ({policy}), which no grant overrules: have it changed{encryption}"
            );
        }
        let grant = match (action, resource) {
            (Some(action), Some(resource)) => format!("grant {action} on {resource}"),
            _ => match doing {
                Doing::Read => {
                    return format!(
                        "grant s3:GetObject on the registry's keys and s3:ListBucket on {bucket}: without the latter S3 \
                         answers 403 for what does not exist, and a missing index could not be told from an unreadable one"
                    );
                }
                Doing::List => format!("grant s3:ListBucket on {bucket}, for keys within the registry"),
                Doing::Write => "grant the publisher s3:PutObject on the registry's keys".to_owned(),
            },
        };
        format!("{grant}{encryption}")
    }
}

/// There was no answer.
fn no_answer(chain: &str) -> String {
    // rustls' own name for it.
    if chain.contains("UnknownIssuer") {
        if !machine_has_certificates() {
            return NO_CERTIFICATES.to_owned();
        }
        return "name the file with the certificate of the server's CA by AWS_CA_BUNDLE".to_owned();
    }
    "check the network, AWS_ENDPOINT_URL, AWS_REGION and the proxy settings".to_owned()
}

/// Whether a text can be the name of a region, and so may be repeated as a part of a command.
fn is_region(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(doing: Doing, identity: &Identity) -> Context<'_> {
        Context { doing, bucket: "releases", identity, region_setting: "AWS_REGION", encrypts: false }
    }

    fn failure(status: u16, code: &str, message: &str) -> Failure {
        Failure { status: Some(status), code: code.into(), message: message.into(), ..Failure::default() }
    }

    /// Messages as S3, KMS and other servers write them.
    #[test]
    fn each_cause_has_its_remedy() {
        let user = "User: arn:aws:sts::1:assumed-role/ci/x is not authorized to perform: ";
        let denied = |rest: &str| format!("{user}{rest}");
        let put = "s3:PutObject on resource: \"arn:aws:s3:::releases/store/x\" ";
        let kms = "kms:GenerateDataKey on resource: arn:aws:kms:eu-west-1:1:key/2 ";
        for (status, code, message, said, not_said) in [
            (403, "AccessDenied", denied(&format!("{kms}because no resource-based policy allows the kms:GenerateDataKey action")),
                &["kms:GenerateDataKey on the key arn:aws:kms:eu-west-1:1:key/2", "kms:Decrypt"][..], "s3:PutObject"),
            (403, "AccessDenied", denied(&format!("{put}with an explicit deny in a resource-based policy")),
                &["denies s3:PutObject explicitly (resource-based policy)", "--sse aws:kms"], "grant the publisher"),
            (403, "AccessDenied", denied(&format!("{put}with an explicit deny in a service control policy: arn:x")),
                &["(service control policy)"], "grant the publisher"),
            (403, "AccessDenied", denied(&format!("{put}with an explicit deny in an identity-based policy")),
                &["(identity-based policy)"], "grant the publisher"),
            (403, "AccessDenied", denied(&format!("{put}because no identity-based policy allows the s3:PutObject action")),
                &["grant s3:PutObject on arn:aws:s3:::releases/store/x"], "explicit"),
            (403, "AccessDenied", "Access Denied".to_owned(), &["grant the publisher s3:PutObject", "--sse"], "explicit"),
            (403, "QuotaExceeded", String::new(), &["make room in the bucket releases", "quota"], "grant"),
            (400, "XMinioAdminBucketQuotaExceeded", "Bucket quota exceeded".to_owned(), &["quota"], "grant"),
            (507, "XMinioStorageFull", "Storage backend has reached its minimum free drive threshold.".to_owned(), &["make room"], "grant"),
            (403, "RequestTimeTooSkewed", String::new(), &["this machine's clock"], "grant"),
            (403, "SignatureDoesNotMatch", String::new(), &["the secret key"], "grant"),
            (403, "InvalidAccessKeyId", String::new(), &["the access key id", "AWS_SESSION_TOKEN"], "grant"),
            (400, "ExpiredToken", String::new(), &["the session is over"], "grant"),
            (400, "AuthorizationHeaderMalformed",
                "The authorization header is malformed; the region 'us-east-1' is wrong; expecting 'eu-west-1'".to_owned(),
                &["set AWS_REGION=eu-west-1,"], "us-east-1"),
            (400, "IllegalLocationConstraintException",
                "The me-south-1 location constraint is incompatible for the region specific endpoint this request was sent to.".to_owned(),
                &["set AWS_REGION=me-south-1,"], "grant"),
            (301, "PermanentRedirect", String::new(), &["set AWS_REGION: the region of the bucket releases"], "grant"),
            (400, "InvalidRequest", "The algorithm type you specified in x-amz-checksum- header is invalid.".to_owned(),
                &["x-amz-checksum-sha256"], "grant"),
            (404, "NoSuchBucket", String::new(), &["create the bucket releases"], "grant"),
            (400, "KMS.DisabledException", String::new(), &["--sse-kms-key-id"], "grant"),
            (407, "", String::new(), &["a proxy", "HTTPS_PROXY"], "grant"),
        ] {
            let identity = Identity::unknown();
            let remedy = failure(status, code, &message).remedy(context(Doing::Write, &identity)).unwrap();
            for text in said {
                assert!(remedy.contains(text), "{code} {message}: {remedy}");
            }
            assert!(!remedy.contains(not_said), "{code} {message}: {remedy}");
        }
        let identity = Identity::unknown();
        assert_eq!(failure(400, "Whatever", "").remedy(context(Doing::Write, &identity)), None);
        let encrypting = Context { encrypts: true, ..context(Doing::Write, &identity) };
        assert!(!failure(403, "AccessDenied", "").remedy(encrypting).unwrap().contains("--sse"));
    }

    #[test]
    fn a_region_is_taken_from_wherever_it_is_named() {
        let identity = Identity::unknown();
        let mut context = context(Doing::Read, &identity);
        let head = Failure { region: Some("eu-central-1".into()), ..failure(301, "", "") };
        assert!(head.remedy(context).unwrap().starts_with("set AWS_REGION=eu-central-1,"));
        let head = Failure { region: Some("eu-central-1".into()), ..failure(400, "", "") };
        assert!(head.remedy(context).unwrap().starts_with("set AWS_REGION=eu-central-1,"));
        context.region_setting = "--source-region";
        let body = Failure {
            body: "<Error><Region>cn-north-1</Region></Error>".into(),
            ..failure(301, "PermanentRedirect", "")
        };
        assert!(body.remedy(context).unwrap().starts_with("give --source-region cn-north-1,"));
        // A text that cannot be the name of a region is not repeated.
        let odd = failure(400, "AuthorizationHeaderMalformed", "expecting '$(reboot)'");
        assert!(!odd.remedy(context).unwrap().contains("reboot"));
        // A 403 with the header is not caused by the region.
        let denied = Failure { region: Some("eu-central-1".into()), ..failure(403, "AccessDenied", "") };
        assert!(denied.remedy(context).unwrap().contains("grant s3:GetObject"));
    }

    #[test]
    fn a_web_page_is_no_answer_of_s3() {
        let identity = Identity::unknown();
        for (status, body) in [
            (403, "<!DOCTYPE HTML PUBLIC \"-//IETF//DTD HTML 2.0//EN\"><html>"),
            (403, "\n<html><head><title>Blocked</title>"),
            (200, "<!doctype html><p>Log in"),
            (503, "<HTML>"),
        ] {
            let page = Failure { body: body.into(), server: Some("squid".into()), ..failure(status, "", "") };
            let remedy = page.remedy(context(Doing::Read, &identity)).unwrap();
            assert!(remedy.contains("\"squid\"") && remedy.contains("HTTPS_PROXY"), "{remedy}");
            assert!(page.answer().contains("an HTML page") && !remedy.contains("grant"), "{}", page.answer());
        }
        let s3 =
            Failure { body: "<?xml version=\"1.0\"?><Error>".into(), ..failure(403, "AccessDenied", "") };
        assert!(!s3.is_web_page());
    }
}
