//! The program that sent a request, from its user agent.

use std::fmt;
use std::sync::LazyLock;

use memchr::memmem::Finder;

/// A client of a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Client {
    /// `Terraform/1.11.4 (+https://www.terraform.io)`
    Terraform,
    /// `OpenTofu/1.10.0 (+https://www.opentofu.org)`
    OpenTofu,
    /// `RenovateBot/41.0.0 (https://github.com/renovatebot/renovate)`
    Renovate,
    /// Any other program.
    Other,
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Terraform => "Terraform",
            Self::OpenTofu => "OpenTofu",
            Self::Renovate => "Renovate",
            Self::Other => "other",
        })
    }
}

/// What user agents contain. OpenTofu comes first: an agent may name Terraform beside it, for servers that know no other.
static WORDS: LazyLock<[(Client, Finder<'static>); 3]> = LazyLock::new(|| {
    [
        (Client::OpenTofu, Finder::new("OpenTofu/")),
        (Client::Renovate, Finder::new("Renovate")),
        (Client::Terraform, Finder::new("Terraform/")),
    ]
});

impl Client {
    /// The client that has this user agent, as a log has it: perhaps percent-encoded, which changes no name.
    pub(super) fn of(agent: &[u8]) -> Self {
        let named = WORDS.iter().find(|(_, word)| word.find(agent).is_some());
        named.map_or(Self::Other, |(client, _)| *client)
    }
}

/// Whether a request was made by this program: by `tfreg verify`, or by a publish that reads back.
pub(super) fn is_own(agent: &[u8]) -> bool {
    // By the AWS SDK, which adds the application's name.
    agent.starts_with(b"tfreg/") || agent.split(|byte| *byte == b' ').any(|word| word == b"app/tfreg")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_agents_are_told() {
        for (agent, client) in [
            ("Terraform/1.11.4 (+https://www.terraform.io)", Client::Terraform),
            ("HashiCorp%20Terraform/1.5.7%20(+https://www.terraform.io)", Client::Terraform),
            ("HashiCorp Terraform/1.6.0 (+https://www.terraform.io) OpenTofu/1.6.0", Client::OpenTofu),
            ("OpenTofu/1.10.0%20(+https://www.opentofu.org)", Client::OpenTofu),
            ("RenovateBot/41.0.0 (https://github.com/renovatebot/renovate)", Client::Renovate),
            ("terraform-provider-mirror/1.0", Client::Other),
            ("curl/8.5.0", Client::Other),
            ("-", Client::Other),
            ("", Client::Other),
        ] {
            assert_eq!(Client::of(agent.as_bytes()), client, "{agent}");
        }
    }

    #[test]
    fn own_requests_are_told() {
        for (agent, own) in [
            ("tfreg/0.1.0", true),
            ("aws-sdk-rust/1.3.8 api/s3/1.157 os/linux lang/rust/1.95.0 app/tfreg", true),
            ("aws-sdk-rust/1.3.8 app/tfregister", false),
            ("not-tfreg/1", false),
            ("Terraform/1.11.4", false),
        ] {
            assert_eq!(is_own(agent.as_bytes()), own, "{agent}");
        }
    }
}
