//! The trusted certificates: the system's, and those of an additional file (`AWS_CA_BUNDLE`, `--ca-file`).

use std::sync::{Arc, LazyLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{VerifierBuilderError, WebPkiServerVerifier};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

/// The remedy if no server can be trusted because the machine has no certificates.
pub const NO_CERTIFICATES: &str = "this machine has no certificates of CAs: install them (the package ca-certificates of Debian, Alpine \
    and others), or name a file of them by AWS_CA_BUNDLE or SSL_CERT_FILE";

/// Whether the machine has CA certificates where TLS libraries look for them: in the locations that `SSL_CERT_FILE` and
/// `SSL_CERT_DIR` name, otherwise in the system's files. Small container images have none, and the libraries then fail
/// before any connection is made, even one that needs no certificate.
#[must_use]
pub fn machine_has_certificates() -> bool {
    SYSTEM.iter().any(|certificate| webpki::anchor_from_trusted_cert(certificate).is_ok())
}

/// The certificates of those places, read once.
static SYSTEM: LazyLock<Vec<CertificateDer<'static>>> =
    LazyLock::new(|| rustls_native_certs::load_native_certs().certs);

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The cryptography lacks what TLS needs.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
    /// There is no certificate to trust.
    #[error(transparent)]
    Verifier(#[from] VerifierBuilderError),
    /// The client cannot be made.
    #[error(transparent)]
    Client(#[from] reqwest::Error),
}

/// The certificates of a PEM file, all of which can be trusted.
#[derive(Debug, Clone)]
pub struct CaBundle(Vec<CertificateDer<'static>>);

impl CaBundle {
    /// Reads a PEM file.
    ///
    /// # Errors
    /// Fails if it contains no certificate, or one that is damaged.
    pub fn parse(pem: &[u8]) -> Result<Self, String> {
        let mut certificates = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let number = certificates.len() + 1;
            let certificate =
                certificate.map_err(|error| format!("certificate {number} cannot be read: {error}"))?;
            webpki::anchor_from_trusted_cert(&certificate)
                .map_err(|error| format!("certificate {number} is not one that can be trusted: {error}"))?;
            certificates.push(certificate);
        }
        if certificates.is_empty() { Err("it has no certificate".to_owned()) } else { Ok(Self(certificates)) }
    }

    /// No certificate but the system's, if `SSL_CERT_FILE` or `SSL_CERT_DIR` names those: what somebody has named is trusted as
    /// this bundle's certificates are, also where the server itself has it.
    #[must_use]
    pub fn of_environment() -> Option<Self> {
        let named = ["SSL_CERT_FILE", "SSL_CERT_DIR"].iter().any(|name| std::env::var_os(name).is_some());
        (named && machine_has_certificates()).then(|| Self(Vec::new()))
    }

    /// A client's TLS settings that trust the system's certificates and these.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn tls_config(&self) -> Result<ClientConfig, TrustError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        let trusted: Vec<_> = SYSTEM.iter().chain(&self.0).cloned().collect();
        roots.add_parsable_certificates(trusted.iter().cloned());
        let webpki =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build()?;
        let verifier = Verifier { webpki, trusted };
        Ok(ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth())
    }
}

/// Verifies as rustls does, and also takes a server's certificate that is one of the trusted ones itself.
///
/// `openssl req -x509` makes a certificate of a CA, and its users serve that very certificate. webpki refuses a CA's
/// certificate as a server's; Go's clients, Terraform among them, take it where it is trusted itself (crypto/x509,
/// `Certificate.Verify`: a chain may consist of one root). Its name, its time and the server's signature are checked as
/// those of any other.
#[derive(Debug)]
struct Verifier {
    webpki: Arc<WebPkiServerVerifier>,
    trusted: Vec<CertificateDer<'static>>,
}

/// Whether a server's certificate is refused for the sole reason that it is a CA's; webpki looks at the time before that, and
/// at the issuer after it.
#[must_use]
pub fn is_of_a_ca(error: &CertificateError) -> bool {
    let CertificateError::Other(error) = error else { return false };
    error.0.downcast_ref::<webpki::Error>() == Some(&webpki::Error::CaUsedAsEndEntity)
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.webpki.verify_server_cert(certificate, intermediates, name, ocsp, now) {
            Err(rustls::Error::InvalidCertificate(error))
                if is_of_a_ca(&error) && self.trusted.contains(certificate) =>
            {
                let certificate = rustls::server::ParsedCertificate::try_from(certificate)?;
                rustls::client::verify_server_name(&certificate, name)?;
                Ok(ServerCertVerified::assertion())
            }
            outcome => outcome,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.webpki.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.webpki.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
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
        assert!(CaBundle::parse(GOOD.as_bytes()).is_ok());
        assert!(CaBundle::parse(format!("a comment\n{GOOD}\n{GOOD}").as_bytes()).is_ok());
        for bad in [
            "",
            "hello",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            &GOOD[..GOOD.len() / 2],
            &GOOD.replace("MII", "MI!"),
            &format!("{GOOD}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        ] {
            assert!(CaBundle::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
