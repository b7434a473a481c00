//! The web server of docs/hosting.md serves every part of a registry, by the content types that the registry has.

use std::fs;
use std::path::Path;

use super::{blocks, page};
use crate::support::{folder, publish, run, tarballs, tfreg, tree};

/// The block of a server's configuration: its locations, each with what is in it.
fn locations() -> Vec<(String, String)> {
    let page = page("docs/hosting.md");
    let block = blocks(&page).into_iter().find(|block| block.language.as_deref() == Some("nginx")).unwrap();
    let parts = block.text.split("location ").skip(1);
    parts
        .map(|part| part.split_once(" {").unwrap())
        .map(|(path, rules)| (path.into(), rules.into()))
        .collect()
}

/// The location that serves a file; `None` if only that of everything else does.
fn location_of<'a>(locations: &'a [(String, String)], file: &str) -> Option<&'a str> {
    let top = file.split('/').next().unwrap().replace('.', "\\.");
    let found = locations.iter().find(|(path, _)| path != "/" && path.contains(&top));
    found.map(|(_, rules)| rules.as_str())
}

#[test]
fn every_part_of_a_registry_is_served() {
    let root = folder();
    let site = root.path().join("site");
    let docs = root.path().join("docs");
    fs::create_dir(&docs).unwrap();
    fs::write(docs.join("index.md"), "# Sample\n\nA provider.\n").unwrap();
    let settings = ["--base-url", "https://registry.example.com/", "--network-mirror", "--pages"];
    run(tfreg().arg("init").arg(&site).args(settings)).succeeds();
    run(publish(&site, &tarballs("release-1.2.0")).arg("--docs").arg(&docs)).succeeds();

    let locations = locations();
    let mut seen = 0;
    for file in tree(&site).into_keys() {
        if file.starts_with(".tfreg-") {
            assert_eq!(location_of(&locations, &file), None, "{file} is nobody's");
            continue;
        }
        seen += 1;
        let rules = location_of(&locations, &file).unwrap_or_else(|| panic!("no location serves {file}"));
        let extension = Path::new(&file).extension().map_or("", |extension| extension.to_str().unwrap());
        // The front page has the type that every web server knows.
        if file != "index.html" && !rules.contains("default_type") {
            assert!(rules.contains(&format!(" {extension};")), "the type of {file} is not known");
        }
    }
    assert!(seen > 15, "{seen} files");
    assert_eq!(location_of(&locations, "elsewhere/x.json"), None);
}
