//! Signatures by GnuPG: keys of every kind, and every way to unlock them.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use super::Owner;
use crate::support::archive::write;
use crate::support::child::Running;
use crate::support::clients::require_program;
use crate::support::s3_server::{Action, Matcher};
use crate::support::watched::watched;
use crate::support::{folder, key, ran, run, tarball, tfreg, tree};

#[test]
fn keys_of_every_kind_sign_and_clients_take_it() {
    let Some(owner) = Owner::new() else { return };
    owner.is_hostile();
    // The options spoil what GnuPG signs by itself.
    let document = write(owner.root.path(), "document", "document\n");
    owner.does(&format!(
        "gpg --batch --no-tty --yes --output {} --detach-sign {}",
        owner.at("spoiled").display(),
        document.display()
    ));
    let packets = owner.gpg(&["--list-packets", owner.at("spoiled").to_str().unwrap()]).succeeds().stdout;
    assert!(packets.contains("hostile@example.com") && packets.contains("sig expires"), "{packets}");

    for (name, subkey) in [
        ("rsa3072.asc", None),
        ("ed25519.asc", None),
        ("p256.asc", None),
        ("p384.asc", None),
        ("p521.asc", None),
        ("ed25519-subkey.asc", Some("D3F021945B9B4E89")),
        ("rsa-subkey-offline-primary.asc", Some("ED4FAB7FC7354B18")),
        ("two-signing-subkeys.asc", Some("756EC18A550BE680")),
    ] {
        let fingerprint = owner.imports(name);
        let signers = owner.publishes(name, &mut owner.publish_by(&fingerprint));
        let signs = subkey.unwrap_or(&fingerprint);
        assert!(signers.iter().all(|signer| signer.ends_with(signs)), "{name}: {signers:?}");
    }
}

#[test]
fn exactly_the_subkey_that_is_named_signs() {
    let Some(owner) = Owner::new() else { return };
    let primary = owner.imports("two-signing-subkeys.asc");
    let listed = owner.gpg(&["--with-colons", "--list-secret-keys", &primary]).succeeds().stdout;
    let of = |line: &str| line.strip_prefix("fpr:").map(|rest| rest.trim_matches(':').to_owned());
    let all: Vec<String> = listed.lines().filter_map(of).collect();
    let older = all.iter().find(|fingerprint| fingerprint.ends_with("E2D92651944DD1A1")).unwrap();
    let signers = owner.publishes("the older one", &mut owner.publish_by(&format!("{older}!")));
    assert!(signers.iter().all(|signer| signer == older), "{signers:?}");
    // Without the mark the subkey stands for the key, whose newest subkey signs.
    let signers = owner.publishes("by a subkey's name", &mut owner.publish_by(older));
    assert!(signers.iter().all(|signer| signer.ends_with("756EC18A550BE680")), "{signers:?}");
    // The primary key only certifies.
    let texts = ["no key that may sign", "not for signing"];
    owner.refuses("the primary key", &mut owner.publish_by(&format!("{primary}!")), &texts);
}

#[test]
fn a_passphrase_from_a_file_or_a_variable_goes_to_gnupg_and_nowhere_else() {
    let Some(owner) = Owner::new() else { return };
    let key = owner.locked();
    owner.answers("cancel");
    let file = write(owner.root.path(), "passphrase", "hushed\n");
    let option = ["--signer", &format!("gpg:{key}"), "--signing-passphrase-file", file.to_str().unwrap()];
    owner.publishes("file", &mut owner.publish(&option));
    owner.forgets();
    owner.publishes("variable", owner.publish_by(&key).env("TFREG_SIGNING_PASSPHRASE", "hushed"));
    assert!(!owner.at("asked").exists(), "nobody is asked");
    let told = fs::read_to_string(owner.at("environments")).unwrap()
        + &fs::read_to_string(owner.at("calls")).unwrap();
    assert!(told.contains("GNUPGHOME=") && !told.contains("hushed"), "{told}");

    owner.forgets();
    let wrong = owner.refuses(
        "wrong",
        owner.publish_by(&key).env("TFREG_SIGNING_PASSPHRASE", "hunter2"),
        &["the passphrase does not unlock the key", "TFREG_SIGNING_PASSPHRASE"],
    );
    assert!(!wrong.stderr.contains("hunter2"), "{wrong:#?}");
    owner.refuses(
        "lines",
        owner.publish_by(&key).env("TFREG_SIGNING_PASSPHRASE", "hushed\nmore"),
        &["one line"],
    );
}

#[test]
fn a_prompt_asks_for_the_passphrase_once() {
    let Some(owner) = Owner::new() else { return };
    let key = owner.locked();
    owner.publishes("ok", &mut owner.publish_by(&key));
    let asked = fs::read_to_string(owner.at("asked")).unwrap();
    assert_eq!(asked.matches("GETPIN").count(), 1, "the agent knows it then: {asked}");
}

#[test]
fn the_prompt_gets_the_terminal_and_bars_step_aside() {
    let Some(owner) = Owner::new() else { return };
    if !require_program("script") {
        return;
    }
    let key = owner.locked();
    let command = owner.publish_by(&key);
    let quoted = |text: &std::ffi::OsStr| format!("'{}'", text.to_str().unwrap());
    let words: Vec<String> =
        std::iter::once(command.get_program()).chain(command.get_args()).map(quoted).collect();
    let mut script = Command::new("script");
    script
        .args(["-qec", &format!("tty; {}", words.join(" ")), "/dev/null"])
        .env_remove("CI")
        .env("TERM", "xterm");
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    let done = run(script.stdin(Stdio::null())).succeeds();
    let terminal = done.stdout.lines().next().unwrap().trim().to_owned();
    assert!(terminal.starts_with("/dev/"), "{done:#?}");
    let asked = fs::read_to_string(owner.at("asked")).unwrap();
    assert!(asked.contains(&format!("ttyname={terminal}")), "{terminal}: {asked}");
    assert!(done.stdout.contains("GnuPG is asked for 2 signatures by key"), "{done:#?}");
}

#[test]
fn a_forwarded_agent_signs_with_a_certificate_from_a_file() {
    let Some(owner) = Owner::new() else { return };
    let Some(build) = Owner::new() else { return };
    let key = owner.locked();
    let certificate = owner.gpg(&["--armor", "--export", &key]).succeeds().stdout;
    let certificate = write(build.root.path(), "release.asc", certificate);
    let certificate = certificate.to_str().unwrap();
    // What `ssh -R` does: the build's socket leads to the extra socket of the owner's agent.
    owner.gpgconf(&["--launch", "gpg-agent"]).succeeds();
    let listed = owner.gpgconf(&["--list-dirs", "agent-extra-socket"]);
    let socket = format!("%Assuan%\nsocket={}\n", listed.succeeds().stdout.trim());
    let listed = build.gpgconf(&["--list-dirs", "agent-socket"]);
    fs::write(listed.succeeds().stdout.trim(), socket).unwrap();

    // The build has no public half of its own, so the key is not known without one.
    let unknown =
        build.refuses("no certificate", &mut build.publish_by(&key), &["does not have this secret key"]);
    assert!(unknown.stderr.contains("by --certificate FILE"), "{unknown:#?}");
    let option = ["--signer", &format!("gpg:{key}"), "--certificate", certificate];
    let refused = build.refuses(
        "passphrase",
        build.publish(&option).env("TFREG_SIGNING_PASSPHRASE", "hushed"),
        &["a forwarded agent takes no passphrase from here", "give no passphrase"],
    );
    assert!(!refused.stderr.contains("hushed"), "{refused:#?}");
    build.publishes("forwarded", &mut build.publish(&option));
    assert!(
        fs::read_to_string(owner.at("asked")).unwrap().contains("GETPIN"),
        "asked on the agent's machine"
    );

    // The connection is gone, and its socket stays.
    owner.forgets();
    fs::remove_dir_all(owner.home()).unwrap();
    build.refuses(
        "gone",
        &mut build.publish(&option),
        &["agent does not answer", "connect to its machine again"],
    );
}

#[test]
fn there_are_two_signatures_a_publish_and_none_when_all_is_there() {
    let Some(owner) = Owner::new() else { return };
    let key = owner.imports("ed25519.asc");
    let first = run(&mut owner.publish_by(&key)).succeeds();
    assert!(first.stderr.contains("GnuPG is asked for 2 signatures by key A7F2BC5B6E845A69\n"), "{first:#?}");
    assert_eq!(owner.signatures(), 2);
    let again = run(&mut owner.publish_by(&key)).succeeds();
    assert!(again.stdout.contains("Already published") && !again.stderr.contains("asked for"), "{again:#?}");
    assert_eq!(owner.signatures(), 2);
}

#[test]
fn what_was_signed_is_not_signed_again_when_others_write_first() {
    let Some(owner) = Owner::new() else { return };
    let key = owner.imports("ed25519.asc");
    let server = watched();
    server.fault(
        Matcher::put().suffix("versions").occurrences(1..=3),
        Action::AnswerBefore(409, "ConditionalRequestConflict"),
    );
    let mut command = owner.tfreg(&["publish", "--namespace", "acme", "--to", "s3://bucket", "--signer"]);
    command.arg(format!("gpg:{key}")).arg(tarball("release-1.2.0", "linux-amd64")).envs(server.envs());
    let done = run(&mut command).succeeds();
    assert!(done.stderr.contains("waiting to try again"), "{done:#?}");
    assert_eq!(owner.signatures(), 2, "{done:#?}");
}

#[test]
fn a_prompt_that_nobody_answers_ends_with_ctrl_c() {
    let Some(owner) = Owner::new() else { return };
    let key = owner.locked();
    owner.answers("wait");
    let mut command = owner.publish_by(&key);
    let child = Running::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    for _ in 0..600 {
        if owner.at("waiting").exists() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(owner.at("waiting").exists(), "the prompt has come");
    // To tfreg alone: a terminal would send it to GnuPG too.
    child.signal(Signal::INT);
    let ended = ran(&child.output());
    ended.fails(1, &["interrupted"]);
    assert!(!owner.site().exists());
    // The agent still waits for its prompt, which a person would cancel.
    owner.answers("ok");
    owner.forgets();
    owner.publishes("afterwards", &mut owner.publish_by(&key));
}

#[test]
fn everything_that_signs_takes_a_signer() {
    let Some(owner) = Owner::new() else { return };
    let (old, new) = (owner.imports("ed25519.asc"), owner.imports("rsa3072.asc"));
    // By the variable; an empty one is none.
    run(owner.publish(&[]).env("TFREG_SIGNER", format!("gpg:{old}"))).succeeds();
    run(owner.publish(&["--signing-key-file", key("ed25519.asc").to_str().unwrap()]).env("TFREG_SIGNER", ""))
        .succeeds();
    let trusted = owner.gpg(&["--armor", "--export", &old]).succeeds().stdout;
    let trusted = write(owner.root.path(), "old.asc", trusted);
    let mut resign = owner.tfreg(&["resign"]);
    resign
        .arg(owner.site())
        .args(["acme/sample", "--signer", &format!("gpg:{new}"), "--trust-key"])
        .arg(trusted);
    let resigned = run(&mut resign).succeeds();
    assert!(
        resigned.stderr.contains("GnuPG is asked for 2 signatures by key B89BCD519BBF8ED5"),
        "{resigned:#?}"
    );
    let verified = run(tfreg().arg("verify").arg(owner.site()).arg("acme/sample")).succeeds();
    assert!(verified.stdout.contains("key B89BCD519BBF8ED5"), "{verified:#?}");
    fs::remove_dir_all(owner.site()).unwrap();

    let mut drone = owner.tfreg(&["drone"]);
    drone
        .env("DRONE_TAG", "terraform-provider-sample-v1.2.0")
        .env("PLUGIN_TO", owner.site())
        .env("PLUGIN_NAMESPACE", "acme")
        .env("PLUGIN_PROBE_PROTOCOL", "false")
        .env("PLUGIN_TARBALLS", tarball("release-1.2.0", "linux-amd64"));
    owner.publishes("drone", drone.env("PLUGIN_SIGNER", format!("gpg:{old}")));
    run(drone.env("PLUGIN_SIGNING_KEY", fs::read_to_string(key("rsa3072.asc")).unwrap()))
        .fails(2, &["two keys that sign", "signing_key"]);
}

#[test]
fn exactly_one_key_is_given() {
    let root = folder();
    let fingerprint = "4E8911C0E0EC692102243A48A7F2BC5B6E845A69";
    let signer = format!("--signer=gpg:{fingerprint}");
    let file = format!("--signing-key-file={}", key("ed25519.asc").display());
    let text = fs::read_to_string(key("ed25519.asc")).unwrap();
    let named = format!("gpg:{fingerprint}");
    let certificate = "--certificate=release.asc";
    for (args, variables, code, texts) in [
        (vec![&*signer, &*file], vec![], 2, &["cannot be used with", "--signer"][..]),
        (vec![&*file, certificate], vec![], 2, &["cannot be used with", "--certificate"]),
        (vec![&*signer], vec![("TFREG_SIGNING_KEY", &*text)], 2, &["two keys that sign", "--signer"]),
        (vec![], vec![("TFREG_SIGNING_KEY", &*text), ("TFREG_SIGNER", &*named)], 2, &["two keys that sign"]),
        (vec![&*file], vec![("TFREG_SIGNER", &*named)], 2, &["--signing-key-file and TFREG_SIGNER"]),
        (vec![certificate], vec![("TFREG_SIGNING_KEY", &*text)], 2, &["--certificate is the public half"]),
        (vec!["--signer=A7F2BC5B6E845A69"], vec![], 2, &["expected gpg:FINGERPRINT"]),
        (vec!["--signer=gpg:A7F2BC5B6E845A69"], vec![], 2, &["is no fingerprint", "40 hex digits"]),
        (vec![], vec![("TFREG_SIGNER", "file:x")], 2, &["TFREG_SIGNER", "expected gpg:FINGERPRINT"]),
        (vec![], vec![("TFREG_SIGNER", "")], 2, &["no signing key", "--signer"]),
    ] {
        let mut command = tfreg();
        command.args(["publish", "--namespace", "acme", "--to"]).arg(root.path().join("site")).args(&args);
        command.arg(tarball("release-1.2.0", "linux-amd64")).envs(variables);
        run(&mut command).fails(code, texts);
    }
    assert!(tree(root.path()).is_empty());
}
