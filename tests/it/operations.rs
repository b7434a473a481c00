//! The commands that change what is published: warn, yank, unyank, reindex and resign.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use sequoia_openpgp as openpgp;

use openpgp::Cert;
use openpgp::parse::Parse as _;
use openpgp::policy::StandardPolicy;
use openpgp::serialize::SerializeInto as _;
use openpgp::types::ReasonForRevocation;
use serde_json::Value;
use tfreg::openpgp::Signer;
use tfreg::openpgp::certificate::Certificate;
use tfreg::openpgp::signing_key::Secret;
use tfreg::plan::Goal;
use tfreg::plan::completeness::Trust;
use tfreg::plan::reindex::Reindex;
use tfreg::plan::resign::{Renewal, Resign};
use tfreg::plan::unyank::Unyank;
use tfreg::plan::yank::Yank;
use tfreg::provider::{Provider, Version};

use crate::support::child::Running;
use crate::support::clients::{Preview, Terraform, require_program};
use crate::support::in_process::{bucket, publish_signed, registry, signer, signer_of};
use crate::support::reader::{self, Objects};
use crate::support::s3_server::{Action, Gate, Matcher, Point, S3Server};
use crate::support::watched::{listed, objects, watched, watched_with};
use crate::support::{Ran, folder, key, publish, ran, run, tarball, tarballs, tfreg, tree};

const INDEX: &str = "registry/acme/sample/versions";

/// `tfreg COMMAND TARGET acme/sample ARG…`, with nobody to answer.
fn command(name: &str, target: impl AsRef<std::ffi::OsStr>, args: &[&str]) -> Command {
    let mut command = tfreg();
    command.arg(name).arg(target).arg("acme/sample").args(args).stdin(Stdio::null());
    command
}

fn on(site: &Path, name: &str, args: &[&str]) -> Ran {
    run(&mut command(name, site, args))
}

/// A registry with two versions of four platforms each, in a directory.
fn site() -> (tempfile::TempDir, std::path::PathBuf) {
    let root = folder();
    let site = root.path().join("site");
    for release in ["release-1.2.0", "release-1.10.0"] {
        run(&mut publish(&site, &tarballs(release))).succeeds();
    }
    (root, site)
}

/// The same in a bucket whose every further state is judged.
fn server() -> S3Server {
    let server = watched();
    for release in ["release-1.2.0", "release-1.10.0"] {
        run(publish("s3://bucket", &tarballs(release)).envs(server.envs())).succeeds();
    }
    server.clear_requests();
    server
}

fn json(site: &Path, key: &str) -> Value {
    serde_json::from_slice(&std::fs::read(site.join(key)).unwrap()).unwrap()
}

/// Changes a document by hand.
fn edit(site: &Path, key: &str, change: impl FnOnce(&mut Value)) {
    let mut document = json(site, key);
    change(&mut document);
    std::fs::write(site.join(key), document.to_string()).unwrap();
}

fn result(ran: Ran) -> Value {
    serde_json::from_str(&ran.succeeds().stdout).unwrap()
}

#[test]
fn warnings_are_set_replaced_and_cleared() {
    let (root, site) = site();
    edit(&site, INDEX, |index| {
        index["id"] = "acme/sample".into();
        index["versions"][0]["note"] = 1.into();
    });
    let set = result(on(&site, "warn", &["Use 1.10.0.", "Second", "--format", "json"]));
    assert_eq!((&set["outcome"], &set["command"]), (&"changed".into(), &"warn".into()));
    assert_eq!(set["changes"], serde_json::json!(["+ warning \"Use 1.10.0.\"", "+ warning \"Second\""]));
    assert_eq!(set["objects"][0]["key"], INDEX);
    assert_eq!(json(&site, INDEX)["warnings"], serde_json::json!(["Use 1.10.0.", "Second"]));
    let again = on(&site, "warn", &["Use 1.10.0.", "Second"]).succeeds();
    assert!(again.stdout.contains("Nothing to do"), "{again:?}");

    let before = tree(&site);
    let preview = root.path().join("preview");
    let dry = on(&site, "warn", &["Other", "--dry-run", preview.to_str().unwrap()]).succeeds();
    assert!(
        dry.stdout.contains("- warning \"Second\"") && dry.stdout.contains("+ warning \"Other\""),
        "{dry:?}"
    );
    assert_eq!(tree(&site), before);
    assert_eq!(json(&preview, INDEX)["warnings"], serde_json::json!(["Other"]));

    // What publish and others do not understand stays; so do the warnings.
    run(&mut publish(&site, &[tarball("release-1.2.0-more", "darwin-amd64")])).succeeds();
    assert_eq!(json(&site, INDEX)["warnings"][1], "Second");
    // An empty variable that is not quoted leaves no MESSAGE.
    let before = tree(&site);
    on(&site, "warn", &[]).fails(2, &["no MESSAGE", "--clear"]);
    on(&site, "warn", &["--clear", "text"]).fails(2, &["--clear"]);
    assert_eq!(tree(&site), before);
    on(&site, "warn", &["--clear"]).succeeds();
    let index = json(&site, INDEX);
    assert_eq!(
        (index.get("warnings"), &index["id"], &index["versions"][0]["note"]),
        (None, &"acme/sample".into(), &1.into())
    );
    assert!(reader::read(&tree(&site)).unwrap().len() > 8);
}

#[test]
fn warnings_go_to_a_bucket() {
    let server = server();
    let warn = |text: &str| run(command("warn", "s3://bucket", &[text]).envs(server.envs()));
    warn("Use 1.10.0.").succeeds();
    let index = &server.objects("bucket")[INDEX];
    assert!(String::from_utf8_lossy(&index.bytes).contains("Use 1.10.0."));
    assert_eq!(index.content_type.as_deref(), Some("application/json"));
    assert_eq!(index.cache_control.as_deref(), Some("public, max-age=60, must-revalidate"));
    // Conditions are proven before anything else is written: two writes that are refused, then the index.
    let writes = server.requests().into_iter().filter(|request| request.method == "PUT");
    let statuses: Vec<_> = writes.map(|request| (request.key.clone(), request.status)).collect();
    assert_eq!(statuses.len(), 3, "{statuses:?}");
    server.set_conditions(crate::support::s3_server::Conditions::Ignored);
    warn("Other").fails(3, &["does not honour conditional writes"]);
    assert!(!String::from_utf8_lossy(&server.objects("bucket")[INDEX].bytes).contains("Other"));
    server.verify();
}

#[test]
fn of_two_that_warn_the_overtaken_says_so() {
    let server = server();
    let gate = Gate::manual();
    // The first has written, and looks again only when the second has written too.
    server.gate(Matcher::get().suffix("versions").nth(2), Point::Before, &gate);
    let mut first = command("warn", "s3://bucket", &["first"]);
    let first = Running::start(first.envs(server.envs()).stdout(Stdio::piped()).stderr(Stdio::piped()));
    gate.wait_until_arrived(1, std::time::Duration::from_mins(1));
    run(command("warn", "s3://bucket", &["second"]).envs(server.envs())).succeeds();
    gate.release();
    crate::support::ran(&first.output())
        .fails(3, &["overtaken", "found:    second", "The index holds the new warnings."]);
    server.verify();
}

#[test]
fn what_cannot_be_warned_about_is_refused() {
    let (_root, site) = site();
    for (args, said) in
        [(&["", "x"][..], "no warning"), (&["two\nlines"], "no warning"), (&["\u{1b}[31mred"], "no warning")]
    {
        on(&site, "warn", args).fails(2, &[said]);
    }
    run(tfreg().args(["warn", "site", "sample", "x"])).fails(2, &["NAMESPACE/TYPE"]);
    run(tfreg().arg("warn").arg(&site).args(["acme/other", "x"]))
        .refused("unpublished", &["acme/other is not published"]);
    for (row, text) in [("damaged", "{"), ("a foreign type", r#"{"versions":[],"warnings":"text"}"#)] {
        std::fs::write(site.join(INDEX), text).unwrap();
        on(&site, "warn", &["x"]).refused(row, &[INDEX, "cannot be understood"]);
        assert_eq!(std::fs::read_to_string(site.join(INDEX)).unwrap(), text);
    }
}

#[test]
fn terraform_shows_warnings_at_init() {
    if !require_program("terraform") {
        return;
    }
    let (_root, site) = site();
    on(&site, "warn", &["Version 1.2.0 deletes tags; use 1.10.0."]).succeeds();
    let preview = Preview::of(&site);
    let shown = |terraform: &Terraform| terraform.run(&["init", "-no-color"]).succeeds();
    let said = "Version 1.2.0 deletes tags; use 1.10.0.";
    let ran = shown(&Terraform::new(&preview, "1.2.0"));
    assert!(format!("{}{}", ran.stdout, ran.stderr).contains(said), "{ran:?}");
    on(&site, "warn", &["--clear"]).succeeds();
    let ran = shown(&Terraform::new(&preview, "1.2.0"));
    assert!(!format!("{}{}", ran.stdout, ran.stderr).contains(said), "{ran:?}");
}

const RECORD: &str = "registry/acme/sample/1.2.0/yanked";

fn versions(site: &Path) -> Vec<String> {
    let index = json(site, INDEX);
    let entries = index["versions"].as_array().unwrap().iter();
    entries.map(|entry| entry["version"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_version_is_yanked_and_put_back_as_it_was() {
    let (_root, site) = site();
    edit(&site, INDEX, |index| index["versions"][0]["note"] = 1.into());
    let before = tree(&site);
    // Nobody is there to be asked.
    let asked = on(&site, "yank", &["1.2.0"]).fails(2, &["--yes", "fails for lock files"]);
    assert!(
        asked.stdout.contains("- 1.2.0 (darwin_arm64, linux_amd64, linux_arm64, windows_amd64)"),
        "{asked:?}"
    );
    assert_eq!(tree(&site), before);

    let yank = ["1.2.0", "--reason", "deletes tags", "--yes", "--format", "json"];
    let done = on(&site, "yank", &yank).succeeds();
    assert!(done.stderr.contains("fails for lock files"), "{done:?}");
    let done = result(done);
    let keys: Vec<&str> =
        done["objects"].as_array().unwrap().iter().map(|o| o["key"].as_str().unwrap()).collect();
    assert_eq!((&done["outcome"], keys), (&"changed".into(), vec![RECORD, INDEX]));
    assert_eq!(versions(&site), ["1.10.0"]);
    let record = json(&site, RECORD);
    assert_eq!((&record["yanked"], &record["reason"]), (&true.into(), &"deletes tags".into()));
    assert_eq!(json(&site, INDEX)["yanked"]["1.2.0"]["when"], record["when"]);
    assert!(tree(&site).len() == before.len() + 1, "objects stay");
    assert_eq!(result(on(&site, "yank", &yank))["outcome"], "unchanged");
    let other = on(&site, "yank", &["1.2.0", "--reason", "other"]).succeeds();
    assert!(
        other.stderr.contains("already yanked at") && other.stdout.contains("Nothing to do"),
        "{other:?}"
    );

    // A publish of it is refused, of another version not; what is not known in the record stays.
    let after = tree(&site);
    let remedy = format!("tfreg unyank {} acme/sample", site.display());
    for release in ["release-1.2.0", "release-1.2.0-more"] {
        run(&mut publish(&site, &tarballs(release)))
            .refused(release, &[RECORD, "version 1.2.0 is yanked", "deletes tags", &remedy]);
    }
    run(publish(&site, &tarballs("release-1.2.0-rebuilt")).arg("--replace"))
        .refused("--replace", &["is yanked"]);
    assert_eq!(tree(&site), after);
    run(&mut publish(&site, &tarballs("release-1.10.0"))).succeeds();
    edit(&site, RECORD, |record| record["ticket"] = 7.into());

    let back = on(&site, "unyank", &["1.2.0"]).succeeds();
    assert!(
        back.stdout.contains("+ 1.2.0 (darwin_arm64, linux_amd64, linux_arm64, windows_amd64)"),
        "{back:?}"
    );
    let record = json(&site, RECORD);
    assert_eq!(
        (&record["yanked"], &record["ticket"], &record["reason"]),
        (&false.into(), &7.into(), &"deletes tags".into())
    );
    let mut now = tree(&site);
    assert!(now.remove(RECORD).is_some());
    let mut index = json(&site, INDEX);
    assert_eq!(index.as_object_mut().unwrap().remove("yanked").unwrap()["1.2.0"]["yanked"], false);
    let was: Value = serde_json::from_slice(&before[INDEX]).unwrap();
    assert_eq!(index, was, "its note included");
    let ran = on(&site, "unyank", &["1.2.0"]).succeeds();
    assert!(ran.stdout.contains("Nothing to do"), "{ran:?}");
    let ran = run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
    assert!(ran.stdout.contains("Already published"), "{ran:?}");
    on(&site, "yank", &["1.2.0", "--yes"]).succeeds();
    let record = json(&site, RECORD);
    assert_eq!((&record["yanked"], record.get("reason"), record.get("unyanked")), (&true.into(), None, None));
}

#[test]
fn every_command_takes_the_registry_and_the_version_in_one_way() {
    let (root, site) = site();
    let at = site.to_str().unwrap();
    let elsewhere = root.path().join("elsewhere");
    let elsewhere = elsewhere.to_str().unwrap();
    let tried = |args: &[&str], variable: Option<&str>| {
        run(tfreg().args(args).envs(variable.map(|to| ("TFREG_TO", to))).stdin(Stdio::null()))
    };
    for (words, variable) in [
        (&[at, "acme/sample@1.2.0"][..], None),
        (&["--to", at, "acme/sample@v1.2.0"], None),
        (&["acme/sample", "1.2.0"], Some(at)),
        (&[at, "acme/sample", "v1.2.0"], Some(elsewhere)),
        (&["--to", at, "acme/sample@refs/tags/terraform-provider-sample-v1.2.0"], Some(elsewhere)),
    ] {
        tried(&[&["yank"], words, &["--yes"]].concat(), variable).succeeds();
        assert_eq!(versions(&site), ["1.10.0"], "{words:?}");
        tried(&[&["unyank"], words].concat(), variable).succeeds();
        assert_eq!(versions(&site).len(), 2, "{words:?}");
    }
    let public = root.path().join("public.asc");
    std::fs::write(&public, run(tfreg().args(["key", "--public"]).arg(key("ed25519.asc"))).succeeds().stdout)
        .unwrap();
    let refresh = ["--refresh-key", "--key", public.to_str().unwrap()];
    for (command, more) in [
        ("warn", &["text"][..]),
        ("reindex", &["--yes"]),
        ("verify", &[]),
        ("resign", &refresh),
        ("resign", &[&["v1.2.0"], &refresh[..]].concat()),
    ] {
        let rest = [&["acme/sample"], more].concat();
        tried(&[&[command, "--to", at], rest.as_slice()].concat(), Some(elsewhere)).succeeds();
        tried(&[&[command], rest.as_slice()].concat(), Some(at)).succeeds();
        tried(&[&[command, at], rest.as_slice()].concat(), Some(elsewhere)).succeeds();
    }
    // Where --to names the registry, a MESSAGE may look like NS/TYPE.
    tried(&["warn", "--to", at, "acme/sample", "acme/better"], Some(elsewhere)).succeeds();
    assert_eq!(json(&site, INDEX)["warnings"], serde_json::json!(["acme/better"]));
    let verified = result(tried(&["verify", at, "acme/sample@v1.2.0", "--format", "json"], None));
    let narrowed =
        ["verify", at, "--namespace", "acme", "--type", "sample", "--version", "1.2.0", "--format", "json"];
    assert_eq!(verified["checked"], result(tried(&narrowed, None))["checked"]);

    for (args, text) in [
        (&["yank"][..], "no TARGET"),
        (&["yank", "acme/sample@1.2.0"], "no TARGET"),
        (&["yank", at], "no NS/TYPE"),
        (&["yank", at, "acme/sample"], "no version"),
        (&["yank", at, "acme/sample@1.2.0", "1.2.0"], "takes one"),
        (&["yank", "--to", elsewhere, at, "acme/sample@1.2.0"], "named twice"),
        (&["yank", at, "acme/sample@latest"], "'NS/TYPE[@VERSION]'"),
        (&["warn", at, "acme/sample@1.2.0", "text"], "all versions"),
        (&["reindex", at, "acme/sample@1.2.0"], "all versions"),
        (&["verify"], "no TARGET"),
        (&["verify", at, "acme/sample", "--version", "1.2.0"], "named twice"),
    ] {
        tried(args, None).fails(2, &[text]);
    }
    assert!(!Path::new(elsewhere).exists());
}

/// Yanks with a terminal, on which somebody types `answer` and then nothing more; what is shown there is all in `stdout`.
fn yank_on_a_terminal(site: &Path, answer: &str) -> Ran {
    let tfreg = command("yank", site, &["1.2.0"]);
    let words = std::iter::once(tfreg.get_program()).chain(tfreg.get_args());
    let quoted: Vec<_> = words.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
    let mut script = Command::new("script");
    script.args(["-qec", &quoted.join(" "), "/dev/null"]);
    for (name, value) in tfreg.get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    let mut child =
        Running::start(script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()));
    child.stdin.take().unwrap().write_all(answer.as_bytes()).unwrap();
    ran(&child.output())
}

#[test]
fn who_is_at_a_terminal_is_asked() {
    if !require_program("script") {
        return;
    }
    let (_root, site) = site();
    let before = tree(&site);
    for answer in ["n\n", "\n", "yesterday\n", ""] {
        let asked = yank_on_a_terminal(&site, answer);
        assert_eq!(asked.code, 1, "{answer:?}: {asked:?}");
        for text in ["fails for lock files", "- 1.2.0 (darwin_arm64", "Continue?", "[y/N]"] {
            assert!(asked.stdout.contains(text), "{answer:?}, {text}: {asked:?}");
        }
        assert_eq!(tree(&site), before, "{answer:?}");
    }
    let done = yank_on_a_terminal(&site, "Y\n").succeeds();
    // The plan was shown with the question, and is not shown again.
    assert_eq!(done.stdout.matches("Plan: ").count(), 1, "{done:?}");
    assert_eq!(versions(&site), ["1.10.0"]);
}

#[test]
fn what_cannot_be_yanked_or_put_back_is_refused() {
    let (_root, site) = site();
    let yank = |version: &str| on(&site, "yank", &[version, "--yes"]);
    let unyank = |version: &str| on(&site, "unyank", &[version]);
    yank("1.3.0").refused("not published", &[INDEX, "version 1.3.0 is not published"]);
    unyank("1.3.0").refused("not yanked", &["version 1.3.0 is not yanked"]);
    yank("1.2").fails(2, &["'1.2'", "VERSION"]);
    on(&site, "yank", &["1.2.0", "--reason", "a\nb", "--yes"]).fails(2, &["--reason"]);
    yank("1.2.0").succeeds();
    let whole = tree(&site);
    let document = "registry/acme/sample/1.2.0/download/linux/amd64";
    let linked = |member: &str| json(&site, document)[member].as_str().unwrap()[1..].to_owned();
    for key in
        [document.to_owned(), linked("download_url"), linked("shasums_url"), linked("shasums_signature_url")]
    {
        for damaged in [false, true] {
            if damaged && key.ends_with(".sig") {
                continue;
            }
            std::fs::remove_file(site.join(&key)).unwrap();
            if damaged {
                std::fs::write(site.join(&key), "{").unwrap();
            }
            unyank("1.2.0").refused(&key, &["version 1.2.0 cannot be put back", &key]);
            std::fs::write(site.join(&key), &whole[&key]).unwrap();
        }
    }
    assert_eq!(tree(&site), whole);
    // What is not understood is never taken for a version that is not yanked.
    for text in ["", "{}", r#"{"yanked":"no","when":"x"}"#, r#"{"yanked":false}"#] {
        std::fs::write(site.join(RECORD), text).unwrap();
        for ran in [yank("1.2.0"), unyank("1.2.0"), run(&mut publish(&site, &tarballs("release-1.2.0")))] {
            ran.refused(text, &[RECORD, "cannot be understood"]);
        }
    }
    // The index says it too, should the record be lost; and the version is put back by it.
    std::fs::remove_file(site.join(RECORD)).unwrap();
    run(&mut publish(&site, &tarballs("release-1.2.0")))
        .refused("no record", &[INDEX, "version 1.2.0 is yanked"]);
    unyank("1.2.0").succeeds();
    run(&mut publish(&site, &tarballs("release-1.2.0"))).succeeds();
    edit(&site, INDEX, |index| index["yanked"] = serde_json::json!(["1.2.0"]));
    yank("1.2.0").refused("foreign marks", &[INDEX, "cannot be understood"]);
}

/// What is wanted of the sample provider's 1.2.0 in the tests of faults.
fn provider() -> Provider {
    Provider { namespace: "acme".parse().unwrap(), provider_type: "sample".parse().unwrap() }
}

#[test]
fn each_request_of_a_yank_may_fail_or_be_its_last() {
    let version: Version = "1.2.0".parse().unwrap();
    let base = objects(&server(), "");
    let now = jiff::Timestamp::UNIX_EPOCH;
    let goal = Yank { provider: provider(), version, reason: None, now };
    every_request(&base, (&goal, &signer()), "yank", &["1.2.0", "--yes"], &|server| {
        assert_eq!(listed(server).len(), 4);
    });
}

#[test]
fn each_request_of_an_unyank_may_fail_or_be_its_last() {
    let server = server();
    run(command("yank", "s3://bucket", &["1.2.0", "--yes"]).envs(server.envs())).succeeds();
    let (version, now) = ("1.2.0".parse().unwrap(), jiff::Timestamp::UNIX_EPOCH);
    let goal = Unyank { provider: provider(), version, trust: Trust::default(), now };
    let base = objects(&server, "");
    every_request(&base, (&goal, &signer()), "unyank", &["1.2.0"], &|server| {
        assert_eq!(listed(server).len(), 8);
    });
}

/// Every request of a command fails before and after it is carried out, and kills the process before and after; every state
/// is judged, and running again completes it.
fn every_request<G: Goal>(
    base: &Objects,
    (goal, signer): (&G, &Arc<dyn Signer>),
    name: &str,
    args: &[&str],
    judge: &dyn Fn(&S3Server),
) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let start = |server: &S3Server| {
        let mut command = command(name, "s3://bucket", args);
        command.envs(server.envs()).args(["--jobs", "1"]);
        command
    };
    for nth in 1.. {
        let mut fired = false;
        for (said, action) in [
            ("500 before", Action::AnswerBefore(500, "InternalError")),
            ("500 after", Action::AnswerAfter(500, "InternalError")),
            ("dropped before", Action::DropBefore),
            ("dropped after", Action::DropAfter),
            ("answer cut", Action::CutAnswer),
        ] {
            let server = watched_with(base);
            let store = registry(bucket(&server, "s3://bucket"));
            let rule = server.fault(Matcher::any().nth(nth), action);
            let outcome =
                runtime.block_on(publish_signed(&store, goal, 1, Duration::from_secs(5), Arc::clone(signer)));
            assert!(outcome.is_ok(), "{name}: {said} of request {nth}: {outcome:?}");
            fired |= rule.fired() > 0;
            judge(&server);
            server.verify();
        }
        for point in [Point::Before, Point::After] {
            let server = watched_with(base);
            let child: std::sync::Arc<std::sync::Mutex<Option<Running>>> = std::sync::Arc::default();
            let victim = std::sync::Arc::clone(&child);
            let rule = server.kill_hook(Matcher::any().nth(nth), point, move |_| {
                let mut child = victim.lock().unwrap().take().unwrap();
                child.kill().unwrap();
                child.wait().unwrap();
            });
            {
                // The slot is locked until the child is in it.
                let mut slot = child.lock().unwrap();
                let mut command = start(&server);
                *slot = Some(Running::start(command.stdout(Stdio::null()).stderr(Stdio::null())));
            }
            loop {
                let ended =
                    child.lock().unwrap().as_mut().is_none_or(|child| child.try_wait().unwrap().is_some());
                if ended {
                    break;
                }
                std::thread::yield_now();
            }
            server.clear_rules();
            let ran = run(&mut start(&server));
            assert_eq!(ran.code, 0, "again after a kill {point:?} request {nth}: {ran:?}");
            fired |= rule.fired() > 0;
            judge(&server);
            server.verify();
        }
        if !fired {
            assert!(nth > 6, "{name}: only {nth} requests?");
            return;
        }
    }
}

#[test]
fn terraform_does_not_find_a_yanked_version() {
    if !require_program("terraform") {
        return;
    }
    let (_root, site) = site();
    let preview = Preview::of(&site);
    let before = Terraform::new(&preview, "1.2.0");
    before.run(&["init", "-no-color"]).succeeds();
    let lock = before.lock_file();
    on(&site, "yank", &["1.2.0", "--yes"]).succeeds();

    let range = Terraform::new(&preview, "~> 1.0");
    range.run(&["init", "-no-color"]).succeeds();
    assert!(range.lock_file().contains("1.10.0"));
    let pinned = Terraform::new(&preview, "1.2.0");
    pinned.run(&["init", "-no-color"]).fails(1, &["no available releases match"]);
    // A lock file that names it fails, in a fresh directory and where the version is installed.
    let locked = Terraform::new(&preview, "~> 1.0");
    std::fs::write(locked.path(".terraform.lock.hcl"), &lock).unwrap();
    let ran = locked.run(&["init", "-no-color"]);
    assert!(ran.code == 1 && ran.stderr.contains("1.2.0"), "{ran:?}");
    before.run(&["init", "-no-color"]).fails(1, &["1.2.0 is no", "available"]);

    on(&site, "unyank", &["1.2.0"]).succeeds();
    Terraform::new(&preview, "1.2.0").run(&["init", "-no-color"]).succeeds();
    locked.run(&["init", "-no-color", "-lockfile=readonly"]).succeeds();
    assert!(locked.installed("1.2.0").exists());
}

#[test]
fn a_lost_or_damaged_index_is_computed_again() {
    let (root, site) = site();
    on(&site, "yank", &["1.2.0", "--yes"]).succeeds();
    run(&mut publish(&site, &tarballs("release-1.2.0-rebuilt"))).refused("yanked", &["is yanked"]);
    let before = tree(&site);
    let ran = on(&site, "reindex", &[]).succeeds();
    assert!(ran.stdout.contains("Nothing to do"), "{ran:?}");
    for damage in [None, Some(""), Some("{"), Some("[]"), Some(r#"{"versions":[{"version":"v1"}]}"#)] {
        match damage {
            None => std::fs::remove_file(site.join(INDEX)).unwrap(),
            Some(text) => std::fs::write(site.join(INDEX), text).unwrap(),
        }
        let damaged = tree(&site);
        on(&site, "reindex", &[]).fails(2, &["--yes"]);
        let folder = root.path().join(format!("preview-{}", damage.map_or(0, |text| 1 + text.len())));
        let dry = on(&site, "reindex", &["--dry-run", folder.to_str().unwrap()]).succeeds();
        assert!(
            dry.stdout.contains("+ 1.10.0 (darwin_arm64, linux_amd64, linux_arm64, windows_amd64)"),
            "{dry:?}"
        );
        assert_eq!(tree(&site), damaged);
        on(&site, "reindex", &["--yes"]).succeeds();
        // The yanked version stays out, and its mark is there again.
        assert_eq!(tree(&site), before, "{damage:?}");
        assert_eq!(tree(&folder)[INDEX], before[INDEX]);
    }
    run(&mut publish(&site, &tarballs("release-1.2.0"))).refused("yanked", &["is yanked"]);
    on(&site, "unyank", &["1.2.0"]).succeeds();
    assert_eq!(reader::read(&tree(&site)).unwrap().len(), 8);
}

#[test]
fn only_whole_versions_are_listed_again() {
    let (_root, site) = site();
    edit(&site, INDEX, |index| {
        index["warnings"] = serde_json::json!(["careful"]);
        index["id"] = 7.into();
        index["versions"][0]["note"] = 1.into();
    });
    let whole = tree(&site);
    let document = "registry/acme/sample/1.2.0/download/linux/amd64";
    let linked = |member: &str| json(&site, document)[member].as_str().unwrap()[1..].to_owned();
    for key in
        [document.to_owned(), linked("download_url"), linked("shasums_url"), linked("shasums_signature_url")]
    {
        if key == document {
            std::fs::write(site.join(&key), "{").unwrap();
        } else {
            std::fs::remove_file(site.join(&key)).unwrap();
        }
        let ran = on(&site, "reindex", &["--yes"]).succeeds();
        assert!(ran.stdout.contains("- 1.2.0: ") && ran.stdout.contains(&key), "{ran:?}");
        let index = json(&site, INDEX);
        assert_eq!(
            (versions(&site), &index["warnings"][0], &index["id"]),
            (vec!["1.10.0".to_owned()], &"careful".into(), &7.into())
        );
        std::fs::write(site.join(&key), &whole[&key]).unwrap();
        let ran = on(&site, "reindex", &["--yes"]).succeeds();
        assert!(ran.stdout.contains("+ 1.2.0 ("), "{ran:?}");
        std::fs::write(site.join(INDEX), &whole[INDEX]).unwrap();
    }
    // A platform whose document is gone is not listed any more; one that is there and not listed is.
    std::fs::remove_file(site.join(document)).unwrap();
    let ran = on(&site, "reindex", &["--yes"]).succeeds();
    assert!(
        ran.stdout.contains("~ 1.2.0 (darwin_arm64, linux_amd64,")
            && ran.stdout.contains("-> darwin_arm64, linux_arm64,"),
        "{ran:?}"
    );
    assert_eq!(json(&site, INDEX)["versions"][0]["note"], 1);
    std::fs::write(site.join(document), &whole[document]).unwrap();
    on(&site, "reindex", &["--yes"]).succeeds();
    let was: Value = serde_json::from_slice(&whole[INDEX]).unwrap();
    assert_eq!(json(&site, INDEX), was);
    // What is no object of a registry is told.
    std::fs::write(site.join("registry/acme/sample/1.2.0/download/linux/amd64.bak"), "x").unwrap();
    let ran = on(&site, "reindex", &["--yes"]).succeeds();
    assert!(
        ran.stderr.contains("amd64.bak: no object of a registry") && ran.stdout.contains("Nothing to do"),
        "{ran:?}"
    );
    // A record that is not understood might say that a version is yanked.
    std::fs::write(site.join(RECORD), "{}").unwrap();
    on(&site, "reindex", &["--yes"]).refused("record", &[RECORD, "cannot be understood"]);
    run(tfreg().arg("reindex").arg(&site).args(["acme/other", "--yes"]).stdin(Stdio::null()))
        .refused("nothing there", &["acme/other has no version that can be listed"]);
    assert_eq!(json(&site, INDEX), was);
}

#[test]
fn half_yanked_versions_follow_their_record() {
    let (_root, site) = site();
    let index = std::fs::read(site.join(INDEX)).unwrap();
    on(&site, "yank", &["1.2.0", "--yes"]).succeeds();
    let yanked = std::fs::read(site.join(INDEX)).unwrap();
    // As if the yank had been stopped between record and index; and likewise the putting back.
    std::fs::write(site.join(INDEX), &index).unwrap();
    on(&site, "reindex", &["--yes"]).succeeds();
    assert_eq!(std::fs::read(site.join(INDEX)).unwrap(), yanked);
    on(&site, "unyank", &["1.2.0"]).succeeds();
    let back = std::fs::read(site.join(INDEX)).unwrap();
    std::fs::write(site.join(INDEX), &yanked).unwrap();
    run(&mut publish(&site, &tarballs("release-1.2.0")))
        .refused("half put back", &[INDEX, "not put back whole"]);
    on(&site, "reindex", &["--yes"]).succeeds();
    assert_eq!(std::fs::read(site.join(INDEX)).unwrap(), back);
}

/// A publish that has written its documents, and not the index, when the index is made anew; and one that is there before.
#[test]
fn a_reindex_and_a_publish_lose_nothing() {
    for held in ["GET", "PUT"] {
        let server = watched();
        run(publish("s3://bucket", &tarballs("release-1.2.0")).envs(server.envs())).succeeds();
        let publishing = || {
            let mut command = publish("s3://bucket", &tarballs("release-1.10.0"));
            command.envs(server.envs()).stdout(Stdio::piped()).stderr(Stdio::piped());
            command
        };
        let gate = Gate::manual();
        let reindex = || {
            let mut command = command("reindex", "s3://bucket", &["--yes"]);
            command.envs(server.envs()).stdout(Stdio::piped()).stderr(Stdio::piped());
            command
        };
        if held == "PUT" {
            // The publish is held before it writes the index.
            server.gate(Matcher::put().suffix("versions").nth(1), Point::Before, &gate);
            let child = Running::start(&mut publishing());
            gate.wait_until_arrived(1, Duration::from_mins(1));
            run(&mut reindex()).succeeds();
            gate.release();
            crate::support::ran(&child.output()).succeeds();
        } else {
            // The index is lost. A publish does not make one without the versions that were published, and finds the one
            // that is made anew.
            server.delete_directly("bucket", INDEX);
            server.gate(Matcher::get().suffix("versions").nth(1), Point::After, &gate);
            let child = Running::start(&mut reindex());
            gate.wait_until_arrived(1, Duration::from_mins(1));
            run(&mut publishing()).fails(3, &["is missing", "tfreg reindex s3://bucket"]);
            gate.release();
            crate::support::ran(&child.output()).succeeds();
            run(&mut publishing()).succeeds();
        }
        assert_eq!(listed(&server).len(), 8, "{held}");
        server.verify();
    }
}

#[test]
fn each_request_of_a_reindex_may_fail_or_be_its_last() {
    // Few objects, because each of them is a request that may fail: a whole version, and a yanked one.
    let server = watched();
    run(publish("s3://bucket", &[tarball("release-1.2.0", "linux-amd64")]).envs(server.envs())).succeeds();
    run(publish("s3://bucket", &[tarball("release-1.10.0", "linux_amd64")]).envs(server.envs())).succeeds();
    run(command("yank", "s3://bucket", &["1.10.0", "--yes"]).envs(server.envs())).succeeds();
    let mut base = objects(&server, "");
    base.remove(INDEX);
    let goal = Reindex { provider: provider(), trust: Trust::default() };
    every_request(&base, (&goal, &signer()), "reindex", &["--yes"], &|server| {
        assert_eq!(listed(server).len(), 1);
    });
}

#[test]
fn terraform_installs_after_a_reindex() {
    if !require_program("terraform") {
        return;
    }
    let (_root, site) = site();
    std::fs::remove_file(site.join(INDEX)).unwrap();
    let preview = Preview::of(&site);
    assert_ne!(Terraform::new(&preview, "1.2.0").run(&["init", "-no-color"]).code, 0);
    on(&site, "reindex", &["--yes"]).succeeds();
    let terraform = Terraform::new(&preview, "1.2.0");
    terraform.run(&["init", "-no-color"]).succeeds();
    assert!(terraform.installed("1.2.0").exists());
}

const OLD: &str = "A7F2BC5B6E845A69";
const OLD_FINGERPRINT: &str = "4E8911C0E0EC692102243A48A7F2BC5B6E845A69";
const NEW: &str = "B89BCD519BBF8ED5";

fn cert(name: &str) -> Cert {
    Cert::from_file(key(name)).unwrap()
}

/// The same key, with another expiry.
fn expiring(cert: &Cert, when: std::time::SystemTime) -> Cert {
    let mut pair = cert.primary_key().key().clone().parts_into_secret().unwrap().into_keypair().unwrap();
    let policy = StandardPolicy::new();
    let valid = cert
        .with_policy(&policy, None)
        .unwrap_or_else(|_| cert.with_policy(&policy, cert.primary_key().key().creation_time()).unwrap());
    let signatures = valid.primary_key().set_expiration_time(&mut pair, Some(when)).unwrap();
    cert.clone().insert_packets(signatures).unwrap().0
}

fn save(folder: &Path, name: &str, bytes: Vec<u8>) -> String {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

fn public(folder: &Path, name: &str, cert: &Cert) -> String {
    save(folder, name, cert.armored().to_vec().unwrap())
}

fn secret(folder: &Path, name: &str, cert: &Cert) -> String {
    save(folder, name, cert.as_tsk().armored().to_vec().unwrap())
}

fn key_file(name: &str) -> String {
    key(name).to_str().unwrap().to_owned()
}

/// `tfreg resign SITE acme/sample --signing-key-file rsa3072.asc --trust-key ed25519.asc`
fn to_new_key(site: &Path, args: &[&str]) -> Ran {
    let (new, old) = (key_file("rsa3072.asc"), key_file("ed25519.asc"));
    let signing = ["--signing-key-file", &new, "--trust-key", &old];
    on(site, "resign", &[&signing, args].concat())
}

#[test]
fn versions_are_signed_again_by_another_key() {
    let (_root, site) = site();
    let document = "registry/acme/sample/1.2.0/download/linux/amd64";
    edit(&site, document, |document| {
        document["note"] = 1.into();
        document["signing_keys"]["other"] = 2.into();
    });
    let before = tree(&site);
    // Some versions.
    let done = to_new_key(&site, &["1.2.0", "--format", "json"]);
    assert!(done.stderr.contains(&format!("trusting what is signed by key {OLD_FINGERPRINT}")), "{done:?}");
    let done = result(done);
    let said = [
        format!("~ 1.2.0: signed by key {OLD} -> {NEW}"),
        format!("~ 1.2.0: the record of its publish is signed by key {NEW}"),
    ];
    assert_eq!(done["changes"], serde_json::json!(said));
    let after = tree(&site);
    let changed: Vec<&String> = after.keys().filter(|key| before.get(*key) != after.get(*key)).collect();
    assert!(
        changed.len() == 6
            && changed.iter().all(|key| key.contains("/download/") || key.ends_with(&format!(".{NEW}.sig"))),
        "{changed:?}"
    );
    assert!(before.keys().all(|key| after.contains_key(key)), "nothing is deleted");
    let moved = json(&site, document);
    assert_eq!((&moved["note"], &moved["signing_keys"]["other"]), (&1.into(), &2.into()));
    assert_eq!(moved["signing_keys"]["gpg_public_keys"][0]["key_id"], NEW);
    assert_eq!(moved["signing_keys"]["gpg_public_keys"].as_array().unwrap().len(), 1);
    assert_eq!(reader::read(&after).unwrap().len(), 8);
    // All, yanked ones too.
    on(&site, "yank", &["1.10.0", "--yes"]).succeeds();
    to_new_key(&site, &[]).succeeds();
    assert_eq!(
        json(&site, "registry/acme/sample/1.10.0/download/linux/amd64")["signing_keys"]["gpg_public_keys"][0]
            ["key_id"],
        NEW
    );
    on(&site, "unyank", &["1.10.0"]).succeeds();
    assert_eq!(reader::read(&tree(&site)).unwrap().len(), 8);
    // Again there is nothing to do, and the old key need not be named any more.
    let signed = tree(&site);
    let again = on(&site, "resign", &["--signing-key-file", &key_file("rsa3072.asc")]).succeeds();
    assert!(again.stdout.contains("Nothing to do"), "{again:?}");
    assert_eq!(tree(&site), signed);
    // A publish by the new key carries the other platforms over.
    let mut adding = tfreg();
    adding
        .args(["publish", "--namespace", "acme", "--signing-key-file", &key_file("rsa3072.asc"), "--to"])
        .arg(&site);
    run(adding.args(tarballs("release-1.2.0-more"))).succeeds();
    assert_eq!(reader::read(&tree(&site)).unwrap().len(), 10);
}

#[test]
fn nothing_is_signed_that_is_not_proven() {
    let (root, site) = site();
    let whole = tree(&site);
    let document = "registry/acme/sample/1.2.0/download/linux/amd64";
    let linked = |member: &str| json(&site, document)[member].as_str().unwrap()[1..].to_owned();
    let (sums, signature) = (linked("shasums_url"), linked("shasums_signature_url"));
    let refused = |row: &str, texts: &[&str]| {
        let before = tree(&site);
        to_new_key(&site, &[]).refused(row, &[&["cannot be proven", "is not signed again"], texts].concat());
        assert_eq!(tree(&site), before, "{row}: nothing is written");
        for (key, bytes) in &whole {
            std::fs::write(site.join(key), bytes).unwrap();
        }
    };
    on(&site, "resign", &["--signing-key-file", &key_file("rsa3072.asc")])
        .refused("not named", &["cannot be proven", &format!("embeds key {OLD_FINGERPRINT}"), "--trust-key"]);
    // Who can write the registry embeds his own key, and signs by it, or puts his zip into a document.
    let theirs = root.path().join("theirs");
    let mut command = tfreg();
    command
        .args(["publish", "--namespace", "acme", "--signing-key-file", &key_file("p256.asc"), "--to"])
        .arg(&theirs);
    run(command.args(tarballs("release-1.2.0"))).succeeds();
    for (key, bytes) in tree(&theirs) {
        if key.contains("/download/") || key.ends_with(".sig") {
            std::fs::write(site.join(&key), bytes).unwrap();
        }
    }
    refused("another's key", &["1.2.0: embeds key 5062C27F84CD6903A969B8281FD51C14BF354275"]);
    edit(&site, document, |document| document["shasum"] = "0".repeat(64).into());
    refused("another zip", &[document, &"0".repeat(64)]);
    edit(&site, document, |document| {
        document["filename"] = "terraform-provider-sample_1.2.0_linux_arm64.zip".into();
    });
    refused("another name", &[document, "linux_arm64.zip"]);
    let mut text = String::from_utf8(whole[&sums].clone()).unwrap();
    text.replace_range(0..1, if text.starts_with('0') { "1" } else { "0" });
    std::fs::write(site.join(&sums), &text).unwrap();
    refused("another SHA256SUMS", &[&sums, "SHA-256"]);
    let other = whole
        .keys()
        .find(|key| key.contains("/1.10.0/") && key.ends_with(&format!("SHA256SUMS.{OLD}.sig")))
        .unwrap();
    std::fs::write(site.join(&signature), &whole[other]).unwrap();
    refused("another file's signature", &[&signature, "not over this file"]);
    std::fs::write(site.join(&signature), b"x").unwrap();
    refused("no signature", &[&signature]);
    std::fs::remove_file(site.join(&signature)).unwrap();
    refused("a lost signature", &[&signature, "not there"]);
    std::fs::remove_file(site.join(&sums)).unwrap();
    refused("a lost SHA256SUMS", &[&sums, "not there"]);
    edit(&site, document, |document| document["shasums_url"] = "https://elsewhere.example/SHA256SUMS".into());
    refused("elsewhere", &[document, "elsewhere.example"]);
    edit(&site, document, |document| document["signing_keys"] = serde_json::json!({"gpg_public_keys": []}));
    refused("no key", &[document, "embeds no public key"]);
    let version = |key: &str| key.replace("1.2.0", "1.10.0");
    let from = json(&site, &version(document))["shasums_url"].clone();
    edit(&site, document, |document| document["shasums_url"] = from);
    refused("another version's", &[document]);
    // What another signature of the new key's name holds is not overwritten, nor taken.
    let foreign = signature.replace(OLD, NEW);
    std::fs::write(site.join(&foreign), &whole[&signature]).unwrap();
    to_new_key(&site, &["1.2.0"]).refused("a foreign signature", &[&foreign, "another object is there"]);
    std::fs::remove_file(site.join(&foreign)).unwrap();

    // A key that was revoked because others have it proves nothing, also by a signature made before.
    let stolen = cert("ed25519.asc");
    let mut pair = stolen.primary_key().key().clone().parts_into_secret().unwrap().into_keypair().unwrap();
    let revocation = stolen.revoke(&mut pair, ReasonForRevocation::KeyCompromised, b"stolen").unwrap();
    let revoked = public(root.path(), "revoked.asc", &stolen.insert_packets(revocation).unwrap().0);
    on(&site, "resign", &["--signing-key-file", &key_file("rsa3072.asc"), "--trust-key", &revoked])
        .refused("revoked", &["is revoked"]);

    to_new_key(&site, &["1.3.0"]).refused("no such version", &["version 1.3.0 is not published"]);
    on(&site, "resign", &[]).fails(2, &["no signing key"]);
    on(&site, "resign", &["--refresh-key"]).fails(2, &["--key"]);
    on(&site, "resign", &["--key", &revoked]).fails(2, &["--refresh-key"]);
    on(&site, "resign", &["--refresh-key", "--key", &revoked]).refused("revoked", &["is revoked"]);
    on(&site, "resign", &["--signing-key-file", &key_file("public-only.asc")])
        .refused("public", &["public half"]);
    std::fs::write(site.join(INDEX), "{").unwrap();
    to_new_key(&site, &[]).refused("damaged", &[INDEX, "cannot be understood"]);
}

/// The key expires, is extended, and is put into the documents, with and without its secret half.
#[test]
fn a_key_that_has_expired_is_extended() {
    let root = folder();
    let now = std::time::SystemTime::now();
    let short = expiring(&cert("ed25519.asc"), now + Duration::from_secs(8));
    let (short_secret, short_public) =
        (secret(root.path(), "short.asc", &short), public(root.path(), "short-public.asc", &short));
    let site = root.path().join("site");
    let publishing = || {
        let mut command = tfreg();
        command
            .args(["publish", "--namespace", "acme", "--signing-key-file", &short_secret, "--to"])
            .arg(&site);
        command
    };
    run(publishing().args(tarballs("release-1.2.0"))).succeeds();
    let terraform = require_program("terraform").then(|| {
        let preview = Preview::of(&site);
        let terraform = Terraform::new(&preview, "1.2.0");
        terraform.run(&["init", "-no-color"]).succeeds();
        terraform
    });
    while now.elapsed().unwrap() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(200));
    }
    on(&site, "resign", &["--signing-key-file", &short_secret]).refused("expired", &["has expired"]);
    on(&site, "resign", &["--refresh-key", "--key", &short_public]).refused("expired", &["has expired"]);

    let long = expiring(&short, now + Duration::from_hours(24 * 700));
    let (long_secret, long_public) =
        (secret(root.path(), "long.asc", &long), public(root.path(), "long-public.asc", &long));
    let before = tree(&site);
    let done = on(&site, "resign", &["--refresh-key", "--key", &long_public]).succeeds();
    assert!(done.stdout.contains(&format!("~ 1.2.0: a newer copy of key {OLD}")), "{done:?}");
    let refreshed = tree(&site);
    let changed: Vec<_> = refreshed.keys().filter(|key| before.get(*key) != refreshed.get(*key)).collect();
    assert!(changed.len() == 4 && changed.iter().all(|key| key.contains("/download/")), "{changed:?}");
    // A newer copy of a key has only its newest self-signature, which is younger than the signatures. To the reader of the
    // other tests that is a key that was not bound then; to the clients it is good, as the end of this test shows.
    let error = reader::read(&refreshed).unwrap_err();
    assert!(error.contains("No binding signature at time"), "{error}");
    // With the secret half it comes to the same; and the documents are proven by the newer copy alone.
    let again = on(&site, "resign", &["--signing-key-file", &long_secret]).succeeds();
    assert!(again.stdout.contains("Nothing to do"), "{again:?}");
    assert_eq!(tree(&site), refreshed);
    for (key, bytes) in &before {
        std::fs::write(site.join(key), bytes).unwrap();
    }
    on(&site, "resign", &["--signing-key-file", &long_secret]).succeeds();
    assert_eq!(tree(&site), refreshed);
    // From an expired key to another one.
    for (key, bytes) in &before {
        std::fs::write(site.join(key), bytes).unwrap();
    }
    let new = key_file("rsa3072.asc");
    on(&site, "resign", &["--signing-key-file", &new, "--trust-key", &short_public]).succeeds();
    assert_eq!(reader::read(&tree(&site)).unwrap().len(), 4);
    // A key that has signed none of the versions is refused, rather than told that there is nothing to do.
    let moved = tree(&site);
    on(&site, "resign", &["--refresh-key", "--key", &long_public]).refused(
        "a wrong key",
        &[&format!("no version of acme/sample is signed by key {OLD}"), "1.2.0 embeds key"],
    );
    assert_eq!(tree(&site), moved);
    // It is no matter where it has signed some of them.
    run(&mut publish(&site, &tarballs("release-1.10.0"))).succeeds();
    let other = on(&site, "resign", &["--refresh-key", "--key", &long_public]).succeeds();
    assert!(
        other.stderr.contains("1.2.0 embeds key") && other.stdout.contains("~ 1.10.0: a newer copy"),
        "{other:?}"
    );
    on(&site, "resign", &["1.2.0", "--refresh-key", "--key", &long_public])
        .refused("another key", &["1.2.0: embeds key"]);
    // A copy that is older than the one in the documents does not replace it.
    for (key, bytes) in &refreshed {
        std::fs::write(site.join(key), bytes).unwrap();
    }
    on(&site, "resign", &["--refresh-key", "--key", &key_file("ed25519.asc")])
        .refused("older", &["newer copy"]);
    if let Some(terraform) = terraform {
        installs_by_its_lock_file(&site, &terraform.lock_file());
    }
}

/// A fresh directory with a lock file from before installs without changing it.
fn installs_by_its_lock_file(site: &Path, lock: &str) {
    let preview = Preview::of(site);
    let terraform = Terraform::new(&preview, "1.2.0");
    std::fs::write(terraform.path(".terraform.lock.hcl"), lock).unwrap();
    terraform.run(&["init", "-no-color", "-lockfile=readonly"]).succeeds();
    assert!(terraform.installed("1.2.0").exists());
    assert_eq!(terraform.lock_file(), lock);
}

#[test]
fn terraform_installs_by_an_old_lock_file_after_a_resign() {
    if !require_program("terraform") {
        return;
    }
    let (_root, site) = site();
    let lock = {
        let preview = Preview::of(&site);
        let terraform = Terraform::new(&preview, "1.2.0");
        let ran = terraform.run(&["init", "-no-color"]).succeeds();
        assert!(ran.stdout.contains(OLD), "{ran:?}");
        terraform.lock_file()
    };
    to_new_key(&site, &[]).succeeds();
    installs_by_its_lock_file(&site, &lock);
    let preview = Preview::of(&site);
    let ran = Terraform::new(&preview, "1.2.0").run(&["init", "-no-color"]).succeeds();
    assert!(ran.stdout.contains(NEW), "{ran:?}");
}

#[test]
fn each_request_of_a_resign_may_fail_or_be_its_last() {
    let server = watched();
    run(publish("s3://bucket", &[tarball("release-1.2.0", "linux-amd64")]).envs(server.envs())).succeeds();
    run(publish("s3://bucket", &[tarball("release-1.2.0", "darwin-arm64")]).envs(server.envs())).succeeds();
    let base = objects(&server, "");
    let signing = signer_of("rsa3072.asc");
    let old = Certificate::read("old", &Secret::new(std::fs::read(key("ed25519.asc")).unwrap())).unwrap();
    let (key, renewal) = (signing.public_key().clone(), Renewal::Signatures);
    let trusted = vec![old, key.certificate().clone()];
    let goal = Resign { provider: provider(), versions: [].into(), key, renewal, trusted };
    let (new, old) = (key_file("rsa3072.asc"), key_file("ed25519.asc"));
    let args = ["--signing-key-file", &new, "--trust-key", &old];
    every_request(&base, (&goal, &signing), "resign", &args, &|server| {
        assert_eq!(listed(server).len(), 2);
        let documents = objects(server, "").into_iter().filter(|(key, _)| key.contains("/download/"));
        assert!(documents.into_iter().all(|(_, bytes)| String::from_utf8_lossy(&bytes).contains(NEW)));
    });
}

/// A publish by the old key that moves the documents to another SHA256SUMS while they are signed anew.
#[test]
fn a_resign_and_a_publish_by_the_old_key_meet() {
    let server = server();
    let gate = Gate::manual();
    server.gate(Matcher::put().suffix("download/linux/amd64").nth(1), Point::Before, &gate);
    let (new, old) = (key_file("rsa3072.asc"), key_file("ed25519.asc"));
    let mut resign = command("resign", "s3://bucket", &["--signing-key-file", &new, "--trust-key", &old]);
    let child = Running::start(resign.envs(server.envs()).stdout(Stdio::piped()).stderr(Stdio::piped()));
    gate.wait_until_arrived(1, Duration::from_mins(1));
    let published = run(publish("s3://bucket", &tarballs("release-1.2.0-more")).envs(server.envs()));
    gate.release();
    crate::support::ran(&child.output()).succeeds();
    assert!(matches!(published.code, 0 | 3), "{published:?}");
    assert_eq!(listed(&server).len(), if published.code == 0 { 10 } else { 8 });
    let documents = objects(&server, "").into_iter().filter(|(key, _)| key.contains("/download/"));
    for (key, bytes) in documents {
        assert!(published.code == 3 || String::from_utf8_lossy(&bytes).contains(NEW), "{key}");
    }
    server.verify();
}

/// Who still has the old key, or an old copy of it, is told so.
#[test]
fn a_pipeline_with_the_old_key_does_not_undo_a_resign() {
    let (root, site) = site();
    let long = expiring(&cert("ed25519.asc"), std::time::SystemTime::now() + Duration::from_hours(24 * 700));
    let long_public = public(root.path(), "long-public.asc", &long);
    on(&site, "resign", &["1.10.0", "--refresh-key", "--key", &long_public]).succeeds();
    to_new_key(&site, &["1.2.0"]).succeeds();
    let before = tree(&site);
    for (release, said) in
        [("release-1.2.0", format!("key {NEW} (")), ("release-1.10.0", "newer copy".to_owned())]
    {
        run(&mut publish(&site, &tarballs(release))).refused(release, &[&said, OLD, "--replace-key"]);
        assert_eq!(tree(&site), before, "{release}: nothing is written");
    }
    for (release, said) in [
        ("release-1.2.0", format!("~ 1.2.0: key {NEW} -> {OLD}")),
        ("release-1.10.0", format!("~ 1.10.0: a newer copy of key {OLD} -> an older one")),
    ] {
        let moved = run(publish(&site, &tarballs(release)).args(["--replace-key", "--no-verify"])).succeeds();
        assert!(moved.stdout.contains(&said), "{moved:#?}");
    }
    let back: Value =
        serde_json::from_slice(&tree(&site)["registry/acme/sample/1.2.0/download/linux/amd64"]).unwrap();
    assert_eq!(back["signing_keys"]["gpg_public_keys"][0]["key_id"], OLD);
}

/// The records of publishes are signed again too, if they are proven; of tarballs in a bucket as of files.
#[test]
fn a_resign_signs_the_records() {
    let server = S3Server::start(&["bucket", "artifacts"]);
    for path in tarballs("release-1.2.0") {
        let name = path.file_name().unwrap().to_str().unwrap();
        server.put_directly("artifacts", &format!("v1.2.0/{name}"), std::fs::read(&path).unwrap());
    }
    let manifest = "terraform-registry-manifest.json";
    if let Ok(bytes) = std::fs::read(crate::support::testdata("release-1.2.0").join(manifest)) {
        server.put_directly("artifacts", &format!("v1.2.0/{manifest}"), bytes);
    }
    run(publish("s3://bucket", &["s3://artifacts/v1.2.0/".into()]).envs(server.envs())).succeeds();
    run(publish("s3://bucket", &tarballs("release-1.10.0")).envs(server.envs())).succeeds();
    let (new, old) = (key_file("rsa3072.asc"), key_file("ed25519.asc"));
    let resign = || {
        let mut command =
            command("resign", "s3://bucket", &["--signing-key-file", &new, "--trust-key", &old]);
        run(command.envs(server.envs())).succeeds()
    };
    let verify = || {
        let ran = run(tfreg().args(["verify", "s3://bucket"]).envs(server.envs()));
        format!("{}{}", ran.stdout, ran.stderr)
    };
    resign();
    let records = || -> Vec<String> {
        let end = format!("provenance.json.{NEW}.sig");
        objects(&server, "").into_keys().filter(|key| key.ends_with(&end)).collect()
    };
    assert_eq!(records().len(), 2);
    assert!(!verify().contains("record-"), "{}", verify());
    // As a release of tfreg left it that signed no records: what verify tells to do heals it.
    for key in records() {
        server.delete_directly("bucket", &key);
    }
    let told = verify();
    assert!(
        told.contains("record-unsigned") && told.contains("tfreg resign") && told.contains("--trust-key"),
        "{told}"
    );
    let again = resign();
    assert!(again.stdout.contains("~ 1.2.0: the record of its publish is signed"), "{again:#?}");
    assert!(!verify().contains("record-"), "{}", verify());

    // A record of another version with its good signature, and one that nobody has signed, stay without one.
    for key in records() {
        server.delete_directly("bucket", &key);
    }
    let all = objects(&server, "");
    let of = |version: &str, end: &str| {
        let part = format!("/{version}/");
        all.keys().find(|key| key.contains(&part) && key.ends_with(end)).unwrap().clone()
    };
    let signature = format!("provenance.json.{OLD}.sig");
    for end in ["provenance.json", &signature] {
        server.put_directly("bucket", &of("1.2.0", end), all[&of("1.10.0", end)].clone());
    }
    server.delete_directly("bucket", &of("1.10.0", &signature));
    let left = resign();
    assert!(left.stderr.contains("\"version\" is 1.10.0"), "{left:#?}");
    assert!(left.stderr.contains("no trusted key has signed it") && records().is_empty(), "{left:#?}");
}

/// What is listed anew is signed for its version, by one key or by keys that are named.
#[test]
fn what_is_listed_again_is_proven() {
    let (root, site) = site();
    let theirs = root.path().join("theirs");
    let mut command = tfreg();
    command
        .args(["publish", "--namespace", "acme", "--signing-key-file", &key_file("p256.asc"), "--to"])
        .arg(&theirs);
    run(command.args(tarballs("release-1.10.0"))).succeeds();
    for (key, bytes) in tree(&theirs).into_iter().filter(|(key, _)| key.contains("/1.10.0/")) {
        std::fs::create_dir_all(site.join(&key).parent().unwrap()).unwrap();
        std::fs::write(site.join(&key), bytes).unwrap();
    }
    std::fs::remove_file(site.join(INDEX)).unwrap();
    let planted = tree(&site);
    on(&site, "reindex", &["--yes"]).refused(
        "two keys",
        &["different keys", OLD_FINGERPRINT, "5062C27F84CD6903A969B8281FD51C14BF354275"],
    );
    assert_eq!(tree(&site), planted);
    let trust = key_file("ed25519.asc");
    let named = on(&site, "reindex", &["--yes", "--trust-key", &trust]).succeeds();
    assert!(named.stdout.contains(&format!("windows_amd64), signed by key {OLD_FINGERPRINT}")), "{named:?}");
    assert!(named.stderr.contains("1.10.0 is left as it is"), "{named:?}");
    assert_eq!(versions(&site), ["1.2.0"]);
    on(&site, "yank", &["1.2.0", "--yes"]).succeeds();
    on(&site, "unyank", &["1.2.0", "--trust-key", &key_file("p256.asc")])
        .refused("another key", &["not trusted", OLD_FINGERPRINT]);
    // A signature of something else proves nothing.
    let sums =
        json(&site, "registry/acme/sample/1.2.0/download/linux/amd64")["shasums_signature_url"].clone();
    let signature = site.join(&sums.as_str().unwrap()[1..]);
    let good = std::fs::read(&signature).unwrap();
    let record = tree(&site)
        .into_keys()
        .find(|key| key.contains("/1.2.0/") && key.contains("provenance.json."))
        .unwrap();
    std::fs::copy(site.join(record), &signature).unwrap();
    on(&site, "unyank", &["1.2.0"])
        .refused("a signature of something else", &["cannot be put back", "not over this file"]);
    std::fs::write(&signature, good).unwrap();
    on(&site, "unyank", &["1.2.0", "--trust-key", &trust]).succeeds();
    assert_eq!(versions(&site), ["1.2.0"]);
}
