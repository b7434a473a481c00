//! One rule for every signature, whoever made it: what a client would refuse is not published, and not kept.

use std::fs;

use super::Owner;
use crate::support::{publish, run, tarball, tree};

/// How real GnuPG is made to sign, and what is said of the result.
const SPOILED: [(&str, &[&str], &str); 9] = [
    ("an expiry", &["--default-sig-expire", "2y"], "the signature itself expires, on "),
    (
        "a critical notation",
        &["--sig-notation", "!a@example.com=1"],
        "a critical notation, \"a@example.com\"",
    ),
    (
        "a critical policy",
        &["--sig-policy-url", "!https://example.com/"],
        "a critical part that clients may not know",
    ),
    ("a text signature", &["--textmode"], "a version 4 signature of type Text"),
    ("armor", &["--armor"], "an armored signature"),
    ("two signatures", &["--local-user", "6D5C5B4F67F0E18DA64464D6B89BCD519BBF8ED5"], "2 packets where one"),
    ("a long hash that clients do not have", &["--digest-algo", "SHA224"], "a signature over SHA224"),
    ("the past", &["--faked-system-time", "20250601T000000"], "2025-06-01T"),
    ("the future", &["--faked-system-time", "20400101T000000"], ""),
];

/// GnuPG with the key that signs, which has a name there, and another one.
fn owner() -> Option<Owner> {
    let owner = Owner::new()?;
    owner.imports("ed25519.asc");
    owner.imports("rsa3072.asc");
    Some(owner)
}

#[test]
fn what_a_signer_makes_is_judged_before_it_is_published() {
    let Some(owner) = owner() else { return };
    let fingerprint = "4E8911C0E0EC692102243A48A7F2BC5B6E845A69";
    for (row, options, texts) in SPOILED {
        // A program of the name gpg that adds options of its own. Those of tfreg come behind them, so an expiry and a
        // hash are what tfreg says.
        if matches!(row, "an expiry" | "a text signature" | "armor" | "a long hash that clients do not have")
        {
            owner.meddles(&options.join(" "));
            owner.publishes(row, &mut owner.publish_by(fingerprint));
            continue;
        }
        owner.meddles(&options.join(" "));
        owner.refuses(
            row,
            &mut owner.publish_by(fingerprint),
            &[texts, "the signature that GnuPG made is not published"],
        );
    }
    // A program that signs with another subkey than the one that was named.
    owner.meddles("");
    owner.imports("two-signing-subkeys.asc");
    let script = "#!/bin/sh\nfor word; do shift; case $word in *E2D92651944DD1A1!) word=F7AD68C701F8B8BC0802950F5D6AC67C2CE90A0E;; \
                  esac; set -- \"$@\" \"$word\"; done\nexec REAL \"$@\"\n";
    let real = owner.does("command -v gpg").stdout;
    let listed = owner.gpg(&["--with-colons", "--list-secret-keys", "5D6AC67C2CE90A0E"]).succeeds().stdout;
    let older =
        listed.lines().find(|line| line.starts_with("fpr:") && line.contains("E2D92651944DD1A1")).unwrap();
    let older = older.trim_start_matches("fpr:").trim_matches(':');
    owner.program("gpg", &script.replace("REAL", real.trim()));
    owner.refuses(
        "another subkey",
        &mut owner.publish_by(&format!("{older}!")),
        &["it is made by ", "and not by"],
    );
}

#[test]
fn what_is_read_back_is_judged_by_the_same_rules() {
    let Some(owner) = owner() else { return };
    let site = owner.site();
    let tarballs = [tarball("release-1.2.0", "linux-amd64")];
    run(&mut publish(&site, &tarballs)).succeeds();
    let whole = tree(&site);
    let signature = whole.keys().find(|name| name.contains("SHA256SUMS.") && name.ends_with(".sig")).unwrap();
    let sums = signature.split("SHA256SUMS.").next().unwrap().to_owned() + "SHA256SUMS";
    let spoil = |options: &[&str]| {
        let made = owner.at("made");
        drop(fs::remove_file(&made));
        let (made, signed) = (made.to_str().unwrap(), site.join(&sums));
        let sign =
            ["--local-user", "A7F2BC5B6E845A69", "--output", made, "--detach-sign", signed.to_str().unwrap()];
        owner.gpg(&[options, &sign].concat()).succeeds();
        fs::copy(made, site.join(signature)).unwrap();
    };
    // What GnuPG makes without options is as good as one of tfreg's own.
    spoil(&[]);
    run(&mut publish(&site, &tarballs)).succeeds();
    for (row, options, texts) in SPOILED {
        if row == "the past" {
            continue;
        }
        spoil(options);
        run(&mut publish(&site, &tarballs))
            .refused(row, &["the signature that is there does not verify", texts]);
        // Nor is another platform added to it, nor the version listed again.
        let other = [tarball("release-1.2.0", "darwin-arm64")];
        let before = tree(&site);
        let ran = run(&mut publish(&site, &other));
        assert_eq!(ran.code, 3, "{row}: {ran:#?}");
        assert_eq!(tree(&site), before, "{row}");
    }
    // A publish of long ago is none of now.
    spoil(&["--faked-system-time", "20250601T000000"]);
    run(&mut publish(&site, &tarballs)).succeeds();

    // A version that is put back is one that clients can install.
    fs::write(site.join(signature), &whole[signature]).unwrap();
    let on = |command: &str| {
        let mut tfreg = owner.tfreg(&[command]);
        tfreg.arg(&site).arg("acme/sample@1.2.0");
        tfreg
    };
    run(on("yank").args(["--yes", "--reason", "test"])).succeeds();
    spoil(&["--sig-notation", "!a@example.com=1"]);
    run(&mut on("unyank")).refused("unyank", &["a critical notation"]);
    fs::write(site.join(signature), &whole[signature]).unwrap();
    run(&mut on("unyank")).succeeds();
}
