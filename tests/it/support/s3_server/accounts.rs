//! Who may use which bucket: access keys, and roles that are assumed through STS.

use std::collections::BTreeMap;

use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap};
use hyper::{Response, StatusCode};
use s3s::{Body, HttpResponse};

/// What `aws sso login` leaves of a session.
pub(crate) const SSO_TOKEN: &str = "token-of-a-session-that-was-logged-in";

/// An access key with its secret.
#[derive(Clone, Debug)]
pub(crate) struct AccessKey {
    pub(crate) id: String,
    pub(crate) secret: String,
}

/// What an access key may do.
#[derive(Clone, Debug)]
struct Rights {
    secret: String,
    /// `None` is every bucket.
    buckets: Option<Vec<String>>,
    /// The roles that it may assume.
    roles: Vec<String>,
}

/// The access keys and roles that a server knows.
#[derive(Debug)]
pub(super) struct Accounts {
    keys: BTreeMap<String, Rights>,
    /// The buckets of a role, by its ARN.
    roles: BTreeMap<String, Vec<String>>,
}

impl Accounts {
    /// One access key, for every bucket.
    pub(super) fn new(access_key: &str, secret: &str) -> Self {
        let root = Rights { secret: secret.to_owned(), buckets: None, roles: Vec::new() };
        Self { keys: BTreeMap::from([(access_key.to_owned(), root)]), roles: BTreeMap::new() }
    }

    /// A new access key for these buckets only, which may assume these roles.
    pub(super) fn add_key(&mut self, buckets: &[&str], roles: &[&str]) -> AccessKey {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        self.issue(Some(owned(buckets)), owned(roles))
    }

    pub(super) fn add_role(&mut self, arn: &str, buckets: &[&str]) {
        self.roles.insert(arn.to_owned(), buckets.iter().map(|bucket| (*bucket).to_owned()).collect());
    }

    fn issue(&mut self, buckets: Option<Vec<String>>, roles: Vec<String>) -> AccessKey {
        let number = self.keys.len();
        let key = AccessKey {
            id: format!("TESTACCESSKEY{number}"),
            secret: format!("test-secret-of-key-{number}-never-printed"),
        };
        self.keys.insert(key.id.clone(), Rights { secret: key.secret.clone(), buckets, roles });
        key
    }

    pub(super) fn secret(&self, access_key: &str) -> Option<&str> {
        self.keys.get(access_key).map(|rights| rights.secret.as_str())
    }

    /// Whether whoever has signed a request may use a bucket; an unknown key is not judged here.
    pub(super) fn may_use(&self, headers: &HeaderMap, bucket: &str) -> bool {
        let rights = access_key(headers).and_then(|key| self.keys.get(key));
        let buckets = rights.and_then(|rights| rights.buckets.as_ref());
        buckets.is_none_or(|buckets| buckets.iter().any(|allowed| allowed == bucket))
    }

    /// The answer of IAM Identity Center's portal to who is logged in: keys for every bucket.
    pub(super) fn sso_credentials(&mut self, headers: &HeaderMap) -> HttpResponse {
        let logged_in = headers.get("x-amz-sso_bearer_token").is_some_and(|token| token == SSO_TOKEN);
        let answer = Response::builder().header(CONTENT_TYPE, "application/json");
        if !logged_in {
            let body = r#"{"message":"Session token not found or invalid"}"#;
            return answer.status(StatusCode::UNAUTHORIZED).body(Body::from(body.to_owned())).unwrap();
        }
        let AccessKey { id, secret } = self.issue(None, Vec::new());
        let body = serde_json::json!({ "roleCredentials": { "accessKeyId": id, "secretAccessKey": secret,
            "sessionToken": format!("session-of-{id}"), "expiration": 4_102_444_800_000_u64 } });
        answer.body(Body::from(body.to_string())).unwrap()
    }

    /// STS's answer to `AssumeRole`. The request's signature is not checked, only whose it is.
    pub(super) fn assume_role(&mut self, headers: &HeaderMap, form: &[u8]) -> HttpResponse {
        let form: BTreeMap<String, String> = url::form_urlencoded::parse(form).into_owned().collect();
        let arn = form.get("RoleArn").cloned().unwrap_or_default();
        let allowed = access_key(headers).and_then(|key| self.keys.get(key));
        let allowed = allowed.is_some_and(|rights| rights.buckets.is_none() || rights.roles.contains(&arn));
        // A token stands for its bearer; any is as good as another.
        let by_token = form.get("WebIdentityToken").is_some_and(|token| !token.is_empty());
        let action = if by_token { "AssumeRoleWithWebIdentity" } else { "AssumeRole" };
        let (status, body) = match self.roles.get(&arn).cloned().filter(|_| allowed || by_token) {
            Some(buckets) if form.get("Action").is_some_and(|asked| asked == action) => {
                let key = self.issue(Some(buckets), Vec::new());
                let credentials = format!(
                    "<AccessKeyId>{}</AccessKeyId><SecretAccessKey>{}</SecretAccessKey>\
                     <SessionToken>session-of-{}</SessionToken><Expiration>2100-01-01T00:00:00Z</Expiration>",
                    key.id, key.secret, key.id
                );
                let user = format!("<AssumedRoleId>AROATEST:tfreg</AssumedRoleId><Arn>{arn}/tfreg</Arn>");
                (
                    StatusCode::OK,
                    format!(
                        "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result>\
                         <Credentials>{credentials}</Credentials><AssumedRoleUser>{user}</AssumedRoleUser>\
                         </{action}Result></{action}Response>"
                    ),
                )
            }
            _ => (
                StatusCode::FORBIDDEN,
                format!(
                    "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
                     <Code>AccessDenied</Code><Message>not authorized to perform sts:AssumeRole on {arn}</Message>\
                     </Error></ErrorResponse>"
                ),
            ),
        };
        let answer = Response::builder().status(status).header(CONTENT_TYPE, "text/xml");
        answer.body(Body::from(body)).unwrap()
    }
}

/// The access key that a request is signed with.
fn access_key(headers: &HeaderMap) -> Option<&str> {
    let header = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (_, credential) = header.split_once("Credential=")?;
    credential.split('/').next()
}
