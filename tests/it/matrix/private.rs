//! Where clients send tokens, and what they take from `.netrc`: the table of `docs/private-registries.md`.

use super::sites::{Site, init};
use super::{Claim, Client, Kind, Seen, claim, installs, installs_if, refuses};
use crate::support::clients::Terraform;
use crate::support::host::{Certificate, Host, Instead};
use crate::support::tunnel::Tunnel;

const NAME: &str = "registry.example.com";
const TOKEN: Instead = Instead::Demand("Bearer worthless-token");
/// `user:password`
const BASIC: Instead = Instead::Demand("Basic dXNlcjpwYXNzd29yZA==");

/// How the user is known to the client.
#[derive(Clone, Copy)]
enum Known {
    Not,
    ByBlock,
    ByVariable,
    ByNetrc,
}

/// What a client makes of a host that demands something of the paths with these parts.
fn demanded(client: &Client, known: Known, demands: &[(&str, Instead)]) -> Seen {
    let site = Site::new();
    let host = Host::with(&site.path(), &Certificate::authority(&[NAME]));
    for (part, demand) in demands {
        host.instead(part, demand.clone());
    }
    // The host has a name, and no port, since names of variables can hold none.
    let tunnel = Tunnel::to(host.port());
    let mut directory = client.in_directory(Terraform::over(&host, "1.2.0"));
    for (name, value) in tunnel.environment() {
        directory = directory.with(name, &value);
    }
    let block = std::fs::read_to_string(directory.path("main.tf")).unwrap();
    std::fs::write(directory.path("main.tf"), block.replace(&host.name(), NAME)).unwrap();
    match known {
        Known::Not => {}
        Known::ByBlock => {
            let block = format!("credentials \"{NAME}\" {{\n  token = \"worthless-token\"\n}}\n");
            std::fs::write(directory.path("cli.tfrc"), block).unwrap();
        }
        Known::ByVariable => directory = directory.with("TF_TOKEN_registry_example_com", "worthless-token"),
        Known::ByNetrc => {
            let line = format!("machine {NAME} login user password password\n");
            std::fs::write(directory.path(".netrc"), line).unwrap();
        }
    }
    Seen::of(&init(&directory))
}

const DISCOVERY: &str = ".well-known/";
const DOCUMENTS: &str = "registry/acme/";
const SUMS: &str = "_SHA256SUMS";
const ZIP: &str = ".zip";

pub(super) fn claims() -> Vec<Claim> {
    vec![
        claim("nothing is demanded", installs, |client| demanded(client, Known::Not, &[])),
        claim("a token for documents, and none is there", refuses, |client| {
            demanded(client, Known::Not, &[(DOCUMENTS, TOKEN)])
        }),
        claim("a token for documents, by `credentials`", installs, |client| {
            demanded(client, Known::ByBlock, &[(DOCUMENTS, TOKEN)])
        }),
        claim("a token for documents, by `TF_TOKEN_…`", installs, |client| {
            demanded(client, Known::ByVariable, &[(DOCUMENTS, TOKEN)])
        }),
        claim("a token for discovery too", installs, |client| {
            demanded(client, Known::ByBlock, &[(DOCUMENTS, TOKEN), (DISCOVERY, TOKEN)])
        }),
        claim("a token for SHA256SUMS", refuses, |client| demanded(client, Known::ByBlock, &[(SUMS, TOKEN)])),
        claim("a token for zips", refuses, |client| demanded(client, Known::ByBlock, &[(ZIP, TOKEN)])),
        claim("a password for documents, by `.netrc`", refuses, |client| {
            demanded(client, Known::ByNetrc, &[(DOCUMENTS, BASIC)])
        }),
        claim("a password for SHA256SUMS, by `.netrc`", refuses, |client| {
            demanded(client, Known::ByNetrc, &[(SUMS, BASIC)])
        }),
        claim(
            "a password for zips, by `.netrc`",
            |client| installs_if(client.is(Kind::Terraform, 1, 11)),
            |client| demanded(client, Known::ByNetrc, &[(ZIP, BASIC)]),
        ),
    ]
}
