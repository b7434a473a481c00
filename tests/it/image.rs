//! `drone/Dockerfile`: it takes what `ci/release.sh` makes, and nothing else.

use std::collections::BTreeSet;
use std::path::Path;

fn file(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// A stage of a Dockerfile: what it is made from, and its instructions with their arguments.
#[derive(Debug)]
struct Stage {
    from: String,
    instructions: Vec<(String, String)>,
}

impl Stage {
    fn all(&self, name: &str) -> Vec<&str> {
        self.instructions.iter().filter(|(of, _)| of == name).map(|(_, arguments)| &**arguments).collect()
    }
}

/// The stages, by the Dockerfile reference: a line that ends in a backslash goes on in the next one, comments are lines of their own.
fn stages(dockerfile: &str) -> Vec<Stage> {
    let lines = dockerfile.lines().filter(|line| !line.trim_start().starts_with('#'));
    let text = lines.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    let mut stages: Vec<Stage> = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let (name, arguments) = line.split_once(' ').unwrap();
        let arguments = arguments.split_whitespace().collect::<Vec<_>>().join(" ");
        match name {
            "FROM" => stages.push(Stage { from: arguments, instructions: Vec::new() }),
            _ => stages.last_mut().unwrap().instructions.push((name.to_owned(), arguments)),
        }
    }
    stages
}

/// What `name` in ci/release.sh makes of the targets.
fn executables(script: &str) -> BTreeSet<String> {
    let names = script.lines().filter_map(|line| line.split_once(") echo tfreg-linux-"));
    names.map(|(_, rest)| format!("tfreg-linux-{}", rest.split(' ').next().unwrap())).collect()
}

#[test]
fn the_image_has_an_executable_of_a_release_and_no_program_that_made_it() {
    let stages = stages(&file("drone/Dockerfile"));
    let [files, image] = &stages[..] else { panic!("{stages:#?}") };
    for tool in ["cargo", "rustup", "musl", "gcc"] {
        assert!(!format!("{stages:?}").contains(tool), "{tool}: {stages:#?}");
    }
    // The base has to be of the machine that builds, or an image of another processor could not be made without an emulator.
    assert_eq!(files.from, "--platform=$BUILDPLATFORM debian:bookworm-slim AS files");
    assert_eq!(image.from, "scratch");
    assert_eq!(image.all("ARG"), ["TARGETARCH"]);
    assert_eq!(image.all("COPY"), ["--from=files /image /", "dist/tfreg-linux-${TARGETARCH} /tfreg"]);
    assert_eq!(image.all("USER"), ["65532:65532"]);
    let [entry] = image.all("ENTRYPOINT")[..] else { panic!("{image:#?}") };
    assert_eq!(serde_json::from_str::<Vec<String>>(entry).unwrap(), ["/tfreg", "drone"]);
    assert!(image.all("RUN").is_empty(), "there is nothing to run");
    assert!(files.all("RUN")[0].contains("ca-certificates"));
}

#[test]
fn the_names_of_the_executables_agree() {
    let script = file("ci/release.sh");
    let made = executables(&script);
    // Docker's words for the processors of a release.
    let named: BTreeSet<String> = ["amd64", "arm64"]
        .iter()
        .map(|arch| "dist/tfreg-linux-${TARGETARCH}".replace("${TARGETARCH}", arch))
        .collect();
    let in_folder: BTreeSet<String> = made.iter().map(|name| format!("dist/{name}")).collect();
    assert_eq!(in_folder, named);
    assert!(script.contains(" out=dist\n"), "the folder is that of the Dockerfile");
    // The builder gets them, and nothing else of the repository.
    let ignored = file("drone/Dockerfile.dockerignore");
    let mut lines = ignored.lines();
    assert_eq!(lines.next(), Some("*"));
    let admitted: BTreeSet<String> = lines.map(|line| line.strip_prefix('!').unwrap().to_owned()).collect();
    assert_eq!(admitted, named);
    // Nor does git.
    assert!(file(".gitignore").lines().any(|line| line == "/dist"));
}
