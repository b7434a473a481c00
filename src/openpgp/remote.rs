//! A signer whose secret is a bare key elsewhere, which signs digests and knows nothing of OpenPGP: that of a key
//! management service.
//!
//! The certificate around its public key is made here ([`RemoteKey::certify`]), and kept by the user.

use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use der::asn1::{AnyRef, ObjectIdentifier, UintRef};
use der::{Decode as _, Reader as _, SliceReader};
use sequoia_openpgp as openpgp;
use spki::SubjectPublicKeyInfoRef;
use tokio::runtime::Handle;

use openpgp::crypto::mpi::{self, MPI};
use openpgp::packet::key::{Key4, PrimaryRole, PublicParts, UnspecifiedRole};
use openpgp::packet::signature::SignatureBuilder;
use openpgp::packet::{Key, UserID};
use openpgp::serialize::SerializeInto as _;
use openpgp::types::{Curve, HashAlgorithm, KeyFlags, PublicKeyAlgorithm, SignatureType};
use openpgp::{Cert, Packet};

use super::certificate::PublishableKey;
use super::gpg::CertificateFile;
use super::key_check::{Held, KeyCheck, KeyUse, public_half};
use super::signature::hash_for;
use super::signer::{Holder, Signer, bad_signature};
use crate::error::{Error, Refusal, Result};

/// What signs digests.
#[async_trait]
pub trait DigestSigner: Send + Sync {
    /// Signs a digest. The result is as key management services give it: of RSA and Ed25519 the bytes of the signature, of
    /// ECDSA the DER of RFC 3279, section 2.2.3.
    ///
    /// # Errors
    /// The key does not sign.
    async fn sign_digest(&self, hash: Hash, digest: &[u8]) -> Result<Vec<u8>>;
}

/// The hash that a digest was made by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl TryFrom<HashAlgorithm> for Hash {
    type Error = anyhow::Error;

    fn try_from(hash: HashAlgorithm) -> Result<Self, anyhow::Error> {
        match hash {
            HashAlgorithm::SHA256 => Ok(Self::Sha256),
            HashAlgorithm::SHA384 => Ok(Self::Sha384),
            HashAlgorithm::SHA512 => Ok(Self::Sha512),
            other => Err(anyhow::anyhow!("no digest by {other} is signed")),
        }
    }
}

/// The kind of a key, which decides how it signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// RSA, PKCS #1 version 1.5.
    Rsa,
    /// ECDSA.
    Ecdsa,
    /// Ed25519, which takes the digest for the message.
    Ed25519,
}

/// The public key of a key elsewhere. It has no time yet, and so no fingerprint.
#[derive(Debug, Clone)]
pub struct RemoteKey {
    kind: Kind,
    algorithm: PublicKeyAlgorithm,
    mpis: mpi::PublicKey,
}

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");

impl RemoteKey {
    /// Reads a SubjectPublicKeyInfo in DER (RFC 5280, section 4.1).
    ///
    /// # Errors
    /// It is none, or of an algorithm that clients cannot verify.
    pub fn from_spki(bytes: &[u8]) -> Result<Self, String> {
        let damaged = |error: der::Error| format!("a public key that cannot be read: {error}");
        let info = SubjectPublicKeyInfoRef::from_der(bytes).map_err(damaged)?;
        let key = info.subject_public_key.as_bytes().ok_or("a public key that is no whole bytes")?;
        match info.algorithm.oid {
            RSA => {
                let (n, e) = two_numbers(key).map_err(damaged)?;
                let mpis = mpi::PublicKey::RSA { e: MPI::new(e), n: MPI::new(n) };
                Ok(Self { kind: Kind::Rsa, algorithm: PublicKeyAlgorithm::RSAEncryptSign, mpis })
            }
            EC => {
                let named: Option<ObjectIdentifier> =
                    info.algorithm.parameters.and_then(|name: AnyRef<'_>| name.decode_as().ok());
                let curve = match named {
                    Some(P256) => Curve::NistP256,
                    Some(P384) => Curve::NistP384,
                    Some(P521) => Curve::NistP521,
                    other => {
                        return Err(other.map_or("no curve".to_owned(), |curve| format!("the curve {curve}")));
                    }
                };
                let mpis = mpi::PublicKey::ECDSA { curve, q: MPI::new(key) };
                Ok(Self { kind: Kind::Ecdsa, algorithm: PublicKeyAlgorithm::ECDSA, mpis })
            }
            ED25519 => {
                let mpis = mpi::PublicKey::EdDSA { curve: Curve::Ed25519, q: MPI::new_compressed_point(key) };
                #[allow(
                    deprecated,
                    reason = "algorithm 22 is deprecated by RFC 9580, and the only Ed25519 that clients know"
                )]
                let algorithm = PublicKeyAlgorithm::EdDSA;
                Ok(Self { kind: Kind::Ed25519, algorithm, mpis })
            }
            other => Err(format!("the algorithm {other}")),
        }
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The OpenPGP key that was made at that time. Its fingerprint depends on nothing else.
    fn made_at(&self, time: SystemTime) -> openpgp::Result<Key<PublicParts, PrimaryRole>> {
        Ok(Key4::new(time, self.algorithm, self.mpis.clone())?.into())
    }

    /// Makes a certificate of the key: a primary key that certifies and signs, with one user id. `created` is the time
    /// of the key, so that each certificate of it has the same fingerprint; the self-signature is of now. Gives the armored
    /// text.
    ///
    /// # Errors
    /// The key does not sign, or clients could not use the certificate.
    pub async fn certify(
        &self,
        source: &str,
        created: SystemTime,
        user_id: &str,
        expires: Option<SystemTime>,
        digests: Arc<dyn DigestSigner>,
    ) -> Result<String> {
        let failed = |error: anyhow::Error| -> Error {
            Refusal::new(source, "no certificate can be made of this key")
                .found(error)
                .expected("a key of which clients can verify signatures")
                .remedy("use another key")
                .into()
        };
        let key = self.made_at(created).map_err(failed)?;
        let lifetime = expires.map(|expires| expires.duration_since(created)).transpose();
        let lifetime = lifetime.map_err(|error| failed(error.into()))?;
        let user_id = UserID::from(user_id);
        let mut remote = Remote::new(key.clone().role_into_unspecified(), self.kind, digests);
        let build = |lifetime| -> openpgp::Result<SignatureBuilder> {
            SignatureBuilder::new(SignatureType::PositiveCertification)
                .set_hash_algo(hash_for(&key))
                .set_key_flags(KeyFlags::empty().set_certification().set_signing())?
                .set_preferred_hash_algorithms(vec![
                    HashAlgorithm::SHA512,
                    HashAlgorithm::SHA384,
                    HashAlgorithm::SHA256,
                ])?
                .set_key_validity_period(lifetime)
        };
        let builder = build(lifetime).map_err(failed)?;
        let (binding, user_id) = on_another_thread(move || {
            let made = builder.sign_userid_binding(&mut remote, None, &user_id);
            (made, user_id, remote.failure)
        })
        .await
        .map(|(made, user_id, failure)| {
            (made.map_err(|error| failure.unwrap_or_else(|| failed(error))), user_id)
        })?;
        let binding = binding?;
        // A wrong answer is told here, where it is known whose it is.
        binding
            .verify_userid_binding(&key, &key, &user_id)
            .map_err(|error| wrong_signature(source, &error))?;
        let packets: [Packet; 3] = [key.into(), user_id.into(), binding.into()];
        let cert = Cert::from_packets(packets.into_iter()).map_err(failed)?;
        let check = KeyCheck { source, now: SystemTime::now(), key_use: KeyUse::Public };
        Ok(check.candidate(&cert)?.armored)
    }
}

/// What signed has made no signature by the public key that it named.
fn wrong_signature(source: &str, error: &anyhow::Error) -> Error {
    Refusal::new(source, "its signature is not by its own public key")
        .found(error)
        .expected("a signature of the digest as it was sent (MessageType DIGEST)")
        .remedy(
            "run this again: an alias may have been moved to another key meanwhile; where AWS_ENDPOINT_URL or \
             AWS_ENDPOINT_URL_KMS leads to an emulator, use one that signs digests",
        )
        .into()
}

/// The two numbers of an RSA public key, or of an ECDSA signature.
fn two_numbers(bytes: &[u8]) -> der::Result<(&[u8], &[u8])> {
    let mut reader = SliceReader::new(bytes)?;
    let numbers = reader.sequence(|inner| {
        let (first, second): (UintRef<'_>, UintRef<'_>) = (inner.decode()?, inner.decode()?);
        Ok((first.as_bytes(), second.as_bytes()))
    })?;
    reader.finish(numbers)
}

/// The library's signer, which hands digests over to what signs them.
struct Remote {
    key: Key<PublicParts, UnspecifiedRole>,
    kind: Kind,
    digests: Arc<dyn DigestSigner>,
    runtime: Handle,
    /// The error for the user; the library's own is only a text.
    failure: Option<Error>,
}

impl Remote {
    fn new(key: Key<PublicParts, UnspecifiedRole>, kind: Kind, digests: Arc<dyn DigestSigner>) -> Self {
        Self { key, kind, digests, runtime: Handle::current(), failure: None }
    }
}

impl openpgp::crypto::Signer for Remote {
    fn public(&self) -> &Key<PublicParts, UnspecifiedRole> {
        &self.key
    }

    fn sign(&mut self, hash: HashAlgorithm, digest: &[u8]) -> openpgp::Result<mpi::Signature> {
        let signed = self.runtime.block_on(self.digests.sign_digest(hash.try_into()?, digest));
        let bytes = signed.map_err(|error| {
            let text = error.to_string();
            self.failure = Some(error);
            anyhow::anyhow!(text)
        })?;
        Ok(match self.kind {
            Kind::Rsa => mpi::Signature::RSA { s: MPI::new(&bytes) },
            Kind::Ecdsa => {
                let (r, s) = two_numbers(&bytes)?;
                mpi::Signature::ECDSA { r: MPI::new(r), s: MPI::new(s) }
            }
            Kind::Ed25519 => {
                let (r, s) = bytes
                    .split_at_checked(32)
                    .filter(|(_, s)| s.len() == 32)
                    .ok_or_else(|| anyhow::anyhow!("a signature of {} bytes, and not of 64", bytes.len()))?;
                mpi::Signature::EdDSA { r: MPI::new(r), s: MPI::new(s) }
            }
        })
    }
}

/// Runs what waits for the network, and is not asynchronous, where it blocks no other request.
async fn on_another_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::Io {
        context: "cannot wait for a signature".to_owned(),
        source: std::io::Error::other(error),
    })
}

/// A key that signs digests elsewhere, and its certificate.
pub struct RemoteSigner {
    public: PublishableKey,
    key: Key<PublicParts, UnspecifiedRole>,
    kind: Kind,
    holder: Holder,
    digests: Arc<dyn DigestSigner>,
}

impl RemoteSigner {
    /// Checks that the certificate is that of the key, and fit to sign with; `reference` names the signer.
    ///
    /// # Errors
    /// No key of the certificate is this one, or it is not fit.
    pub fn open(
        (holder, reference): (Holder, String),
        file: &CertificateFile,
        remote: &RemoteKey,
        digests: Arc<dyn DigestSigner>,
    ) -> Result<Self> {
        let cert = public_half(&file.name, &file.text)?;
        // The fingerprint is made of the public key and its time, so a key with both is the same.
        let is_same = |key: &Key<PublicParts, UnspecifiedRole>| {
            let made = remote.made_at(key.creation_time());
            made.is_ok_and(|made| made.fingerprint() == key.fingerprint())
        };
        let same = cert.keys().map(|key| key.key().clone()).find(is_same);
        let Some(key) = same else {
            let keys: Vec<String> = cert.keys().map(|key| format!("{:X}", key.key().fingerprint())).collect();
            return Err(Refusal::new(&file.name, "the certificate is of another key than the signer")
                .found(format!("{}, none of which is the key of {reference}", keys.join(", ")))
                .expected(format!("a certificate around the public key that {} has for the signer", holder.name()))
                .remedy(format!(
                    "name the right key by --signer (an alias may have been moved), or make its certificate: `tfreg key create \
                     --signer {reference} --user-id 'NAME <MAIL>' --expires 2y > {}`",
                    crate::words::quoted(&file.name)
                ))
                .into());
        };
        let held = Held {
            holder,
            reference,
            file: Some(file.name.clone()),
            keys: vec![key.fingerprint()],
            exactly: Some(key.fingerprint()),
        };
        let check = KeyCheck { source: &file.name, now: SystemTime::now(), key_use: KeyUse::Held(&held) };
        let public = PublishableKey::new(check.candidate(&cert)?);
        Ok(Self { public, key, kind: remote.kind, holder, digests })
    }
}

#[async_trait]
impl Signer for RemoteSigner {
    fn public_key(&self) -> &PublishableKey {
        &self.public
    }

    async fn sign(&self, document: &Bytes) -> Result<Vec<u8>> {
        let builder = SignatureBuilder::new(SignatureType::Binary).set_hash_algo(hash_for(&self.key));
        let mut remote = Remote::new(self.key.clone(), self.kind, Arc::clone(&self.digests));
        let document = document.clone();
        let (made, failure) = on_another_thread(move || {
            let made = builder.sign_message(&mut remote, &document);
            (made.and_then(|signature| Packet::from(signature).to_vec()), remote.failure)
        })
        .await?;
        made.map_err(|error| {
            failure.unwrap_or_else(|| {
                bad_signature(self.public.key_id(), Some(self.holder), error.to_string()).into()
            })
        })
    }

    fn holder(&self) -> Option<Holder> {
        Some(self.holder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = (RemoteKey::from_spki(&bytes).is_ok(), two_numbers(&bytes).is_ok());
        }
    }

    #[test]
    fn two_numbers_are_read_and_nothing_behind_them() {
        let der = [0x30, 0x07, 0x02, 0x02, 0x00, 0xff, 0x02, 0x01, 0x01];
        assert_eq!(two_numbers(&der).unwrap(), (&[0xff][..], &[0x01][..]));
        assert!(two_numbers(&[&der[..], &[0]].concat()).is_err());
        assert!(two_numbers(&der[..8]).is_err());
        // A negative number.
        assert!(two_numbers(&[0x30, 0x06, 0x02, 0x01, 0xff, 0x02, 0x01, 0x01]).is_err());
    }
}
