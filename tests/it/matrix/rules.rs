//! The rules of `tfreg verify`: what each client makes of a registry in which one of them is broken.

use tfreg::openpgp::client_support::ClientFamily;

use super::{Client, Kind, Row, clients, document, each, table};
use crate::support::mutated::Case;
use crate::verify::{Mutation, mutations};

/// Where a client does otherwise than Terraform 1.11.4, of which the list of changes tells: whether it installs.
fn otherwise(change: &str, client: &Client) -> Option<bool> {
    let of_rfc9580 = match client.kind {
        Kind::Terraform => client.is(Kind::Terraform, 1, 12),
        Kind::OpenTofu => client.is(Kind::OpenTofu, 1, 11),
    };
    match change {
        "a key of RFC 9580" | "a key of version 6" if of_rfc9580 => Some(true),
        "four redirects" if client.follows_ten_redirects() => Some(true),
        // OpenTofu takes both for an expired key, and warns. It does not read the other.
        "the signature has expired"
        | "the signature is of the future"
        | "the trust signature is a number"
            if client.kind == Kind::OpenTofu =>
        {
            Some(true)
        }
        "an expired key" | "an expired subkey" if client.family() == ClientFamily::Terraform1_6_0 => {
            Some(false)
        }
        // They leave the version out.
        "v in another version" if client.is(Kind::Terraform, 1, 13) => Some(true),
        // It is compared with `packages`, letter by letter.
        "an upper-case shasum" if client.reads_packages() => Some(false),
        "packages are a list"
        | "packages without the own platform"
        | "packages with another zip of the own platform"
        | "packages with another size"
            if client.reads_packages() =>
        {
            Some(false)
        }
        _ => None,
    }
}

/// Tries the changes that `chosen` names, and has a part of the page say which of them clients do not agree on.
pub(super) fn check(part: Option<&str>, chosen: fn(&Mutation) -> bool) {
    let there = clients();
    // Terraform 1.5 and older cannot read the key of these registries, and install nothing of them.
    let read_it = |client: &&Client| client.kind == Kind::OpenTofu || client.is(Kind::Terraform, 1, 6);
    let clients: Vec<Client> = there.iter().filter(read_it).cloned().collect();
    let mutations: Vec<Mutation> = mutations().into_iter().filter(chosen).collect();
    assert!(!mutations.is_empty());
    let seen = each(mutations.len() * clients.len(), |at| {
        let (mutation, client) = (&mutations[at / clients.len()], &clients[at % clients.len()]);
        let case = Case::new();
        (mutation.change)(&case);
        case.installs(&client.program)
    });
    let (mut rows, mut wrong, mut alike) = (Vec::new(), Vec::new(), 0);
    for (mutation, seen) in mutations.iter().zip(seen.chunks(clients.len())) {
        for (client, seen) in clients.iter().zip(seen) {
            let expected = otherwise(mutation.name, client).unwrap_or(mutation.installs());
            if expected != seen.is_ok() {
                wrong.push(format!("{}, {}: {seen:?}", mutation.name, client.name()));
            }
        }
        if seen.iter().all(|other| other.is_ok() == seen[0].is_ok()) {
            alike += 1;
            continue;
        }
        rows.push(row(mutation, seen));
    }
    let text = format!(
        "{alike} of {} changes meet the same answer of all of them; those that do not:\n\n{}",
        mutations.len(),
        table(&clients, &rows)
    );
    println!("{text}");
    assert!(wrong.is_empty(), "{} are wrong:\n{}\n{text}", wrong.len(), wrong.join("\n"));
    if let Some(part) = part {
        document(part, &there, &text);
    }
}

fn row(mutation: &Mutation, seen: &[Result<(), String>]) -> Row {
    let word = |seen: &Result<(), String>| if seen.is_ok() { "installs" } else { "refuses" }.to_owned();
    let says = if mutation.rule.is_empty() {
        mutation.name.to_owned()
    } else {
        format!("{} (`{}`)", mutation.name, mutation.rule)
    };
    Row { says, words: seen.iter().map(word).collect() }
}
