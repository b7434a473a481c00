//! A good registry, and what can be done to it: one change at a time, everything else as it should be.

use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use sequoia_openpgp as openpgp;

use openpgp::cert::CertBuilder;
use openpgp::packet::signature::SignatureBuilder;
use openpgp::parse::Parse as _;
use openpgp::serialize::SerializeInto as _;
use openpgp::types::{HashAlgorithm, SignatureType};
use openpgp::{Cert, Packet, Profile};
use serde_json::Value;
use tempfile::TempDir;
use tfreg::content::Digest;
use zip::CompressionMethod;
use zip::write::SimpleFileOptions;

use super::archive::genuine_executable;
use super::clients::Terraform;
use super::host::Host;
use super::{folder, key, publish, run, tarballs, tree};

pub(crate) const INDEX: &str = "registry/acme/sample/versions";
pub(crate) const DISCOVERY: &str = ".well-known/terraform.json";
/// The document of the platform on which Terraform runs here.
pub(crate) const HERE: &str = "registry/acme/sample/1.2.0/download/linux/amd64";
/// That of another one.
pub(crate) const THERE: &str = "registry/acme/sample/1.2.0/download/darwin/arm64";
pub(crate) const EXECUTABLE: &str = "terraform-provider-sample_v1.2.0";

/// The files of a good registry: 1.2.0 and 1.10.0, four platforms each.
fn good() -> &'static [(String, Vec<u8>)] {
    static GOOD: OnceLock<Vec<(String, Vec<u8>)>> = OnceLock::new();
    GOOD.get_or_init(|| {
        let root = folder();
        for release in ["release-1.2.0", "release-1.10.0"] {
            run(&mut publish(root.path(), &tarballs(release))).succeeds();
        }
        tree(root.path()).into_iter().collect()
    })
}

/// A copy of the good registry, on disk and on a host.
pub(crate) struct Case {
    _root: TempDir,
    pub(crate) site: PathBuf,
    pub(crate) host: Host,
}

impl Case {
    pub(crate) fn new() -> Self {
        let root = folder();
        let site = root.path().join("site");
        for (name, bytes) in good() {
            let path = site.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        Self { host: Host::of(&site), _root: root, site }
    }

    pub(crate) fn at(&self, key: &str) -> PathBuf {
        self.site.join(key)
    }

    pub(crate) fn write(&self, key: &str, bytes: impl AsRef<[u8]>) {
        let path = self.at(key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    pub(crate) fn remove(&self, key: &str) {
        std::fs::remove_file(self.at(key)).unwrap();
    }

    pub(crate) fn text(&self, key: &str) -> String {
        std::fs::read_to_string(self.at(key)).unwrap()
    }

    /// Replaces a text in a file, which must be there.
    pub(crate) fn replace(&self, key: &str, from: &str, to: &str) {
        let text = self.text(key);
        assert!(text.contains(from), "{from} in {text}");
        self.write(key, text.replace(from, to));
    }

    /// Changes a JSON document.
    pub(crate) fn edit(&self, key: &str, change: impl FnOnce(&mut Value)) {
        let mut value = serde_json::from_str(&self.text(key)).unwrap();
        change(&mut value);
        self.write(key, format!("{value:#}\n"));
    }

    /// Changes all documents of 1.2.0.
    pub(crate) fn edit_all(&self, change: impl Fn(&mut Value)) {
        for platform in ["linux/amd64", "linux/arm64", "darwin/arm64", "windows/amd64"] {
            self.edit(&format!("registry/acme/sample/1.2.0/download/{platform}"), &change);
        }
    }

    /// The key that a member of a document leads to.
    pub(crate) fn linked(&self, document: &str, member: &str) -> String {
        let value: Value = serde_json::from_str(&self.text(document)).unwrap();
        value[member].as_str().unwrap().trim_start_matches('/').to_owned()
    }

    pub(crate) fn zip_key(&self) -> String {
        self.linked(HERE, "download_url")
    }

    pub(crate) fn sums_key(&self) -> String {
        self.linked(HERE, "shasums_url")
    }

    pub(crate) fn signature_key(&self) -> String {
        self.linked(HERE, "shasums_signature_url")
    }

    /// An object beside SHA256SUMS.
    pub(crate) fn beside_sums(&self, name: &str) -> String {
        format!("{}/{name}", self.sums_key().rsplit_once('/').unwrap().0)
    }

    /// Changes SHA256SUMS, and signs it again by the same key.
    pub(crate) fn sums(&self, change: impl FnOnce(String) -> String) {
        let text = change(self.text(&self.sums_key()));
        self.write(&self.sums_key(), &text);
        self.sign(&Signer::of("ed25519.asc"), |builder| builder);
    }

    /// Signs SHA256SUMS.
    pub(crate) fn sign(&self, signer: &Signer, change: impl FnOnce(SignatureBuilder) -> SignatureBuilder) {
        let document = std::fs::read(self.at(&self.sums_key())).unwrap();
        self.write(&self.signature_key(), signer.sign(&document, change));
    }

    /// Signs SHA256SUMS by a test key, and embeds its public half.
    pub(crate) fn resign(&self, name: &str) {
        self.embed(&Signer::of(name));
    }

    /// The same by any key.
    pub(crate) fn embed(&self, signer: &Signer) {
        self.sign(signer, |builder| builder);
        self.edit_all(|document| {
            document["signing_keys"]["gpg_public_keys"] =
                serde_json::json!([{ "key_id": signer.key_id(), "ascii_armor": signer.armored() }]);
        });
    }

    /// Puts another zip in the place of this platform's, with its checksum everywhere and SHA256SUMS signed again.
    pub(crate) fn zip(&self, bytes: &[u8]) {
        let old: Value = serde_json::from_str(&self.text(HERE)).unwrap();
        let old = old["shasum"].as_str().unwrap().to_owned();
        let new = Digest::of(bytes).to_string();
        self.write(&self.zip_key(), bytes);
        self.replace(HERE, &old, &new);
        self.sums(|text| text.replace(&old, &new));
        // They have rules of their own.
        self.edit_all(|document| drop(document.as_object_mut().unwrap().remove("packages")));
    }

    /// What a client makes of it, on a platform like this one: init, a start of what was installed, and init again with
    /// the lock file of the first.
    pub(crate) fn installs(&self, client: &Path) -> Result<(), String> {
        let terraform = Terraform::over(&self.host, "1.2.0").by(client);
        let init = terraform.run(&["init", "-no-color"]);
        if init.code != 0 {
            return Err(format!("{}{}", init.stdout, init.stderr));
        }
        let installed = tree_of_executables(&terraform.path(".terraform/providers"));
        for path in installed {
            let started = std::process::Command::new(&path).arg("--version").output();
            match started {
                Err(error) => return Err(format!("cannot start {}: {error}", path.display())),
                Ok(output) if !output.status.success() => return Err(format!("{output:?}")),
                Ok(_) => {}
            }
        }
        std::fs::remove_dir_all(terraform.path(".terraform")).unwrap();
        let again = terraform.run(&["init", "-no-color", "-lockfile=readonly"]);
        if again.code == 0 { Ok(()) } else { Err(format!("second init: {}{}", again.stdout, again.stderr)) }
    }
}

/// The file that Terraform would start, below its providers' folder.
fn tree_of_executables(folder: &Path) -> Vec<PathBuf> {
    let names = tree(folder).into_keys();
    let mut found: Vec<PathBuf> = names
        .filter(|name| {
            let file = name.rsplit('/').next().unwrap();
            let root = name.split('/').count() == 6;
            root && file
                .strip_prefix("terraform-provider-sample")
                .is_some_and(|r| r.is_empty() || r.starts_with(['_', '.']))
        })
        .map(|name| folder.join(name))
        .collect();
    found.truncate(1);
    found
}

/// A test key that signs.
pub(crate) struct Signer {
    cert: Cert,
}

impl Signer {
    pub(crate) fn of(name: &str) -> Self {
        Self { cert: Cert::from_file(key(name)).unwrap() }
    }

    /// A key that expires in so many days.
    pub(crate) fn expiring(days: u64) -> Self {
        let builder =
            CertBuilder::general_purpose(Some("tfreg worthless test key")).set_profile(Profile::RFC4880);
        let builder = builder.unwrap().set_validity_period(Duration::from_hours(24 * days));
        Self { cert: builder.generate().unwrap().0 }
    }

    pub(crate) fn key_id(&self) -> String {
        format!("{:X}", self.cert.keyid())
    }

    pub(crate) fn armored(&self) -> String {
        String::from_utf8(self.cert.clone().strip_secret_key_material().armored().to_vec().unwrap()).unwrap()
    }

    /// The secret half, armored.
    pub(crate) fn armored_secret(&self) -> String {
        String::from_utf8(self.cert.as_tsk().armored().to_vec().unwrap()).unwrap()
    }

    pub(crate) fn sign(
        &self,
        document: &[u8],
        change: impl FnOnce(SignatureBuilder) -> SignatureBuilder,
    ) -> Vec<u8> {
        let keys = self.cert.keys().secret().filter(|key| key.key().has_secret());
        let key = keys.filter(|key| key.key().pk_algo().for_signing()).last().unwrap().key().clone();
        let mut pair = key.into_keypair().unwrap();
        let builder = SignatureBuilder::new(SignatureType::Binary).set_hash_algo(HashAlgorithm::SHA512);
        let signature = change(builder).sign_message(&mut pair, document).unwrap();
        Packet::from(signature).to_vec().unwrap()
    }
}

/// A signature that expired a year ago.
pub(crate) fn expired(builder: SignatureBuilder) -> SignatureBuilder {
    let year = Duration::from_hours(24 * 365);
    let made = SystemTime::now() - year - year / 12;
    let builder = builder.set_signature_creation_time(made).unwrap();
    builder.set_signature_validity_period(year / 12).unwrap()
}

/// What is in a zip.
pub(crate) enum Entry<'a> {
    File(&'a str, u32, &'a [u8]),
    Folder(&'a str),
    Link(&'a str, &'a str),
}

/// A zip, made by another program than tfreg.
pub(crate) fn zip_of(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = |mode: u32| {
        SimpleFileOptions::default().compression_method(CompressionMethod::Deflated).unix_permissions(mode)
    };
    for entry in entries {
        match entry {
            Entry::File(name, mode, content) => {
                writer.start_file(*name, options(*mode)).unwrap();
                writer.write_all(content).unwrap();
            }
            Entry::Folder(name) => writer.add_directory(*name, options(0o755)).unwrap(),
            Entry::Link(name, target) => writer.add_symlink(*name, *target, options(0o777)).unwrap(),
        }
    }
    writer.finish().unwrap().into_inner()
}

/// The executable for this platform.
pub(crate) fn executable() -> Vec<u8> {
    genuine_executable("linux-amd64")
}

/// Changes every header of the central directory of a zip.
pub(crate) fn central(mut zip: Vec<u8>, change: impl Fn(&mut [u8])) -> Vec<u8> {
    let at: Vec<usize> = (0..zip.len() - 46).filter(|at| zip[*at..].starts_with(b"PK\x01\x02")).collect();
    assert!(!at.is_empty());
    for at in at {
        change(&mut zip[at..]);
    }
    zip
}
