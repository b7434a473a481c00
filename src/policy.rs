//! Least-privilege policies for a bucket that contains a registry: the rights of the publisher and the CDN, and the
//! rules for writes, which S3 itself then enforces.
//!
//! Pure: arguments in, documents out. The README explains every statement.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use serde_json::{Value, json};

use crate::kms::KmsKey;
use crate::provider::InvalidName;
use crate::registry::{Area, WriteRule};
use crate::store::s3::Location;

/// A part of AWS with its own accounts and names: `aws`, `aws-cn`, `aws-us-gov` and others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition(String);

impl Default for Partition {
    fn default() -> Self {
        Self("aws".to_owned())
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Partition {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let further = |rest: &str| {
            let known = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase());
            rest.is_empty() || rest.strip_prefix('-').is_some_and(|rest| rest.split('-').all(known))
        };
        if text.strip_prefix("aws").is_some_and(further) {
            return Ok(Self(text.to_owned()));
        }
        Err(InvalidName {
            what: "partition",
            found: text.to_owned(),
            rule: "expected aws, aws-cn, aws-us-gov or another that begins with aws-".to_owned(),
        })
    }
}

/// The ARN of one resource: five colons, no wildcards.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Arn {
    text: String,
    partition: Partition,
    service: String,
    resource: String,
}

impl Arn {
    fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let ["arn", partition, service, _region, account, resource] = parts.as_slice() else { return None };
        let is_account = account.bytes().all(|b| b.is_ascii_digit()) && account.len() == 12;
        // An origin access identity belongs to CloudFront itself.
        let is_plain = !text.contains(['*', '?', '$', '"']) && !text.contains(char::is_control);
        if !is_plain || !(is_account || *account == "cloudfront") {
            return None;
        }
        Some(Self {
            partition: partition.parse().ok()?,
            service: (*service).to_owned(),
            resource: (*resource).to_owned(),
            text: text.to_owned(),
        })
    }

    fn is_principal(&self) -> bool {
        let named = |kind: &str| self.resource.strip_prefix(kind).is_some_and(|name| !name.is_empty());
        match self.service.as_str() {
            "iam" => self.resource == "root" || named("user/") || named("role/"),
            "sts" => named("assumed-role/") || named("federated-user/"),
            _ => false,
        }
    }
}

/// The publisher: a user, a role or an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publisher(Arn);

impl Publisher {
    /// As a principal of a policy.
    pub(crate) fn principal(&self) -> Value {
        json!({ "AWS": self.0.text })
    }
}

impl FromStr for Publisher {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        Arn::parse(text).filter(Arn::is_principal).map(Self).ok_or_else(|| InvalidName {
            what: "publisher",
            found: text.to_owned(),
            rule: "expected the ARN of a user or role, such as arn:aws:iam::123456789012:role/publisher"
                .to_owned(),
        })
    }
}

/// The principal that reads for the clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cdn {
    arn: Arn,
    is_distribution: bool,
}

impl FromStr for Cdn {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let invalid = || InvalidName {
            what: "CDN",
            found: text.to_owned(),
            rule: "expected the ARN of a CloudFront distribution, such as \
                   arn:aws:cloudfront::123456789012:distribution/EDFDVBD6EXAMPLE, or of a user or role"
                .to_owned(),
        };
        let arn = Arn::parse(text).ok_or_else(invalid)?;
        let id = arn.resource.strip_prefix("distribution/").filter(|_| arn.service == "cloudfront");
        let is_distribution =
            id.is_some_and(|id| !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric()));
        if is_distribution || arn.is_principal() { Ok(Self { arn, is_distribution }) } else { Err(invalid()) }
    }
}

/// A key of AWS KMS, as policies name it.
#[derive(Debug, Clone)]
struct SigningKey {
    resource: String,
    alias: Option<String>,
}

/// The registry, publisher and reader for which policies are made.
#[derive(Debug, Clone)]
pub struct Subject {
    location: Location,
    publisher: Option<Publisher>,
    cdn: Option<Cdn>,
    signer: Option<SigningKey>,
    partition: Partition,
    bucket_arn: String,
    /// Whether the publisher may change the registry's settings.
    may_init: bool,
    /// Whether the publisher may make the CDN ask again for what has changed.
    may_invalidate: bool,
    /// Whether the registry has pages.
    has_pages: bool,
}

impl Subject {
    /// A registry at `location`. The partition defaults to that of the ARNs, and to `aws` if there are none.
    ///
    /// # Errors
    /// Fails if the location cannot be written into a policy, or the partitions differ.
    pub fn new(
        location: Location,
        publisher: Option<Publisher>,
        cdn: Option<Cdn>,
        partition: Option<Partition>,
    ) -> Result<Self, String> {
        // These have special meanings in a policy.
        if location.within("").contains(['*', '?', '$']) {
            return Err("the prefix has a *, ? or $, which mean something else in a policy".to_owned());
        }
        let of_publisher = publisher.as_ref().map(|Publisher(arn)| arn.partition.clone());
        let of_cdn = cdn.as_ref().map(|cdn| cdn.arn.partition.clone());
        let mut named = [partition, of_publisher, of_cdn].into_iter().flatten();
        let first = named.next().unwrap_or_default();
        if let Some(other) = named.find(|other| *other != first) {
            return Err(format!(
                "the partitions {first} and {other} differ; all of --partition, --publisher and --cdn are of one"
            ));
        }
        let bucket_arn = format!("arn:{first}:s3:::{}", location.bucket());
        Ok(Self {
            location,
            publisher,
            cdn,
            signer: None,
            partition: first,
            bucket_arn,
            may_init: false,
            may_invalidate: false,
            has_pages: false,
        })
    }

    /// The same, for a publisher that signs by a key of AWS KMS.
    ///
    /// # Errors
    /// Fails if the key is in another partition.
    pub fn signing_by(self, key: &KmsKey) -> Result<Self, String> {
        if key.partition() != self.partition.0 {
            return Err(format!(
                "the key is in the partition {}, and all else in {}",
                key.partition(),
                self.partition
            ));
        }
        let alias = key.alias().map(ToOwned::to_owned);
        // Of an alias IAM knows only the key behind it, so all keys are named, and the alias is a condition.
        let resource = if alias.is_some() { key.all_keys() } else { key.arn().to_owned() };
        Ok(Self { signer: Some(SigningKey { resource, alias }), ..self })
    }

    /// The same, where the publisher may change the registry's settings too, as `tfreg init` does.
    #[must_use]
    pub fn with_init(self, may_init: bool) -> Self {
        Self { may_init, ..self }
    }

    /// The same, where the publisher may make the distribution ask again for what has changed, as `tfreg publish --invalidate` does.
    ///
    /// # Errors
    /// Fails if the CDN is none or no distribution.
    pub fn with_invalidation(self, may_invalidate: bool) -> Result<Self, String> {
        if may_invalidate && !self.cdn.as_ref().is_some_and(|cdn| cdn.is_distribution) {
            return Err("--allow-invalidation needs a CloudFront distribution: name it by --cdn".to_owned());
        }
        Ok(Self { may_invalidate, ..self })
    }

    /// A registry in the bucket of a CloudFormation template that names it `Bucket`, behind the `Distribution` of the template,
    /// and with `signs` signed by its `SigningKey`. The policies then have references to these, as `Fn::Sub` takes them. Of
    /// `location` only the prefix counts.
    ///
    /// # Errors
    /// Fails if the location cannot be written into a policy.
    pub fn in_template(
        location: Location,
        publisher: Option<Publisher>,
        signs: bool,
    ) -> Result<Self, String> {
        let arn = Arn {
            text: "arn:${AWS::Partition}:cloudfront::${AWS::AccountId}:distribution/${Distribution}"
                .to_owned(),
            partition: Partition::default(),
            service: "cloudfront".to_owned(),
            resource: "distribution/${Distribution}".to_owned(),
        };
        // The stack is in the publisher's partition, whichever that is.
        let subject = Self::new(location, None, None, None)?;
        let cdn = Some(Cdn { arn, is_distribution: true });
        let signer = signs.then(|| SigningKey { resource: "${SigningKey.Arn}".to_owned(), alias: None });
        Ok(Self { publisher, cdn, signer, bucket_arn: "${Bucket.Arn}".to_owned(), ..subject })
    }

    /// The same, for a registry with pages for people.
    #[must_use]
    pub fn with_pages(self, has_pages: bool) -> Self {
        Self { has_pages, ..self }
    }

    /// The areas that the registry has. Without pages what is at their keys is none of the registry's business.
    fn areas(&self) -> impl Iterator<Item = Area> {
        let has_pages = self.has_pages;
        Area::ALL.into_iter().filter(move |area| has_pages || !matches!(area, Area::Pages | Area::FrontPage))
    }

    fn bucket_arn(&self) -> String {
        self.bucket_arn.clone()
    }

    /// The resources for the keys of some areas.
    fn keys(&self, areas: impl IntoIterator<Item = Area>) -> Vec<String> {
        let arn = |area: Area| format!("{}/{}", self.bucket_arn(), self.location.within(area.pattern()));
        areas.into_iter().map(arn).collect()
    }

    fn keys_under(&self, rule: WriteRule) -> Vec<String> {
        self.keys(self.areas().filter(|area| area.write_rule() == rule))
    }

    fn all_keys(&self) -> Vec<String> {
        self.keys(self.areas())
    }

    /// What the publisher writes. The settings bind it, so they are not its own.
    fn published_keys(&self) -> Vec<String> {
        self.keys(self.areas().filter(|area| self.may_init || *area != Area::Settings))
    }

    /// S3 requires this right when an object is missing, and answers 404 only to callers who have it. AWS does not
    /// document whether `s3:prefix` is then the key or not set, so both are allowed.
    fn listing_condition(&self) -> Value {
        let folders: Vec<&str> = self.areas().filter_map(Area::folder).collect();
        let others = self.areas().map(Area::pattern);
        let others = others.filter(|pattern| !folders.iter().any(|folder| pattern.starts_with(folder)));
        let patterns = folders.iter().map(|folder| format!("{folder}*")).chain(others.map(str::to_owned));
        let patterns: Vec<String> = patterns.map(|pattern| self.location.within(&pattern)).collect();
        json!({ "StringLikeIfExists": { "s3:prefix": patterns } })
    }
}

#[derive(Debug, Clone, Copy, Serialize)]
enum Effect {
    Allow,
    Deny,
}

/// One statement of a policy.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Statement {
    sid: &'static str,
    effect: Effect,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal: Option<Value>,
    action: Vec<&'static str>,
    resource: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    condition: Option<Value>,
    #[serde(skip)]
    purpose: &'static str,
}

impl Statement {
    fn allow(
        sid: &'static str,
        action: &[&'static str],
        resource: Vec<String>,
        purpose: &'static str,
    ) -> Self {
        let (principal, condition) = (None, None);
        Self { sid, effect: Effect::Allow, principal, action: action.to_vec(), resource, condition, purpose }
    }

    /// A denial for every principal, the bucket's owner included.
    fn deny(
        sid: &'static str,
        action: &[&'static str],
        resource: Vec<String>,
        purpose: &'static str,
    ) -> Self {
        let principal = Some(json!("*"));
        Self { effect: Effect::Deny, principal, ..Self::allow(sid, action, resource, purpose) }
    }

    fn to(mut self, principal: Value) -> Self {
        self.principal = Some(principal);
        self
    }

    fn when(mut self, condition: Value) -> Self {
        self.condition = Some(condition);
        self
    }

    /// Its name.
    #[must_use]
    pub fn sid(&self) -> &str {
        self.sid
    }

    /// Its purpose, in a sentence.
    #[must_use]
    pub fn purpose(&self) -> &str {
        self.purpose
    }
}

/// A policy document.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Document {
    version: &'static str,
    statement: Vec<Statement>,
}

impl Document {
    fn new(statement: Vec<Statement>) -> Self {
        Self { version: "2012-10-17", statement }
    }

    /// Its statements.
    #[must_use]
    pub fn statements(&self) -> &[Statement] {
        &self.statement
    }
}

/// The policies of a registry. Serializes as `--format json` prints it.
#[derive(Debug, Clone, Serialize)]
pub struct Policies {
    /// The policy to attach to the user or role that publishes.
    pub publisher_policy: Document,
    /// The policy to set on the bucket.
    pub bucket_policy: Document,
    /// The steps and decisions that remain for the user.
    pub notes: Vec<String>,
}

impl Policies {
    /// The policies for `subject`.
    #[must_use]
    pub fn new(subject: &Subject) -> Self {
        let mut notes = vec![];
        if !subject.may_init {
            notes.push(
                "the publisher reads the registry's settings and cannot change them: `tfreg init` needs rights of its own, or \
                 --allow-init"
                    .to_owned(),
            );
        }
        notes.push(format!(
            "a bucket has one policy: if {} has one already, add these statements to it",
            subject.location.bucket()
        ));
        if subject.cdn.is_none() {
            notes.push(
                "the bucket policy lets no CDN read: name it by --cdn ARN, or add a statement of your own"
                    .to_owned(),
            );
        }
        if subject.signer.is_some() {
            notes.push(
                "the key's own policy has to let its account's policies decide, as the one that KMS makes does, or grant the same \
                 rights; `tfreg key create` needs kms:DescribeKey too"
                    .to_owned(),
            );
        }
        Self {
            publisher_policy: Document::new(publisher(subject)),
            bucket_policy: Document::new(bucket(subject)),
            notes,
        }
    }
}

const READ: &[&str] = &["s3:GetObject"];
const WRITE: &[&str] = &["s3:PutObject"];
const LIST: &[&str] = &["s3:ListBucket"];
/// What a key of KMS is asked for by those who sign.
pub(crate) const SIGN: &[&str] = &["kms:GetPublicKey", "kms:Sign"];

fn publisher_writes(subject: &Subject) -> &'static str {
    if subject.may_init {
        "The publisher writes the registry's objects and its settings. It deletes nothing and sets no ACL."
    } else {
        "The publisher writes the registry's objects, and not the settings that it has to keep to. It deletes nothing and sets \
         no ACL."
    }
}

/// The right to sign by a key.
fn sign(key: &SigningKey) -> Statement {
    const PURPOSE: &str =
        "The publisher signs by this key, and reads its public half to compare it with the certificate.";
    let statement = Statement::allow("SignReleases", SIGN, vec![key.resource.clone()], PURPOSE);
    match &key.alias {
        None => statement,
        Some(alias) => statement.when(json!({ "StringEquals": { "kms:RequestAlias": alias } })),
    }
}

fn publisher(subject: &Subject) -> Vec<Statement> {
    let mut statements = vec![
        Statement::allow(
            "ReadRegistry",
            READ,
            subject.all_keys(),
            "The publisher reads the registry's objects.",
        ),
        Statement::allow("WriteRegistry", WRITE, subject.published_keys(), publisher_writes(subject)),
        Statement::allow(
            "AllowNotFound",
            LIST,
            vec![subject.bucket_arn()],
            "The publisher gets 404 for a missing object, not 403, and may list the registry's folders.",
        )
        .when(subject.listing_condition()),
    ];
    statements.extend(subject.signer.as_ref().map(sign));
    if let Some(cdn) = subject.cdn.as_ref().filter(|_| subject.may_invalidate) {
        statements.push(Statement::allow(
            "InvalidateDocuments",
            &["cloudfront:CreateInvalidation"],
            vec![cdn.arn.text.clone()],
            "The publisher makes the CDN ask again for what has changed.",
        ));
    }
    statements
}

fn bucket(subject: &Subject) -> Vec<Statement> {
    let mut with_bucket = vec![subject.bucket_arn()];
    with_bucket.extend(subject.all_keys());
    let mut statements = vec![
        Statement::deny(
            "DenyPlainHttp",
            &["s3:*"],
            with_bucket,
            "Nobody reads or writes the registry without TLS.",
        )
        .when(json!({ "Bool": { "aws:SecureTransport": "false" } })),
        Statement::deny(
            "DenyOverwriteInStore",
            WRITE,
            subject.keys_under(WriteRule::CreateOnly),
            "Objects in store/ are only created: a write without If-None-Match is denied.",
        )
        .when(json!({ "Null": { "s3:if-none-match": "true" } })),
        Statement::deny(
            "DenyBlindWriteOfDocuments",
            WRITE,
            subject.keys_under(WriteRule::CompareAndSwap),
            "Documents are created, or replaced if unchanged: a write with neither If-None-Match nor If-Match is denied.",
        )
        .when(json!({ "Null": { "s3:if-none-match": "true", "s3:if-match": "true" } })),
        Statement::deny(
            "DenyMultipartUpload",
            WRITE,
            subject.all_keys(),
            "Every object is one PutObject: a multipart upload cannot be begun.",
        )
        .when(json!({ "Bool": { "s3:ObjectCreationOperation": "false" } })),
        Statement::deny(
            "DenyDeleteInStore",
            &["s3:DeleteObject", "s3:DeleteObjectVersion"],
            subject.keys_under(WriteRule::CreateOnly),
            "Nobody deletes objects in store/, where published versions are. To do it after all, change this policy first.",
        ),
        Statement::deny(
            "DenyAcl",
            &["s3:PutObjectAcl", "s3:PutObjectVersionAcl"],
            subject.all_keys(),
            "Nobody opens an object to others by an ACL.",
        ),
    ];
    if let Some(publisher) = &subject.publisher {
        let principal = publisher.principal();
        statements.extend([
            Statement::allow(
                "AllowPublisherRead",
                READ,
                subject.all_keys(),
                "The publisher reads the registry, also from another account.",
            )
            .to(principal.clone()),
            Statement::allow(
                "AllowPublisherWrite",
                WRITE,
                subject.published_keys(),
                publisher_writes(subject),
            )
            .to(principal.clone()),
            Statement::allow(
                "AllowPublisherNotFound",
                LIST,
                vec![subject.bucket_arn()],
                "The publisher gets 404 for a missing object, also from another account.",
            )
            .to(principal)
            .when(subject.listing_condition()),
        ]);
    }
    if let Some(Cdn { arn, is_distribution }) = &subject.cdn {
        let principal = if *is_distribution {
            json!({ "Service": "cloudfront.amazonaws.com" })
        } else {
            json!({ "AWS": arn.text })
        };
        let read =
            Statement::allow("AllowCdn", READ, subject.all_keys(), "The CDN reads the registry's objects.");
        let miss = Statement::allow(
            "AllowCdnNotFound",
            LIST,
            vec![subject.bucket_arn()],
            "The CDN gets 404 for a missing object, not 403: clients need that.",
        )
        .when(subject.listing_condition());
        for mut statement in [read, miss] {
            if *is_distribution {
                // The service principal stands for every distribution of every account; this condition allows only one.
                let condition = statement.condition.get_or_insert_with(|| json!({}));
                condition["StringEquals"] = json!({ "AWS:SourceArn": arn.text });
            }
            statements.push(statement.to(principal.clone()));
        }
    }
    statements
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_are_read() {
        for good in [
            "arn:aws:iam::123456789012:role/publisher",
            "arn:aws-cn:iam::123456789012:user/path/name",
            "arn:aws:iam::123456789012:root",
            "arn:aws-us-gov:sts::123456789012:assumed-role/publisher/session",
        ] {
            assert_eq!(good.parse::<Publisher>().unwrap().0.text, good);
            assert!(!good.parse::<Cdn>().unwrap().is_distribution);
        }
        for bad in [
            "",
            "*",
            "publisher",
            "123456789012",
            "arn:aws:iam::123456789012:role/",
            "arn:aws:iam::123456789012:role/*",
            "arn:aws:iam::1234:role/publisher",
            "arn:other:iam::123456789012:role/publisher",
            "arn:aws:iam::123456789012:policy/publisher",
            "arn:aws:s3:::bucket",
            "arn:aws:cloudfront::123456789012:distribution/",
            "arn:aws:cloudfront::123456789012:distribution/E/F",
        ] {
            assert!(bad.parse::<Publisher>().is_err(), "{bad}");
            assert!(bad.parse::<Cdn>().is_err(), "{bad}");
        }
        let distribution = "arn:aws:cloudfront::123456789012:distribution/EDFDVBD6EXAMPLE";
        assert!(distribution.parse::<Cdn>().unwrap().is_distribution);
        assert!(distribution.parse::<Publisher>().is_err(), "a CDN publishes nothing");
        let identity = "arn:aws:iam::cloudfront:user/CloudFront Origin Access Identity EH1HDMB1FH2TC";
        assert!(!identity.parse::<Cdn>().unwrap().is_distribution);
    }

    #[test]
    fn partitions_agree() {
        let location = || Location::new("bucket", "").unwrap();
        let role = |partition: &str| format!("arn:{partition}:iam::123456789012:role/r").parse().unwrap();
        let cdn = |partition: &str| format!("arn:{partition}:iam::123456789012:role/r").parse().unwrap();
        let partition = |subject: Result<Subject, String>| subject.map(|subject| subject.bucket_arn());
        assert_eq!(partition(Subject::new(location(), None, None, None)).unwrap(), "arn:aws:s3:::bucket");
        let china = Subject::new(location(), Some(role("aws-cn")), Some(cdn("aws-cn")), None);
        assert_eq!(partition(china).unwrap(), "arn:aws-cn:s3:::bucket");
        let named = Subject::new(location(), None, None, Some("aws-us-gov".parse().unwrap()));
        assert_eq!(partition(named).unwrap(), "arn:aws-us-gov:s3:::bucket");
        assert!(Subject::new(location(), Some(role("aws")), Some(cdn("aws-cn")), None).is_err());
        assert!(Subject::new(location(), None, Some(cdn("aws")), Some("aws-cn".parse().unwrap())).is_err());
        for bad in ["", "aw", "awsx", "aws-", "AWS", "aws-cn:", "aws--cn"] {
            assert!(bad.parse::<Partition>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_publisher_signs_by_one_key_and_no_other() {
        let subject = || Subject::new(Location::new("bucket", "").unwrap(), None, None, None).unwrap();
        let statement = |arn: &str| {
            let policies = Policies::new(&subject().signing_by(&arn.parse().unwrap()).unwrap());
            serde_json::to_value(policies.publisher_policy.statements().last().unwrap()).unwrap()
        };
        let arn = "arn:aws:kms:eu-west-1:123456789012:key/1";
        let by_key = statement(arn);
        assert_eq!(by_key["Action"], json!(["kms:GetPublicKey", "kms:Sign"]));
        assert_eq!((&by_key["Resource"], by_key.get("Condition")), (&json!([arn]), None));
        let by_alias = statement("arn:aws:kms:eu-west-1:123456789012:alias/releases");
        assert_eq!(by_alias["Resource"], json!(["arn:aws:kms:eu-west-1:123456789012:key/*"]));
        assert_eq!(
            by_alias["Condition"],
            json!({ "StringEquals": { "kms:RequestAlias": "alias/releases" } })
        );
        assert!(subject().signing_by(&arn.replace("aws:kms", "aws-cn:kms").parse().unwrap()).is_err());
    }

    #[test]
    fn a_prefix_with_another_meaning_is_refused() {
        for bad in ["a*", "a?", "${aws:username}"] {
            assert!(Subject::new(Location::new("bucket", bad).unwrap(), None, None, None).is_err(), "{bad}");
        }
    }
}
