//! The trusted CA certificates: the system's, and those of an additional file (`AWS_CA_BUNDLE`).

use std::sync::LazyLock;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

/// The remedy if no server can be trusted because the machine has no certificates.
pub const NO_CERTIFICATES: &str = "this machine has no certificates of CAs: install them (the package ca-certificates of Debian, Alpine \
    and others), or name a file of them by AWS_CA_BUNDLE or SSL_CERT_FILE";

/// Whether the machine has CA certificates where TLS libraries look for them: in the locations that `SSL_CERT_FILE` and
/// `SSL_CERT_DIR` name, otherwise in the system's files. Small container images have none, and the libraries then fail
/// before any connection is made, even one that needs no certificate.
#[must_use]
pub fn machine_has_certificates() -> bool {
    static FOUND: LazyLock<bool> = LazyLock::new(|| {
        let found = rustls_native_certs::load_native_certs();
        found.certs.iter().any(|certificate| webpki::anchor_from_trusted_cert(certificate).is_ok())
    });
    *FOUND
}

/// A PEM file of certificates, all of which can be read. The SDK's connector ends the program if one cannot be read.
#[derive(Debug, Clone)]
pub struct CaBundle(Vec<u8>);

impl CaBundle {
    /// Reads a PEM file.
    ///
    /// # Errors
    /// Fails if it contains no certificate, or one that is damaged.
    pub fn parse(pem: Vec<u8>) -> Result<Self, String> {
        let mut count = 0;
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            count += 1;
            let certificate =
                certificate.map_err(|error| format!("certificate {count} cannot be read: {error}"))?;
            webpki::anchor_from_trusted_cert(&certificate)
                .map_err(|error| format!("certificate {count} is not one that can be trusted: {error}"))?;
        }
        if count == 0 { Err("it has no certificate".to_owned()) } else { Ok(Self(pem)) }
    }

    /// The PEM file.
    #[must_use]
    pub fn pem(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -subj /CN=test -days 36500`.
    const GOOD: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBdjCCARugAwIBAgIUIgMo2DNh5fPA1IP7eXerv707WjkwCgYIKoZIzj0EAwIw\n\
DzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMjEwMTUxMjhaGA8yMTI2MTAyODAxNTEy\n\
OFowDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNNk\n\
V1UFoiRu1M6oOet9G/3iGWl52cYzAGP6bZhP7sfqi5RV7nlB7qKVhgDnX2NXgvYQ\n\
yWuF6zuldpIrbkmjTBujUzBRMB0GA1UdDgQWBBRe3EK+6jOmgx8vgYgLYk6opgq7\n\
/jAfBgNVHSMEGDAWgBRe3EK+6jOmgx8vgYgLYk6opgq7/jAPBgNVHRMBAf8EBTAD\n\
AQH/MAoGCCqGSM49BAMCA0kAMEYCIQDvkrAR1nzHIUlT5L852qDWiItXwopc5o9F\n\
wMo1TfAlPgIhALCbwC3vm9mM7WmFCVtYbD05DIQZk/HAIBTEjxDvpzoo\n\
-----END CERTIFICATE-----\n";

    #[test]
    fn only_certificates_are_taken() {
        assert!(CaBundle::parse(GOOD.into()).is_ok());
        assert!(CaBundle::parse(format!("a comment\n{GOOD}\n{GOOD}").into()).is_ok());
        for bad in [
            "",
            "hello",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            &GOOD[..GOOD.len() / 2],
            &GOOD.replace("MII", "MI!"),
            &format!("{GOOD}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        ] {
            assert!(CaBundle::parse(bad.into()).is_err(), "{bad}");
        }
    }
}
