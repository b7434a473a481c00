//! The documentation: links lead somewhere, `docs/cli.md` is what the command line is, commands and code in it run.
//!
//! In the pages an indented block is commands for a shell, and everything else is fenced with its language. Each block of
//! commands is a script that `bash -e` runs in the world of [`Fixture`], where [`TOGETHER`] names a section all of its blocks
//! as one; what cannot run there is in [`NOT_RUN`], with the reason.

mod command_line;
mod output;
mod pipelines;
mod private_registries;
mod web_server;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

use crate::support::child::Running;
use crate::support::clients::require_program;
use crate::support::examples::{Fixture, can_run};
use crate::support::{ran, run};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The pages that users read, by their paths from the root.
fn pages() -> BTreeMap<String, String> {
    let mut found = vec!["README.md".to_owned(), "drone/README.md".to_owned()];
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name.ends_with(".md"), "docs/{name} is no page");
        found.push(format!("docs/{name}"));
    }
    assert!(found.len() > 12, "the pages were not found: {found:?}");
    found.into_iter().map(|path| (path.clone(), fs::read_to_string(root().join(path)).unwrap())).collect()
}

fn page(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

fn parse(text: &str) -> Parser<'_> {
    Parser::new_ext(text, Options::ENABLE_TABLES)
}

/// A block of code.
#[derive(Debug)]
struct Block {
    /// The heading above it.
    heading: String,
    /// What it is fenced with; `None` where it is indented: commands.
    language: Option<String>,
    text: String,
}

fn blocks(text: &str) -> Vec<Block> {
    let (mut blocks, mut heading, mut in_heading, mut block): (Vec<Block>, String, bool, Option<Block>) =
        Default::default();
    for event in parse(text) {
        match event {
            Event::Start(Tag::Heading { .. }) => (heading, in_heading) = (String::new(), true),
            Event::End(TagEnd::Heading(_)) => in_heading = false,
            Event::Start(Tag::CodeBlock(kind)) => {
                let language = match kind {
                    CodeBlockKind::Indented => None,
                    CodeBlockKind::Fenced(language) => Some(language.to_string()),
                };
                block = Some(Block { heading: heading.clone(), language, text: String::new() });
            }
            Event::End(TagEnd::CodeBlock) => blocks.extend(block.take()),
            Event::Text(text) | Event::Code(text) if in_heading => heading.push_str(&text),
            Event::Text(text) => {
                if let Some(block) = &mut block {
                    block.text.push_str(&text);
                }
            }
            _ => {}
        }
    }
    blocks
}

/// The one block of `language` in a page below `heading` that has `word` in it.
pub(crate) fn block(name: &str, heading: &str, language: &str, word: &str) -> String {
    let of_language = |block: &Block| block.language.as_deref() == Some(language);
    let mut found: Vec<Block> = blocks(&page(name));
    found.retain(|block| of_language(block) && block.heading == heading && block.text.contains(word));
    let [block] = &found[..] else { panic!("{name}, {heading}: {found:?}") };
    block.text.clone()
}

/// The texts in backticks.
fn codes(text: &str) -> Vec<String> {
    let codes = parse(text).filter_map(|event| match event {
        Event::Code(code) => Some(code.to_string()),
        _ => None,
    });
    codes.collect()
}

/// The anchors that GitHub makes of a page's headings.
fn anchors(text: &str) -> Vec<String> {
    let mut anchors: Vec<String> = Vec::new();
    let mut heading: Option<String> = None;
    for event in parse(text) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::End(TagEnd::Heading(_)) => {
                let words = heading.take().unwrap().to_lowercase();
                let kept = words.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
                let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
                let before = anchors.iter().filter(|other| **other == anchor).count();
                anchors.push(if before == 0 { anchor } else { format!("{anchor}-{before}") });
            }
            Event::Text(text) | Event::Code(text) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&text);
                }
            }
            _ => {}
        }
    }
    anchors
}

/// The links of a page that lead nowhere. Links into the world are not followed.
fn broken_links(page: &str, text: &str, pages: &BTreeMap<String, String>) -> Vec<String> {
    let mut broken = Vec::new();
    for event in parse(text) {
        let Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) = event else { continue };
        if dest_url.starts_with("https://") {
            continue;
        }
        let (file, anchor) =
            dest_url.split_once('#').map_or((&*dest_url, None), |(file, at)| (file, Some(at)));
        let mut target = PathBuf::from(page);
        if !file.is_empty() {
            target.pop();
            for part in Path::new(file).components() {
                match part {
                    Component::ParentDir => assert!(target.pop(), "{page}: {dest_url}"),
                    part => target.push(part),
                }
            }
        }
        let there = root().join(&target).exists();
        let anchored = anchor.is_none_or(|anchor| {
            let target = pages.get(target.to_str().unwrap());
            target.is_some_and(|text| anchors(text).iter().any(|other| other == anchor))
        });
        if !there || !anchored {
            broken.push(format!("{page}: {dest_url}"));
        }
    }
    // A reference without a definition is no link for the parser, and brackets for the reader.
    broken.extend(text.lines().filter(|line| line.contains("][")).map(|line| format!("{page}: {line}")));
    broken
}

#[test]
fn every_link_and_anchor_leads_somewhere() {
    let pages = pages();
    let broken: Vec<String> =
        pages.iter().flat_map(|(page, text)| broken_links(page, text, &pages)).collect();
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));

    let wrong = "[a](docs/none.md) [b](#none) [c](docs/s3.md#none) [d](README.md#try-it) [e][f]";
    assert_eq!(broken_links("README.md", wrong, &pages).len(), 4);
    assert_eq!(broken_links("docs/s3.md", "[a](s3.md) [b](README.md)", &pages), ["docs/s3.md: README.md"]);
}

#[test]
fn the_readme_is_short_and_names_every_page_with_the_question_that_it_answers() {
    let pages = pages();
    let readme = &pages["README.md"];
    assert!(readme.lines().count() <= 250, "README.md has {} lines", readme.lines().count());
    for (page, text) in pages.iter().filter(|(page, _)| *page != "README.md") {
        let row = readme.lines().find(|line| line.contains(&format!("]({page}) |")));
        let row = row.unwrap_or_else(|| panic!("the index of README.md has no {page}"));
        assert!(row.trim_end_matches(" |").ends_with('?'), "{row}");
        let first = text.lines().skip(1).find(|line| !line.is_empty()).unwrap();
        assert!(
            text.starts_with("# ") && first.ends_with('?'),
            "{page}: its first line is no question: {first}"
        );
    }
}

/// Languages that blocks are fenced with, and what holds them to something.
const LANGUAGES: &[(&str, &str)] = &[
    ("text", "what is printed, or names of files; see `what_is_shown_is_what_is_printed`"),
    ("json", "parsed"),
    ("yaml", "parsed; the pipelines among it are run"),
    ("hcl", "parsed by terraform"),
    ("js", "run"),
    ("make", "run"),
    ("nginx", "its locations are compared with the parts of a registry"),
];

#[test]
fn json_yaml_and_hcl_can_be_parsed() {
    let terraform = require_program("terraform");
    let mut parsed: BTreeMap<String, usize> = BTreeMap::new();
    for (page, text) in pages() {
        for block in blocks(&text) {
            let Some(language) = &block.language else { continue };
            let place = format!("{page}, {}", block.heading);
            assert!(LANGUAGES.iter().any(|(known, _)| known == language), "{place}: ```{language}");
            match &**language {
                "json" => {
                    let value: Result<serde_json::Value, _> = serde_json::from_str(&block.text);
                    assert!(value.is_ok(), "{place}: {value:?}");
                }
                "yaml" => {
                    let value = yaml_rust2::YamlLoader::load_from_str(&block.text);
                    assert!(value.as_ref().is_ok_and(|documents| documents.len() == 1), "{place}: {value:?}");
                }
                "hcl" if terraform => {
                    let mut fmt = Command::new("terraform");
                    fmt.args(["fmt", "-check", "-diff", "-"]).env("CHECKPOINT_DISABLE", "1");
                    fmt.env_remove("TF_CLI_CONFIG_FILE").env_remove("TF_CLI_ARGS").env_remove("TF_LOG");
                    fmt.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
                    let mut child = Running::start(&mut fmt);
                    std::io::Write::write_all(&mut child.stdin.take().unwrap(), block.text.as_bytes())
                        .unwrap();
                    let ran = ran(&child.output());
                    assert_eq!(ran.code, 0, "{place}: {ran:#?}");
                }
                _ => {}
            }
            *parsed.entry(language.clone()).or_default() += 1;
        }
    }
    for language in ["json", "yaml", "hcl", "js", "make"] {
        assert!(parsed.contains_key(language), "no block of {language} was found: {parsed:?}");
    }
}

/// Blocks that are not run by [`every_command_of_the_pages_works`]: the page, the beginning of the block, and why.
const NOT_RUN: &[(&str, &str, &str)] = &[
    ("README.md", "cargo run", "`the_first_try_of_the_readme_installs` runs them"),
    ("README.md", "cargo test", "it is what runs this test"),
    ("README.md", "TF_CLI_CONFIG_FILE", "`the_first_try_of_the_readme_installs` runs it"),
    ("README.md", "cargo install", "it builds tfreg once more"),
    ("docs/CONTRIBUTING.md", ".ci/run", "it runs this test"),
    ("docs/CONTRIBUTING.md", "ci/release.sh", "it builds tfreg twice more, for half an hour"),
    ("docs/CONTRIBUTING.md", "cargo doc", "it opens a browser; .ci/run has it without that"),
    ("docs/CONTRIBUTING.md", "TFREG_TEST_S3", "it needs an S3 server outside of the tests"),
    ("docs/CONTRIBUTING.md", "cargo build", "it needs Nettle, and builds tfreg once more"),
    ("docs/ci.md", "cargo test", "the test that it names is one of these tests"),
    ("docs/CONTRIBUTING.md", "TFREG_UPDATE_DOCS", "it writes the page that a test compares"),
    ("docs/performance.md", "cargo bench", "a benchmark"),
    ("docs/performance.md", "cargo build", "a benchmark"),
    (
        "docs/signing-keys.md",
        "gpg --quick",
        "it asks for a passphrase on a terminal; the README has the same in a script",
    ),
    (
        "docs/goreleaser.md",
        "tfreg publish --to s3://registry-bucket --namespace acme --public-key release-key.asc \\",
        "it needs a code host; tests have one on this machine",
    ),
    (
        "docs/signing-keys.md",
        "tfreg publish --signer gpg:",
        "the tests of `signers` run it, with keys of their own",
    ),
    ("docs/signing-keys.md", "tfreg publish --signer awskms:", "the tests of `signers` run it"),
    ("docs/signing-keys.md", "aws kms create-key", "it needs an account of AWS"),
    ("drone/README.md", "cargo test", "the test that it names is one of these tests"),
    ("drone/README.md", "drone ", "it needs a Drone server"),
    ("drone/README.md", "ci/release.sh", "it builds tfreg twice more, and needs a container engine"),
];

/// Sections whose blocks are one session.
const TOGETHER: &[(&str, &str)] = &[("README.md", "The first publish to S3, from nothing")];

/// What a user has set when he comes to a page's commands; the README sets the same.
const SET: &[(&str, &str)] = &[("TFREG_TO", "s3://registry-bucket"), ("TFREG_NAMESPACE", "acme")];

/// The scripts of a page.
fn scripts(name: &str, text: &str) -> Vec<String> {
    let mut scripts: Vec<(String, String)> = Vec::new();
    for block in blocks(text).into_iter().filter(|block| block.language.is_none()) {
        let together = TOGETHER.contains(&(name, &block.heading));
        match scripts.last_mut() {
            Some((heading, script)) if together && *heading == block.heading => script.push_str(&block.text),
            _ => scripts.push((block.heading, block.text)),
        }
    }
    scripts.into_iter().map(|(_, script)| script).collect()
}

#[test]
fn every_command_of_the_pages_works() {
    let (mut found, mut failed, mut excepted) = (0, Vec::new(), BTreeSet::new());
    for (page, text) in pages() {
        for script in scripts(&page, &text) {
            let exception =
                NOT_RUN.iter().find(|(of, beginning, _)| *of == page && script.starts_with(beginning));
            if let Some(exception) = exception {
                excepted.insert(exception);
                continue;
            }
            found += 1;
            if !can_run(&script) {
                continue;
            }
            // Nobody is there to be asked.
            let script = script
                .replace("tfreg yank ", "tfreg yank --yes ")
                .replace("tfreg reindex ", "tfreg reindex --yes ");
            let ran = Fixture::new(&script).run_with(&script, SET);
            println!("{page}: {}", script.lines().next().unwrap());
            if ran.code != 0 || ran.stderr.contains("error:") {
                failed.push(format!("{page}:\n{script}\n{ran:#?}"));
            }
        }
    }
    let idle: Vec<_> = NOT_RUN.iter().filter(|exception| !excepted.contains(exception)).collect();
    assert!(idle.is_empty(), "exceptions for blocks that are not there: {idle:?}");
    assert!(found > 18, "{found} scripts were found");
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn a_wrong_command_in_a_page_is_noticed() {
    if !require_program("bash") {
        return;
    }
    let page = "# A\n\nText:\n\n    tfreg verify site --slow\n\n1. In a list:\n\n       tfreg verify nowhere\n\n```text\nnot this\n```\n";
    let scripts = scripts("README.md", page);
    assert_eq!(scripts, ["tfreg verify site --slow\n", "tfreg verify nowhere\n"]);
    for script in scripts {
        assert_ne!(Fixture::new(&script).run_with(&script, SET).code, 0, "{script}");
    }
}

/// Who runs them twice would otherwise have a key without its passphrase.
#[test]
fn the_key_commands_of_the_readme_overwrite_nothing() {
    let readme = page("README.md");
    let made_by = blocks(&readme).into_iter().find(|block| block.text.contains("--quick-generate-key"));
    let script = made_by.unwrap().text;
    if !can_run(&script) {
        return;
    }
    let fixture = Fixture::new(&script);
    fixture.run(&script).succeeds();
    let read = || ["passphrase.txt", "key.asc"].map(|name| fs::read(fixture.path(name)).unwrap());
    let made = read();
    assert_ne!(fixture.run(&script).code, 0);
    assert_eq!(read(), made);
}

/// The two commands of the first try, and what a reader does with what they print: the real `terraform init`.
#[test]
fn the_first_try_of_the_readme_installs() {
    let readme = page("README.md");
    let commands: Vec<String> = blocks(&readme)
        .into_iter()
        .filter(|block| block.heading == "Try it" && block.language.is_none())
        .map(|block| block.text.replace("cargo run --release -- ", "tfreg "))
        .collect();
    let [publish, serve, init, all_tests] = &commands[..] else { panic!("{commands:?}") };
    assert_eq!(all_tests, "cargo test\n");
    if !require_program("bash") || !require_program("terraform") {
        return;
    }
    let fixture = Fixture::new(publish);
    fixture.run(publish).succeeds();
    let again = fixture.run(publish).succeeds();
    for said in codes(&readme).iter().filter(|code| code.starts_with("Already published")) {
        assert!(again.stdout.contains(said.as_str()), "{said}: {again:#?}");
    }
    let serve = serve.replace("serve site", "serve --listen 0 site").replacen("tfreg", "exec tfreg", 1);
    let mut serving = Running::start(fixture.bash(&serve).stdout(Stdio::piped()).stderr(Stdio::null()));
    let mut stdout = std::io::BufReader::new(serving.stdout.take().unwrap());
    // Two texts, each until its last brace: what it prints before them ends in a colon.
    let mut saved = [String::new(), String::new()];
    for text in &mut saved {
        while !text.ends_with("\n}\n") {
            let mut line = String::new();
            assert!(std::io::BufRead::read_line(&mut stdout, &mut line).unwrap() > 0, "{text}");
            if !text.is_empty() || line.ends_with("{\n") {
                text.push_str(&line);
            }
        }
    }
    let empty = fixture.path("empty");
    fs::create_dir(&empty).unwrap();
    fs::write(empty.join("preview.tfrc"), &saved[0]).unwrap();
    fs::write(empty.join("main.tf"), &saved[1]).unwrap();
    let mut init = fixture.bash(init);
    init.current_dir(&empty).env("CHECKPOINT_DISABLE", "1").env("TF_CLI_ARGS_init", "-no-color");
    let installed = run(&mut init).succeeds();
    let said: Vec<String> =
        codes(&readme).into_iter().filter(|code| code.starts_with("Installed ")).collect();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(installed.stdout.contains(&said[0]), "{}: {installed:#?}", said[0]);
    serving.signal(rustix::process::Signal::INT);
}

/// Blocks of output beside the command that prints them.
#[test]
fn what_is_shown_is_what_is_printed() {
    let shown = block("docs/signing-keys.md", "Look at a key", "text", "fingerprint");
    if require_program("bash") {
        let printed = Fixture::new("").run("tfreg key key.asc").succeeds().stdout;
        // A key of the tests says in its user id that it is worthless.
        let printed = printed.replace(
            "tfreg worthless test key (Ed25519) <worthless-ed25519@example.invalid>",
            "Acme releases <releases@example.com>",
        );
        assert_eq!(shown, printed, "docs/signing-keys.md shows another output than is printed:\n{printed}");
    }
}
