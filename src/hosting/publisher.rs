//! Who publishes: a role for the pipelines of a repository, or a user or role that is there already.

use std::fmt;
use std::str::FromStr;

use serde_json::{Value, json};

use crate::policy::{Document, Publisher};
use crate::provider::InvalidName;

/// Who publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublishedBy {
    /// A pipeline, which has a token of its host and assumes a role with it.
    Pipeline(Pipeline),
    /// A user or role that is there already.
    Existing(Publisher),
    /// A new user.
    User,
}

/// The pipelines of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pipeline {
    /// The host of the tokens, without `https://`; also the prefix of the condition keys.
    issuer: String,
    /// Whom the tokens are for.
    audience: String,
    /// What they say of the repository; `*` matches anything.
    subject: String,
    /// What a subject has to look like: those of one repository, whatever else is `*`.
    subjects: &'static str,
}

/// The issuer of GitHub's tokens ("OpenID Connect", GitHub Docs).
const GITHUB: &str = "token.actions.githubusercontent.com";

impl Pipeline {
    /// Pipelines of `ORG/REPO` at GitHub that run in the environment `release`.
    fn github(repository: &str) -> Option<Self> {
        is_path(repository, 2..=2).then(|| Self {
            issuer: GITHUB.to_owned(),
            audience: "sts.amazonaws.com".to_owned(),
            subject: format!("repo:{repository}:environment:release"),
            subjects: "repo:[A-Za-z0-9_.@-]+/[A-Za-z0-9_.@-]+:[^\\s]+",
        })
    }

    /// Pipelines for tags of a project at GitLab: `GROUP/PROJECT` at gitlab.com, or its https URL.
    fn gitlab(project: &str) -> Option<Self> {
        let (host, path) = match project.strip_prefix("https://") {
            Some(rest) => rest.split_once('/')?,
            None => ("gitlab.com", project),
        };
        let is_host =
            host.contains('.') && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b));
        (is_host && is_path(path, 2..=20)).then(|| Self {
            issuer: host.to_owned(),
            audience: format!("https://{host}"),
            subject: format!("project_path:{path}:ref_type:tag:ref:*"),
            subjects: "project_path:[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)+:[^\\s]+",
        })
    }

    /// The subject of the tokens that are accepted.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// What the parameters, conditions and resources of a template are for it.
    pub(super) fn add_to(&self, template: &mut Value, policy: &Document) {
        template["Parameters"]["PublisherSubject"] = json!({
            "Type": "String",
            "Default": self.subject,
            "AllowedPattern": self.subjects,
            "Description":
                "What the token of a pipeline has to say of itself (its claim \"sub\"): a repository, and behind it * for anything"
        });
        template["Parameters"]["OidcProvider"] = json!({
            "Type": "String",
            "Default": "",
            "Description": format!(
                "The ARN of this account's identity provider for {}, if it has one already; an account has one at most",
                self.issuer
            )
        });
        template["Conditions"]["CreateOidcProvider"] =
            json!({ "Fn::Equals": [{ "Ref": "OidcProvider" }, ""] });
        template["Resources"]["IdentityProvider"] = json!({
            "Type": "AWS::IAM::OIDCProvider",
            "Condition": "CreateOidcProvider",
            "DeletionPolicy": "Retain",
            "UpdateReplacePolicy": "Retain",
            "Properties": { "Url": format!("https://{}", self.issuer), "ClientIdList": [self.audience] }
        });
        let mut condition = json!({ "StringEquals": {}, "StringLike": {} });
        condition["StringEquals"][format!("{}:aud", self.issuer)] = self.audience.as_str().into();
        condition["StringLike"][format!("{}:sub", self.issuer)] = json!({ "Ref": "PublisherSubject" });
        template["Resources"]["Publisher"] = json!({
            "Type": "AWS::IAM::Role",
            "Properties": {
                "Description": "Publishes to the registry",
                "AssumeRolePolicyDocument": { "Version": "2012-10-17", "Statement": [{
                    "Effect": "Allow",
                    "Action": "sts:AssumeRoleWithWebIdentity",
                    "Principal": { "Federated": { "Fn::If": [
                        "CreateOidcProvider", { "Ref": "IdentityProvider" }, { "Ref": "OidcProvider" }
                    ] } },
                    "Condition": condition
                }] },
                "Policies": [{ "PolicyName": "publish", "PolicyDocument": super::substituted(policy) }]
            }
        });
    }
}

/// Whether a text is a path of names with so many parts.
fn is_path(text: &str, parts: std::ops::RangeInclusive<usize>) -> bool {
    let is_name = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    parts.contains(&text.split('/').count()) && text.split('/').all(is_name)
}

impl FromStr for PublishedBy {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let read = match text.split_once(':') {
            Some(("github", repository)) => Pipeline::github(repository).map(Self::Pipeline),
            Some(("gitlab", project)) => Pipeline::gitlab(project).map(Self::Pipeline),
            Some(("arn", _)) => return text.parse().map(Self::Existing),
            _ => None,
        };
        read.ok_or_else(|| InvalidName {
            what: "publisher",
            found: text.to_owned(),
            rule: "expected github:ORG/REPO, gitlab:GROUP/PROJECT, gitlab:https://HOST/GROUP/PROJECT, or the ARN of a user or role"
                .to_owned(),
        })
    }
}

impl fmt::Display for PublishedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pipeline(pipeline) => {
                write!(f, "a role for pipelines whose token says {}", pipeline.subject)
            }
            Self::Existing(_) => f.write_str("a user or role that is there already"),
            Self::User => f.write_str("a user without a key: aws iam create-access-key makes one"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publishers_are_read() {
        for (text, issuer, subject) in [
            ("github:acme/provider.x", GITHUB, "repo:acme/provider.x:environment:release"),
            ("gitlab:acme/sub/provider", "gitlab.com", "project_path:acme/sub/provider:ref_type:tag:ref:*"),
            (
                "gitlab:https://gitlab.example.com/acme/x",
                "gitlab.example.com",
                "project_path:acme/x:ref_type:tag:ref:*",
            ),
        ] {
            let Ok(PublishedBy::Pipeline(pipeline)) = text.parse() else { panic!("{text}") };
            assert_eq!((&*pipeline.issuer, pipeline.subject()), (issuer, subject));
        }
        let role = "arn:aws:iam::123456789012:role/publisher";
        assert!(matches!(role.parse(), Ok(PublishedBy::Existing(_))));
        for bad in [
            "",
            "acme/x",
            "github:acme",
            "github:acme/*",
            "github:acme/x/y",
            "github:a b/c",
            "gitlab:x",
            "gitlab:https://host/x",
            "gitlab:https://h.example/x",
            "gitlab:http://h.example/x/y",
            "arn:aws:s3:::bucket",
            "bitbucket:a/b",
        ] {
            assert!(bad.parse::<PublishedBy>().is_err(), "{bad}");
        }
    }
}
