//! A server whose every state an independent reader judges.

use super::reader::{self, Listed, Objects};
use super::s3_server::{S3Server, Snapshot};

fn objects_of(snapshot: &Snapshot) -> Objects {
    snapshot.bucket("bucket").iter().map(|(key, object)| (key.clone(), object.bytes.to_vec())).collect()
}

/// A server with a bucket `bucket`, watched from the beginning.
pub(crate) fn watched() -> S3Server {
    let server = S3Server::start(&["bucket"]);
    watch(&server);
    server
}

/// The same with objects in it.
pub(crate) fn watched_with(base: &Objects) -> S3Server {
    let server = S3Server::start(&["bucket"]);
    for (key, bytes) in base {
        server.put_directly("bucket", key, bytes.clone());
    }
    watch(&server);
    server
}

/// Lets the reader judge the registry in `bucket` after every single write from now on; `S3Server::verify` tells.
pub(crate) fn watch(server: &S3Server) {
    server.on_write(Box::new(|snapshot, event| {
        if let Err(error) = reader::read(&objects_of(snapshot)) {
            panic!("after {}: {error}", event.key);
        }
    }));
}

/// The objects in `bucket` below `prefix`, by their keys from there.
pub(crate) fn objects(server: &S3Server, prefix: &str) -> Objects {
    let below = |(key, bytes): (String, Vec<u8>)| Some((key.strip_prefix(prefix)?.to_owned(), bytes));
    let all = server.objects("bucket").into_iter().map(|(key, object)| (key, object.bytes.to_vec()));
    all.filter_map(below).collect()
}

/// What the registry in `bucket` lists; whole, or the test fails.
pub(crate) fn listed(server: &S3Server) -> Listed {
    reader::read(&objects(server, "")).unwrap()
}
