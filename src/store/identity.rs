//! The source of a client's credentials, and the remedy if they cannot be obtained, by the provider of the chain that
//! is used.
//! The chain is the SDK's, which is that of the AWS CLI. It is only inspected here, so that a failure can name the
//! profile and the setting. Values of settings that may be secret are not kept.

use std::borrow::Cow;
use std::error::Error as StdError;

use aws_config::profile::{self, ProfileSet};
use aws_credential_types::provider::error::CredentialsError;
use aws_runtime::env_config::file::EnvConfigFiles;
use aws_types::os_shim_internal::{Env, Fs};

use super::StoreError;
use crate::error::chain;
use crate::words;

/// The source of a client's credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    provider: Provider,
    /// The profile that the provider is configured in.
    profile: Option<String>,
    /// The role that is assumed with these credentials.
    role: Option<String>,
}

/// The provider of the chain that supplies the credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Provider {
    /// `AWS_ACCESS_KEY_ID`, or the same in a profile.
    Keys,
    /// IAM Identity Center: `aws sso login`.
    Sso,
    /// A program of the user (`credential_process`).
    Process,
    /// A token that the build server writes to this file, and the setting that names the file.
    WebIdentity { file: String, setting: &'static str },
    /// A container's credentials.
    Container,
    /// None of these: the role of the machine, if it is an EC2 instance.
    Machine,
}

/// The maximum length of a chain of profiles that refer to each other.
const LONGEST_CHAIN: usize = 8;

impl Identity {
    /// Finds the credentials that the SDK will use: those of `profile` first, which the option `setting` names, and then
    /// those of `role`.
    ///
    /// # Errors
    /// Fails if the profile that `profile` or `AWS_PROFILE` names does not exist, or the configuration cannot be read.
    pub async fn find(
        setting: &'static str,
        profile: Option<&str>,
        role: Option<&str>,
    ) -> Result<Self, StoreError> {
        let (env, fs) = (Env::real(), Fs::real());
        let set = |name: &str| env.get(name).ok().filter(|value| !value.is_empty());
        let (setting, named) = match profile {
            Some(name) => (setting, Some(name.to_owned())),
            None => ("AWS_PROFILE", set("AWS_PROFILE")),
        };
        let selected = named.clone().map(Cow::Owned);
        let profiles = profile::load(&fs, &env, &EnvConfigFiles::default(), selected).await;
        let profiles = profiles.map_err(|error| unusable(chain(&error), "correct that file"))?;
        if let Some(name) = &named
            && profiles.get_profile(name).is_none()
        {
            return Err(missing(name, setting, &profiles));
        }
        let of_profile = || by_profile(&profiles, named.as_deref().unwrap_or("default"));
        let (provider, profile) = if profile.is_none() && set("AWS_ACCESS_KEY_ID").is_some() {
            (Provider::Keys, None)
        } else if let Some((provider, name)) = of_profile() {
            (provider, Some(name))
        } else if let Some(file) = set("AWS_WEB_IDENTITY_TOKEN_FILE") {
            (Provider::WebIdentity { file, setting: "AWS_WEB_IDENTITY_TOKEN_FILE" }, None)
        } else if ["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"]
            .iter()
            .any(|name| set(name).is_some())
        {
            (Provider::Container, None)
        } else {
            (Provider::Machine, named)
        };
        Ok(Self { provider, profile, role: role.map(str::to_owned) })
    }

    /// An unknown identity.
    #[must_use]
    pub fn unknown() -> Self {
        Self { provider: Provider::Keys, profile: None, role: None }
    }

    /// The remedy if a request could not be signed; `None` if it failed for another reason.
    #[must_use]
    pub fn remedy(&self, error: &(dyn StdError + 'static)) -> Option<String> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<CredentialsError>() {
                return Some(self.remedy_for(error));
            }
            cause = error.source();
        }
        None
    }

    fn remedy_for(&self, error: &CredentialsError) -> String {
        let profile = self.profile.as_deref().unwrap_or("default");
        let text = chain(error);
        if let Some(role) = self.role.as_ref().filter(|_| text.contains("AssumeRole")) {
            return format!(
                "let these credentials assume the role {role}: its trust policy has to name who they are, and theirs has to \
                 allow sts:AssumeRole on it"
            );
        }
        match &self.provider {
            Provider::Sso => self.new_session().unwrap_or_default(),
            Provider::Process => format!(
                "run the credential_process of the profile {profile} by itself; it has to end with exit code 0, and print its \
                 JSON (Version, AccessKeyId, SecretAccessKey)"
            ),
            Provider::WebIdentity { file, setting } => match std::fs::metadata(file) {
                Err(error) => format!(
                    "set {setting} to the file with the web identity token; {file} cannot be read: {error}"
                ),
                Ok(_) => "let the role trust this token: its trust policy names the token's issuer, audience and subject; and \
                          check AWS_ROLE_ARN"
                    .to_owned(),
            },
            Provider::Container => "check the container's role, and that its credentials' address \
                                    (AWS_CONTAINER_CREDENTIALS_…) can be reached"
                .to_owned(),
            Provider::Keys | Provider::Machine => {
                let machine = "; on a machine with a role, let it reach the instance metadata service (IMDS)";
                let machine = if text.contains("404") || matches!(error, CredentialsError::CredentialsNotLoaded(_)) {
                    machine
                } else {
                    ""
                };
                let of_profile = match &self.profile {
                    Some(name) => format!("the profile {name} has none; "),
                    None => String::new(),
                };
                format!(
                    "give AWS credentials: {of_profile}AWS_PROFILE, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a role{machine}"
                )
            }
        }
    }

    /// The remedy for an expired session; `None` if the credentials are not those of a session.
    #[must_use]
    pub fn new_session(&self) -> Option<String> {
        let profile = self.profile.as_deref().unwrap_or("default");
        (self.provider == Provider::Sso)
            .then(|| format!("log in: aws sso login --profile {}", words::quoted(profile)))
    }

    /// The keys that were used, in words.
    #[must_use]
    pub fn keys(&self) -> String {
        match &self.profile {
            Some(name) => format!("of the profile {name}"),
            None => "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN".to_owned(),
        }
    }
}

/// The provider that a profile names, and the last profile of the chain.
fn by_profile(profiles: &ProfileSet, name: &str) -> Option<(Provider, String)> {
    let mut name = name.to_owned();
    for _ in 0..LONGEST_CHAIN {
        let profile = profiles.get_profile(&name)?;
        let has = |key: &str| profile.get(key).is_some();
        let provider = if has("web_identity_token_file") {
            let file = profile.get("web_identity_token_file").unwrap_or_default().to_owned();
            Provider::WebIdentity { file, setting: "web_identity_token_file" }
        } else if has("sso_session") || has("sso_start_url") {
            Provider::Sso
        } else if has("credential_process") {
            Provider::Process
        } else if has("aws_access_key_id") {
            Provider::Keys
        } else if let Some(next) = profile.get("source_profile").filter(|next| *next != name) {
            next.clone_into(&mut name);
            continue;
        } else {
            return None;
        };
        return Some((provider, name));
    }
    None
}

/// In the words of the AWS CLI.
fn missing(name: &str, setting: &str, profiles: &ProfileSet) -> StoreError {
    let mut known: Vec<&str> = profiles.profiles().collect();
    known.sort_unstable();
    let known = if known.is_empty() {
        "there are none".to_owned()
    } else {
        format!("there are {}", known.join(", "))
    };
    unusable(
        format!("The config profile ({name}) could not be found"),
        &format!(
            "create it in the file that AWS_CONFIG_FILE names (~/.aws/config), or correct {setting} ({known})"
        ),
    )
}

fn unusable(answer: String, remedy: &str) -> StoreError {
    StoreError {
        doing: "cannot use the AWS configuration".to_owned(),
        answer,
        status: None,
        remedy: Some(remedy.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn profiles(text: &str) -> ProfileSet {
        let fs = Fs::from_slice(&[("/config", text)]);
        let env = Env::from_slice(&[("AWS_CONFIG_FILE", "/config"), ("HOME", "/home")]);
        profile::load(&fs, &env, &EnvConfigFiles::default(), None).await.unwrap()
    }

    #[tokio::test]
    async fn the_provider_is_that_of_the_profile() {
        let set = profiles(
            "[default]\nregion = eu-west-1\n\
             [profile sso]\nsso_session = s\n[profile old-sso]\nsso_start_url = https://x\n\
             [profile process]\ncredential_process = x\n[profile keys]\naws_access_key_id = x\n\
             [profile token]\nrole_arn = r\nweb_identity_token_file = /t\n\
             [profile role]\nrole_arn = r\nsource_profile = sso\n[profile loop]\nsource_profile = pool\n\
             [profile pool]\nsource_profile = loop\n[sso-session s]\nsso_region = x\n",
        )
        .await;
        let token = Provider::WebIdentity { file: "/t".to_owned(), setting: "web_identity_token_file" };
        for (name, expected) in [
            ("sso", Some((Provider::Sso, "sso"))),
            ("old-sso", Some((Provider::Sso, "old-sso"))),
            ("process", Some((Provider::Process, "process"))),
            ("keys", Some((Provider::Keys, "keys"))),
            ("token", Some((token, "token"))),
            ("role", Some((Provider::Sso, "sso"))),
            ("loop", None),
            ("default", None),
            ("nowhere", None),
        ] {
            let expected = expected.map(|(provider, name)| (provider, name.to_owned()));
            assert_eq!(by_profile(&set, name), expected, "{name}");
        }
    }
}
