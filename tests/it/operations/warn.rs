//! The command `warn`: the warnings of a provider's index are set, replaced and cleared, and shown by Terraform.

use std::process::Stdio;

use super::{INDEX, command, edit, json, on, result, server, site};
use crate::support::child::Running;
use crate::support::clients::{Preview, Terraform, require_program};
use crate::support::reader;
use crate::support::s3_server::{Gate, Matcher, Point};
use crate::support::{publish, run, tarball, tfreg, tree};

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
