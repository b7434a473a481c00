//! The table of `tfreg key`: what each family of clients makes of a key.

use tfreg::openpgp::client_support::Verdict;

use super::{Claim, Client, Kind, Row, Seen, claim, each};
use crate::acceptance::{Registry, Signer, odd_keys, test_key, test_keys};

/// What OpenTofu prints of a key that has expired.
const EXPIRED: &str = "gpg key expired";

pub(super) fn rows(clients: &[Client], wrong: &mut Vec<String>) -> Vec<Row> {
    let sums = Registry::new().sums();
    let of_files = test_keys(&sums).into_iter();
    let mut keys: Vec<(String, Signer, Vec<u8>)> =
        of_files.map(|(name, signer, signature)| (format!("`{name}`"), signer, signature)).collect();
    keys.extend(odd_keys().into_iter().map(|(name, signer)| {
        let signature = signer.sign(&sums).unwrap();
        (name.to_owned(), signer, signature)
    }));
    // A registry a client, since it is changed for each key.
    let of_clients = each(clients.len(), |at| {
        let (client, registry) = (&clients[at], Registry::new());
        let of_keys = keys.iter().map(|(name, signer, signature)| {
            let (seen, expected) =
                (seen(client, &registry, signer, signature, &[]), by_table(client, signer));
            let differs = format!(
                "{name}, {}: {}, and it is said: {expected}\n{}",
                client.name(),
                seen.word,
                seen.printed
            );
            let is_wrong = seen.word != expected;
            (seen.word, is_wrong.then_some(differs))
        });
        of_keys.collect::<Vec<_>>()
    });
    wrong.extend(of_clients.iter().flatten().filter_map(|(_, differs)| differs.clone()));
    let row = |(at, (name, ..)): (usize, &(String, Signer, Vec<u8>))| {
        let words = of_clients.iter().map(|seen| seen[at].0.clone()).collect();
        Row { says: name.clone(), words }
    };
    keys.iter().enumerate().map(row).collect()
}

/// What a client makes of a key and a signature.
fn seen(
    client: &Client,
    registry: &Registry,
    signer: &Signer,
    signature: &[u8],
    environment: &[(&str, &str)],
) -> Seen {
    let (verdict, printed) = match registry.init(&client.program, signer, signature, environment) {
        Ok(printed) if printed.contains(EXPIRED) => (Verdict::Warns, printed),
        Ok(printed) => (Verdict::Accepts, printed),
        Err(printed) => (Verdict::Rejects, printed),
    };
    Seen { word: verdict.word().to_owned(), printed }
}

/// What the table says of a client and a key.
fn by_table(client: &Client, signer: &Signer) -> String {
    let judged = signer.judge().into_iter().find(|judged| judged.family == client.family()).unwrap();
    judged.verdict.word().to_owned()
}

/// What does not depend on the key alone.
pub(super) fn claims() -> Vec<Claim> {
    vec![
        claim(
            "`expired.asc`, with `OPENTOFU_ENFORCE_GPG_EXPIRATION=true`",
            |client| match client.kind {
                Kind::OpenTofu => Verdict::Rejects.word().to_owned(),
                Kind::Terraform => by_table(client, &test_key("expired.asc")),
            },
            |client| {
                let (registry, signer) = (Registry::new(), test_key("expired.asc"));
                let signature = signer.sign(&registry.sums()).unwrap();
                seen(client, &registry, &signer, &signature, &[("OPENTOFU_ENFORCE_GPG_EXPIRATION", "true")])
            },
        ),
        claim(
            "`rsa3072.asc`, a signature that has expired",
            |client| {
                let verdict = match client.kind {
                    Kind::OpenTofu => Verdict::Warns,
                    Kind::Terraform if client.is(Kind::Terraform, 1, 6) => Verdict::Rejects,
                    Kind::Terraform => Verdict::Accepts,
                };
                verdict.word().to_owned()
            },
            |client| {
                let (registry, signer) = (Registry::new(), test_key("rsa3072.asc"));
                let signature = signer.sign_for_yesterday(&registry.sums()).unwrap();
                seen(client, &registry, &signer, &signature, &[])
            },
        ),
    ]
}
