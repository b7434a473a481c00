//! Keys in AWS KMS: their certificates, what they sign, and why they do not.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::{Owner, clients_take};
use crate::support::archive::write;
use crate::support::clients::require_program;
use crate::support::kms::KmsServer;
use crate::support::s3_server::S3Server;
use crate::support::{Ran, folder, key, run, tarball, tfreg, tree};

const WHO: &str = "Acme releases <releases@example.com>";
const ARN: &str = "arn:aws:kms:eu-west-1:123456789012:key/1";

/// A company with keys in KMS.
struct Company {
    root: TempDir,
    kms: KmsServer,
}

impl Company {
    fn new() -> Self {
        Self { root: folder(), kms: KmsServer::start() }
    }

    /// With the key `ed25519.asc`, and its certificate.
    fn with_key() -> (Self, String, PathBuf) {
        let company = Self::new();
        let arn = company.kms.add("1", &fs::read(key("ed25519.asc")).unwrap());
        let certificate = company.certificate(&arn, "release.asc");
        (company, arn, certificate)
    }

    fn site(&self) -> PathBuf {
        self.root.path().join("site")
    }

    fn tfreg(&self, args: &[&str]) -> Command {
        let mut command = tfreg();
        command.args(args).envs(self.kms.envs()).stdin(Stdio::null());
        command
    }

    fn create(&self, arn: &str, more: &[&str]) -> Command {
        self.tfreg(
            &[&["key", "create", "--signer", &format!("awskms:{arn}"), "--user-id", WHO], more].concat(),
        )
    }

    fn certificate(&self, arn: &str, name: &str) -> PathBuf {
        write(self.root.path(), name, run(&mut self.create(arn, &["--expires", "2y"])).succeeds().stdout)
    }

    fn publish(&self, arn: &str, certificate: &std::path::Path) -> Command {
        let mut command = self.tfreg(&["publish", "--namespace", "acme", "--to"]);
        command
            .arg(self.site())
            .args(["--signer", &format!("awskms:{arn}"), "--certificate"])
            .arg(certificate);
        command.arg(tarball("release-1.2.0", "linux-amd64"));
        command
    }

    /// Ends with `code` and says `texts`; nothing is written.
    #[track_caller]
    fn fails(&self, row: &str, command: &mut Command, code: i32, texts: &[&str]) -> Ran {
        let ran = run(command);
        assert_eq!(ran.code, code, "{row}: {ran:#?}");
        for text in texts {
            assert!(ran.stderr.contains(text), "{row}: {text:?}: {ran:#?}");
        }
        assert!(!self.site().exists(), "{row}: something was written: {ran:#?}");
        ran
    }

    #[track_caller]
    fn publishes(&self, row: &str, command: &mut Command) {
        let ran = run(command);
        assert_eq!(ran.code, 0, "{row}: {ran:#?}");
        fs::remove_dir_all(self.site()).unwrap();
    }
}

fn fingerprint(certificate: &std::path::Path) -> String {
    let ran = run(tfreg().args(["key", "--format", "json"]).arg(certificate)).succeeds();
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    report["fingerprint"].as_str().unwrap().to_owned()
}

#[test]
fn keys_of_every_kind_have_certificates_and_sign_and_clients_take_it() {
    let Some(owner) = Owner::new() else { return };
    let company = Company::new();
    let mut keys: Vec<(String, Vec<u8>)> = ["rsa3072.asc", "p256.asc", "p384.asc", "p521.asc", "ed25519.asc"]
        .into_iter()
        .map(|name| (name.to_owned(), fs::read(key(name)).unwrap()))
        .collect();
    for algorithm in ["rsa2048", "rsa4096"] {
        let made = ["--pinentry-mode", "loopback", "--passphrase", ""];
        owner
            .gpg(&[&made[..], &["--quick-generate-key", algorithm, algorithm, "sign", "never"]].concat())
            .succeeds();
        let exported =
            owner.gpg(&[&made[..], &["--armor", "--export-secret-keys", algorithm]].concat()).succeeds();
        keys.push((algorithm.to_owned(), exported.stdout.into_bytes()));
    }
    for (name, secret) in keys {
        let arn = company.kms.add(&name.replace(".asc", ""), &secret);
        let certificate = company.certificate(&arn, &format!("{name}.public.asc"));
        let looked = run(tfreg().arg("key").arg(&certificate)).succeeds();
        assert!(looked.stdout.contains(WHO) && looked.stdout.contains("2023-11-14"), "{name}: {looked:#?}");
        owner.gpg(&["--import", certificate.to_str().unwrap()]).succeeds();
        let shown = owner.gpg(&["--with-colons", "--list-keys", &fingerprint(&certificate)]).succeeds();
        assert!(shown.stdout.contains(":scSC:"), "{name}: {shown:#?}");

        let ran = run(&mut company.publish(&arn, &certificate));
        assert_eq!(ran.code, 0, "{name}: {ran:#?}");
        assert!(ran.stderr.contains("AWS KMS is asked for 2 signatures by key"), "{name}: {ran:#?}");
        let signers = clients_take(&name, &company.site(), &company.root.path().join("verifier"));
        assert!(signers.iter().all(|signer| *signer == fingerprint(&certificate)), "{name}: {signers:?}");
        fs::remove_dir_all(company.site()).unwrap();
        let is_ed25519 = name.starts_with("ed25519");
        for request in company.kms.take("Sign").into_iter().skip(1) {
            assert_eq!(
                request.body["MessageType"],
                if is_ed25519 { "RAW" } else { "DIGEST" },
                "{name}: {request:?}"
            );
            assert_eq!(request.body["KeyId"], *arn, "{name}");
        }
    }
}

#[test]
fn a_certificate_made_again_is_of_the_same_key_and_extends_it() {
    let company = Company::new();
    let arn = company.kms.add("1", &fs::read(key("rsa3072.asc")).unwrap());
    if !require_program("faketime") {
        return;
    }
    // Yesterday.
    let command = company.create(&arn, &["--expires", "60d"]);
    let mut short = Command::new("faketime");
    short.arg("1 day ago").arg(command.get_program()).args(command.get_args()).envs(company.kms.envs());
    let short = write(company.root.path(), "short.asc", run(&mut short).succeeds().stdout);
    let mut publish = company.publish(&arn, &short);
    let published = run(&mut publish).succeeds();
    assert!(published.stderr.contains("expires on"), "{published:#?}");
    let long = company.certificate(&arn, "long.asc");
    assert_eq!(fingerprint(&short), fingerprint(&long));
    let mut refresh = company.tfreg(&["resign"]);
    refresh.arg(company.site()).args(["acme/sample", "--refresh-key", "--key"]).arg(&long);
    let refreshed = run(&mut refresh).succeeds();
    assert!(refreshed.stdout.contains("a newer copy of key"), "{refreshed:#?}");
    let again = run(&mut company.publish(&arn, &long)).succeeds();
    assert!(again.stdout.contains("Already published") && !again.stderr.contains("expires on"), "{again:#?}");
    // As JSON, for another program; and by the variable.
    let mut json = company.tfreg(&["key", "create", "--user-id", WHO, "--format", "json"]);
    let json = run(json.env("TFREG_SIGNER", format!("awskms:///{arn}"))).succeeds().stdout;
    assert!(
        serde_json::from_str::<serde_json::Value>(&json).unwrap()["public_key"]
            .as_str()
            .unwrap()
            .contains("BEGIN PGP")
    );
    // A key that is looked at is so as before, though its file has the name of the command.
    fs::copy(&long, company.root.path().join("create")).unwrap();
    run(tfreg().args(["key", "./create"]).current_dir(company.root.path())).succeeds();
}

#[test]
fn everything_that_signs_takes_a_key_of_kms() {
    let (company, arn, certificate) = Company::with_key();
    let signer = format!("awskms:{arn}");
    let mut drone = company.tfreg(&["drone"]);
    drone
        .env("DRONE_TAG", "terraform-provider-sample-v1.2.0")
        .env("PLUGIN_TO", company.site())
        .env("PLUGIN_NAMESPACE", "acme")
        .env("PLUGIN_PROBE_PROTOCOL", "false")
        .env("PLUGIN_TARBALLS", tarball("release-1.2.0", "linux-amd64"))
        .env("PLUGIN_SIGNER", &signer)
        .env("PLUGIN_CERTIFICATE", &certificate);
    run(&mut drone).succeeds();
    let other = company.kms.add("2", &fs::read(key("p256.asc")).unwrap());
    let new = company.certificate(&other, "new.asc");
    let mut resign = company.tfreg(&["resign"]);
    resign.arg(company.site()).args([
        "acme/sample",
        "--signer",
        &format!("awskms:///{other}"),
        "--certificate",
    ]);
    run(resign.arg(&new).arg("--trust-key").arg(&certificate)).succeeds();
    run(tfreg().arg("verify").arg(company.site()).arg("acme/sample")).succeeds();
}

#[test]
fn a_certificate_of_another_key_and_an_alias_that_moved_are_refused() {
    let (company, arn, certificate) = Company::with_key();
    let other = company.kms.add("2", &fs::read(key("p256.asc")).unwrap());
    let alias = company.kms.alias("releases", &arn);
    company.publishes("alias", &mut company.publish(&alias, &certificate));
    company.kms.alias("releases", &other);
    let texts = ["of another key than the signer", "an alias may have been moved", "tfreg key create"];
    let refused = company.fails("moved", &mut company.publish(&alias, &certificate), 3, &texts);
    assert!(company.kms.take("Sign").len() <= 3, "KMS is not asked to sign: {refused:#?}");
    company.fails("another", &mut company.publish(&other, &certificate), 3, &texts);
    company.kms.alias("releases", &arn);
    company.publishes("back", &mut company.publish(&alias, &certificate));
    // Another certificate around the same public key, of another time, is one of this key too.
    company.publishes("another time", &mut company.publish(&arn, &key("ed25519.asc")));
    // What the remedy says.
    let remade = company.certificate(&other, "release.asc");
    company.publishes("made again", &mut company.publish(&other, &remade));
    let mut none = company.tfreg(&["publish", "--namespace", "acme", "--to"]);
    none.arg(company.site())
        .args(["--signer", &format!("awskms:{arn}")])
        .arg(tarball("release-1.2.0", "linux-amd64"));
    company.fails("none", &mut none, 2, &["--certificate FILE", "tfreg key create"]);
}

#[test]
fn each_failure_of_kms_has_its_remedy() {
    let (company, arn, certificate) = Company::with_key();
    let user = "User: arn:aws:sts::123456789012:assumed-role/ci/x is not authorized to perform: kms:Sign on resource:";
    let denied = format!("{user} {ARN} because no identity-based policy allows the kms:Sign action");
    let explicit = format!("{user} {ARN} with an explicit deny in a service control policy");
    for (operation, code, message, texts) in [
        ("Sign", "AccessDeniedException", &*denied, &["cannot sign by", "grant kms:Sign on", ARN][..]),
        (
            "Sign",
            "AccessDeniedException",
            &*explicit,
            &["denies kms:Sign explicitly (service control policy)"],
        ),
        ("GetPublicKey", "AccessDeniedException", "no", &["grant kms:GetPublicKey on"]),
        ("Sign", "DisabledException", "is disabled.", &["aws kms enable-key --region eu-west-1 --key-id"]),
        ("GetPublicKey", "DisabledException", "is disabled.", &["aws kms enable-key"]),
        (
            "Sign",
            "KMSInvalidStateException",
            "arn is pending deletion.",
            &["aws kms cancel-key-deletion", "aws kms enable-key"],
        ),
        (
            "Sign",
            "KMSInvalidStateException",
            "arn is pending import.",
            &["pending import", "when the key can be used"],
        ),
        ("Sign", "InvalidKeyUsageException", "", &["--key-usage SIGN_VERIFY"]),
        ("GetPublicKey", "UnsupportedOperationException", "", &["--key-usage SIGN_VERIFY"]),
        ("Sign", "ExpiredTokenException", "", &["the session is over"]),
        ("Sign", "UnrecognizedClientException", "The security token is invalid.", &["check the credentials"]),
        (
            "GetPublicKey",
            "InvalidArnException",
            "Invalid arn us-east-1",
            &["KMS of the region eu-west-1", "AWS_ENDPOINT_URL_KMS"],
        ),
        ("Sign", "SomethingNew", "what", &["SomethingNew: what", "kms:Sign"]),
    ] {
        company.kms.fault(operation, code, message);
        let row = format!("{operation} {code} {message}");
        company.fails(&row, &mut company.publish(&arn, &certificate), 1, &[texts, &["remedy:"]].concat());
        company.kms.heal();
    }
    company.publishes("healed", &mut company.publish(&arn, &certificate));
    company.kms.fault("DescribeKey", "AccessDeniedException", "no");
    company.fails("describe", &mut company.create(&arn, &[]), 1, &["grant kms:DescribeKey on"]);
    company.kms.heal();

    // Some throttling passes by itself; more is reported.
    company.kms.throttle(1);
    company.publishes("throttled once", &mut company.publish(&arn, &certificate));
    company.kms.throttle(1000);
    company.fails(
        "throttled",
        &mut company.publish(&arn, &certificate),
        1,
        &["ThrottlingException", "run this again in a while"],
    );
    company.kms.heal();

    let missing = ARN.replace("key/1", "key/9");
    company.fails(
        "no key",
        &mut company.publish(&missing, &certificate),
        1,
        &["does not exist", "check the ARN"],
    );
    let missing = ARN.replace("key/1", "alias/none");
    company.fails("no alias", &mut company.publish(&missing, &certificate), 1, &["aws kms list-aliases"]);
    let elsewhere = ARN.replace("eu-west-1", "us-east-1");
    let texts = ["Key 'arn:aws:kms:us-east-1:123456789012:key/1' does not exist", "region us-east-1"];
    company.fails("another region", &mut company.publish(&elsewhere, &certificate), 1, &texts);
}

#[test]
fn keys_that_clients_cannot_verify_are_refused() {
    let company = Company::new();
    let encrypts = company.kms.add_for("1", &fs::read(key("rsa3072.asc")).unwrap(), "ENCRYPT_DECRYPT");
    let curve = company.kms.add("2", &fs::read(key("secp256k1.asc")).unwrap());
    for (arn, texts) in
        [(&encrypts, ["ENCRYPT_DECRYPT", "RSA_3072"]), (&curve, ["ECC_SECG_P256K1", "1.3.132.0.10"])]
    {
        let all =
            [&texts[..], &["clients cannot verify signatures by this key", "aws kms create-key"]].concat();
        company.fails(arn, &mut company.create(arn, &[]), 3, &all);
        company.fails(arn, &mut company.publish(arn, &key("public-only.asc")), 3, &all);
    }
}

#[test]
fn kms_is_asked_at_its_own_address_and_by_its_own_account() {
    let (company, arn, certificate) = Company::with_key();
    company.kms.take("Sign");
    let server = S3Server::start(&["bucket"]);
    let role = "arn:aws:iam::123456789012:role/signer";
    server.add_role(role, &[]);
    let to_s3 = || {
        let mut command =
            company.tfreg(&["publish", "--namespace", "acme", "--to", "s3://bucket", "--certificate"]);
        command.arg(&certificate).args(["--signer", &format!("awskms:{arn}")]).envs(server.envs());
        command.arg(tarball("release-1.2.0", "linux-amd64"));
        command
    };
    // The credentials that write the registry.
    run(&mut to_s3()).succeeds();
    let requests = company.kms.take("Sign");
    assert!(
        requests.len() == 2 && requests.iter().all(|request| request.access_key == server.access_key()),
        "{requests:?}"
    );
    // Those of a role, and of a profile.
    let mut by_role = to_s3();
    run(by_role.args(["--signer-role-arn", role, "--expect-version", "1.2.0"])).succeeds();
    let asked = company.kms.take("GetPublicKey");
    assert!(asked.len() == 1 && asked[0].access_key != server.access_key(), "{asked:?}");
    let config = "[profile signer]\naws_access_key_id = AKIDSIGNER\naws_secret_access_key = secret\n";
    let config = write(company.root.path(), "config", config);
    run(to_s3().args(["--signer-profile", "signer"]).env("AWS_CONFIG_FILE", config)).succeeds();
    assert_eq!(company.kms.take("GetPublicKey")[0].access_key, "AKIDSIGNER");
    let missing = run(to_s3().args(["--signer-profile", "nobody"])).fails(1, &["nobody", "--signer-profile"]);
    assert!(!missing.stderr.contains("--source-profile"), "{missing:#?}");

    // The address of an S3 server is no address of KMS.
    let mut caught = to_s3();
    run(caught.env_remove("AWS_ENDPOINT_URL_KMS")).fails(
        1,
        &[
            "AWS_ENDPOINT_URL leads to a server that does not answer as KMS does",
            "AWS_ENDPOINT_URL_S3",
            "AWS_ENDPOINT_URL_KMS",
        ],
    );
    run(to_s3().env_remove("AWS_ENDPOINT_URL").env("AWS_ENDPOINT_URL_S3", server.endpoint())).succeeds();
    run(to_s3().env("AWS_ENDPOINT_URL_KMS", "")).fails(2, &["AWS_ENDPOINT_URL_KMS is set to nothing"]);
    let gpg = ["--signer=gpg:4E8911C0E0EC692102243A48A7F2BC5B6E845A69", "--signer-profile=x"];
    let mut about_kms = company.tfreg(&["publish", "--namespace", "acme", "--to"]);
    run(about_kms.arg(company.site()).args(gpg).arg(tarball("release-1.2.0", "linux-amd64")))
        .fails(2, &["--signer-profile and --signer-role-arn are about a key of AWS KMS"]);
    assert!(!tree(company.root.path()).keys().any(|name| name.starts_with("site")));
}

#[test]
fn a_service_that_signs_something_else_is_told_and_nothing_is_made_of_it() {
    let company = Company::new();
    let arn = company.kms.add("1", &fs::read(key("p256.asc")).unwrap());
    let certificate = company.certificate(&arn, "release.asc");
    company.kms.hash_digests();
    let texts = ["its signature is not by its own public key", "AWS_ENDPOINT_URL_KMS leads to an emulator"];
    let ran = company.fails("create", &mut company.create(&arn, &[]), 3, &texts);
    assert_eq!(ran.stdout, "");
    let texts =
        ["the signature that AWS KMS made is not published", "AWS_ENDPOINT_URL_KMS leads to an emulator"];
    company.fails("publish", &mut company.publish(&arn, &certificate), 3, &texts);
}

#[test]
fn what_cannot_be_made_a_certificate_is_told() {
    let company = Company::new();
    let text = "--user-id";
    for (args, texts) in [
        (vec![text, WHO], &["no key: name it by --signer awskms:ARN"][..]),
        (
            vec![text, WHO, "--signer", "gpg:4E8911C0E0EC692102243A48A7F2BC5B6E845A69"],
            &["gpg --armor --export"],
        ),
        (vec![text, WHO, "--signer", "awskms:alias/x"], &["expected the ARN of a key"]),
        (vec!["--signer", ARN], &["expected gpg:FINGERPRINT or awskms:ARN"]),
        (vec!["--signer", "awskms:arn:aws:kms:eu-west-1:123456789012:key/1"], &["--user-id"]),
        (
            vec![text, "", "--signer", "awskms:arn:aws:kms:eu-west-1:123456789012:key/1"],
            &["one line of text"],
        ),
        (vec![text, WHO, "--expires", "soon"], &["a time from now"]),
    ] {
        run(&mut company.tfreg(&[&["key", "create"][..], &args].concat())).fails(2, texts);
    }
}
