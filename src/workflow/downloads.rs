//! Reads access logs and counts the downloads in them.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use futures::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};
use tokio::task;

use crate::error::{Error, Refusal, Result};
use crate::logs::{LogFile, Since, Tally};
use crate::regular;
use crate::store::access::Access;
use crate::store::s3::{Location, S3};
use crate::store::{Form, ObjectStore, StoreError};

/// Where logs are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Logs {
    /// A file, or all files below a folder.
    Path(PathBuf),
    /// All objects below a prefix of a bucket.
    Prefix(Location),
}

/// The logs to read, and the settings.
pub struct Request {
    /// Where the logs are.
    pub logs: Vec<Logs>,
    /// The account that reads those in buckets.
    pub access: Access,
    /// The earliest request that is counted.
    pub since: Option<Since>,
    /// How many files are read at once.
    pub files: usize,
    /// How many objects are read at once.
    pub objects: usize,
}

/// The size of the pieces in which files are read.
const PIECE: usize = 256 << 10;

/// Counts the downloads in all logs. Files are read in pieces and in parallel; the result does not depend on the order in which
/// they end.
///
/// # Errors
/// Fails if a log cannot be read, or if there is none at a place. Files that end early or are of another format are in
/// [`Tally::damaged`].
pub async fn downloads(request: Request) -> Result<Tally> {
    let Request { logs, access, since, files, objects } = request;
    let mut tally = Tally::default();
    for place in &logs {
        let before = tally.files;
        let described = match place {
            Logs::Path(path) => {
                read_files(path, since.as_ref(), files, &mut tally).await?;
                path.display().to_string()
            }
            Logs::Prefix(location) => {
                let store = S3::connect(location.clone(), &access).await?;
                read_objects(&store, since.as_ref(), objects, &mut tally).await?;
                store.describe()
            }
        };
        if tally.files == before {
            return Err(Refusal::new(described, "no log is there")
                .found("nothing at all")
                .expected("at least one access log of S3 or CloudFront")
                .remedy(
                    "check the place, and whether the bucket's or the distribution's logs are written there",
                )
                .into());
        }
    }
    Ok(tally)
}

/// Adds up what a stream of tasks finds, in the stream's order.
async fn add_up(mut tallies: BoxStream<'_, Result<Tally>>, sum: &mut Tally) -> Result<()> {
    while let Some(tally) = tallies.try_next().await? {
        sum.add(tally);
    }
    Ok(())
}

/// Reads a file, or all files below a folder.
async fn read_files(path: &Path, since: Option<&Since>, jobs: usize, sum: &mut Tally) -> Result<()> {
    let read = stream::iter(Walk::from(path)).map(|path| async {
        let since = since.cloned();
        let path = path?;
        // The reading of a file keeps a thread busy.
        let task = task::spawn_blocking(move || read_file(&path, since)).await;
        task.map_err(|error| Error::Io { context: "cannot read the logs".to_owned(), source: error.into() })?
    });
    add_up(read.buffered(jobs.max(1)).boxed(), sum).await
}

fn read_file(path: &Path, since: Option<Since>) -> Result<Tally> {
    let failed = |error| Error::io("cannot read", path, error);
    let mut file: File = regular::open_or_handed_over(path).map_err(failed)?;
    let mut log = LogFile::new(path.display().to_string(), since);
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok(log.finish()),
            Ok(len) => log.feed(&piece[..len]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
}

/// Reads all objects below the store's prefix.
async fn read_objects(store: &S3, since: Option<&Since>, jobs: usize, sum: &mut Tally) -> Result<()> {
    let listed = store.list("").map_err(Error::from);
    let read = listed.map(|listed| async {
        let (store, since, key) = (store.clone(), since.cloned(), listed?.key);
        // A task of its own, so that objects are decompressed in parallel.
        let task = task::spawn(async move { read_object(&store, &key, since).await }).await;
        task.map_err(|error| Error::Io { context: "cannot read the logs".to_owned(), source: error.into() })?
    });
    add_up(read.buffered(jobs.max(1)).boxed(), sum).await
}

async fn read_object(store: &S3, key: &str, since: Option<Since>) -> Result<Tally> {
    let name = format!("{}{key}", store.describe());
    let object = store.open(key, Form::Stored).await?.ok_or_else(|| StoreError {
        doing: format!("cannot read {name}"),
        answer: "it was listed, and is not there any more".to_owned(),
        status: Some(404),
        remedy: None,
    })?;
    let (mut log, mut body) = (LogFile::new(name, since), object.body);
    while let Some(piece) = body.try_next().await? {
        log.feed(&piece);
    }
    Ok(log.finish())
}

/// The files at and below a path, in the order of their names. Links to folders are not followed, except the first.
struct Walk {
    /// What is still to be visited, the next one last.
    left: Vec<PathBuf>,
    is_first: bool,
}

impl Walk {
    fn from(path: &Path) -> Self {
        Self { left: vec![path.to_owned()], is_first: true }
    }

    /// The entries of a folder, the last one first; `None` if the path is no folder.
    fn entries(&mut self, path: &Path) -> io::Result<Option<Vec<PathBuf>>> {
        let is_folder = if std::mem::take(&mut self.is_first) {
            path.is_dir()
        } else {
            path.symlink_metadata()?.is_dir()
        };
        if !is_folder {
            return Ok(None);
        }
        let entries = std::fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path()));
        let mut entries = entries.collect::<io::Result<Vec<_>>>()?;
        entries.sort_unstable_by(|a, b| b.cmp(a));
        Ok(Some(entries))
    }
}

impl Iterator for Walk {
    type Item = Result<PathBuf>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let is_first = self.is_first;
            let path = self.left.pop()?;
            match self.entries(&path) {
                Ok(Some(entries)) => self.left.extend(entries),
                Err(error) => return Some(Err(Error::io("cannot read", &path, error))),
                // A link to a folder, below the first one.
                Ok(None) if !is_first && path.is_dir() => {}
                Ok(None) => return Some(Ok(path)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_finds_all_files_in_order() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["b/c", "a"] {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        for file in ["b/c/2", "b/1", "a/x", "z"] {
            std::fs::write(root.path().join(file), "").unwrap();
        }
        std::os::unix::fs::symlink("..", root.path().join("a/up")).unwrap();
        std::os::unix::fs::symlink("../z", root.path().join("a/y")).unwrap();
        let names = |from: &Path| -> Vec<String> {
            let found =
                Walk::from(from).map(|path| path.unwrap().strip_prefix(from).unwrap().display().to_string());
            found.collect()
        };
        assert_eq!(names(root.path()), ["a/x", "a/y", "b/1", "b/c/2", "z"]);
        assert_eq!(names(&root.path().join("z")), [""]);
        let link = root.path().join("a/up");
        assert_eq!(names(&link).len(), 5);
    }
}
