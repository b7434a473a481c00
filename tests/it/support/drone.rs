//! A small Drone: parses pipelines, finds those that a build triggers, and runs their steps as its docker runner does, but
//! without containers.
//!
//! It follows the sources of the server (`trigger/`) and the runner (`runner-go`, `drone-runner-docker`), which say more than
//! the documentation:
//! - All conditions of a trigger must hold, also of promotions: `event`, `ref` and `target` are compared with what the build
//!   has. A promotion has the `ref` of the build that is promoted, and so `DRONE_TAG`. In patterns `*` stops at a slash.
//! - `${NAME}` is replaced in the whole file before it is parsed, by variables of the build; secrets are not among them.
//! - Parameters of a promotion are variables of every step, and go behind the pipeline's and the step's own.
//! - A secret that does not exist is a variable set to nothing. (Other runners leave it out: [`Missing`].)
//! - Settings are variables `PLUGIN_…`: lists of texts with commas, lists of other things and maps as JSON.
//! - Commands become one script, `set -e` and an `echo` of each command before it, that a shell reads from its standard input.
//!
//! It is strict where Drone is lax: a key that is not documented is a failure.

#![expect(clippy::unwrap_used, clippy::panic, reason = "here a failure is a bug of the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Map, Value};
use yaml_rust2::{Yaml, YamlLoader};

use super::{Ran, run};

/// What starts pipelines.
#[derive(Debug, Clone)]
pub(crate) struct Build {
    pub(crate) event: &'static str,
    pub(crate) tag: String,
    /// What is promoted to.
    pub(crate) target: &'static str,
    pub(crate) number: u32,
    /// `--param` of the promotion.
    pub(crate) params: BTreeMap<String, String>,
}

impl Build {
    pub(crate) fn of_tag(tag: &str) -> Self {
        Self { event: "tag", tag: tag.to_owned(), target: "", number: 7, params: BTreeMap::new() }
    }

    pub(crate) fn promotion(tag: &str, target: &'static str) -> Self {
        Self { event: "promote", target, number: 8, ..Self::of_tag(tag) }
    }

    pub(crate) fn param(mut self, name: &str, value: &str) -> Self {
        self.params.insert(name.to_owned(), value.to_owned());
        self
    }

    fn reference(&self) -> String {
        format!("refs/tags/{}", self.tag)
    }

    /// The variables that the runner makes of the build, as far as they say something.
    fn variables(&self) -> BTreeMap<String, String> {
        let commit = "89abcdef0123456789abcdef0123456789abcdef";
        let number = self.number.to_string();
        let link = format!("https://drone.example.com/acme/terraform-provider-sample/{number}");
        let reference = self.reference();
        let pairs = [
            ("CI", "true"),
            ("DRONE", "true"),
            ("DRONE_SYSTEM_HOST", "drone.example.com"),
            ("DRONE_REPO", "acme/terraform-provider-sample"),
            ("DRONE_REPO_NAME", "terraform-provider-sample"),
            ("DRONE_GIT_HTTP_URL", "https://git.example.com/acme/terraform-provider-sample.git"),
            ("DRONE_BRANCH", "master"),
            ("DRONE_COMMIT", commit),
            ("DRONE_COMMIT_SHA", commit),
            ("DRONE_COMMIT_REF", &reference),
            ("DRONE_COMMIT_MESSAGE", "Release: it's `done`, $(really) \"so\"\n"),
            ("DRONE_TAG", &self.tag),
            ("DRONE_BUILD_EVENT", self.event),
            ("DRONE_BUILD_NUMBER", &number),
            ("DRONE_BUILD_LINK", &link),
            ("DRONE_BUILD_STATUS", "success"),
            ("DRONE_DEPLOY_TO", self.target),
            ("DRONE_STAGE_KIND", "pipeline"),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }
}

/// How a step finds a secret that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// Set to nothing, as drone-runner-docker does.
    Empty,
    /// Not set.
    Unset,
}

/// A step that has run.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    /// `PIPELINE/STEP`
    pub(crate) name: String,
    pub(crate) ran: Ran,
}

/// A server with its runner.
pub(crate) struct Drone {
    /// The text of `.drone.yml`.
    pub(crate) file: String,
    pub(crate) secrets: BTreeMap<String, String>,
    pub(crate) missing: Missing,
    /// What the runner's owner sets for every step, and for no secret.
    pub(crate) globals: BTreeMap<String, String>,
    /// Where the programs of the images are.
    pub(crate) path: Vec<PathBuf>,
    /// The shell of the images.
    pub(crate) shell: &'static str,
}

impl Drone {
    /// Runs what `build` triggers, each pipeline in a workspace of its own, until a step fails. No step is to print a secret.
    pub(crate) fn run(&self, build: &Build) -> Vec<Step> {
        let mut steps = Vec::new();
        for pipeline in pipelines(&substitute(&self.file, &self.substitutes(build))) {
            if !matches(&pipeline["trigger"], build) {
                continue;
            }
            let workspace = super::folder();
            for step in pipeline["steps"].as_array().unwrap() {
                if !matches(&step["when"], build) {
                    continue;
                }
                let name = format!("{}/{}", text(&pipeline["name"]), text(&step["name"]));
                let ran = run(&mut self.command(&pipeline, step, build, workspace.path()));
                self.assert_no_secret_in(&name, &ran);
                let failed = ran.code != 0;
                steps.push(Step { name, ran });
                if failed {
                    break;
                }
            }
        }
        steps
    }

    fn substitutes(&self, build: &Build) -> BTreeMap<String, String> {
        let mut variables = self.globals.clone();
        variables.extend(build.params.clone());
        variables.extend(build.variables());
        variables
    }

    /// What the container of a step runs: its commands by the image's shell, or the image's own entry point.
    fn command(&self, pipeline: &Value, step: &Value, build: &Build, workspace: &Path) -> Command {
        let mut variables = self.globals.clone();
        variables.extend(build.params.clone());
        for (name, value) in members(&pipeline["environment"]) {
            variables.insert(name.clone(), encode(value));
        }
        variables.extend(build.variables());
        for (name, value) in members(&step["environment"]) {
            self.insert(&mut variables, name.clone(), value);
        }
        for (name, value) in members(&step["settings"]) {
            self.insert(&mut variables, format!("PLUGIN_{}", name.to_uppercase()), value);
        }
        let path = std::env::join_paths(&self.path).unwrap().into_string().unwrap();
        variables.extend([("PATH".to_owned(), path), ("HOME".to_owned(), workspace.display().to_string())]);
        let mut command = if let Some(commands) = step["commands"].as_array() {
            variables.insert("DRONE_SCRIPT".to_owned(), script(commands));
            let mut shell = Command::new(self.shell);
            shell.args(["-c", &format!("echo \"$DRONE_SCRIPT\" | {}", self.shell)]);
            shell
        } else {
            let mut plugin = Command::new(env!("CARGO_BIN_EXE_tfreg"));
            plugin.arg("drone");
            plugin
        };
        command.env_clear().envs(variables).current_dir(workspace).stdin(Stdio::null());
        command
    }

    fn insert(&self, variables: &mut BTreeMap<String, String>, name: String, value: &Value) {
        let secret = value.get("from_secret").map(text);
        match secret.map(|secret| self.secrets.get(secret)) {
            None => drop(variables.insert(name, encode(value))),
            Some(Some(secret)) => drop(variables.insert(name, secret.clone())),
            Some(None) if self.missing == Missing::Empty => drop(variables.insert(name, String::new())),
            Some(None) => {}
        }
    }

    #[track_caller]
    fn assert_no_secret_in(&self, step: &str, ran: &Ran) {
        for (name, secret) in &self.secrets {
            // Of a secret of several lines each is one.
            for line in secret.lines().filter(|line| line.len() > 6 && !line.starts_with("-----")) {
                let told = ran.stdout.contains(line) || ran.stderr.contains(line);
                assert!(!told, "{step} prints the secret {name}: {ran:#?}");
            }
        }
    }
}

/// The names of the secrets that a pipeline file asks for.
pub(crate) fn secrets(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Object(object) => match object.get("from_secret") {
            Some(name) => BTreeSet::from([text(name).to_owned()]),
            None => object.values().flat_map(secrets).collect(),
        },
        Value::Array(values) => values.iter().flat_map(secrets).collect(),
        _ => BTreeSet::new(),
    }
}

/// The pipelines of a file, in its order; a key that Drone does not document is a failure.
pub(crate) fn pipelines(file: &str) -> Vec<Value> {
    let documents = YamlLoader::load_from_str(file).unwrap_or_else(|error| panic!("no YAML: {error}"));
    let pipelines: Vec<Value> = documents.iter().map(json).collect();
    for pipeline in &pipelines {
        check(pipeline);
    }
    pipelines
}

fn json(yaml: &Yaml) -> Value {
    match yaml {
        Yaml::String(text) => text.as_str().into(),
        Yaml::Boolean(value) => (*value).into(),
        Yaml::Integer(number) => (*number).into(),
        Yaml::Null => Value::Null,
        Yaml::Array(values) => values.iter().map(json).collect(),
        Yaml::Hash(hash) => {
            let members = hash.iter().map(|(key, value)| (key.as_str().unwrap().to_owned(), json(value)));
            Value::Object(members.collect())
        }
        other => panic!("{other:?} is not expected here"),
    }
}

/// The keys of a docker pipeline: <https://docs.drone.io/yaml/docker/>.
fn check(pipeline: &Value) {
    const PIPELINE: &[&str] = &[
        "kind",
        "type",
        "name",
        "platform",
        "workspace",
        "clone",
        "trigger",
        "depends_on",
        "concurrency",
        "node",
        "environment",
        "steps",
        "services",
        "volumes",
        "image_pull_secrets",
    ];
    const STEP: &[&str] = &[
        "name",
        "image",
        "commands",
        "environment",
        "settings",
        "depends_on",
        "when",
        "failure",
        "detach",
        "privileged",
        "pull",
        "volumes",
        "network_mode",
        "user",
    ];
    const CONDITIONS: &[&str] =
        &["action", "branch", "cron", "event", "ref", "repo", "instance", "status", "target", "paths"];
    only(pipeline, PIPELINE);
    assert_eq!((text(&pipeline["kind"]), text(&pipeline["type"])), ("pipeline", "docker"));
    only(&pipeline["trigger"], CONDITIONS);
    only(&pipeline["clone"], &["depth", "disable", "retries", "skip_verify", "trace"]);
    only(&pipeline["concurrency"], &["limit"]);
    // Of the whole pipeline's variables none can be a secret.
    assert!(members(&pipeline["environment"]).all(|(_, value)| value.is_string()), "{pipeline}");
    let steps = pipeline["steps"].as_array().unwrap();
    let names: BTreeSet<&str> = steps.iter().map(|step| text(&step["name"])).collect();
    assert!(!steps.is_empty() && names.len() == steps.len(), "{names:?}");
    for step in steps {
        only(step, STEP);
        only(&step["when"], CONDITIONS);
        assert!(!text(&step["image"]).is_empty(), "{step}");
        assert!(step["commands"].is_array() != step["settings"].is_object(), "commands or settings: {step}");
        for command in step["commands"].as_array().into_iter().flatten() {
            assert!(!text(command).is_empty());
        }
        for needed in step["depends_on"].as_array().into_iter().flatten() {
            assert!(names.contains(text(needed)), "{step}");
        }
        for (name, value) in members(&step["environment"]).chain(members(&step["settings"])) {
            let is_secret = value.get("from_secret").is_some();
            assert!(!is_secret || value.as_object().unwrap().len() == 1, "{name}: {value}");
        }
    }
}

fn only(value: &Value, known: &[&str]) {
    for (key, _) in members(value) {
        assert!(known.contains(&key.as_str()), "{key:?} is no key of Drone's; there are {known:?}");
    }
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    assert!(value.is_null() || value.is_object(), "{value}");
    value.as_object().into_iter().flat_map(Map::iter)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

/// Whether the conditions of a trigger or a step hold for a build.
fn matches(conditions: &Value, build: &Build) -> bool {
    members(conditions).all(|(name, condition)| {
        let reference = build.reference();
        let found = match name.as_str() {
            "event" => build.event,
            "ref" => &reference,
            "target" => build.target,
            other => panic!("the condition {other} is not known here"),
        };
        let any = |patterns: &Value| {
            let patterns = patterns.as_array().unwrap().iter();
            patterns.map(text).any(|pattern| like(pattern, found))
        };
        match condition {
            Value::Object(condition) => {
                let included = condition.get("include").is_none_or(any);
                included && !condition.get("exclude").is_some_and(any)
            }
            Value::String(pattern) => like(pattern, found),
            patterns => any(patterns),
        }
    })
}

/// A pattern as Drone's: `*` does not match a slash, `**` does.
fn like(pattern: &str, found: &str) -> bool {
    let options = glob::MatchOptions { require_literal_separator: true, ..glob::MatchOptions::new() };
    glob::Pattern::new(pattern).unwrap().matches_with(found, options)
}

/// Replaces `${NAME}`, by nothing where the variable is not known, as Drone does.
pub(crate) fn substitute(file: &str, variables: &BTreeMap<String, String>) -> String {
    let mut parts = file.split("${");
    let mut substituted = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once('}').unwrap_or_else(|| panic!("no end: {part}"));
        // Drone knows shell operators too; whatever they do, the shell does not see them.
        let name = name.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default();
        substituted.push_str(variables.get(name).map_or("", String::as_str));
        substituted.push_str(rest);
    }
    substituted
}

/// A setting or a variable as its text.
fn encode(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) if values.iter().all(|value| !value.is_object() && !value.is_array()) => {
            values.iter().map(encode).collect::<Vec<_>>().join(",")
        }
        other => other.to_string(),
    }
}

/// The script that commands become.
fn script(commands: &[Value]) -> String {
    let mut script = "\nunset DRONE_SCRIPT\n\nset -e\n".to_owned();
    for command in commands.iter().map(text) {
        // Go's %q, and of `$` only the text.
        let quoted = Value::from(command).to_string().replace('$', "\\$");
        write!(script, "\necho + {quoted}\n{command}\n").unwrap();
    }
    script
}

#[test]
fn it_does_what_drone_does() {
    let build = Build::promotion("terraform-provider-sample-v1.2.0", "production").param("GREETING", "hi");
    let drone = Drone {
        file: "
kind: pipeline
type: docker
name: one
trigger: { event: { exclude: [push] }, target: [prod*], ref: [refs/tags/*-v*] }
environment: { GREETING: hello, PLACE: world, DRONE_TAG: mine }
steps:
- name: first
  image: i
  environment: { PLACE: step, KEY: { from_secret: key }, NONE: { from_secret: none } }
  commands:
  - echo \"$GREETING $PLACE $DRONE_TAG ${DRONE_BUILD_NUMBER}$KEY${KEY} $(test -z \"$NONE\" && echo empty)\" | tr a-z A-Z
  - (exit 1)
  - echo not reached
- name: second
  image: i
  commands: [ echo not reached ]
---
kind: pipeline
type: docker
name: two
trigger: { event: promote, target: [staging] }
steps: [ { name: s, image: i, commands: [ echo not reached ] } ]
"
        .to_owned(),
        secrets: BTreeMap::from([("key".to_owned(), "hunter2".to_owned())]),
        missing: Missing::Empty,
        globals: BTreeMap::new(),
        path: std::env::split_paths(&std::env::var_os("PATH").unwrap()).collect(),
        shell: "sh",
    };
    let steps = drone.run(&build);
    assert_eq!(steps.len(), 1, "{steps:?}");
    assert_eq!((steps[0].name.as_str(), steps[0].ran.code), ("one/first", 1));
    let tag = "TERRAFORM-PROVIDER-SAMPLE-V1.2.0";
    let said = format!("HELLO STEP {tag} 8HUNTER2 EMPTY\n");
    assert!(steps[0].ran.stdout.contains(&said), "{steps:?}");
    assert!(
        steps[0].ran.stdout.contains("+ (exit 1)") && !steps[0].ran.stdout.contains("reached"),
        "{steps:?}"
    );
    for other in [
        Build::promotion("terraform-provider-sample-v1.2.0", "staging/x"),
        Build::promotion("terraform-provider/sample-v1.2.0", "production"),
        Build { event: "push", ..build.clone() },
    ] {
        assert!(drone.run(&other).is_empty(), "{other:?}");
    }
    let settings = serde_json::json!({ "a": ["x", "y"], "b": [{ "x": true }], "c": 1, "d": { "x": 1 } });
    let encoded = ["a", "b", "c", "d"].map(|name| encode(&settings[name]));
    assert_eq!(encoded, ["x,y", r#"[{"x":true}]"#, "1", r#"{"x":1}"#]);
    let unknown = std::panic::catch_unwind(|| pipelines("kind: pipeline\ntype: docker\nname: x\nstep: []\n"));
    assert!(unknown.is_err());
}
