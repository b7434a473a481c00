//! Which version clients choose, what they say of it, and which source addresses they take.

use super::sites::{Site, init, renamed};
use super::{Claim, Client, Kind, Seen, claim, installs, installs_if, refuses};
use crate::support::clients::{Preview, Terraform};
use crate::support::{folder, key, run, tarball, tarballs, tfreg};

/// The version that `init` chooses by a constraint.
fn chosen(client: &Client, site: &Site, constraint: &str) -> Seen {
    let preview = Preview::of(&site.path());
    let directory = client.in_directory(Terraform::new(&preview, constraint));
    let ran = init(&directory);
    if ran.code != 0 {
        return Seen::of(&ran);
    }
    let lock = directory.lock_file();
    let version = lock.lines().find_map(|line| line.trim().strip_prefix("version")).unwrap();
    Seen::that(version.trim_matches([' ', '=', '"']), &ran)
}

/// A registry whose newest version is a pre-release.
fn with_prerelease() -> Site {
    let (site, folder) = (Site::new(), folder());
    let name = "terraform-provider-sample-v1.11.0-beta.1-linux-amd64-bin.tar.gz";
    let tarball = renamed(folder.path(), &tarball("release-1.2.0", "linux-amd64"), name);
    site.publish(&[tarball], &["--protocol", "6.0"]).succeeds();
    site
}

fn yanked() -> Site {
    let site = Site::new();
    site.change("yank", &["1.10.0", "--yes"]);
    site
}

fn newest(_: &Client) -> String {
    "1.10.0".to_owned()
}

pub(super) fn claims() -> Vec<Claim> {
    vec![
        claim("`>= 1.0.0` chooses, of 1.2.0 and 1.10.0", newest, |client| {
            chosen(client, &Site::new(), ">= 1.0.0")
        }),
        claim("the same beside 1.11.0-beta.1", newest, |client| {
            chosen(client, &with_prerelease(), ">= 1.0.0")
        }),
        claim(
            "`1.11.0-beta.1` chooses",
            |_| "1.11.0-beta.1".to_owned(),
            |client| chosen(client, &with_prerelease(), "1.11.0-beta.1"),
        ),
        claim(
            "`>= 1.0.0` chooses, where 1.10.0 is yanked",
            |_| "1.2.0".to_owned(),
            |client| chosen(client, &yanked(), ">= 1.0.0"),
        ),
        claim("`1.10.0`, where it is yanked", refuses, |client| chosen(client, &yanked(), "1.10.0")),
        claim("a lock file that names a yanked version", refuses, |client| {
            let site = Site::new();
            let preview = Preview::of(&site.path());
            let directory = client.in_directory(Terraform::new(&preview, ">= 1.0.0"));
            init(&directory).succeeds();
            site.change("yank", &["1.10.0", "--yes"]);
            Seen::of(&init(&directory))
        }),
        claim(
            "a warning of `tfreg warn`",
            |_| "shows it".to_owned(),
            |client| {
                let site = Site::new();
                site.change("warn", &["Use acme/other instead."]);
                let preview = Preview::of(&site.path());
                let ran = init(&client.in_directory(Terraform::new(&preview, "1.2.0")));
                let shown = format!("{}{}", ran.stdout, ran.stderr).contains("Use acme/other instead.");
                Seen::that(if ran.code == 0 && shown { "shows it" } else { "is silent" }, &ran)
            },
        ),
        claim(
            "a namespace with an underscore",
            |client| installs_if(client.is(Kind::Terraform, 1, 16)),
            |client| of_namespace(client, "my_org"),
        ),
        claim("a namespace with a dash", installs, |client| of_namespace(client, "my-org")),
    ]
}

fn of_namespace(client: &Client, namespace: &str) -> Seen {
    let site = Site::empty();
    let mut command = tfreg();
    command.arg("publish").arg("--to").arg(site.path()).args([
        "--namespace",
        namespace,
        "--signing-key-file",
    ]);
    run(command.arg(key("rsa3072.asc")).args(tarballs("release-1.2.0"))).succeeds();
    let preview = Preview::of(&site.path());
    let directory = client.in_directory(Terraform::new(&preview, "1.2.0"));
    let block = std::fs::read_to_string(directory.path("main.tf")).unwrap();
    std::fs::write(directory.path("main.tf"), block.replace("/acme/", &format!("/{namespace}/"))).unwrap();
    Seen::of(&init(&directory))
}
