//! `tfreg hosting`: the template, held to what AWS knows (cfn-lint), deployed on an emulator (moto) and published into; the
//! function that asks for a token, run for the requests of the real Terraform.

mod invalidation;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tfreg::content::Digest;

use crate::support::archive::write;
use crate::support::child::Running;
use crate::support::clients::{Terraform, require, require_program};
use crate::support::host::Host;
use crate::support::programs::skipped;
use crate::support::{Ran, folder, publish, run, tarballs, tfreg};

const DOMAIN: &str = "registry.example.com";
const CERTIFICATE: &str =
    "arn:aws:acm:us-east-1:123456789012:certificate/12345678-1234-1234-1234-123456789012";
const DISTRIBUTION: &str = "arn:aws:cloudfront::123456789012:distribution/EDFDVBD6EXAMPLE";

fn hosting(args: &[&str]) -> Ran {
    run(tfreg().args(["hosting", "--domain", DOMAIN]).args(args))
}

/// The default behavior, and those with patterns.
fn behaviors(config: &Value) -> Vec<&Value> {
    let further = config["CacheBehaviors"].as_array().into_iter().flatten();
    std::iter::once(&config["DefaultCacheBehavior"]).chain(further).collect()
}

/// Whether the function runs for a path, by the first pattern that matches it.
fn asks_for_token(config: &Value, path: &str) -> bool {
    let matches = |behavior: &&Value| {
        let pattern = behavior["PathPattern"].as_str().unwrap();
        path.strip_prefix('/').unwrap().starts_with(pattern.strip_suffix('*').unwrap())
    };
    let mut further = config["CacheBehaviors"].as_array().into_iter().flatten();
    let behavior = further.find(matches).unwrap_or(&config["DefaultCacheBehavior"]);
    behavior.get("FunctionAssociations").is_some()
}

fn template_of(args: &[&str]) -> Value {
    serde_json::from_str(&hosting(args).succeeds().stdout).unwrap()
}

#[test]
fn pages_are_what_the_root_answers_and_the_publisher_may_write_them() {
    let of = |args: &[&str]| {
        let template = template_of(args);
        let config = &template["Resources"]["Distribution"]["Properties"]["DistributionConfig"];
        (
            config["DefaultRootObject"].as_str().unwrap().to_owned(),
            template.to_string().contains("/providers/*"),
        )
    };
    assert_eq!(of(&[]), (".well-known/terraform.json".to_owned(), false));
    assert_eq!(of(&["--pages"]), ("index.html".to_owned(), true));
}

/// The value with references replaced by what they would be in a stack.
fn resolved(value: &Value, names: &[(&str, &str)]) -> Value {
    let text =
        |text: &str| names.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value));
    match value {
        Value::Object(members) if members.contains_key("Fn::Sub") => {
            text(members["Fn::Sub"].as_str().unwrap()).into()
        }
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), resolved(value, names))).collect()
        }
        Value::Array(values) => values.iter().map(|value| resolved(value, names)).collect(),
        other => other.clone(),
    }
}

const NAMES: &[(&str, &str)] = &[
    ("${Bucket.Arn}", "arn:aws:s3:::bucket"),
    ("${AWS::Partition}", "aws"),
    ("${AWS::AccountId}", "123456789012"),
    ("${Distribution}", "EDFDVBD6EXAMPLE"),
    ("${SigningKey.Arn}", KEY),
];
const KEY: &str = "arn:aws:kms:us-east-1:123456789012:key/12345678-1234-1234-1234-123456789012";

#[test]
fn the_policies_are_those_of_tfreg_policy() {
    let role = "arn:aws:iam::210987654321:role/publisher";
    for (args, further) in [
        (&["--prefix", "some/prefix"][..], &["--prefix", "some/prefix"][..]),
        (&["--publisher-oidc", "github:acme/terraform-provider-sample"], &[]),
        (&["--publisher-oidc", role], &["--publisher", role]),
        (&["--kms-key"], &["--signer", &format!("awskms:{KEY}")]),
    ] {
        let mut policy = tfreg();
        policy
            .args(["policy", "--bucket", "bucket", "--cdn", DISTRIBUTION, "--format", "json"])
            .args(further);
        let policies: Value = serde_json::from_str(&run(&mut policy).succeeds().stdout).unwrap();
        let template = template_of(args);
        let resources = &template["Resources"];
        let of_bucket = &resources["BucketPolicy"]["Properties"]["PolicyDocument"];
        assert_eq!(resolved(of_bucket, NAMES), policies["bucket_policy"], "{args:?}");
        assert!(!resolved(&template, NAMES).to_string().contains("s3:::${"), "{args:?}");
        let publisher = &resources["Publisher"];
        if further.contains(&"--publisher") {
            assert!(publisher.is_null(), "{args:?}");
        } else {
            let own = &publisher["Properties"]["Policies"][0]["PolicyDocument"];
            assert_eq!(resolved(own, NAMES), policies["publisher_policy"], "{args:?}");
        }
    }
}

#[test]
fn clients_get_what_they_need() {
    let template = template_of(&["--prefix", "tf", "--certificate", CERTIFICATE, "--private"]);
    let config = &template["Resources"]["Distribution"]["Properties"]["DistributionConfig"];
    // Discovery at the host's root is the registry's, below the prefix.
    assert_eq!(config["Origins"][0]["OriginPath"], "/tf");
    assert_eq!(config["HttpVersion"], "http2and3");
    for behavior in behaviors(config) {
        assert_eq!(behavior["ViewerProtocolPolicy"], "https-only");
        assert_eq!(behavior["Compress"], false);
    }
    let cache = &template["Resources"]["CachePolicy"]["Properties"]["CachePolicyConfig"];
    assert_eq!((&cache["MinTTL"], &cache["MaxTTL"]), (&json!(0), &json!(31_536_000)), "the origin decides");
    for answer in config["CustomErrorResponses"].as_array().unwrap() {
        assert!(
            answer["ErrorCachingMinTTL"].as_u64() < Some(60) && answer.get("ResponseCode").is_none(),
            "{answer}"
        );
    }
    assert_eq!(template["Resources"]["Bucket"]["Properties"]["VersioningConfiguration"]["Status"], "Enabled");
    let public = &template["Resources"]["Bucket"]["Properties"]["PublicAccessBlockConfiguration"];
    assert!(public.as_object().unwrap().values().all(|blocked| *blocked == true), "{public}");
    // A token is asked for where clients send it, and for every other spelling of such a path: S3 decodes the key.
    for (path, needs_token) in [
        ("/.well-known/terraform.json", false),
        ("/store/acme/sample/1.2.0/0123456789abcdef/terraform-provider-sample_1.2.0_SHA256SUMS", false),
        ("/registry/acme/sample/versions", true),
        ("/registry%2Facme/sample/versions", true),
        ("/%72egistry/acme/sample/versions", true),
        ("/mirror/registry.example.com/acme/sample/index.json", true),
        ("/index.html", true),
        ("/", true),
    ] {
        assert_eq!(asks_for_token(config, path), needs_token, "{path}");
    }
    assert!(!template_of(&[]).to_string().contains("FunctionAssociations"));
    for bucket in ["Bucket", "Logs"] {
        let rules = &template["Resources"][bucket]["Properties"]["LifecycleConfiguration"]["Rules"];
        let expire: Vec<&Value> =
            rules.as_array().unwrap().iter().filter(|rule| rule.get("ExpirationInDays").is_some()).collect();
        assert_eq!(expire.len(), usize::from(bucket == "Logs"), "nothing that is published expires: {rules}");
    }
    let public = hosting(&[]).succeeds();
    assert!(!public.stdout.contains("TokenHashes"));
    assert!(public.stderr.contains("note: without --certificate"), "{public:#?}");
    assert_eq!(hosting(&["--format", "json", "--quiet"]).succeeds().stdout, public.stdout);
}

#[test]
fn bad_arguments_are_usage_errors() {
    for (args, said) in [
        (&["--domain", "localhost"][..], "expected a host name"),
        (&["--domain", "https://registry.example.com/"], "expected a host name"),
        (&["--domain", DOMAIN, "--prefix", "a b"], "letters, digits"),
        (&["--domain", DOMAIN, "--prefix", "../x"], "\"..\""),
        (
            &["--domain", DOMAIN, "--certificate", "arn:aws:acm:eu-west-1:123456789012:certificate/1"],
            "us-east-1",
        ),
        (&["--domain", DOMAIN, "--publisher-oidc", "github:acme"], "github:ORG/REPO"),
        (&["--domain", DOMAIN, "--publisher-oidc", "arn:aws:s3:::x"], "ARN of a user or role"),
        (&[], "--domain"),
    ] {
        run(tfreg().arg("hosting").args(args)).fails(2, &[said]);
    }
}

/// `python3` with cfn-lint and moto; `None` where they are not. `.ci/run` fetches them.
#[track_caller]
fn python() -> Option<Command> {
    const NAME: &str = "TFREG_TEST_CLOUDFORMATION";
    let given = std::env::var_os(NAME).map(PathBuf::from);
    if given.as_deref() == Some(Path::new("not-available")) {
        skipped("cfn-lint and moto could not be fetched");
        return None;
    }
    if !require_program("python3") {
        return None;
    }
    let python = || {
        let mut command = Command::new("python3");
        command.envs(given.as_ref().map(|folder| ("PYTHONPATH", folder))).env_remove("AWS_PROFILE");
        command
    };
    let has = python().args(["-c", "import cfnlint, moto.server, boto3"]).stderr(Stdio::null()).status();
    let is_there = has.is_ok_and(|status| status.success());
    require("cfn-lint and moto[server,cloudformation] (PyPI; .ci/run fetches them)", is_there).then(python)
}

/// What the program `cfn-lint` does.
const LINT: &str = "import sys; from cfnlint.runner.cli import main; sys.exit(main())";

#[test]
fn the_template_is_one_for_cloudformation() {
    let Some(mut lint) = python() else { return };
    let root = folder();
    let role = "arn:aws:iam::210987654321:role/publisher";
    let all: [&[&str]; 4] = [
        &[],
        &["--certificate", CERTIFICATE, "--private", "--prefix", "tf", "--publisher-oidc", "github:acme/x"],
        &[
            "--publisher-oidc",
            "gitlab:https://gitlab.example.com/acme/x",
            "--certificate",
            CERTIFICATE,
            "--kms-key",
        ],
        &["--publisher-oidc", role, "--kms-key"],
    ];
    lint.args(["-c", LINT, "--non-zero-exit-code", "warning"]);
    for (number, args) in all.iter().enumerate() {
        lint.arg(write(root.path(), &format!("{number}.json"), hosting(args).succeeds().stdout));
    }
    let wrong = hosting(&[]).succeeds().stdout.replace("\"Compress\"", "\"Compresses\"");
    let wrong = write(root.path(), "wrong.json", wrong);
    run(&mut lint).succeeds();
    let found = run(python().unwrap().args(["-c", LINT]).arg(wrong));
    assert!(found.code != 0 && found.stdout.contains("Compresses"), "{found:#?}");
}

/// The stack is deployed, and the role of a repository's pipelines publishes into it.
#[test]
fn a_pipeline_publishes_into_the_deployed_stack() {
    let Some(mut python) = python() else { return };
    let root = folder();
    let args = [
        "--prefix",
        "tf",
        "--certificate",
        CERTIFICATE,
        "--private",
        "--kms-key",
        "--publisher-oidc",
        "github:acme/terraform-provider-sample",
    ];
    let file = write(root.path(), "registry.json", hosting(&args).succeeds().stdout);
    let provider = "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com";
    python.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/hosting/emulator.py")).arg(file);
    python.args([format!("OidcProvider={provider}"), format!("TokenHashes={}", Digest::of(b"x"))]);
    let mut emulator =
        Running::start(python.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()));
    let mut line = String::new();
    BufReader::new(emulator.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let Ok(deployed) = serde_json::from_str::<Value>(&line) else {
        panic!("{line}: {}", String::from_utf8_lossy(&emulator.output().stderr));
    };

    // What the emulator knows of the template; the rest is held to its types by the linter only.
    let not_emulated = [
        "BucketPolicy",
        "CachePolicy",
        "Distribution",
        "IdentityProvider",
        "LogsPolicy",
        "OriginAccess",
        "ResponseHeaders",
        "TokenFunction",
    ];
    assert_eq!(deployed["left_out"], json!(not_emulated));
    let bucket = deployed["resources"]["Bucket"].as_str().unwrap();
    let mut policy = tfreg();
    policy.args(["policy", "--bucket", bucket, "--prefix", "tf", "--format", "json"]);
    policy.args(["--signer", &format!("awskms:{}", deployed["signing_key"].as_str().unwrap())]);
    let policies: Value = serde_json::from_str(&run(&mut policy).succeeds().stdout).unwrap();
    assert_eq!(deployed["policy"], policies["publisher_policy"]);
    assert_eq!(
        deployed["encryption"]["Rules"][0]["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"],
        "AES256"
    );
    let trust = &deployed["trust"]["Statement"][0];
    assert_eq!(trust["Principal"]["Federated"], provider);
    assert_eq!(
        trust["Condition"]["StringLike"]["token.actions.githubusercontent.com:sub"],
        "repo:acme/terraform-provider-sample:environment:release"
    );

    // As the notes say, by somebody with rights of their own.
    let target = format!("s3://{bucket}/tf");
    let mut init = tfreg();
    init.args(["init", &target, "--base-url", &format!("https://{DOMAIN}/")]);
    init.envs([
        ("AWS_ENDPOINT_URL", deployed["endpoint"].as_str().unwrap()),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("NO_PROXY", "127.0.0.1"),
    ]);
    run(&mut init).succeeds();

    // As in a pipeline: a token, and no key.
    let token = write(root.path(), "token", "token-of-the-build");
    let environment = [
        ("AWS_ENDPOINT_URL", deployed["endpoint"].as_str().unwrap()),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ROLE_ARN", deployed["role"].as_str().unwrap()),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
        ("NO_PROXY", "127.0.0.1"),
        ("HOME", root.path().to_str().unwrap()),
    ];
    let without_keys = |mut command: Command| {
        for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
            command.env_remove(name);
        }
        command.envs(environment);
        command
    };
    let published = run(&mut without_keys(publish(&target, &tarballs("release-1.2.0")))).succeeds();
    assert!(published.stdout.contains("Published"), "{published:#?}");
    let mut verify = tfreg();
    verify.args(["verify", &target]);
    let verified = run(&mut without_keys(verify)).succeeds();
    assert!(verified.stdout.starts_with("Good: "), "{verified:#?}");
    drop(emulator.stdin.take());
}

/// What the function gives for a request, as CloudFront would run it.
fn answer(function: &str, method: &str, uri: &str, headers: &Value) -> Value {
    let folder = folder();
    let request = json!({ "method": method, "uri": uri, "headers": headers });
    let event = json!({ "version": "1.0", "context": { "eventType": "viewer-request" }, "request": request });
    // Its own scope: CloudFront gives a function little of Node's.
    let script = format!(
        "const only = (name) => {{ if (name !== 'crypto') throw new Error(name); return require(name); }};\n\
         const handler = require('vm').runInNewContext({} + '; handler', {{ require: only }});\n\
         console.log(JSON.stringify(handler({event})));\n",
        serde_json::to_string(function).unwrap()
    );
    let script = write(folder.path(), "function.js", &script);
    serde_json::from_str(&run(Command::new("node").arg(script)).succeeds().stdout).unwrap()
}

#[test]
fn the_function_takes_the_tokens_of_the_real_terraform() {
    if !require_program("node") || !require_program("terraform") {
        return;
    }
    let template = template_of(&["--private"]);
    let config = &template["Resources"]["Distribution"]["Properties"]["DistributionConfig"];
    let code = &template["Resources"]["TokenFunction"]["Properties"]["FunctionCode"]["Fn::Sub"];
    let hashes =
        [Digest::of(b"the-next-token"), Digest::of(b"s3cret")].map(|digest| digest.to_string()).join(",");
    let function = code.as_str().unwrap().replace("${TokenHashes}", &hashes);
    assert!(!function.contains("${"), "{function}");

    let root = folder();
    let site = root.path().join("site");
    run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
    for (token, accepted) in
        [(Some("s3cret"), true), (Some("the-next-token"), true), (Some("s3cret-1"), false), (None, false)]
    {
        let host = Host::of(&site);
        let terraform = Terraform::over(&host, "1.2.0");
        if let Some(token) = token {
            let credentials = format!("credentials \"{}\" {{\n  token = \"{token}\"\n}}\n", host.name());
            std::fs::write(terraform.path("cli.tfrc"), credentials).unwrap();
        }
        terraform.run(&["init"]).succeeds();
        let heard = host.heard();
        let (mut asked, mut let_through) = (0, 0);
        for request in &heard {
            let headers: serde_json::Map<String, Value> = request
                .headers
                .iter()
                .map(|(name, value)| (name.clone(), json!({ "value": value })))
                .collect();
            if !asks_for_token(config, &request.path) {
                let sent = request.headers.get("authorization");
                // Of what is open, only discovery is sent one.
                assert!(sent.is_none() || request.path.starts_with("/.well-known/"), "{request:#?}");
                continue;
            }
            asked += 1;
            let answer = answer(&function, &request.method, &request.path, &headers.into());
            if answer["uri"] == *request.path {
                let_through += 1;
                assert!(answer["headers"].get("authorization").is_none(), "{answer}");
            } else {
                assert_eq!(answer["statusCode"], 401, "{answer}");
                assert_eq!(answer["headers"]["cache-control"]["value"], "no-store", "{answer}");
            }
        }
        assert_eq!((asked, let_through), (2, if accepted { 2 } else { 0 }), "{token:?}: {heard:#?}");
    }

    // Of a network mirror, its documents are sent one too.
    let host = Host::of(&site);
    let terraform = Terraform::over(&host, "1.2.0");
    let mirror = format!(
        "credentials \"{}\" {{\n  token = \"s3cret\"\n}}\nprovider_installation {{\n  network_mirror {{\n    url = \"{}mirror/\"\n  }}\n}}\n",
        host.name(),
        host.url()
    );
    std::fs::write(terraform.path("cli.tfrc"), mirror).unwrap();
    // Terraform takes a port in the source for a URL's scheme here.
    let block = std::fs::read_to_string(terraform.path("main.tf")).unwrap();
    std::fs::write(terraform.path("main.tf"), block.replace(&host.name(), "registry.example.com")).unwrap();
    assert_ne!(terraform.run(&["init"]).code, 0, "there is no mirror");
    let heard = host.heard();
    assert!(!heard.is_empty());
    for request in heard {
        assert!(
            request.path.starts_with("/mirror/") && asks_for_token(config, &request.path),
            "{request:#?}"
        );
        let value = &request.headers["authorization"];
        let headers = json!({ "authorization": { "value": value } });
        assert_eq!(answer(&function, &request.method, &request.path, &headers)["uri"], *request.path);
    }

    let with = |value: &str| json!({ "authorization": { "value": value } });
    for bad in [
        "Bearer ",
        "bearer s3cret",
        "Basic s3cret",
        "s3cret",
        "Bearer undefined",
        &format!("Bearer {hashes}"),
        "",
    ] {
        assert_eq!(
            answer(&function, "GET", "/registry/a/b/versions", &with(bad))["statusCode"],
            401,
            "{bad}"
        );
    }
}
