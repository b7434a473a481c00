//! Publishing by the library, for tests that decide over time and requests.

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use jiff::Timestamp;
use tfreg::content::Scratch;
use tfreg::error::Error;
use tfreg::openpgp::Signer;
use tfreg::openpgp::signing_key::{Secret, SigningKey};
use tfreg::package::{BuildOptions, PackageSet};
use tfreg::plan::{Goal, Plan, PublishGoal, Published, VersionKey, Write};
use tfreg::provider::Provider;
use tfreg::publish::{Observer, Options, Outcome, publish};
use tfreg::registry::provenance::Record;
use tfreg::registry::{DocumentMaxAge, Key};
use tfreg::release::archive::Limits;
use tfreg::release::file::ArtifactFile;
use tfreg::release::{Expected, Release};
use tfreg::store::budget::{Budget, Pace, Patience};
use tfreg::store::s3::{Location, S3};
use tfreg::store::{ObjectStore, OnSent, RegistryStore};

use super::key;
use super::s3_server::S3Server;

/// What `tfreg publish` would want with these tarballs.
pub(crate) fn wanted(tarballs: &[PathBuf], published: Published) -> PublishGoal {
    let files = tarballs.iter().map(|path| ArtifactFile::at(path));
    let release = Release::open(files.collect(), &Expected::default()).unwrap();
    let options =
        BuildOptions { limits: Limits::default(), jobs: 1, protocols: None, scratch: Scratch::default() };
    let packages = PackageSet::build(release, &options, &|_, _| {}).unwrap();
    let key = signer().public_key().clone();
    let provider =
        Provider { namespace: "acme".parse().unwrap(), provider_type: packages.provider_type().clone() };
    let (version_key, record) = (VersionKey::Kept, Some(Record::default()));
    // Other packages have another date, as runs at other times do.
    let digest = packages.packages()[0].zip.digest().to_string();
    let date =
        Timestamp::from_second(1_767_322_986 + i64::from_str_radix(&digest[..4], 16).unwrap()).unwrap();
    PublishGoal {
        provider,
        packages,
        key,
        signature: None,
        base_url: None,
        is_for_a_host: false,
        published,
        version_key,
        record,
        date,
        docs: None,
        together: Arc::default(),
    }
}

/// The key that signs in these tests; it is read once, because the model explores thousands of runs.
pub(crate) fn signer() -> Arc<dyn Signer> {
    static SIGNER: LazyLock<Arc<dyn Signer>> = LazyLock::new(|| signer_of("ed25519.asc"));
    Arc::clone(&SIGNER)
}

/// The key of a file in `testdata/keys`, without a passphrase.
pub(crate) fn signer_of(name: &str) -> Arc<dyn Signer> {
    let secret = Secret::new(std::fs::read(key(name)).unwrap());
    Arc::new(SigningKey::read(name, &secret, None).unwrap())
}

/// A clock on which every wait takes its time at once.
#[derive(Default)]
pub(crate) struct NoWaiting(Duration);

#[async_trait]
impl Pace for NoWaiting {
    fn now(&self) -> Duration {
        self.0
    }

    fn jitter(&mut self) -> f64 {
        1.0
    }

    async fn sleep(&mut self, duration: Duration) {
        self.0 += duration;
    }
}

/// Hears nothing.
pub(crate) struct Deaf;

impl Observer for Deaf {
    fn planned(&self, _: &Plan) {}

    fn sending(&self, _: &Write) -> OnSent {
        Arc::new(|_| {})
    }

    fn written(&self, _: &Key) {}

    fn waiting(&self, _: &str) {}
}

/// Publishes, or does what else a goal wants, by the library; `patience` is the contention timeout on the clock that does
/// not wait.
pub(crate) async fn publish_with<G: Goal>(
    store: &RegistryStore,
    wanted: &G,
    jobs: usize,
    patience: Duration,
) -> Result<Outcome, Error> {
    publish_signed(store, wanted, jobs, patience, signer()).await
}

/// The same with another signer.
pub(crate) async fn publish_signed<G: Goal>(
    store: &RegistryStore,
    wanted: &G,
    jobs: usize,
    patience: Duration,
    signer: Arc<dyn Signer>,
) -> Result<Outcome, Error> {
    let options = Options {
        jobs,
        reads: jobs,
        contention_timeout: patience,
        signer: Some(signer),
        read_back: false,
        max_age: None,
    };
    publish(store, wanted, &options, Budget::new(patience, Box::new(NoWaiting::default())), &Deaf).await
}

/// A bucket of the server in process, with retries of reads that do not wait either.
pub(crate) fn bucket(server: &S3Server, target: &str) -> S3 {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .credentials_provider(Credentials::new(server.access_key(), server.secret_key(), None, None, "test"))
        .region(Region::new("us-east-1"))
        .endpoint_url(server.endpoint())
        .retry_config(RetryConfig::disabled())
        .force_path_style(true);
    let client = aws_sdk_s3::Client::from_conf(config.build());
    let store = S3::new(client, Location::parse(target).unwrap());
    store.with_patience(unhurried(Duration::from_secs(5)))
}

/// The registry in `objects`, with the default cache rule.
pub(crate) fn registry(objects: impl ObjectStore + 'static) -> RegistryStore {
    RegistryStore::new(objects, DocumentMaxAge::default())
}

/// The patience of reads, on the clock that does not wait.
pub(crate) fn unhurried(limit: Duration) -> Patience {
    Patience::with_pace(limit, || Box::new(NoWaiting::default()))
}
