//! `tfreg key create`

use std::time::SystemTime;

use clap::Args;
use jiff::{Span, Zoned};

use super::signing::SignerAccountArgs;
use super::{Environment, runtime, stop_signal, values};
use crate::error::{Error, Result};
use crate::kms::Kms;
use crate::report::Reporter;
use crate::workflow::signer::{PROFILE_OPTION, SignerReference};

/// Make the OpenPGP certificate of a key in AWS KMS
///
/// Asks KMS for the public key and for one signature, and prints the certificate: the public key with its user id, which
/// `--certificate` of the commands that sign takes. It holds no secret; keep it in a repository. The time of the certificate's key is
/// that of the key in KMS, so that it has the same fingerprint whenever it is made. Made again with a later --expires, it
/// extends the key: `tfreg resign --refresh-key` gives the documents the newer copy.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  The certificate of a key, for two years:
    tfreg key create --user-id 'Acme releases <releases@example.com>' \\
      --signer awskms:arn:aws:kms:eu-west-1:123456789012:alias/releases \\
      --expires 2y > release.asc
    tfreg key release.asc")]
pub(super) struct KeyCreateArgs {
    /// The key: awskms:ARN; or in TFREG_SIGNER
    #[arg(long, value_name = "SIGNER", value_parser = values::signer)]
    signer: Option<SignerReference>,

    // No doc comment: rustdoc would take the mail's brackets for HTML.
    #[arg(long, value_name = "TEXT", value_parser = user_id, help = "Whose key it is, for people: 'NAME <MAIL>'")]
    user_id: String,

    /// When the key expires, counted from now, such as 2y or 18mo [default: it does not]
    #[arg(long, value_name = "TIME", value_parser = lifetime)]
    expires: Option<SystemTime>,

    #[command(flatten)]
    account: SignerAccountArgs,
}

/// Reads a user id: one line.
fn user_id(text: &str) -> Result<String, String> {
    // GnuPG makes none above this length, and others read none.
    const MAX: usize = 2048;
    let text = text.trim();
    if text.is_empty() || text.len() > MAX || text.chars().any(char::is_control) {
        return Err(format!("expected one line of text, of {MAX} bytes at most, such as 'NAME <MAIL>'"));
    }
    Ok(text.to_owned())
}

/// Reads a time from now, such as `2y` or `18mo`; gives its end.
fn lifetime(text: &str) -> Result<SystemTime, String> {
    let expected = || "expected a time from now, such as 2y, 18mo or 90d".to_owned();
    let span: Span = text.parse().map_err(|_| expected())?;
    let end = Zoned::now().checked_add(span).map_err(|_| expected())?;
    // A key's lifetime has 32 bits of seconds (RFC 9580, section 5.2.3.13).
    let is_known = span.is_positive() && end.timestamp().as_second() < i64::from(u32::MAX);
    if is_known { Ok(end.timestamp().into()) } else { Err(expected()) }
}

pub(super) fn run(args: &KeyCreateArgs, environment: &Environment, reporter: &Reporter) -> Result<()> {
    let named = match (&args.signer, &environment.signer) {
        (Some(signer), _) => Some(signer.clone()),
        (None, Some(text)) => Some(
            values::signer(text).map_err(|error| Error::Usage(format!("TFREG_SIGNER {text:?}: {error}")))?,
        ),
        (None, None) => None,
    };
    let key = match named {
        Some(SignerReference::Kms(key)) => key,
        Some(SignerReference::GnuPg(key)) => {
            return Err(Error::Usage(format!(
                "{key}: a key of GnuPG has a certificate already; `gpg --armor --export` prints it"
            )));
        }
        None => {
            return Err(Error::Usage(
                "no key: name it by --signer awskms:ARN, or in TFREG_SIGNER".to_owned(),
            ));
        }
    };
    let access = args.account.access(None, environment)?;
    let certificate = runtime()?.block_on(async {
        let made = async {
            Kms::open(key, &access, PROFILE_OPTION).await?.certificate(&args.user_id, args.expires).await
        };
        tokio::select! {
            made = made => made,
            () = stop_signal()? => Err(Error::Interrupted),
        }
    })?;
    reporter.public_key(&certificate);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn lifetimes_are_counted_from_now() {
        let now = SystemTime::now();
        let days = |text: &str| lifetime(text).unwrap().duration_since(now).unwrap().as_secs() / 86_400;
        for (text, least, most) in
            [("2y", 729, 731), ("18mo", 545, 550), ("90d", 89, 90), ("2 years", 729, 731)]
        {
            assert!((least..=most).contains(&days(text)), "{text}: {}", days(text));
        }
        for bad in ["", "0d", "-1y", "2026-01-01", "soon", "200y", "99999999y"] {
            assert!(lifetime(bad).is_err(), "{bad}");
        }
        assert!(lifetime("1h").unwrap() > now + Duration::from_secs(3500));
    }

    #[test]
    fn user_ids_are_one_line() {
        assert_eq!(user_id(" Acme <a@example.com> "), Ok("Acme <a@example.com>".to_owned()));
        for bad in ["", " ", "a\nb", &"x".repeat(2049)] {
            assert!(user_id(bad).is_err(), "{bad}");
        }
    }
}
