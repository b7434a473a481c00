//! `drone/goreleaser.yml`, run as a Drone runner runs it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::{RELEASE, has_the_release};
use crate::support::archive::write;
use crate::support::drone::{Build, Drone, Missing};
use crate::support::s3_server::S3Server;
use crate::support::{folder, testdata};

#[test]
fn a_tag_publishes_the_release_without_a_signing_key() {
    let root = folder();
    let server = S3Server::start(&["acme-terraform-staging"]);
    let key = server.add_key(&["acme-terraform-staging"], &[]);
    // GoReleaser's build; the public key is in the repository.
    let release = testdata(RELEASE).display().to_string();
    let goreleaser = format!(
        "#!/bin/sh\nset -e\ntest \"$*\" = \"release --clean --skip=publish\"\ntest \"$GPG_PASSPHRASE\" = hushed\n\
         rm -rf dist\ncp -r {release} dist\nmv dist/public-key.asc release-key.asc\n"
    );
    let gpg = "#!/bin/sh\ntest \"$*\" = \"--batch --import\" && test \"$(cat)\" = \"a secret of the build alone\"\n";
    for (name, text) in [("goreleaser", goreleaser.as_str()), ("gpg", gpg)] {
        let program = write(root.path(), name, text);
        fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let credentials = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
    let globals = server.envs().into_iter().filter(|(name, _)| !credentials.contains(&name.as_str()));
    let mut path = vec![root.path().to_owned()];
    path.push(Path::new(env!("CARGO_BIN_EXE_tfreg")).parent().unwrap().to_owned());
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
    let secrets = [
        ("staging_aws_access_key_id", key.id),
        ("staging_aws_secret_access_key", key.secret),
        ("release_key", "a secret of the build alone".to_owned()),
        ("release_key_fingerprint", "0123456789".to_owned()),
        ("release_key_passphrase", "hushed".to_owned()),
    ];
    let drone = Drone {
        file: fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("drone/goreleaser.yml")).unwrap(),
        secrets: secrets.map(|(name, value)| (name.to_owned(), value)).into(),
        missing: Missing::Empty,
        globals: globals.collect(),
        path,
        shell: "sh",
    };
    let steps = drone.run(&Build::of_tag("v1.2.0"));
    assert_eq!(steps.iter().map(|step| step.name.as_str()).collect::<Vec<_>>(), ["tag/build", "tag/publish"]);
    for step in &steps {
        assert_eq!(step.ran.code, 0, "{step:#?}");
    }
    let objects = server.objects("acme-terraform-staging");
    let files: Vec<(String, Vec<u8>)> =
        objects.iter().map(|(key, object)| (key.clone(), object.bytes.to_vec())).collect();
    has_the_release(&files);
    // Another tag's release is not published.
    let other = drone.run(&Build::of_tag("v1.3.0"));
    let last = other.last().unwrap();
    assert!(last.ran.code == 3 && last.ran.stderr.contains("the zip is of another version"), "{last:#?}");
}
