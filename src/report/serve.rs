//! The output of `tfreg serve` about its preview.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;

use serde::Serialize;

use super::json::to_json;
use crate::provider::Provider;

/// The use of a preview.
#[derive(Debug, Serialize)]
pub struct ServeReport {
    directory: String,
    url: String,
    terraformrc: String,
    required_providers: String,
    #[serde(skip)]
    providers: usize,
}

/// The host name of the registry in the printed configuration; any name works, because the configuration maps it.
const PREVIEW_HOST: &str = "registry.example.com";

impl ServeReport {
    /// A preview of `directory` at `address`, which contains `providers`, each with its newest version.
    #[must_use]
    pub fn new(directory: &Path, address: SocketAddr, providers: &[(Provider, Option<String>)]) -> Self {
        let blocks = providers.iter().map(|(provider, newest)| {
            let version = newest.as_ref().map_or(String::new(), |v| format!("\n      version = \"{v}\""));
            let name = &provider.provider_type;
            format!("    {name} = {{\n      source  = \"{PREVIEW_HOST}/{provider}\"{version}\n    }}\n")
        });
        let blocks: String = blocks.collect();
        Self {
            directory: directory.display().to_string(),
            providers: providers.len(),
            url: format!("http://{address}/"),
            terraformrc: format!(
                "host \"{PREVIEW_HOST}\" {{\n  services = {{\n    \"providers.v1\" = \"http://{address}/registry/\"\n  }}\n}}\n"
            ),
            required_providers: format!("terraform {{\n  required_providers {{\n{blocks}  }}\n}}\n"),
        }
    }

    pub(super) fn to_json(&self) -> String {
        to_json(self)
    }
}

impl fmt::Display for ServeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Serving {} at {} (Ctrl-C stops)\n", self.directory, self.url)?;
        writeln!(
            f,
            "CLI configuration, to be saved as preview.tfrc and named by TF_CLI_CONFIG_FILE=preview.tfrc:\n"
        )?;
        writeln!(f, "{}\nConfiguration that installs from it with terraform init:\n", self.terraformrc)?;
        writeln!(f, "{}", self.required_providers)?;
        if self.providers == 0 {
            writeln!(
                f,
                "Nothing is published in {} yet; publish into it, and start this again.",
                self.directory
            )?;
        }
        Ok(())
    }
}
