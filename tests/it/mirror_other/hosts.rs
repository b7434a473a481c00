//! How another registry is found and read.

use super::{BASE, INDEX, SOURCE, UPSTREAM, World, assert_mirrored};
use crate::support::clients::Preview;
use crate::support::host::{Host, Instead};
use crate::support::{run, tarballs, tfreg, tree};

#[test]
fn a_preview_is_mirrored_by_the_host_block_of_the_cli_configuration() {
    let world = World::new(&["release-1.2.0"]);
    let preview = Preview::of(&world.upstream());
    let config = world.root.path().join("cli.tfrc");
    let service = format!("{}registry/", preview.url());
    let block = format!("host \"{UPSTREAM}\" {{\n  services = {{ \"providers.v1\" = \"{service}\" }}\n}}\n");
    std::fs::write(&config, block).unwrap();
    run(world.mirror(&[SOURCE]).env("TF_CLI_CONFIG_FILE", &config)).succeeds();
    assert_mirrored(&world, &["1.2.0"]);
    assert_eq!(world.heard(), 0, "nothing was discovered");

    std::fs::write(
        &config,
        format!("host \"{UPSTREAM}\" {{ services = {{ \"providers.v1\" = \"http://h/\" }} }}"),
    )
    .unwrap();
    run(world.mirror(&[SOURCE]).env("TF_CLI_CONFIG_FILE", &config))
        .refused("http", &["https", "providers.v1"]);
    let missing = run(world.mirror(&[SOURCE]).env("TF_CLI_CONFIG_FILE", "missing.tfrc")).succeeds();
    assert!(missing.stderr.contains("TF_CLI_CONFIG_FILE names missing.tfrc"), "{missing:?}");
}

#[test]
fn redirects_and_absolute_links_are_followed() {
    let world = World::new(&["release-1.2.0"]);
    // With absolute links, and another address of the service.
    let moved = world.root.path().join("moved");
    run(tfreg().arg("init").arg(&moved).args(["--base-url", "https://upstream.example.org/tf/"])).succeeds();
    super::publish_upstream(&moved, "ed25519.asc", &tarballs("release-1.2.0"));
    for (key, bytes) in tree(&moved) {
        let key = if key.starts_with(".well-known") { key } else { format!("tf/{key}") };
        let path = world.upstream().join(key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    for old in ["registry", "store"] {
        std::fs::remove_dir_all(world.upstream().join(old)).unwrap();
    }
    run(&mut world.mirror(&[SOURCE])).succeeds();
    let objects = world.objects();
    assert!(objects.contains_key(INDEX) && world.host.gets("tf/registry/acme/sample/versions") == 1);
    assert_eq!(objects.keys().filter(|key| key.ends_with(".zip")).count(), 4);
}

#[test]
fn a_host_with_a_port_is_asked_by_https() {
    let world = World::new(&["release-1.2.0"]);
    let local = Host::of(&world.upstream());
    let source = format!("{}/acme/sample", local.name());
    let mut command = world.mirror(&[&source]);
    run(command.env("SSL_CERT_FILE", local.certificate())).succeeds();
    assert_eq!(local.gets(".zip"), 4);
    assert!(world.objects().contains_key(&format!("mirror/{source}/index.json")));
}

#[test]
fn a_provider_of_the_registry_itself_is_published_not_mirrored() {
    let world = World::new(&["release-1.2.0"]);
    let own = run(&mut world.mirror(&["registry.example.com/acme/sample"]));
    own.refused("own", &["a provider of this registry", BASE, "tfreg publish"]);
    assert_eq!(world.heard(), 0);
}

#[test]
fn a_registry_without_a_mirror_says_how_to_get_one() {
    let world = World::new(&["release-1.2.0"]);
    std::fs::remove_file(world.site().join("registry/settings.json")).unwrap();
    let refused = run(&mut world.mirror(&[SOURCE]));
    let remedy = "tfreg init ";
    let refused = refused.refused("no settings", &["no network mirror", remedy]);
    assert_eq!(world.heard(), 0, "nothing was asked before");
    // The remedy, carried out.
    let command = refused.stderr.split_once(&format!("`{remedy}")).unwrap().1.split_once('`').unwrap().0;
    let words = command.replace("https://HOST/", BASE);
    run(tfreg().arg("init").args(words.split(' '))).succeeds();
    run(&mut world.mirror(&[SOURCE])).succeeds();
    assert_mirrored(&world, &["1.2.0"]);
}

#[test]
fn what_is_wrong_with_a_host_is_said() {
    let world = World::new(&["release-1.2.0"]);
    let unknown = run(&mut world.mirror(&[&format!("{UPSTREAM}/acme/other")]));
    unknown.refused(
        "unknown",
        &["does not have this provider", "HTTP status 404", "TF_TOKEN_upstream_example_org"],
    );
    world.host.instead(".well-known/terraform.json", Instead::Status(404));
    let nothing = run(&mut world.mirror(&[SOURCE]));
    nothing.refused("no discovery", &["no provider registry is found there", "404"]);
    assert_eq!(tree(&world.site()).len(), 1, "the settings");
}
