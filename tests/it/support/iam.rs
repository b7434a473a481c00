//! A small evaluator of AWS policies: effects, wildcards, principals, and the conditions that the program's policies use.
//!
//! It is strict where AWS is lax: what it does not know is a failure, so that no misspelt member passes as no rule.

#![expect(clippy::unwrap_used, clippy::panic, reason = "here a failure is a bug of the test")]

use std::collections::BTreeMap;

use serde_json::Value;

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) enum Principal {
    /// A user or role of the bucket's account.
    Own(String),
    /// A user or role of another account.
    Foreign(String),
    /// A service of AWS.
    Service(&'static str),
    /// Nobody in particular.
    Anonymous,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) action: &'static str,
    pub(crate) resource: String,
    /// Condition keys, in lower case, as far as the request sets them.
    pub(crate) context: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Denied,
    Allowed,
    Silent,
}

/// Whether `principal`, who has the policy `identity`, may do it in a bucket with the policy `bucket`.
pub(crate) fn allows(
    principal: &Principal,
    identity: Option<&Value>,
    bucket: &Value,
    request: &Request,
) -> bool {
    let of_bucket = evaluate(bucket, Some(principal), request);
    let of_identity = identity.map_or(Verdict::Silent, |policy| evaluate(policy, None, request));
    if of_bucket == Verdict::Denied || of_identity == Verdict::Denied {
        return false;
    }
    let (by_bucket, by_identity) = (of_bucket == Verdict::Allowed, of_identity == Verdict::Allowed);
    match principal {
        Principal::Own(_) => by_bucket || by_identity,
        Principal::Foreign(_) => by_bucket && by_identity,
        Principal::Service(_) | Principal::Anonymous => by_bucket,
    }
}

/// A policy's verdict; `principal` is `None` for a policy that is attached to who asks.
fn evaluate(policy: &Value, principal: Option<&Principal>, request: &Request) -> Verdict {
    assert_eq!(policy["Version"], "2012-10-17");
    let mut verdict = Verdict::Silent;
    for statement in policy["Statement"].as_array().unwrap() {
        let members = statement.as_object().unwrap();
        let known = ["Sid", "Effect", "Principal", "Action", "Resource", "Condition"];
        assert!(members.keys().all(|key| known.contains(&key.as_str())), "{statement}");
        assert_eq!(members.contains_key("Principal"), principal.is_some(), "{statement}");
        let applies = texts(&statement["Action"]).any(|pattern| like(pattern, request.action))
            && texts(&statement["Resource"]).any(|pattern| like(pattern, &request.resource))
            && principal.is_none_or(|principal| names(&statement["Principal"], principal))
            && members.get("Condition").is_none_or(|condition| holds(condition, &request.context));
        match statement["Effect"].as_str().unwrap() {
            "Deny" if applies => return Verdict::Denied,
            "Allow" if applies => verdict = Verdict::Allowed,
            "Deny" | "Allow" => {}
            other => panic!("{other}"),
        }
    }
    verdict
}

fn names(element: &Value, principal: &Principal) -> bool {
    if element == "*" {
        return true;
    }
    let element = element.as_object().unwrap();
    element.iter().any(|(kind, value)| match (kind.as_str(), principal) {
        ("AWS", Principal::Own(arn) | Principal::Foreign(arn)) => texts(value).any(|text| text == arn),
        ("Service", Principal::Service(name)) => texts(value).any(|text| text == *name),
        ("AWS" | "Service", _) => false,
        _ => panic!("{kind}"),
    })
}

/// Every operator and every key must hold; of a key's values one.
fn holds(condition: &Value, context: &BTreeMap<String, String>) -> bool {
    condition.as_object().unwrap().iter().all(|(operator, keys)| {
        keys.as_object().unwrap().iter().all(|(key, values)| {
            let found = context.get(&key.to_ascii_lowercase());
            let any = |test: &dyn Fn(&str, &str) -> bool| {
                found.is_some_and(|found| texts(values).any(|value| test(value, found)))
            };
            match operator.as_str() {
                "Null" => texts(values).any(|value| (value == "true") == found.is_none()),
                "Bool" | "StringEquals" => any(&|value, found| value == found),
                // As on AWS, a key that is not set is not equal either.
                "StringNotEquals" => !any(&|value, found| value == found),
                "StringLike" => any(&like),
                "StringLikeIfExists" => found.is_none() || any(&like),
                other => panic!("{other}"),
            }
        })
    })
}

/// One text, or several.
fn texts(value: &Value) -> impl Iterator<Item = &str> {
    let several = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    several.iter().map(|text| text.as_str().unwrap())
}

/// `*` stands for any text, `?` for one character.
fn like(pattern: &str, text: &str) -> bool {
    match pattern.chars().next() {
        None => text.is_empty(),
        Some('*') => {
            let rest = &pattern[1..];
            text.char_indices().map(|(at, _)| at).chain([text.len()]).any(|at| like(rest, &text[at..]))
        }
        Some(first) => text.chars().next().is_some_and(|found| {
            (first == '?' || first == found) && like(&pattern[first.len_utf8()..], &text[found.len_utf8()..])
        }),
    }
}

#[test]
fn the_evaluator_knows_its_rules() {
    let policy = |statements: Value| serde_json::json!({ "Version": "2012-10-17", "Statement": statements });
    let own = Principal::Own("me".to_owned());
    let request = |context: &[(&str, &str)]| Request {
        action: "s3:PutObject",
        resource: "arn:aws:s3:::b/a/k".to_owned(),
        context: context.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
    };
    let allow = |action: &str, resource: &str, condition: Value| {
        let statement = serde_json::json!({ "Effect": "Allow", "Principal": { "AWS": ["you", "me"] }, "Action": action,
            "Resource": [resource], "Condition": condition });
        policy(serde_json::json!([statement]))
    };
    let none = || serde_json::json!({});
    let yes = |bucket: &Value, request: &Request| allows(&own, None, bucket, request);
    for (action, resource, expected) in [
        ("s3:PutObject", "arn:aws:s3:::b/a/k", true),
        ("s3:*", "*", true),
        ("s3:Put?bject", "arn:aws:s3:::b/*/k", true),
        ("s3:PutObject", "arn:aws:s3:::b/a", false),
        ("s3:PutObjectAcl", "*", false),
        ("s3:Get*", "*", false),
    ] {
        assert_eq!(yes(&allow(action, resource, none()), &request(&[])), expected, "{action} {resource}");
    }
    for (condition, absent, present) in [
        (serde_json::json!({ "Null": { "S3:x": "true" } }), true, false),
        (serde_json::json!({ "Null": { "s3:x": "false" } }), false, true),
        (serde_json::json!({ "Bool": { "s3:x": "true" } }), false, false),
        (serde_json::json!({ "StringEquals": { "s3:x": ["a", "b/c"] } }), false, true),
        (serde_json::json!({ "StringNotEquals": { "s3:x": "b/c" } }), true, false),
        (serde_json::json!({ "StringLike": { "s3:x": "b/*" } }), false, true),
        (serde_json::json!({ "StringLike": { "s3:x": "c/*" } }), false, false),
        (serde_json::json!({ "StringLikeIfExists": { "s3:x": "c/*" } }), true, false),
        (serde_json::json!({ "Null": { "s3:x": "false", "s3:y": "false" } }), false, false),
    ] {
        let bucket = allow("s3:*", "*", condition.clone());
        assert_eq!(yes(&bucket, &request(&[])), absent, "{condition}");
        assert_eq!(yes(&bucket, &request(&[("s3:x", "b/c")])), present, "{condition}");
    }
    let bucket = allow("s3:*", "*", none());
    assert!(!allows(&Principal::Own("other".to_owned()), None, &bucket, &request(&[])));
    assert!(!allows(&Principal::Anonymous, None, &bucket, &request(&[])));
    // Of another account both must allow; a denial wins everywhere.
    let mine = Principal::Foreign("me".to_owned());
    let identity =
        |effect: &str| policy(serde_json::json!([{ "Effect": effect, "Action": "s3:*", "Resource": "*" }]));
    assert!(!allows(&mine, None, &bucket, &request(&[])));
    assert!(allows(&mine, Some(&identity("Allow")), &bucket, &request(&[])));
    assert!(!allows(&mine, Some(&identity("Allow")), &policy(serde_json::json!([])), &request(&[])));
    assert!(!allows(&own, Some(&identity("Deny")), &bucket, &request(&[])));
}
