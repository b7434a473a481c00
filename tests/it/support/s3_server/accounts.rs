//! Who may use which bucket: access keys, and roles that are assumed through STS.

use std::collections::BTreeMap;

use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap};
use hyper::{Response, StatusCode};
use s3s::{Body, HttpResponse};

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

    /// STS's answer to `AssumeRole`. The request's signature is not checked, only whose it is.
    pub(super) fn assume_role(&mut self, headers: &HeaderMap, form: &[u8]) -> HttpResponse {
        let form: BTreeMap<String, String> = url::form_urlencoded::parse(form).into_owned().collect();
        let arn = form.get("RoleArn").cloned().unwrap_or_default();
        let allowed = access_key(headers).and_then(|key| self.keys.get(key));
        let allowed = allowed.is_some_and(|rights| rights.buckets.is_none() || rights.roles.contains(&arn));
        let (status, body) = match self.roles.get(&arn).cloned().filter(|_| allowed) {
            Some(buckets) if form.get("Action").is_some_and(|action| action == "AssumeRole") => {
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
                        "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>\
                         <Credentials>{credentials}</Credentials><AssumedRoleUser>{user}</AssumedRoleUser>\
                         </AssumeRoleResult></AssumeRoleResponse>"
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
