//! The pipelines of `docs/ci.md`: their commands, with the variables that they set, against the S3 server of the tests. The
//! roles are assumed with the tokens of the build, so no AWS key is in the environment.

use std::fs;

use yaml_rust2::{Yaml, YamlLoader};

use super::{block, root};
use crate::support::clients::require_program;
use crate::support::examples::Fixture;
use crate::support::{Ran, run};

fn yaml(heading: &str, word: &str) -> Yaml {
    YamlLoader::load_from_str(&block("docs/ci.md", heading, "yaml", word)).unwrap().remove(0)
}

/// The texts of a mapping.
fn pairs(mapping: &Yaml) -> Vec<(String, String)> {
    let pairs = mapping.as_hash().unwrap().iter();
    pairs
        .map(|(name, value)| (name.as_str().unwrap().to_owned(), value.as_str().unwrap().to_owned()))
        .collect()
}

/// Runs a step's commands where only the server's address is set, as the runner would have none.
fn run_step(fixture: &Fixture, script: &str, variables: Vec<(String, String)>) -> Ran {
    let mut command = fixture.bash(script);
    for name in [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_REGION",
        "TFREG_SIGNING_KEY",
        "TFREG_SIGNING_PASSPHRASE",
        "DRONE_TAG",
        "TAG",
    ] {
        command.env_remove(name);
    }
    run(command.envs(variables))
}

fn assert_published(fixture: &Fixture, bucket: &str) {
    let objects = fixture.server.objects(bucket);
    let index = &objects["registry/acme/sample/versions"].bytes;
    let index = String::from_utf8(index.to_vec()).unwrap();
    for text in ["\"1.2.0\"", "\"linux\"", "\"darwin\""] {
        assert!(index.contains(text), "{index}");
    }
}

#[test]
fn github_actions() {
    let trust: serde_json::Value =
        serde_json::from_str(&block("docs/ci.md", "GitHub Actions", "json", "Federated")).unwrap();
    assert_eq!(trust["Statement"][0]["Action"], "sts:AssumeRoleWithWebIdentity");
    let subject =
        &trust["Statement"][0]["Condition"]["StringEquals"]["token.actions.githubusercontent.com:sub"];
    let workflow = yaml("GitHub Actions", "jobs:");
    assert_eq!(workflow["permissions"]["id-token"].as_str(), Some("write"));
    // The subject of a token names the job's environment, where there is one.
    let environment = workflow["jobs"]["publish"]["environment"].as_str().unwrap();
    assert!(subject.as_str().unwrap().ends_with(&format!(":environment:{environment}")), "{subject}");
    let steps = workflow["jobs"]["publish"]["steps"].as_vec().unwrap();
    let publish = steps.iter().find(|step| step["name"].as_str() == Some("Publish")).unwrap();
    let script = publish["run"].as_str().unwrap();
    if !require_program("bash") || !require_program("jq") {
        return;
    }
    let variables = pairs(&publish["env"]);
    let fixture = Fixture::new("tfreg publish");
    let role = &variables.iter().find(|(name, _)| name == "AWS_ROLE_ARN").unwrap().1;
    fixture.server.add_role(role, &["registry-bucket"]);
    fixture.add_program("curl", CURL);
    let key = fs::read_to_string(fixture.path("key.asc")).unwrap();
    let mut set: Vec<(String, String)> = variables
        .into_iter()
        .map(|(name, value)| {
            let value = value.replace("${{ secrets.TFREG_SIGNING_KEY }}", &key);
            let value = value.replace("${{ secrets.TFREG_SIGNING_PASSPHRASE }}", "not needed");
            let value = value.replace("${{ runner.temp }}", fixture.root().to_str().unwrap());
            assert!(!value.contains("${{"), "{name}: {value}");
            (name, value)
        })
        .collect();
    for (name, value) in [
        ("GITHUB_REF_NAME", "v1.2.0"),
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "request-token"),
        ("ACTIONS_ID_TOKEN_REQUEST_URL", "https://token.example.com/?a=b"),
    ] {
        set.push((name.to_owned(), value.to_owned()));
    }
    run_step(&fixture, script, set.clone()).succeeds();
    assert_eq!(fs::read_to_string(fixture.path("aws-token")).unwrap().trim(), "token-of-the-build");
    assert_published(&fixture, "registry-bucket");
    // The tag decides.
    set.retain(|(name, _)| name != "GITHUB_REF_NAME");
    set.push(("GITHUB_REF_NAME".to_owned(), "v1.3.0".to_owned()));
    run_step(&fixture, script, set).refused("another tag", &["1.3.0"]);
}

#[test]
fn a_mirror_every_night() {
    let pipeline = yaml("A mirror, every night", "kind: pipeline");
    let [step] = pipeline["steps"].as_vec().unwrap().as_slice() else { panic!("{pipeline:?}") };
    let commands: Vec<&str> =
        step["commands"].as_vec().unwrap().iter().map(|command| command.as_str().unwrap()).collect();
    if !require_program("bash") {
        return;
    }
    let script = commands.join("\n");
    let fixture = Fixture::new(&script);
    let variables = step["environment"].as_hash().unwrap().iter().map(|(name, value)| {
        let value = value.as_str().unwrap_or("a token that upstream does not want");
        (name.as_str().unwrap().to_owned(), value.to_owned())
    });
    run(fixture.bash(&script).envs(variables)).succeeds();
    let objects = fixture.server.objects("registry-bucket");
    assert!(objects.contains_key("mirror/registry.example.org/acme/sample/1.2.0.json"));
}

/// The action of `ci/github`, called as the page calls it.
#[test]
fn github_action() {
    let steps = yaml("GitHub Actions", "ci/github@main");
    let call = steps["steps"].as_vec().unwrap().last().unwrap();
    let text = fs::read_to_string(root().join("ci/github/action.yml")).unwrap();
    let action = YamlLoader::load_from_str(&text).unwrap().remove(0);
    let with = pairs(&call["with"]);
    let inputs = action["inputs"].as_hash().unwrap();
    for (name, _) in &with {
        assert!(inputs.contains_key(&Yaml::String(name.clone())), "no input {name}");
    }
    for (name, input) in inputs {
        let is_required = input["required"].as_bool() == Some(true);
        let is_given = with.iter().any(|(given, _)| name.as_str() == Some(given));
        assert!(is_given || !is_required, "{name:?} is required");
    }
    let [step] = action["runs"]["steps"].as_vec().unwrap().as_slice() else { panic!("{action:?}") };
    assert_eq!((step["shell"].as_str(), action["runs"]["using"].as_str()), (Some("bash"), Some("composite")));
    if !require_program("bash") || !require_program("jq") {
        return;
    }
    let action_script = step["run"].as_str().unwrap();
    let key = fs::read_to_string(crate::support::key("ed25519.asc")).unwrap();
    let github = [
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "request-token"),
        ("ACTIONS_ID_TOKEN_REQUEST_URL", "https://token.example.com/?a=b"),
        ("GITHUB_REPOSITORY", "acme/terraform-provider-sample"),
        ("GITHUB_SHA", "0123456789abcdef0123456789abcdef01234567"),
        ("GITHUB_RUN_NUMBER", "7"),
        ("GITHUB_RUN_ID", "123"),
        ("GITHUB_SERVER_URL", "https://github.com"),
        ("GITHUB_EVENT_NAME", "push"),
        ("GITHUB_REF_TYPE", "tag"),
    ];
    let publish = |tag: &str, further: &[(&str, &str)]| {
        let fixture = Fixture::new("tfreg publish");
        fixture.server.add_role("arn:aws:iam::111111111111:role/registry-publisher", &["registry-bucket"]);
        fixture.add_program("curl", CURL);
        let set = pairs(&step["env"]).into_iter().map(|(name, value)| {
            let input = value.trim_start_matches("${{ inputs.").trim_end_matches(" }}").to_owned();
            assert!(inputs.contains_key(&Yaml::String(input.clone())), "{name}: {value}");
            let given = with.iter().find(|(given, _)| *given == input).map(|(_, value)| value.as_str());
            let given = further.iter().find(|(given, _)| *given == input).map(|(_, value)| *value).or(given);
            let value = given.unwrap_or_default().replace("${{ secrets.TFREG_SIGNING_KEY }}", &key);
            (name, value.replace("${{ secrets.TFREG_SIGNING_PASSPHRASE }}", "not needed"))
        });
        let mut set: Vec<(String, String)> = set.collect();
        set.extend(
            github
                .iter()
                .chain(&[("GITHUB_REF_NAME", tag)])
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        let ran = run_step(&fixture, action_script, set);
        (fixture, ran)
    };
    let tag = "terraform-provider-sample-v1.2.0";
    let (fixture, ran) = publish(tag, &[]);
    ran.succeeds();
    assert_published(&fixture, "registry-bucket");
    let objects = fixture.server.objects("registry-bucket");
    let record = objects.iter().find(|(key, _)| key.ends_with("provenance.json")).unwrap().1;
    let record = String::from_utf8(record.bytes.to_vec()).unwrap();
    for said in [tag, "actions/runs/123", "0123456789abcdef0123456789abcdef01234567"] {
        assert!(record.contains(said), "{said}: {record}");
    }
    // Other settings are told too, and what is none is refused.
    let settings = r#"{"dry_run": "preview", "expect_platform": ["linux_amd64", "darwin_arm64"]}"#;
    let (fixture, ran) = publish(tag, &[("settings", settings)]);
    assert!(ran.succeeds().stdout.contains("Dry run") && fixture.path("preview").exists());
    publish(tag, &[("settings", r#"{"expect_sun": "shine"}"#)]).1.fails(2, &["expect_sun"]);
    publish(tag, &[("settings", r#"{"a b": "c"}"#)]).1.fails(2, &["no name of a setting"]);
    // The tag decides, and all inputs have names of settings.
    publish("terraform-provider-sample-v1.3.0", &[]).1.refused("another tag", &["1.3.0"]);
    let all =
        [("expect_version", "v1.2.0"), ("protocol", "6.0"), ("replace", "false"), ("stable_only", "true")];
    publish(tag, &all).1.succeeds();
}

/// GitHub's token service.
const CURL: &str = "#!/bin/bash -eu\n\
    [[ \"$*\" == *\"Authorization: bearer request-token https://token.example.com/?a=b&audience=sts.amazonaws.com\" ]]\n\
    echo '{\"value\": \"token-of-the-build\"}'\n";

#[test]
fn woodpecker() {
    let workflow = yaml("Woodpecker", "steps:");
    let steps = workflow["steps"].as_vec().unwrap();
    let publish = steps.iter().find(|step| step["name"].as_str() == Some("publish")).unwrap();
    let commands: Vec<&str> =
        publish["commands"].as_vec().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    assert!(!commands.concat().contains("${"), "Woodpecker would replace it: {commands:?}");
    if !require_program("bash") {
        return;
    }
    let fixture = Fixture::new("tfreg publish");
    let key = fixture.server.add_key(&["registry-bucket"], &[]);
    let secrets = [
        ("aws_access_key_id", key.id),
        ("aws_secret_access_key", key.secret),
        ("tfreg_signing_key", fs::read_to_string(fixture.path("key.asc")).unwrap()),
        ("tfreg_signing_passphrase", "not needed".to_owned()),
    ];
    let environment = publish["environment"].as_hash().unwrap().iter();
    let set = environment.map(|(name, value)| {
        let secret = value["from_secret"].as_str();
        let value = secret.map_or_else(
            || value.as_str().unwrap().to_owned(),
            |secret| secrets.iter().find(|(name, _)| *name == secret).unwrap().1.clone(),
        );
        (name.as_str().unwrap().to_owned(), value)
    });
    let mut set: Vec<(String, String)> = set.collect();
    set.push(("CI_COMMIT_TAG".to_owned(), "v1.2.0".to_owned()));
    run_step(&fixture, &commands.join("\n"), set.clone()).succeeds();
    assert_published(&fixture, "registry-bucket");
    set.last_mut().unwrap().1 = "v1.3.0".to_owned();
    run_step(&fixture, &commands.join("\n"), set).refused("another tag", &["1.3.0"]);
}

#[test]
fn gitlab_ci() {
    let job = &yaml("GitLab CI", "id_tokens:")["publish"];
    let script: Vec<&str> =
        job["script"].as_vec().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    let token = pairs_of_tokens(job);
    assert_eq!(token, ["AWS_TOKEN"]);
    if !require_program("bash") {
        return;
    }
    let fixture = Fixture::new("tfreg publish");
    let mut set = pairs(&job["variables"]);
    let role = &set.iter().find(|(name, _)| name == "AWS_ROLE_ARN").unwrap().1;
    fixture.server.add_role(role, &["registry-bucket"]);
    for (name, value) in [
        ("AWS_TOKEN", "token-of-the-job"),
        ("CI_COMMIT_TAG", "v1.2.0"),
        ("TFREG_SIGNING_PASSPHRASE", "not needed"),
        ("SIGNING_KEY", fixture.path("key.asc").to_str().unwrap()),
    ] {
        set.push((name.to_owned(), value.to_owned()));
    }
    run_step(&fixture, &script.join("\n"), set).succeeds();
    assert_published(&fixture, "registry-bucket");
}

fn pairs_of_tokens(job: &Yaml) -> Vec<&str> {
    job["id_tokens"].as_hash().unwrap().keys().map(|name| name.as_str().unwrap()).collect()
}

/// GoReleaser's templates, as far as the page has them.
fn filled(template: &str, os: &str, arch: &str, artifact: &str) -> String {
    let mut text = template.to_owned();
    for (name, value) in [
        (".ProjectName", "terraform-provider-sample"),
        (".Version", "1.2.0"),
        (".Tag", "v1.2.0"),
        (".Os", os),
        (".Arch", arch),
        (".ArtifactPath", artifact),
    ] {
        text = text.replace(&format!("{{{{ {name} }}}}"), value);
    }
    assert!(!text.contains("{{"), "{text}");
    text
}

/// What GoReleaser hands over to a publisher's command; the rest it is given by `env`.
const KEPT: &[&str] = &["HOME", "USER", "USERPROFILE", "TMPDIR", "TMP", "TEMP", "PATH"];

#[test]
fn goreleaser() {
    let archive = &yaml("GoReleaser", "archives:")["archives"][0];
    assert_eq!(archive["formats"][0].as_str(), Some("tar.gz"));
    let template = archive["name_template"].as_str().unwrap();
    let manifest = archive["files"][0].as_str().unwrap();
    let publisher = &yaml("GoReleaser", "publishers:")["publishers"][0];
    assert_eq!(publisher["ids"][0], archive["id"]);
    if !require_program("bash") || !require_program("tar") {
        return;
    }
    let fixture = Fixture::new("tfreg publish");
    fs::remove_file(fixture.path("dist")).unwrap();
    fs::create_dir(fixture.path("dist")).unwrap();
    for (os, arch) in [("linux", "amd64"), ("darwin", "arm64")] {
        let artifact = format!("dist/{}.tar.gz", filled(template, os, arch, ""));
        // GoReleaser puts the executable and the files into the archive.
        let pack = format!(
            "mkdir {os}; tar -xzf build/terraform-provider-sample-v1.2.0-{os}-{arch}-bin.tar.gz -C {os}\n\
             cp build/{manifest} {os}; cd {os}; tar --format=ustar -czf ../{artifact} *"
        );
        fixture.run(&pack).succeeds();
        let mut command = fixture.bash(&filled(publisher["cmd"].as_str().unwrap(), os, arch, &artifact));
        let outside: Vec<(String, String)> = command
            .get_envs()
            .filter_map(|(name, value)| Some((name.to_str()?.to_owned(), value?.to_str()?.to_owned())))
            .chain([("TFREG_TO".to_owned(), "s3://registry-bucket".to_owned())])
            .collect();
        command.env_clear();
        for (name, value) in outside.iter().filter(|(name, _)| KEPT.contains(&&**name)) {
            command.env(name, value);
        }
        for line in publisher["env"].as_vec().unwrap() {
            let (name, value) = line.as_str().unwrap().split_once('=').unwrap();
            // As GoReleaser's, this fails where the variable is not set.
            let value = match value.strip_prefix("{{ .Env.").and_then(|rest| rest.strip_suffix(" }}")) {
                Some(of) => {
                    outside.iter().find(|(name, _)| name == of).unwrap_or_else(|| panic!("{of}")).1.clone()
                }
                None => value.to_owned(),
            };
            command.env(name, value);
        }
        command.env("AWS_ENDPOINT_URL", fixture.server.endpoint()).env("NO_PROXY", "127.0.0.1");
        run(&mut command).succeeds();
    }
    assert_published(&fixture, "registry-bucket");
}

#[test]
fn make() {
    let makefile = block("docs/ci.md", "Make", "make", "publish:");
    if !require_program("bash") || !require_program("make") {
        return;
    }
    let fixture = Fixture::new("tfreg publish");
    fs::write(fixture.path("Makefile"), makefile).unwrap();
    let set = [("TFREG_TO", "s3://registry-bucket"), ("TFREG_NAMESPACE", "acme")];
    fixture.run_with("make publish TAG=v1.2.0", &set).succeeds();
    assert_published(&fixture, "registry-bucket");
    assert_ne!(fixture.run_with("make publish TAG=v1.3.0", &set).code, 0);
}
