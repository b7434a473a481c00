//! Explains what is wrong with a server's certificate, and what to do about it.

use std::error::Error;

use rustls::CertificateError;

use crate::store::trust::{NO_CERTIFICATES, is_of_a_ca, machine_has_certificates};

/// The problem and its remedy, if a request failed because of the server's certificate.
pub(super) fn explain(error: &(dyn Error + 'static)) -> Option<(String, String)> {
    explain_on(error, machine_has_certificates())
}

/// The same on a machine that has certificates of CAs, or has none.
fn explain_on(error: &(dyn Error + 'static), has_certificates: bool) -> Option<(String, String)> {
    let certificate = certificate_error(error)?;
    // A CA's own certificate, as `openssl req -x509` makes it, is refused for that before anybody looks for its issuer.
    let of_a_ca = is_of_a_ca(certificate);
    let reason =
        if of_a_ca { "it is a CA's own, and not a trusted one".to_owned() } else { certificate.to_string() };
    let certificate = if of_a_ca { &CertificateError::UnknownIssuer } else { certificate };
    let problem = format!("the server's certificate is not trusted: {reason}");
    let remedy = match certificate {
        CertificateError::UnknownIssuer if !has_certificates => {
            return Some((problem, format!("{NO_CERTIFICATES}; `tfreg verify` also takes --ca-file PEM")));
        }
        CertificateError::UnknownIssuer => {
            "name the file with the certificate of its issuer, or with its own if it signed itself: --ca-file PEM for `tfreg verify`, or the variable \
             AWS_CA_BUNDLE or SSL_CERT_FILE; if clients do not know the issuer either, serve a certificate that they trust, \
             and all certificates between the two"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "serve a certificate for this host's name, or correct the address"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "renew the server's certificate; if it is in force, set this machine's clock"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "set this machine's clock; if it is right, the certificate was made for later"
        }
        CertificateError::Revoked => "serve another certificate: this one was revoked",
        _ => "serve a certificate that clients trust",
    };
    Some((problem, remedy.to_owned()))
}

/// The certificate error of TLS, wherever it is among the causes. An `io::Error` holds its inner error, and does not
/// return it as its cause.
fn certificate_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a CertificateError> {
    let of_tls = |error: &'a (dyn Error + 'static)| match error.downcast_ref::<rustls::Error>() {
        Some(rustls::Error::InvalidCertificate(error)) => Some(error),
        _ => None,
    };
    let mut cause = Some(error);
    while let Some(error) = cause {
        let mut inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        while let Some(wrapped) = inner {
            if let Some(found) = of_tls(wrapped) {
                return Some(found);
            }
            inner = wrapped.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        }
        if let Some(found) = of_tls(error) {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn the_certificate_is_found_below_errors_of_all_kinds() {
        let tls = || rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let wrapped = io::Error::other(tls());
        let twice = io::Error::other(io::Error::other(tls()));
        for error in [&tls() as &(dyn Error + 'static), &wrapped, &twice] {
            let (problem, remedy) = explain_on(error, true).unwrap();
            assert!(problem.contains("certificate"), "{problem}");
            assert!(remedy.contains("--ca-file") && remedy.contains("SSL_CERT_FILE"), "{remedy}");
            let (_, remedy) = explain_on(error, false).unwrap();
            assert!(remedy.contains("ca-certificates") && remedy.contains("--ca-file"), "{remedy}");
        }
        assert_eq!(explain(&io::Error::other("reset")), None);
        let expired = rustls::Error::InvalidCertificate(CertificateError::Expired);
        assert!(explain(&expired).unwrap().1.contains("renew"));
    }
}
