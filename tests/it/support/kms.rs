//! An AWS KMS in process, with the three operations that tfreg uses: it holds real keys, and is as strict as the API
//! reference says about how a message and its digest are given.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sequoia_openpgp as openpgp;
use serde_json::{Value, json};

use openpgp::Cert;
use openpgp::crypto::{KeyPair, Signer as _, mpi};
use openpgp::parse::Parse as _;
use openpgp::types::{Curve, HashAlgorithm};

/// The account and region of all keys.
const HERE: &str = "arn:aws:kms:eu-west-1:123456789012";

/// A running server; it ends when it is dropped.
pub(crate) struct KmsServer {
    address: SocketAddr,
    is_stopped: Arc<AtomicBool>,
    state: Arc<Mutex<State>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    /// By their ARNs.
    keys: BTreeMap<String, HeldKey>,
    /// The ARNs of keys by those of aliases.
    aliases: BTreeMap<String, String>,
    /// Errors that answer all requests for an operation.
    faults: BTreeMap<&'static str, (&'static str, String)>,
    /// How many requests are throttled from now on.
    throttled: u32,
    /// Whether a digest is hashed once more before it is signed, as emulators do that know no `DIGEST`.
    hashes_digests: bool,
    requests: Vec<KmsRequest>,
}

struct HeldKey {
    pair: KeyPair,
    spec: &'static str,
    usage: &'static str,
    /// With a fraction, as KMS has it.
    created: f64,
}

/// A request that has come.
#[derive(Debug, Clone)]
pub(crate) struct KmsRequest {
    pub(crate) operation: String,
    pub(crate) body: Value,
    /// The id of the access key that signed the request.
    pub(crate) access_key: String,
}

type Answer = Result<Value, (&'static str, String)>;

impl KmsServer {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (is_stopped, state) = (Arc::<AtomicBool>::default(), Arc::<Mutex<State>>::default());
        let (stopped, shared) = (Arc::clone(&is_stopped), Arc::clone(&state));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(stream), state) = (stream, Arc::clone(&shared)) else { continue };
                std::thread::spawn(move || serve(&stream, &state));
            }
        });
        Self { address, is_stopped, state, thread: Some(thread) }
    }

    /// The environment in which KMS is asked here, with credentials of its own.
    pub(crate) fn envs(&self) -> Vec<(String, String)> {
        let endpoint = self.url();
        let pairs = [
            ("AWS_ENDPOINT_URL_KMS", endpoint.as_str()),
            ("AWS_ACCESS_KEY_ID", "AKIDKMS"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("AWS_CONFIG_FILE", "/dev/null"),
            ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
            ("NO_PROXY", "127.0.0.1"),
            ("no_proxy", "127.0.0.1"),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }

    /// `http://127.0.0.1:PORT`
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A key that signs, with the secret of an OpenPGP key's primary key; gives its ARN.
    pub(crate) fn add(&self, name: &str, openpgp_key: &[u8]) -> String {
        self.add_for(name, openpgp_key, "SIGN_VERIFY")
    }

    pub(crate) fn add_for(&self, name: &str, openpgp_key: &[u8], usage: &'static str) -> String {
        let cert = Cert::from_bytes(openpgp_key).unwrap();
        let key = cert.primary_key().key().clone().parts_into_secret().unwrap();
        let pair = key.role_into_unspecified().into_keypair().unwrap();
        let spec = match pair.public().mpis() {
            mpi::PublicKey::RSA { n, .. } => match n.bits() {
                2048 => "RSA_2048",
                3072 => "RSA_3072",
                4096 => "RSA_4096",
                bits => panic!("RSA of {bits} bits"),
            },
            mpi::PublicKey::EdDSA { .. } => "ECC_NIST_EDWARDS25519",
            mpi::PublicKey::ECDSA { curve: Curve::NistP256, .. } => "ECC_NIST_P256",
            mpi::PublicKey::ECDSA { curve: Curve::NistP384, .. } => "ECC_NIST_P384",
            mpi::PublicKey::ECDSA { curve: Curve::NistP521, .. } => "ECC_NIST_P521",
            mpi::PublicKey::ECDSA { .. } => "ECC_SECG_P256K1",
            other => panic!("{other:?}"),
        };
        let arn = format!("{HERE}:key/{name}");
        let created = 1_700_000_000.789;
        self.state().keys.insert(arn.clone(), HeldKey { pair, spec, usage, created });
        arn
    }

    /// Points an alias to a key; gives the alias's ARN.
    pub(crate) fn alias(&self, name: &str, key: &str) -> String {
        let arn = format!("{HERE}:alias/{name}");
        self.state().aliases.insert(arn.clone(), key.to_owned());
        arn
    }

    /// Answers each request for an operation so, until [`heal`](Self::heal).
    pub(crate) fn fault(&self, operation: &'static str, code: &'static str, message: &str) {
        self.state().faults.insert(operation, (code, message.to_owned()));
    }

    pub(crate) fn heal(&self) {
        self.state().faults.clear();
        self.state().throttled = 0;
    }

    /// Throttles that many requests.
    pub(crate) fn throttle(&self, requests: u32) {
        self.state().throttled = requests;
    }

    /// Hashes digests once more before it signs them, as emulators do that know no `DIGEST`.
    pub(crate) fn hash_digests(&self) {
        self.state().hashes_digests = true;
    }

    /// What has come for an operation since the last call.
    pub(crate) fn take(&self, operation: &str) -> Vec<KmsRequest> {
        let all = std::mem::take(&mut self.state().requests);
        all.into_iter().filter(|request| request.operation == operation).collect()
    }
}

impl Drop for KmsServer {
    fn drop(&mut self) {
        self.is_stopped.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Answers the requests of a connection.
fn serve(stream: &TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut headers = BTreeMap::new();
        let mut line = String::new();
        if !matches!(reader.read_line(&mut line), Ok(1..)) {
            return;
        }
        assert!(line.starts_with("POST / "), "{line}");
        loop {
            line.clear();
            if !matches!(reader.read_line(&mut line), Ok(1..)) {
                return;
            }
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let answer = answer(&headers, &body, &mut state.lock().unwrap_or_else(PoisonError::into_inner));
        let (status, body) = match answer {
            Ok(body) => ("200 OK", body),
            Err((code, message)) => ("400 Bad Request", json!({ "__type": code, "message": message })),
        };
        let body = body.to_string();
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let mut writer = stream;
        if writer.write_all((head + &body).as_bytes()).is_err() {
            return;
        }
    }
}

fn answer(headers: &BTreeMap<String, String>, body: &[u8], state: &mut State) -> Answer {
    assert_eq!(headers["content-type"], "application/x-amz-json-1.1");
    let operation = headers["x-amz-target"].strip_prefix("TrentService.").unwrap().to_owned();
    let body: Value = serde_json::from_slice(body).unwrap();
    // AWS4-HMAC-SHA256 Credential=ID/DATE/REGION/SERVICE/aws4_request, …
    let authorization = &headers["authorization"];
    let scope = authorization.split("Credential=").nth(1).unwrap().split(',').next().unwrap();
    let scope: Vec<&str> = scope.split('/').collect();
    let [access_key, _, region, service, _] = scope.as_slice() else { panic!("{authorization}") };
    assert_eq!(*service, "kms", "signed for KMS");
    state.requests.push(KmsRequest {
        operation: operation.clone(),
        body: body.clone(),
        access_key: (*access_key).to_owned(),
    });
    if state.throttled > 0 {
        state.throttled -= 1;
        return Err(("ThrottlingException", "Rate exceeded".to_owned()));
    }
    if let Some((code, message)) = state.faults.get(operation.as_str()) {
        return Err((*code, message.clone()));
    }
    let named = body["KeyId"].as_str().unwrap();
    if named.split(':').nth(3) != Some(*region) {
        return Err(("NotFoundException", format!("Invalid arn {region}")));
    }
    let arn = if named.contains(":alias/") {
        let alias = state.aliases.get(named).cloned();
        alias.ok_or(("NotFoundException", format!("Alias {named} is not found.")))?
    } else {
        named.to_owned()
    };
    let key = state.keys.get_mut(&arn);
    let key = key.ok_or(("NotFoundException", format!("Key '{named}' does not exist")))?;
    match operation.as_str() {
        "DescribeKey" => Ok(json!({
            "KeyMetadata": { "KeyId": arn, "Arn": arn, "CreationDate": key.created, "KeySpec": key.spec, "KeyUsage": key.usage },
        })),
        "GetPublicKey" => Ok(json!({
            "KeyId": arn,
            "KeySpec": key.spec,
            "KeyUsage": key.usage,
            "PublicKey": BASE64.encode(public_key(&key.pair)),
        })),
        "Sign" => {
            let message = BASE64.decode(body["Message"].as_str().unwrap()).unwrap();
            let message_type = body["MessageType"].as_str().filter(|_| !state.hashes_digests);
            let signature = key.sign(&message, message_type, body["SigningAlgorithm"].as_str().unwrap())?;
            Ok(
                json!({ "KeyId": arn, "Signature": BASE64.encode(signature), "SigningAlgorithm": body["SigningAlgorithm"] }),
            )
        }
        other => panic!("{other}"),
    }
}

impl HeldKey {
    /// As "Sign" in the API reference: `DIGEST` is hashed already, and has the length of the algorithm's hash; anything
    /// else is hashed here. A NIST curve has one hash.
    fn sign(
        &mut self,
        message: &[u8],
        message_type: Option<&str>,
        algorithm: &str,
    ) -> Result<Vec<u8>, (&'static str, String)> {
        if self.usage != "SIGN_VERIFY" {
            return Err(("InvalidKeyUsageException", format!("the key usage is {}", self.usage)));
        }
        let invalid = |text: String| Err(("ValidationException", text));
        let allowed: &[&str] = match self.spec {
            "ECC_NIST_P256" => &["ECDSA_SHA_256"],
            "ECC_NIST_P384" => &["ECDSA_SHA_384"],
            "ECC_NIST_P521" => &["ECDSA_SHA_512"],
            "ECC_NIST_EDWARDS25519" => &["ED25519_SHA_512"],
            _ => &["RSASSA_PKCS1_V1_5_SHA_256", "RSASSA_PKCS1_V1_5_SHA_384", "RSASSA_PKCS1_V1_5_SHA_512"],
        };
        if !allowed.contains(&algorithm) {
            let text = format!("Algorithm {algorithm} and key spec {} are incompatible", self.spec);
            return Err(("InvalidKeyUsageException", text));
        }
        let hash = match &algorithm[algorithm.len() - 3..] {
            "256" => HashAlgorithm::SHA256,
            "384" => HashAlgorithm::SHA384,
            _ => HashAlgorithm::SHA512,
        };
        let is_ed25519 = algorithm == "ED25519_SHA_512";
        let digest = match message_type {
            Some("DIGEST") if is_ed25519 => return invalid("ED25519_SHA_512 takes RAW only".to_owned()),
            Some("DIGEST") if message.len() != hash.digest_size().unwrap() => {
                return invalid(format!("Digest is invalid length for algorithm {algorithm}."));
            }
            Some("DIGEST") => message.to_vec(),
            // The library signs what it is given as Ed25519's message.
            _ if is_ed25519 => message.to_vec(),
            _ => {
                let mut context = hash.context().unwrap().for_digest();
                context.update(message);
                context.into_digest().unwrap()
            }
        };
        Ok(match self.pair.sign(hash, &digest).unwrap() {
            mpi::Signature::RSA { s } => {
                s.value_padded(self.pair.public().mpis().bits().unwrap() / 8).unwrap().to_vec()
            }
            mpi::Signature::ECDSA { r, s } => tlv(0x30, &[integer(r.value()), integer(s.value())].concat()),
            mpi::Signature::EdDSA { r, s } => {
                [r.value_padded(32).unwrap(), s.value_padded(32).unwrap()].concat()
            }
            other => panic!("{other:?}"),
        })
    }
}

/// The SubjectPublicKeyInfo in DER.
fn public_key(pair: &KeyPair) -> Vec<u8> {
    let (algorithm, key) = match pair.public().mpis() {
        mpi::PublicKey::RSA { e, n } => {
            let oid = tlv(0x06, b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01");
            ([oid, tlv(0x05, &[])].concat(), tlv(0x30, &[integer(n.value()), integer(e.value())].concat()))
        }
        mpi::PublicKey::EdDSA { q, .. } => (tlv(0x06, b"\x2b\x65\x70"), q.value()[1..].to_vec()),
        mpi::PublicKey::ECDSA { curve, q } => {
            let curve: &[u8] = match curve {
                Curve::NistP256 => b"\x2a\x86\x48\xce\x3d\x03\x01\x07",
                Curve::NistP384 => b"\x2b\x81\x04\x00\x22",
                Curve::NistP521 => b"\x2b\x81\x04\x00\x23",
                _ => b"\x2b\x81\x04\x00\x0a",
            };
            ([tlv(0x06, b"\x2a\x86\x48\xce\x3d\x02\x01"), tlv(0x06, curve)].concat(), q.value().to_vec())
        }
        other => panic!("{other:?}"),
    };
    tlv(0x30, &[tlv(0x30, &algorithm), tlv(0x03, &[&[0][..], &key].concat())].concat())
}

/// An INTEGER without a sign.
fn integer(bytes: &[u8]) -> Vec<u8> {
    let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    let sign: &[u8] = if bytes.get(start).is_some_and(|byte| byte & 0x80 != 0) { &[0] } else { &[] };
    tlv(0x02, &[sign, &bytes[start..]].concat())
}

fn tlv(tag: u8, contents: &[u8]) -> Vec<u8> {
    let length = u16::try_from(contents.len()).unwrap().to_be_bytes();
    let head = match length {
        [0, low] if low < 0x80 => vec![tag, low],
        [0, low] => vec![tag, 0x81, low],
        [high, low] => vec![tag, 0x82, high, low],
    };
    [head, contents.to_vec()].concat()
}
