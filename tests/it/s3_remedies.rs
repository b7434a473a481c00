//! What is said where S3, a proxy or the AWS configuration is in the way: each remedy is carried out, and the refusal is gone.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt as _;
use serde_json::json;
use tfreg::content::Digest;
use tfreg::store::body::Clock;
use tfreg::store::{Form, ObjectStore as _};

use crate::support::clients::require_program;
use crate::support::iam::{self, Principal};
use crate::support::in_process::{bucket, registry, unhurried};
use crate::support::s3_server::{Action, Matcher, Rule, S3Server, SSO_TOKEN};
use crate::support::watched::listed;
use crate::support::{Ran, folder, publish, run, tarball, tarballs};

fn publish_to(server: &S3Server) -> Command {
    let mut command = publish("s3://bucket", &[tarball("release-1.2.0", "linux-amd64")]);
    command.envs(server.envs());
    command
}

/// The same without keys in the environment, with this configuration.
fn with_config(server: &S3Server, config: &Path) -> Command {
    let mut command = publish_to(server);
    command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    command.env("AWS_CONFIG_FILE", config).env("HOME", config.parent().unwrap());
    command
}

/// The remedy that was printed.
#[track_caller]
fn remedy(ran: &Ran) -> &str {
    let (_, remedy) = ran.stderr.split_once("remedy:").unwrap_or_else(|| panic!("no remedy: {ran:#?}"));
    remedy.lines().next().unwrap().trim()
}

/// What is between two texts.
#[track_caller]
fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("no {before:?} in {text:?}"));
    rest.split_once(after).unwrap_or_else(|| panic!("no {after:?} in {text:?}")).0
}

/// A server whose bucket is in eu-west-1, and which answers requests that are signed for another region so.
fn elsewhere(server: &S3Server, status: u16, headers: &[(&'static str, &str)], body: &str) -> Rule {
    let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    let other = Matcher::any().when(|request| request.region != "eu-west-1");
    server.fault(other, Action::AnswerRaw(status, headers, body.to_owned()))
}

fn xml(code: &str, message: &str, further: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message>{further}</Error>"
    )
}

#[test]
fn the_region_is_named_and_set() {
    let malformed =
        "The authorization header is malformed; the region 'us-east-1' is wrong; expecting 'eu-west-1'";
    let constraint = "The eu-west-1 location constraint is incompatible for the region specific endpoint this request was \
                      sent to.";
    let redirect = "The bucket you are attempting to access must be addressed using the specified endpoint.";
    let header = [("x-amz-bucket-region", "eu-west-1")];
    for (status, headers, body) in [
        (400, &[][..], xml("AuthorizationHeaderMalformed", malformed, "<Region>eu-west-1</Region>")),
        (400, &[], xml("AuthorizationHeaderMalformed", malformed, "")),
        (400, &[], xml("IllegalLocationConstraintException", constraint, "")),
        (301, &header, xml("PermanentRedirect", redirect, "")),
        (301, &header, String::new()),
        (400, &header, String::new()),
    ] {
        let server = S3Server::start(&["bucket"]);
        elsewhere(&server, status, headers, &body);
        let refused = run(&mut publish_to(&server)).fails(1, &[&format!("HTTP status {status}")]);
        let region = between(remedy(&refused), "set AWS_REGION=", ",");
        run(publish_to(&server).env("AWS_REGION", region)).succeeds();
        assert_eq!(listed(&server).len(), 1);
    }
}

#[test]
fn the_sources_region_is_an_option_of_its_own() {
    let (artifacts, registry) = (S3Server::start(&["artifacts"]), S3Server::start(&["registry"]));
    let path = tarball("release-1.2.0", "linux-amd64");
    let key = format!("v/{}", path.file_name().unwrap().to_str().unwrap());
    artifacts.put_directly("artifacts", &key, std::fs::read(path).unwrap());
    elsewhere(&artifacts, 301, &[("x-amz-bucket-region", "eu-west-1")], "");
    let mut command = publish("s3://registry", &["s3://artifacts/v/".into()]);
    command.envs(registry.envs()).args(["--protocol", "5.0", "--source-endpoint-url", &artifacts.endpoint()]);
    let refused = run(&mut command).fails(1, &["cannot list s3://artifacts/v/", "HTTP status 301"]);
    let region = between(remedy(&refused), "give --source-region ", ",").to_owned();
    run(command.args(["--source-region", &region])).succeeds();
    // The registry is where it was.
    assert!(registry.requests().iter().all(|request| request.region == "us-east-1"));
}

/// A bucket whose policy demands encryption by KMS, as AWS's documentation has it, and which names the denial as S3 does.
fn demanding_encryption() -> S3Server {
    let server = S3Server::start(&["bucket"]);
    let me = Principal::Own("arn:aws:iam::1:user/me".to_owned());
    let policy = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Principal": { "AWS": "arn:aws:iam::1:user/me" }, "Action": "s3:*",
          "Resource": "arn:aws:s3:::bucket/*" },
        { "Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::bucket/*",
          "Condition": { "StringNotEquals": { "s3:x-amz-server-side-encryption": "aws:kms" } } },
    ] });
    let denied = Matcher::put().when(move |recorded| {
        let header = "x-amz-server-side-encryption";
        let sent = recorded.headers.get(header).map(|value| (format!("s3:{header}"), value.clone()));
        let request = iam::Request {
            action: "s3:PutObject",
            resource: format!("arn:aws:s3:::bucket/{}", recorded.key),
            context: sent.into_iter().collect(),
        };
        !iam::allows(&me, None, &policy, &request)
    });
    let message = "User: arn:aws:iam::1:user/me is not authorized to perform: s3:PutObject on resource: \
                   &quot;arn:aws:s3:::bucket/x&quot; with an explicit deny in a resource-based policy";
    server.fault(denied, Action::AnswerRaw(403, Vec::new(), xml("AccessDenied", message, "")));
    server
}

#[test]
fn encryption_that_a_policy_demands_is_asked_for() {
    let server = demanding_encryption();
    let refused = run(&mut publish_to(&server)).fails(
        1,
        &[
            "HTTP status 403",
            "denies s3:PutObject explicitly",
            "resource-based policy",
            "Nothing was written",
        ],
    );
    assert!(!refused.stderr.contains("grant the publisher"), "{refused:#?}");
    let algorithm = between(remedy(&refused), "give --sse ", " or");
    // The other one of the two is not what this policy demands, and now the option is not what is missing.
    let other =
        run(publish_to(&server).args(["--sse", "AES256"])).fails(1, &["denies s3:PutObject explicitly"]);
    assert!(!other.stderr.contains("give --sse"), "{other:#?}");
    assert!(server.history().is_empty());
    run(publish_to(&server).args(["--sse", algorithm, "--sse-kms-key-id", "alias/releases"])).succeeds();
    let requests = server.requests();
    let puts: Vec<_> =
        requests.iter().filter(|request| request.method == "PUT" && request.status == Some(200)).collect();
    assert!(puts.len() >= 8, "{}", puts.len());
    let headers = [
        ("x-amz-server-side-encryption", "aws:kms"),
        ("x-amz-server-side-encryption-aws-kms-key-id", "alias/releases"),
    ];
    for put in puts {
        for (name, value) in headers {
            assert_eq!(put.headers.get(name).map(String::as_str), Some(value), "{put:?}");
        }
    }
    // Every other command that writes has the option, and the variables stand for it.
    let mut warn = crate::support::tfreg();
    warn.args(["warn", "s3://bucket", "acme/sample", "moved"]).envs(server.envs());
    run(&mut warn).fails(1, &["--sse"]);
    run(warn.args(["--sse", "aws:kms"])).succeeds();
    let mut by_variables = publish("s3://bucket", &tarballs("release-1.10.0"));
    run(by_variables.envs(server.envs()).env("TFREG_SSE", "aws:kms").env("TFREG_SSE_KMS_KEY_ID", "1234"))
        .succeeds();
    let mut drone = crate::support::tfreg();
    drone.arg("drone").envs(server.envs()).envs([
        ("DRONE_TAG", "terraform-provider-sample-v1.2.0"),
        ("PLUGIN_TO", "s3://bucket"),
        ("PLUGIN_NAMESPACE", "acme"),
        ("PLUGIN_SSE", "aws:kms"),
        ("PLUGIN_PROBE_PROTOCOL", "false"),
    ]);
    let tarball = tarball("release-1.2.0", "darwin-arm64");
    let key = crate::support::key("ed25519.asc");
    run(drone.env("PLUGIN_TARBALLS", tarball).env("PLUGIN_SIGNING_KEY_FILE", key)).succeeds();
    assert_eq!(listed(&server).len(), 2 + tarballs("release-1.10.0").len());
    for (args, said) in [
        (&["--sse", "aes256"][..], "expected AES256 or aws:kms"),
        (&["--sse-kms-key-id", "x"], "is for --sse aws:kms"),
    ] {
        run(publish_to(&server).args(args)).fails(2, &[said]);
    }
}

#[test]
fn a_profile_that_does_not_exist_is_named_and_can_be_made() {
    let server = S3Server::start(&["bucket"]);
    let root = folder();
    let config = root.path().join("config");
    let keys = format!(
        "aws_access_key_id = {}\naws_secret_access_key = {}\n",
        server.access_key(),
        server.secret_key()
    );
    std::fs::write(&config, "[profile other]\nregion = us-east-1\n").unwrap();
    // With keys in the environment too: the profile was meant, whatever else is there.
    for keys_in_environment in [true, false] {
        let mut command =
            if keys_in_environment { publish_to(&server) } else { with_config(&server, &config) };
        command.env("AWS_CONFIG_FILE", &config).env("AWS_PROFILE", "nope");
        run(&mut command).fails(
            1,
            &[
                "The config profile (nope) could not be found",
                "remedy:",
                "create it",
                "AWS_CONFIG_FILE",
                "there are other",
            ],
        );
        assert!(server.requests().is_empty());
    }
    std::fs::write(&config, format!("[profile nope]\n{keys}")).unwrap();
    run(with_config(&server, &config).env("AWS_PROFILE", "nope")).succeeds();
    // Set to nothing it stands for none.
    run(publish_to(&server).env("AWS_PROFILE", "")).succeeds();
}

#[test]
fn each_way_to_credentials_has_its_remedy() {
    if !require_program("bash") {
        return;
    }
    let server = S3Server::start(&["bucket"]);
    server.add_role("arn:aws:iam::1:role/by-token", &["bucket"]);
    let root = folder();
    let (config, token, program) =
        (root.path().join("config"), root.path().join("token"), root.path().join("program"));
    let shown = |path: &Path| path.display().to_string();
    std::fs::write(
        &config,
        format!(
            "[profile sso]\nsso_session = main\nsso_account_id = 1\nsso_role_name = r\n\
             [sso-session main]\nsso_region = us-east-1\nsso_start_url = https://example.com/start\n\
             [profile token]\nrole_arn = arn:aws:iam::1:role/by-token\nweb_identity_token_file = {}\n\
             [profile process]\ncredential_process = sh {}\n[profile empty]\nregion = us-east-1\n",
            shown(&token),
            shown(&program)
        ),
    )
    .unwrap();
    let with = |profile: &str| {
        let mut command = with_config(&server, &config);
        command.env("AWS_PROFILE", profile);
        command
    };

    // The command of the remedy is run as it is printed; it finds an `aws` that leaves what the real one would.
    let refused = run(&mut with("sso")).fails(1, &["cannot read s3://bucket/"]);
    let login = remedy(&refused).strip_prefix("log in: ").unwrap().to_owned();
    assert_eq!(login, "aws sso login --profile sso");
    let cache = root.path().join(".aws/sso/cache");
    let session = json!({ "accessToken": SSO_TOKEN, "expiresAt": "2100-01-01T00:00:00Z", "region": "us-east-1",
        "startUrl": "https://example.com/start" });
    let bin = root.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    // The file's name is the SHA-1 of "main", the session's.
    let fake = format!(
        "#!/bin/sh\n[ \"$*\" = 'sso login --profile sso' ] || exit 2\nmkdir -p '{0}'\n\
         cat > '{0}/b28b7af69320201d1cf206ebf28373980add1451.json' <<'END'\n{session}\nEND\n",
        shown(&cache)
    );
    std::fs::write(bin.join("aws"), fake).unwrap();
    std::fs::set_permissions(bin.join("aws"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", shown(&bin), std::env::var("PATH").unwrap());
    run(Command::new("bash").args(["-c", &login]).env("PATH", path)).succeeds();
    run(&mut with("sso")).succeeds();

    let refused = run(&mut with("token")).fails(1, &["cannot read s3://bucket/", &shown(&token)]);
    assert!(remedy(&refused).starts_with("set web_identity_token_file to the file"), "{refused:#?}");
    let by_variables = || {
        let mut command = with_config(&server, Path::new("/dev/null"));
        command.env("AWS_ROLE_ARN", "arn:aws:iam::1:role/by-token");
        command.env("AWS_WEB_IDENTITY_TOKEN_FILE", &token);
        command
    };
    let refused = run(&mut by_variables()).fails(1, &[&shown(&token)]);
    assert!(remedy(&refused).starts_with("set AWS_WEB_IDENTITY_TOKEN_FILE to the file"), "{refused:#?}");
    std::fs::write(&token, "a token").unwrap();
    run(&mut with("token")).succeeds();
    run(&mut by_variables()).succeeds();

    std::fs::write(&program, "echo 'vault is sealed' >&2; exit 2").unwrap();
    let refused = run(&mut with("process")).fails(1, &["vault is sealed"]);
    assert!(
        remedy(&refused).starts_with("run the credential_process of the profile process by itself"),
        "{refused:#?}"
    );
    let keys =
        json!({ "Version": 1, "AccessKeyId": server.access_key(), "SecretAccessKey": server.secret_key() });
    std::fs::write(&program, format!("echo '{keys}'")).unwrap();
    run(&mut with("process")).succeeds();

    let refused = run(&mut with("empty")).fails(1, &["cannot read s3://bucket/"]);
    for text in ["the profile empty has none", "AWS_ACCESS_KEY_ID", "IMDS"] {
        assert!(remedy(&refused).contains(text), "{text}: {refused:#?}");
    }
    assert_eq!(listed(&server).len(), 1);
}

/// A server of one thread that answers every connection so, until its test ends.
fn answering(answer: impl Fn(&mut std::net::TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count == 1) {
                head.push(byte[0]);
            }
            answer(&mut stream);
        }
    });
    format!("http://{address}")
}

#[test]
fn a_proxy_that_answers_itself_is_recognised() {
    let server = S3Server::start(&["bucket"]);
    for status in ["403 Forbidden", "407 Proxy Authentication Required", "200 OK"] {
        let proxy = answering(move |stream| {
            let page = "<!DOCTYPE html><html><body>Please log in.</body></html>";
            let length = page.len();
            let head = format!(
                "HTTP/1.1 {status}\r\nServer: squid/6.1\r\nContent-Type: text/html\r\nContent-Length: {length}\r\n\r\n"
            );
            let _ = stream.write_all(format!("{head}{page}").as_bytes());
        });
        let mut command = publish_to(&server);
        command.env("HTTP_PROXY", &proxy).env_remove("NO_PROXY").env_remove("no_proxy");
        // A page that a GET is answered with cannot be told from a document before it is read.
        let said = if status.starts_with("200") { "ETag" } else { "NO_PROXY" };
        let refused = run(&mut command).fails(1, &["remedy:", said]);
        assert!(!refused.stderr.contains("grant") && !refused.stderr.contains("log in"), "{refused:#?}");
        run(command.env("NO_PROXY", "127.0.0.1")).succeeds();
    }
}

#[test]
fn other_refusals_are_told_by_their_cause() {
    let kms = "User: arn:aws:iam::1:user/me is not authorized to perform: kms:GenerateDataKey on resource: \
               arn:aws:kms:eu-west-1:1:key/2 because no identity-based policy allows the kms:GenerateDataKey action";
    let times = "<RequestTime>20300101T000000Z</RequestTime><ServerTime>2026-11-25T00:00:00Z</ServerTime>";
    for (status, body, said) in [
        (
            403,
            xml("AccessDenied", kms, ""),
            &["kms:GenerateDataKey on the key arn:aws:kms:eu-west-1:1:key/2"][..],
        ),
        (403, xml("QuotaExceeded", "", ""), &["make room in the bucket bucket"]),
        (
            403,
            xml("RequestTimeTooSkewed", "The difference is too large.", times),
            &["clock", "20300101T000000Z"],
        ),
        (403, xml("InvalidAccessKeyId", "", ""), &["the access key id", "AWS_ACCESS_KEY_ID"]),
        (400, xml("ExpiredToken", "The provided token has expired.", ""), &["the session is over"]),
        (
            501,
            xml("NotImplemented", "A header is not implemented", "<Header>x-amz-checksum-sha256</Header>"),
            &["x-amz-checksum-sha256"],
        ),
    ] {
        let server = S3Server::start(&["bucket"]);
        server.fault(Matcher::put(), Action::AnswerRaw(status, Vec::new(), body.clone()));
        let refused = run(&mut publish_to(&server)).fails(1, &[&format!("HTTP status {status}")]);
        for text in said {
            assert!(remedy(&refused).contains(text), "{body}: {refused:#?}");
        }
        assert!(!refused.stderr.contains("s3:PutObject"), "{refused:#?}");
        server.clear_rules();
        run(&mut publish_to(&server)).succeeds();
    }
}

/// An answer without a length that does not end, and one that hardly comes: neither is taken for ever.
#[tokio::test(flavor = "multi_thread")]
async fn bytes_are_counted_as_they_come() {
    let head = "HTTP/1.1 200 OK\r\nETag: \"x\"\r\nConnection: close\r\n";
    let endless = answering(move |stream| {
        let _ = stream.write_all(format!("{head}\r\n").as_bytes());
        // Ends when its reader goes away.
        while stream.write_all(&[b' '; 8192]).is_ok() {}
    });
    let silent = answering(move |stream| {
        let _ = stream.write_all(format!("{head}Content-Length: 100000\r\n\r\n{{").as_bytes());
        let _ = stream.read(&mut [0]);
    });
    let server = S3Server::start(&["bucket"]);
    let key = "registry/acme/sample/versions".parse().unwrap();
    let store =
        |endpoint: &str| at_endpoint(endpoint, &server).with_patience(unhurried(Duration::from_secs(1)));
    let error = registry(store(&endless)).get(&key).await.unwrap_err().to_string();
    assert!(error.contains("more than 33554432 bytes is no document"), "{error}");
    // Time passes only where the reader waits.
    let silent = store(&silent).with_clocks(Arc::new(|| Box::new(Hasty::default())));
    let error = registry(silent).get(&key).await.unwrap_err().to_string();
    assert!(
        error.contains("below 1024 bytes per second") && error.contains("tried again for 1 s"),
        "{error}"
    );
}

/// A clock on which whatever does not come at once takes its time.
#[derive(Default)]
struct Hasty(Arc<std::sync::Mutex<Duration>>);

impl Clock for Hasty {
    fn now(&self) -> Duration {
        *self.0.lock().unwrap()
    }

    fn sleep(&self, duration: Duration) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
        let now = Arc::clone(&self.0);
        Box::pin(async move {
            // Whoever can go on without waiting does so first.
            for _ in 0..1000 {
                tokio::task::yield_now().await;
            }
            *now.lock().unwrap() += duration;
        })
    }
}

fn at_endpoint(endpoint: &str, server: &S3Server) -> tfreg::store::s3::S3 {
    use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .credentials_provider(Credentials::new(server.access_key(), server.secret_key(), None, None, "test"))
        .region(Region::new("us-east-1"))
        .endpoint_url(endpoint)
        .retry_config(aws_sdk_s3::config::retry::RetryConfig::disabled())
        .force_path_style(true);
    let location = tfreg::store::s3::Location::parse("s3://bucket").unwrap();
    tfreg::store::s3::S3::new(aws_sdk_s3::Client::from_conf(config.build()), location)
}

/// A large object whose answers are cut again and again is continued where it ended, of the same state.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_cut_is_continued() {
    let server = S3Server::start(&["bucket"]);
    let store = bucket(&server, "s3://bucket");
    let content: Vec<u8> = (0..3_000_000_u32).map(|i| i.to_le_bytes()[usize::from(i % 5 == 0)]).collect();
    let name = "v/large.tar.gz";
    server.put_directly("bucket", name, content.clone());
    server.fault(Matcher::get().occurrences(1..=6), Action::CutAnswer);
    let object = store.open(name, Form::Stored).await.unwrap().unwrap();
    let read = object.collect(u64::MAX).await.unwrap().unwrap();
    assert_eq!(Digest::of(&read), Digest::of(&content));
    let ranges: Vec<_> =
        server.requests().iter().map(|request| request.headers.get("range").cloned()).collect();
    assert_eq!(ranges.len(), 7);
    assert_eq!(ranges[1].as_deref(), Some("bytes=1500000-"));
    assert!(server.requests()[1..].iter().all(|request| request.headers.contains_key("if-match")));

    // Another object has come into its place meanwhile: the two are not mixed.
    server.clear_rules();
    let server = Arc::new(server);
    server.fault(Matcher::get().nth(1), Action::CutAnswer);
    let mut count = 0;
    let swap = Arc::clone(&server);
    let mut pieces = store.open(name, Form::Stored).await.unwrap().unwrap().body;
    let error = loop {
        let piece = match pieces.try_next().await {
            Ok(piece) => piece.expect("it is cut, and then another"),
            Err(error) => break error.to_string(),
        };
        if count == 0 {
            swap.put_directly("bucket", name, vec![0; 3_000_000]);
        }
        count += piece.len();
    };
    assert!(error.contains("it has changed while it was read") && count < 3_000_000, "{count} {error}");
}
