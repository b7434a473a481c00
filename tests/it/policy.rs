//! `tfreg policy`: what it prints, and that the policies let a publish do what it does and nobody do what must not be done.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::mirror_other::{SOURCE, World};
use crate::support::iam::{Principal, Request, allows};
use crate::support::s3_server::{Action, Matcher, RecordedRequest, S3Server};
use crate::support::{Ran, publish, run, tarballs, tfreg};

const PUBLISHER: &str = "arn:aws:iam::210987654321:role/publisher";
const DISTRIBUTION: &str = "arn:aws:cloudfront::123456789012:distribution/EDFDVBD6EXAMPLE";

fn policy(args: &[&str]) -> Ran {
    run(tfreg().args(["policy", "--bucket", "bucket"]).args(args))
}

/// The policies of the registry under `some/prefix`, as JSON.
fn policies(args: &[&str]) -> Value {
    let ran = policy(&[&["--prefix", "some/prefix", "--format", "json"], args].concat()).succeeds();
    serde_json::from_str(&ran.stdout).unwrap()
}

#[test]
fn both_documents_are_explained() {
    insta::assert_snapshot!(policy(&["--publisher", PUBLISHER, "--cdn", DISTRIBUTION]).succeeds().stdout);
}

#[test]
fn json_has_documents_and_notes() {
    insta::assert_snapshot!(policy(&["--prefix", "tf/", "--format", "json"]).succeeds().stdout);
}

#[test]
fn notes_go_to_standard_error() {
    let ran = policy(&[]).succeeds();
    for text in ["note: a bucket has one policy", "note: the bucket policy lets no CDN read"] {
        assert!(ran.stderr.contains(text) && !ran.stdout.contains(text), "{ran:#?}");
    }
    assert!(!ran.stdout.contains("AllowCdn") && !ran.stdout.contains("AllowPublisher"), "{ran:#?}");
    assert!(!policy(&["--cdn", DISTRIBUTION]).succeeds().stderr.contains("CDN"));
    let quiet = policy(&["--quiet"]).succeeds();
    assert!(quiet.stderr.is_empty() && quiet.stdout == ran.stdout, "{quiet:#?}");
}

#[test]
fn pages_are_keys_of_a_registry_that_has_them() {
    let with = |args: &[&str]| {
        let text = policies(args).to_string();
        ["/some/prefix/providers/*\"", "/some/prefix/index.html\""].map(|key| text.contains(key))
    };
    assert_eq!((with(&[]), with(&["--pages"])), ([false; 2], [true; 2]));
}

#[test]
fn partitions_reach_every_resource() {
    let role = "arn:aws-cn:iam::123456789012:role/r";
    for args in [&["--publisher", role][..], &["--cdn", role], &["--partition", "aws-cn"]] {
        let text = policy(args).succeeds().stdout;
        assert!(text.contains("arn:aws-cn:s3:::bucket/store/*") && !text.contains("arn:aws:"), "{text}");
    }
}

#[test]
fn bad_arguments_are_usage_errors() {
    for (args, said) in [
        (&["--bucket", "a/b"][..], "no bucket name"),
        (&["--bucket", ""], "no bucket name"),
        (&["--bucket", "s3://b"], "no bucket name"),
        (&["--bucket", "b", "--prefix", "/a"], "empty part"),
        (&["--bucket", "b", "--prefix", "a/../b"], "\"..\""),
        (&["--bucket", "b", "--prefix", "a*"], "mean something else"),
        (&["--bucket", "b", "--publisher", "me"], "ARN of a user or role"),
        (&["--bucket", "b", "--cdn", "EDFDVBD6EXAMPLE"], "ARN of a CloudFront distribution"),
        (&["--bucket", "b", "--partition", "china"], "expected aws"),
        (&["--bucket", "b", "--partition", "aws-cn", "--cdn", DISTRIBUTION], "differ"),
        (&[], "--bucket"),
    ] {
        run(tfreg().arg("policy").args(args)).fails(2, &[said]);
    }
}

/// What S3 checks for a request: the action on the resource, and with which condition keys.
fn asked(recorded: &RecordedRequest) -> Request {
    let has = |name: &str| recorded.query.contains_key(name);
    let (action, creates) = match recorded.method.as_str() {
        "GET" | "HEAD" if !recorded.key.is_empty() => ("s3:GetObject", None),
        "GET" => ("s3:ListBucket", None),
        "PUT" if has("acl") => ("s3:PutObjectAcl", None),
        "PUT" => ("s3:PutObject", Some(!has("uploadId"))),
        "POST" if has("uploads") => ("s3:PutObject", Some(false)),
        "POST" if has("uploadId") => ("s3:PutObject", Some(true)),
        "DELETE" => ("s3:DeleteObject", None),
        other => panic!("{other} {}", recorded.key),
    };
    let mut request = to(action, &recorded.key);
    request
        .context
        .extend(creates.map(|creates| ("s3:objectcreationoperation".to_owned(), creates.to_string())));
    for name in ["if-none-match", "if-match"] {
        request.context.extend(recorded.headers.get(name).map(|value| (format!("s3:{name}"), value.clone())));
    }
    request
        .context
        .extend(recorded.query.get("prefix").map(|prefix| ("s3:prefix".to_owned(), prefix.clone())));
    request
}

/// An action on a key, or on the bucket where that is empty, over TLS.
fn to(action: &'static str, key: &str) -> Request {
    let resource =
        if key.is_empty() { "arn:aws:s3:::bucket".to_owned() } else { format!("arn:aws:s3:::bucket/{key}") };
    let context = BTreeMap::from([("aws:securetransport".to_owned(), "true".to_owned())]);
    Request { action, resource, context }
}

fn with(mut request: Request, context: &[(&str, &str)]) -> Request {
    request.context.extend(context.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    request
}

/// The question that S3 asks itself when an object is missing, with `s3:prefix` as it may be set: AWS does not say how.
fn missing(key: &str) -> [Request; 2] {
    let list = to("s3:ListBucket", "");
    [list.clone(), with(list, &[("s3:prefix", key)])]
}

#[test]
fn what_a_publish_does_is_allowed() {
    let (foreign, own) = (Principal::Foreign(PUBLISHER.to_owned()), Principal::Own("arn:own".to_owned()));
    for (publisher, args) in [(foreign, &["--publisher", PUBLISHER, "--cdn", DISTRIBUTION][..]), (own, &[])] {
        let policies = Arc::new(policies(args));
        let may = {
            let policies = Arc::clone(&policies);
            move |request: &Request| {
                allows(&publisher, Some(&policies["publisher_policy"]), &policies["bucket_policy"], request)
            }
        };
        // The server enforces the policies, so that what is denied here fails as it would on S3.
        let server = S3Server::start(&["bucket"]);
        let denied = Arc::new(Mutex::new(Vec::new()));
        let (judge, log) = (may.clone(), Arc::clone(&denied));
        let is_denied = move |recorded: &RecordedRequest| {
            let denied = !judge(&asked(recorded));
            if denied {
                log.lock().unwrap().push(recorded.clone());
            }
            denied
        };
        server.fault(Matcher::any().when(is_denied), Action::AnswerBefore(403, "AccessDenied"));
        // With a network mirror, whose files are written too.
        let settings =
            r#"{"format": 1, "base_url": "https://h.example/", "network_mirror": true, "replace": true}"#;
        server.put_directly("bucket", "some/prefix/registry/settings.json", settings);
        let go = |release: &str, further: &[&str]| {
            let mut command = publish("s3://bucket/some/prefix", &tarballs(release));
            run(command.args(further).envs(server.envs())).succeeds();
        };
        go("release-1.2.0", &[]);
        go("release-1.10.0", &[]);
        go("release-1.2.0-more", &[]);
        go("release-1.2.0-rebuilt", &["--replace"]);
        go("release-1.2.0-rebuilt", &["--replace"]);
        let upstream = World::new(&["release-1.2.0"]);
        let mut mirror = tfreg();
        mirror.args(["mirror", "--to", "s3://bucket/some/prefix", SOURCE]).envs(server.envs());
        run(upstream.reaching(&mut mirror)).succeeds();

        // The one thing denied is the proof that a replace with a wrong revision is refused, in the first run's store/.
        let denied = std::mem::take(&mut *denied.lock().unwrap());
        let is_proof = |request: &RecordedRequest| {
            request.key.starts_with("some/prefix/store/") && request.headers.contains_key("if-match")
        };
        assert!(denied.len() == 1 && is_proof(&denied[0]), "{denied:#?}");
        let is_mirrored = |key: &String| key.starts_with("some/prefix/mirror/h.example/acme/sample/");
        assert_eq!(server.objects("bucket").keys().filter(|key| is_mirrored(key)).count(), 3);
        let (mut puts, mut misses) = (0, 0);
        for recorded in server.requests() {
            assert!(matches!(recorded.method.as_str(), "GET" | "HEAD" | "PUT"), "{recorded:#?}");
            puts += usize::from(recorded.method == "PUT");
            if recorded.status == Some(404) {
                misses += 1;
                assert!(missing(&recorded.key).iter().all(&may), "{recorded:#?}");
            }
        }
        assert!(puts > 40 && misses > 5, "{puts} puts, {misses} misses");
    }
}

/// Who asks, in the table of verdicts.
#[derive(Clone, Copy, Debug)]
enum Who {
    /// A role of another account, with the publisher policy.
    Publisher,
    /// A role of the bucket's account, with the publisher policy.
    OwnPublisher,
    /// The role of the other account, which its own policy would let do everything.
    Guest,
    /// A role of the bucket's account that may do everything, as far as its own policy goes.
    Admin,
    /// The CDN's distribution.
    Cdn,
    /// Another distribution.
    OtherCdn,
    /// A role of the bucket's account without rights.
    Stranger,
    Anonymous,
}

/// A row of the table: who asks for what, and whether it is to be allowed.
type Row = (String, Who, Request, bool);

const AREAS: [&str; 4] = [
    "some/prefix/store/acme/sample/1.2.0/0123456789abcdef/x.zip",
    "some/prefix/registry/acme/sample/versions",
    "some/prefix/.well-known/terraform.json",
    "some/prefix/mirror/registry.example.com/acme/sample/index.json",
];
/// The settings, which the publisher reads and does not write.
const SETTINGS: &str = "some/prefix/registry/settings.json";
const CREATE: (&str, &str) = ("s3:if-none-match", "*");
const REPLACE: (&str, &str) = ("s3:if-match", "\"0123\"");
const WHOLE: (&str, &str) = ("s3:objectcreationoperation", "true");
const PART: (&str, &str) = ("s3:objectcreationoperation", "false");
const HTTP: (&str, &str) = ("aws:securetransport", "false");

fn rows() -> Vec<Row> {
    use Who::{Admin, Anonymous, Cdn, Guest, OtherCdn, OwnPublisher, Publisher, Stranger};
    let mut rows = Vec::new();
    let mut add = |what: &str, who: Who, request: Request, expected: bool| {
        rows.push((format!("{who:?}: {what} {}", request.resource), who, request, expected));
    };
    for key in AREAS.into_iter().chain([SETTINGS]) {
        let in_store = key.contains("/store/");
        let (read, write) = (to("s3:GetObject", key), with(to("s3:PutObject", key), &[WHOLE]));
        let part = with(to("s3:PutObject", key), &[PART]);
        for who in [Publisher, OwnPublisher, Guest, Admin] {
            let may_write = key != SETTINGS || matches!(who, Admin);
            add("read", who, read.clone(), true);
            add("read by http", who, with(read.clone(), &[HTTP]), false);
            add("create", who, with(write.clone(), &[CREATE]), may_write);
            add("replace", who, with(write.clone(), &[REPLACE]), may_write && !in_store);
            add("overwrite", who, write.clone(), false);
            add("begin multipart", who, part.clone(), false);
            add("begin multipart with a condition", who, with(part.clone(), &[CREATE]), false);
            add("complete multipart unconditionally", who, write.clone(), false);
            let may_delete = matches!(who, Admin) && !in_store;
            add("delete", who, to("s3:DeleteObject", key), may_delete);
            add("delete a version", who, to("s3:DeleteObjectVersion", key), may_delete);
            add("set an ACL", who, to("s3:PutObjectAcl", key), false);
            add("set a version's ACL", who, to("s3:PutObjectVersionAcl", key), false);
            for list in missing(key) {
                add("learn that it is missing", who, list, true);
            }
        }
        add("read", Cdn, read.clone(), true);
        add("read by http", Cdn, with(read.clone(), &[HTTP]), false);
        for list in missing(key) {
            add("learn that it is missing", Cdn, list.clone(), true);
            add("learn that it is missing", OtherCdn, list, false);
        }
        for who in [OtherCdn, Stranger, Anonymous] {
            add("read", who, read.clone(), false);
        }
        for who in [Cdn, OtherCdn, Stranger, Anonymous] {
            add("create", who, with(write.clone(), &[CREATE]), false);
            add("delete", who, to("s3:DeleteObject", key), false);
        }
    }
    for who in [Publisher, OwnPublisher, Guest, Cdn] {
        let list = |prefix: &str| with(to("s3:ListBucket", ""), &[("s3:prefix", prefix)]);
        let folders = [
            "store/",
            "store/acme/sample/",
            "registry/",
            "registry/acme/sample/",
            "registry/acme/sample/1.2.0/",
        ];
        for folder in folders {
            add("list a folder", who, list(&format!("some/prefix/{folder}")), true);
            add("list a folder outside of the prefix", who, list(folder), false);
        }
        add("list elsewhere", who, list("other/"), false);
        add("list all by an empty prefix", who, list(""), false);
        add("list by http", who, with(list("some/prefix/store/"), &[HTTP]), false);
        for key in
            ["other/x", "store/x", "some/prefix/other", "some/prefix/.well-known/other", "some/prefixstore/x"]
        {
            add("read", who, to("s3:GetObject", key), false);
            add("create", who, with(to("s3:PutObject", key), &[WHOLE, CREATE]), false);
        }
        for action in
            ["s3:DeleteBucket", "s3:PutBucketPolicy", "s3:ListBucketVersions", "s3:PutBucketVersioning"]
        {
            add(action, who, to(action, ""), false);
        }
    }
    // What is no part of the registry is none of the policy's business.
    add("overwrite", Admin, with(to("s3:PutObject", "other/x"), &[WHOLE]), true);
    add("delete", Admin, to("s3:DeleteObject", "other/x"), true);
    add("read by http", Admin, with(to("s3:GetObject", "other/x"), &[HTTP]), true);
    add("change the policy", Admin, to("s3:PutBucketPolicy", ""), true);
    rows
}

fn allowed(policies: &Value, who: Who, request: &Request) -> bool {
    let everything = json!({ "Version": "2012-10-17",
        "Statement": [{ "Effect": "Allow", "Action": ["s3:*"], "Resource": ["*"] }] });
    let from = |source: &str| with(request.clone(), &[("aws:sourcearn", source)]);
    let other = DISTRIBUTION.replace("EDF", "FDE");
    let cdn = Principal::Service("cloudfront.amazonaws.com");
    let (foreign, publisher) = (Principal::Foreign(PUBLISHER.to_owned()), &policies["publisher_policy"]);
    let (principal, identity, request) = match who {
        Who::Publisher => (foreign, Some(publisher), request.clone()),
        Who::OwnPublisher => (Principal::Own("arn:publisher".to_owned()), Some(publisher), request.clone()),
        Who::Guest => (foreign, Some(&everything), request.clone()),
        Who::Admin => (Principal::Own("arn:admin".to_owned()), Some(&everything), request.clone()),
        Who::Cdn => (cdn, None, from(DISTRIBUTION)),
        Who::OtherCdn => (cdn, None, from(&other)),
        Who::Stranger => (Principal::Own("arn:stranger".to_owned()), None, request.clone()),
        Who::Anonymous => (Principal::Anonymous, None, request.clone()),
    };
    allows(&principal, identity, &policies["bucket_policy"], &request)
}

/// The rows whose verdict is not the one expected.
fn wrong<'a>(policies: &Value, rows: &'a [Row]) -> Vec<&'a str> {
    let wrong =
        rows.iter().filter(|(_, who, request, expected)| allowed(policies, *who, request) != *expected);
    wrong.map(|(name, ..)| name.as_str()).collect()
}

#[test]
fn what_must_not_be_done_is_denied() {
    let policies = policies(&["--publisher", PUBLISHER, "--cdn", DISTRIBUTION]);
    assert_eq!(wrong(&policies, &rows()), Vec::<&str>::new());
}

#[test]
fn a_publisher_changes_the_settings_only_where_that_is_asked_for() {
    let write = with(to("s3:PutObject", SETTINGS), &[WHOLE, REPLACE]);
    for (args, expected) in
        [(&["--publisher", PUBLISHER][..], false), (&["--publisher", PUBLISHER, "--allow-init"], true)]
    {
        let policies = policies(args);
        for who in [Who::Publisher, Who::OwnPublisher] {
            assert_eq!(allowed(&policies, who, &write), expected, "{who:?}, {args:?}");
            assert!(allowed(&policies, who, &to("s3:GetObject", SETTINGS)), "{who:?}, {args:?}");
        }
    }
}

#[test]
fn a_cdn_may_be_a_role() {
    let role = "arn:aws:iam::123456789012:role/cdn";
    let policies = policies(&["--cdn", role]);
    let may = |name: &str, request: &Request| {
        allows(&Principal::Own(name.to_owned()), None, &policies["bucket_policy"], request)
    };
    for key in AREAS {
        assert!(may(role, &to("s3:GetObject", key)) && missing(key).iter().all(|list| may(role, list)));
        assert!(!may("arn:other", &to("s3:GetObject", key)) && !may(role, &to("s3:PutObject", key)));
    }
}

/// Calls `visit` for every way to take one thing out of `value`: a member, or an item of a list.
fn without_one(value: &Value, path: &str, visit: &mut dyn FnMut(String, Value)) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let here = format!("{path}/{name}");
                let mut less = members.clone();
                less.shift_remove(name);
                visit(here.clone(), Value::Object(less));
                without_one(member, &here, &mut |path, changed| {
                    let mut whole = members.clone();
                    whole[name] = changed;
                    visit(path, Value::Object(whole));
                });
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let here = format!("{path}/{index}");
                let mut less = items.clone();
                less.remove(index);
                visit(here.clone(), Value::Array(less));
                without_one(item, &here, &mut |path, changed| {
                    let mut whole = items.clone();
                    whole[index] = changed;
                    visit(path, Value::Array(whole));
                });
            }
        }
        _ => {}
    }
}

#[test]
fn nothing_in_the_policies_is_idle() {
    let whole = policies(&["--publisher", PUBLISHER, "--cdn", DISTRIBUTION]);
    let rows = rows();
    let (mut statements, mut parts) = (0, 0);
    for document in ["publisher_policy", "bucket_policy"] {
        let list = &whole[document]["Statement"];
        without_one(list, "", &mut |path, changed| {
            // Names do nothing, and a statement without an effect, an action or a principal is none.
            let name = path.rsplit('/').next().unwrap();
            if ["Sid", "Effect", "Principal", "Action", "Resource", "AWS", "Service"].contains(&name) {
                return;
            }
            let mut policies = whole.clone();
            policies[document]["Statement"] = changed;
            let changes = wrong(&policies, &rows);
            assert!(!changes.is_empty(), "{document} does the same without {path}: {list:#}");
            statements += usize::from(path.matches('/').count() == 1);
            parts += 1;
        });
    }
    assert_eq!(statements, 3 + 6 + 5);
    assert!(parts > 50, "{parts}");
}
