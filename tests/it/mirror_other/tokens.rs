//! Registries behind a token.

use std::path::Path;

use super::{SOURCE, UPSTREAM, World, assert_mirrored};
use crate::support::host::Instead;
use crate::support::{Ran, run};

const TOKEN: &str = "tfreg-test-token-0123456789";

/// A world whose upstream answers its documents to those with the token only.
fn private() -> World {
    let world = World::new(&["release-1.2.0"]);
    world.host.instead("registry/", Instead::WithoutToken(TOKEN));
    world
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// Mirrors with this token, tells where it was sent, and that nothing shows it.
#[track_caller]
fn mirrored(world: &World, ran: Ran) {
    let ran = ran.succeeds();
    assert_mirrored(world, &["1.2.0"]);
    for text in [&ran.stdout, &ran.stderr] {
        assert!(!text.contains(TOKEN), "{ran:?}");
    }
    for heard in world.host.heard() {
        let sent = heard.headers.get("authorization").map(String::as_str);
        let is_interface = heard.path.starts_with("/registry/") || heard.path.starts_with("/.well-known/");
        let expected = format!("Bearer {TOKEN}");
        if sent.is_some() || heard.path.starts_with("/store/") {
            assert_eq!(sent, is_interface.then_some(expected.as_str()), "{}", heard.path);
        }
    }
}

#[test]
fn a_registry_that_wants_a_token_says_how_to_give_it() {
    let world = private();
    let refused = run(&mut world.mirror(&[SOURCE]));
    let refused =
        refused.fails(1, &["401", "TF_TOKEN_upstream_example_org", "credentials \"upstream.example.org\""]);
    // The remedy, carried out.
    assert!(refused.stderr.contains("set TF_TOKEN_upstream_example_org"));
    let with = run(world.mirror(&[SOURCE, "--verbose"]).env("TF_TOKEN_upstream_example_org", TOKEN));
    mirrored(&world, with);
}

#[test]
fn tokens_are_read_as_clients_read_them() {
    let hcl = format!("credentials \"{UPSTREAM}\" {{\n  token = \"{TOKEN}\"\n}}\n");
    let json = format!("{{\"credentials\": {{\"{UPSTREAM}\": {{\"token\": \"{TOKEN}\"}}}}}}");
    for (name, text) in [
        (".terraformrc", &hcl),
        (".tofurc", &hcl),
        (".terraform.d/credentials.tfrc.json", &json),
        (".terraform.d/other.tfrc", &hcl),
    ] {
        let world = private();
        write(&world.root.path().join("home").join(name), text);
        let ran = run(&mut world.mirror(&[SOURCE, "--verbose"]));
        mirrored(&world, ran);
    }
    let world = private();
    let named = world.root.path().join("named.tfrc");
    write(&named, &hcl);
    // Then no other file is read.
    write(&world.root.path().join("home/.terraform.d/credentials.tfrc.json"), &json.replace(TOKEN, "wrong"));
    let ran = run(world.mirror(&[SOURCE, "--format", "json"]).env("TF_CLI_CONFIG_FILE", &named));
    mirrored(&world, ran);
    let world = private();
    write(&world.root.path().join("home/.terraformrc"), &hcl.replace(TOKEN, "wrong"));
    run(&mut world.mirror(&[SOURCE])).fails(1, &["401", "another one"]);
    // A variable counts more.
    let ran = run(world.mirror(&[SOURCE]).env("TF_TOKEN_upstream_example_org", TOKEN));
    ran.succeeds();
    assert_mirrored(&world, &["1.2.0"]);
}

#[test]
fn a_token_goes_to_no_other_host() {
    let world = World::new(&["release-1.2.0"]);
    // Its documents have moved; the tunnel leads every name to the same server.
    world.host.instead(
        "registry/acme/sample/versions",
        Instead::Redirect("https://elsewhere.example.org/moved/versions"),
    );
    let moved = world.upstream().join("moved/versions");
    write(&moved, &std::fs::read_to_string(world.upstream().join("registry/acme/sample/versions")).unwrap());
    let ran = run(world.mirror(&[SOURCE, "--verbose"]).env("TF_TOKEN_upstream_example_org", TOKEN));
    assert!(!ran.stderr.contains(TOKEN), "{ran:?}");
    let heard = world.host.heard();
    for request in &heard {
        let is_own = request.headers.get("host").is_some_and(|host| host == UPSTREAM);
        assert!(is_own || !request.headers.contains_key("authorization"), "{request:?}");
    }
    assert!(heard.iter().any(|request| request.headers.contains_key("authorization")));
}

#[test]
fn a_configuration_that_cannot_be_read_is_not_repeated() {
    for text in [
        format!("credentials \"{UPSTREAM}\" {{\n  token = \"{TOKEN}"),
        format!("credentials \"{UPSTREAM}\" {{\n  token = \"{TOKEN}\\n\"}}"),
        format!("{{\"credentials\": \"{TOKEN}\""),
    ] {
        let world = private();
        write(&world.root.path().join("home/.terraformrc"), &text);
        let ran = run(&mut world.mirror(&[SOURCE, "--verbose"]));
        assert!(!ran.stderr.contains(TOKEN) && !ran.stdout.contains(TOKEN), "{ran:?}");
        ran.refused(&text, &[".terraformrc", "line "]);
    }
}
