//! What real clients of many versions do, against what the documentation and the code say of them.
//!
//! `TFREG_CLIENTS` names a folder of clients as `tests/clients/build` makes it, or one of them. Each claim is tried with each
//! client, and a client that does otherwise fails the test. `tests/clients/run` builds them all and writes what was seen into
//! `docs/clients.md`.

mod goreleaser;
mod index;
mod keys;
mod lock_files;
mod mirror;
mod private;
mod provider;
mod renovate;
mod rules;
mod sites;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tfreg::openpgp::client_support::ClientFamily;

use crate::support::clients::Terraform;
use crate::support::programs::{require_program, skipped};
use crate::support::{Ran, run};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Terraform,
    OpenTofu,
}

/// A client that was built.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Client {
    kind: Kind,
    version: semver::Version,
    program: PathBuf,
}

impl Client {
    fn name(&self) -> String {
        format!("{:?} {}", self.kind, self.version)
    }

    fn family(&self) -> ClientFamily {
        match self.kind {
            Kind::Terraform => ClientFamily::of_terraform(&self.version),
            Kind::OpenTofu => ClientFamily::of_opentofu(&self.version),
        }
    }

    /// Whether it is this client in this release or a newer one.
    fn is(&self, kind: Kind, major: u64, minor: u64) -> bool {
        self.kind == kind && self.version >= semver::Version::new(major, minor, 0)
    }

    /// OpenTofu 1.12 and newer read the member `packages`.
    fn reads_packages(&self) -> bool {
        self.is(Kind::OpenTofu, 1, 12)
    }

    /// Terraform follows three redirects of a discovery document, and so does OpenTofu before it had a library of its own.
    fn follows_ten_redirects(&self) -> bool {
        self.is(Kind::OpenTofu, 1, 11)
    }

    /// A working directory of this client.
    fn in_directory(&self, directory: Terraform) -> Terraform {
        directory.by(&self.program)
    }
}

/// The release that a program says that it is of.
fn version_of(program: &Path) -> semver::Version {
    let mut command = Command::new(program);
    // A configuration of the user's own may have it say more.
    let ran = run(command
        .args(["version", "-json"])
        .env("CHECKPOINT_DISABLE", "1")
        .env_remove("TF_CLI_CONFIG_FILE"));
    let version: serde_json::Value = serde_json::from_str(&ran.succeeds().stdout).unwrap();
    version["terraform_version"].as_str().unwrap().parse().unwrap()
}

/// The programs of `TFREG_CLIENTS` of one name, as `tests/clients/build` names their folders: `NAME-VERSION/PROGRAM`. The oldest first.
fn built(name: &str, program: &str) -> Vec<(semver::Version, PathBuf)> {
    let Some(root) = std::env::var_os("TFREG_CLIENTS").map(PathBuf::from) else { return Vec::new() };
    let entries = std::fs::read_dir(&root).into_iter().flatten();
    let folders = entries.map(|entry| entry.unwrap().path()).chain([root]);
    let in_folder = |folder: PathBuf| {
        let version = folder.file_name()?.to_str()?.strip_prefix(name)?.strip_prefix('-')?.parse().ok()?;
        let program = folder.join(program);
        program.is_file().then_some((version, program))
    };
    let mut found: Vec<_> = folders.filter_map(in_folder).collect();
    found.sort();
    found
}

/// The clients of `TFREG_CLIENTS`, and the Terraform of `PATH`.
fn clients() -> Vec<Client> {
    if std::env::var_os("TFREG_CLIENTS").is_none() {
        skipped("TFREG_CLIENTS names no folder of clients; tests/clients/run builds them");
    }
    let of = |kind, name, program| {
        built(name, program).into_iter().map(move |(version, program)| Client { kind, version, program })
    };
    let terraforms = of(Kind::Terraform, "terraform", "terraform");
    let mut clients: Vec<Client> = terraforms.chain(of(Kind::OpenTofu, "opentofu", "tofu")).collect();
    // The page is about those of the file; what else was built stays in the cache.
    if std::env::var_os("TFREG_UPDATE_DOCS").is_some() {
        let wanted = wanted(&CLIENTS);
        clients.retain(|client| wanted.contains(&client.name()));
    }
    for client in &clients {
        assert_eq!(version_of(&client.program), client.version, "{}", client.program.display());
    }
    // And the one that the other tests run.
    if require_program("terraform") {
        let program = PathBuf::from("terraform");
        let client = Client { kind: Kind::Terraform, version: version_of(&program), program };
        if clients.iter().all(|other| other.name() != client.name()) {
            clients.push(client);
        }
    }
    clients.sort();
    if clients.iter().all(|client| client.kind != Kind::OpenTofu) {
        skipped("NOT CHECKED: OpenTofu, of which there is none");
    }
    clients
}

/// What `tests/clients/versions` has of these programs, by name and version as the page calls them.
fn wanted(programs: &[&str]) -> Vec<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/versions");
    let text = std::fs::read_to_string(file).unwrap();
    let name = |line: &str| {
        let mut words = line.split(' ');
        let program = words.next().filter(|program| programs.contains(program))?;
        let name = match program {
            "terraform" => "Terraform",
            "opentofu" => "OpenTofu",
            _ => "GoReleaser",
        };
        Some(format!("{name} {}", words.next()?))
    };
    text.lines().filter_map(name).collect()
}

const CLIENTS: [&str; 2] = ["terraform", "opentofu"];

/// What a client was seen to do, in a word or two, and what it printed.
struct Seen {
    word: String,
    printed: String,
}

impl Seen {
    /// Whether it installs.
    fn of(ran: &Ran) -> Self {
        Self::that(if ran.code == 0 { "installs" } else { "refuses" }, ran)
    }

    fn that(word: impl Into<String>, ran: &Ran) -> Self {
        Self { word: word.into(), printed: format!("{}{}", ran.stdout, ran.stderr) }
    }
}

/// One claim about clients.
struct Claim {
    says: &'static str,
    /// What a client does, if the claim is right.
    expected: fn(&Client) -> String,
    tried: fn(&Client) -> Seen,
}

fn claim(says: &'static str, expected: fn(&Client) -> String, tried: fn(&Client) -> Seen) -> Claim {
    Claim { says, expected, tried }
}

fn installs(_: &Client) -> String {
    "installs".to_owned()
}

fn refuses(_: &Client) -> String {
    "refuses".to_owned()
}

fn installs_if(does: bool) -> String {
    if does { "installs" } else { "refuses" }.to_owned()
}

/// A line of the table: what was tried, and what each client did.
struct Row {
    says: String,
    words: Vec<String>,
}

/// Does `work` for each of `0..count`, two at a time, and gives the results in order.
fn each<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        let one_after_the_other = || {
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                if at >= count {
                    return;
                }
                let result = work(at);
                done.lock().unwrap().push((at, result));
            }
        };
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(one_after_the_other)).collect();
        for thread in threads {
            thread.join().unwrap();
        }
    });
    let mut done = done.into_inner().unwrap();
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Tries each claim with each client. What was otherwise than claimed goes to `wrong`.
fn try_all(claims: &[Claim], clients: &[Client], wrong: &mut Vec<String>) -> Vec<Row> {
    let seen = each(claims.len() * clients.len(), |at| {
        let (claim, client) = (&claims[at / clients.len()], &clients[at % clients.len()]);
        // A case that cannot be made is wrong too, and the others are tried nevertheless.
        let seen = std::panic::catch_unwind(|| (claim.tried)(client));
        let seen = seen.unwrap_or_else(|_| Seen { word: "panics".to_owned(), printed: String::new() });
        let expected = (claim.expected)(client);
        let differs = format!(
            "{}, {}: {}, and it is said: {expected}\n{}",
            claim.says,
            client.name(),
            seen.word,
            seen.printed
        );
        let is_wrong = seen.word != expected;
        (seen.word, is_wrong.then_some(differs))
    });
    let mut seen = seen.into_iter();
    let mut row = |claim: &Claim| {
        let cells = seen.by_ref().take(clients.len());
        let words = cells
            .map(|(word, differs)| {
                wrong.extend(differs);
                word
            })
            .collect();
        Row { says: claim.says.to_owned(), words }
    };
    claims.iter().map(&mut row).collect()
}

/// A table of Markdown.
fn table(clients: &[Client], rows: &[Row]) -> String {
    let mut text = String::from("| |");
    for client in clients {
        let _ = write!(text, " {} |", client.name());
    }
    text += "\n|---|";
    text += &"---|".repeat(clients.len());
    for row in rows {
        let _ = write!(text, "\n| {} | {} |", row.says, row.words.join(" | "));
    }
    text + "\n"
}

/// Puts a text between two markers of `docs/clients.md` if `TFREG_UPDATE_DOCS` is set. Clients that are missing are named there.
fn document(part: &str, clients: &[Client], text: &str) {
    let names: Vec<String> = clients.iter().map(Client::name).collect();
    document_as(part, &format!("{}{text}", not_checked(wanted(&CLIENTS), &names)));
}

/// What the page says of those that are wanted and are not there.
fn not_checked(mut wanted: Vec<String>, names: &[String]) -> String {
    wanted.retain(|wanted| !names.contains(wanted));
    if wanted.is_empty() {
        return String::new();
    }
    let missing = wanted.join(", ");
    skipped(&format!("NOT CHECKED: {missing} are not there"));
    format!("**NOT CHECKED**, as they were not there: {missing}.\n\n")
}

/// The same for a text that stands for itself.
fn document_as(part: &str, text: &str) {
    static FILE: Mutex<()> = Mutex::new(());
    if std::env::var_os("TFREG_UPDATE_DOCS").is_none() {
        return;
    }
    let today = jiff::Timestamp::now().strftime("%Y-%m-%d");
    let text = format!("Seen on {today}.\n\n{text}");
    let _alone = FILE.lock().unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/clients.md");
    let page = std::fs::read_to_string(&file).unwrap();
    let (begin, end) = (format!("<!-- begin {part} -->\n"), format!("<!-- end {part} -->"));
    let (before, rest) = page.split_once(&begin).unwrap();
    let (_, after) = rest.split_once(&end).unwrap();
    std::fs::write(file, format!("{before}{begin}\n{text}\n{end}{after}")).unwrap();
}

/// Tries the claims of a topic, and has the page say what was seen.
fn check(part: &str, claims: &[Claim]) {
    let (clients, mut wrong) = (clients(), Vec::new());
    let rows = try_all(claims, &clients, &mut wrong);
    conclude(part, &clients, &rows, &wrong);
}

/// Fails where something was otherwise than claimed; else the page says what was seen.
fn conclude(part: &str, clients: &[Client], rows: &[Row], wrong: &[String]) {
    let text = table(clients, rows);
    println!("{text}");
    assert!(wrong.is_empty(), "{} are wrong:\n{}\n{text}", wrong.len(), wrong.join("\n"));
    document(part, clients, &text);
}

#[test]
fn every_client_treats_keys_as_tfreg_says() {
    let (clients, mut wrong) = (clients(), Vec::new());
    let mut rows = keys::rows(&clients, &mut wrong);
    rows.extend(try_all(&keys::claims(), &clients, &mut wrong));
    conclude("keys", &clients, &rows, &wrong);
}

#[test]
fn every_client_locks_hashes_as_documented() {
    check("lock files", &lock_files::claims());
}

#[test]
fn every_client_chooses_versions_as_documented() {
    check("versions", &index::claims());
}

#[test]
fn every_client_follows_redirects_as_documented() {
    check("redirects", &sites::claims());
}

#[test]
fn every_client_sends_tokens_and_passwords_as_documented() {
    check("private registries", &private::claims());
}

#[test]
fn every_client_takes_network_mirrors_as_documented() {
    check("network mirrors", &mirror::claims());
}

#[test]
fn every_client_reads_packages_as_verify_says() {
    rules::check(None, |mutation| mutation.name.starts_with("package"));
}

#[test]
#[ignore = "takes minutes a client; tests/clients/run runs it"]
fn every_client_meets_broken_rules_as_verify_says() {
    rules::check(Some("rules"), |_| true);
}
