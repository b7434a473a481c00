//! Real providers, as their authors release them: built by GoReleaser for several platforms, published from its tarballs and from its
//! zips, installed and applied by every client.

use super::goreleaser::{Release, configuration, goreleasers, verifies};
use super::lock_files::counted;
use super::sites::{Site, init};
use super::{Client, Row, clients, conclude, each};
use crate::support::Ran;
use crate::support::clients::{Preview, Terraform};

/// The providers of `testdata/provider-go`, with the protocol that each speaks and the one that it does not.
const PROVIDERS: [(&str, &str, &str); 2] = [("framework", "6.0", "5.0"), ("sdk", "5.0", "6.0")];

/// A form of a release.
struct Form {
    name: &'static str,
    /// Publishes it, with the protocol probed.
    publish: fn(&Release, &Site) -> Ran,
    /// The hashes that `init` locks: SHA256SUMS of GoReleaser has a line for the manifest too.
    locks: &'static str,
}

const FORMS: [Form; 2] = [
    Form {
        name: "tarballs",
        publish: |release, site| site.publish(&release.artifacts("gz"), &["--probe-protocol"]),
        locks: "4 zh, 1 h1",
    },
    Form {
        name: "zips",
        publish: |release, site| release.publish_signed_zips(&site.path(), &["--probe-protocol"]),
        locks: "5 zh, 1 h1",
    },
];

/// Installs, applies, and finds that nothing is left to do.
fn applied(client: &Client, site: &Site, speaks: &str) -> Result<String, String> {
    let preview = Preview::of(&site.path());
    let directory = client.in_directory(Terraform::new(&preview, "1.2.0"));
    let block = std::fs::read_to_string(directory.path("main.tf")).unwrap();
    let resource = "resource \"sample_note\" \"one\" {\n  text = \"hello\"\n}\n\
                    output \"served\" {\n  value = sample_note.one.served\n}\n";
    std::fs::write(directory.path("main.tf"), block + resource).unwrap();
    let major = speaks.split('.').next().unwrap();
    let ran = init(&directory);
    if ran.code != 0 {
        return Err(format!("{ran:#?}"));
    }
    for (args, expected) in [
        (&["apply", "-auto-approve", "-no-color"][..], format!("served = \"protocol {major}, v1.2.0\"")),
        (&["plan", "-detailed-exitcode", "-no-color"], "No changes".to_owned()),
        (&["destroy", "-auto-approve", "-no-color"], "1 destroyed".to_owned()),
    ] {
        let ran = directory.run(args);
        if ran.code != 0 || !ran.stdout.contains(&expected) {
            return Err(format!("{args:?}: {ran:#?}"));
        }
    }
    Ok(format!("applies; {}", counted(&directory)))
}

#[test]
#[ignore = "builds providers with GoReleaser; tests/clients/run runs it"]
fn real_providers_serve_every_client() {
    let Some((_, goreleaser)) = goreleasers().into_iter().next() else { return };
    let clients = clients();
    let (mut rows, mut wrong) = (Vec::new(), Vec::new());
    for (provider, speaks, does_not) in PROVIDERS {
        let [mislabelled, release] = [does_not, speaks]
            .map(|protocol| Release::made(&goreleaser, provider, protocol, &configuration(false)));
        for Form { name, publish, locks } in FORMS {
            let site = Site::empty();
            publish(&mislabelled, &site).refused(provider, &["the plugin protocol is mislabelled"]);
            publish(&release, &site).succeeds();
            verifies(&site.path());
            let says = format!("{provider}, protocol {speaks}, from {name}");
            let seen = each(clients.len(), |at| applied(&clients[at], &site, speaks));
            let mut words = Vec::new();
            for (client, seen) in clients.iter().zip(seen) {
                if seen.as_deref() != Ok(&format!("applies; {locks}")) {
                    wrong.push(format!("{says}, {}: {seen:?}", client.name()));
                }
                words.push(seen.unwrap_or_else(|_| "fails".to_owned()));
            }
            rows.push(Row { says, words });
        }
    }
    conclude("providers", &clients, &rows, &wrong);
}
