//! A loopback preview of a registry in a directory: plain http, files as stored, except for absolute links to the registry's
//! own objects, which lead to the preview.

mod links;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tower_http::services::ServeDir;

use crate::error::{Error, Refusal, Result};
use crate::provider::Provider;
use crate::registry::{BaseUrl, Key, Settings, VersionsDocument};

/// Concurrent connections; others wait to be accepted.
const MOST_CONNECTIONS: usize = 128;
/// The time limit for the head of a client's next request.
const HEAD_PATIENCE: Duration = Duration::from_secs(30);
/// The time limit for a whole connection: a client that does not read is disconnected.
const LONGEST_CONNECTION: Duration = Duration::from_mins(15);
/// The time limit for open requests once the preview is stopped.
const STOP_PATIENCE: Duration = Duration::from_secs(2);
/// The pause after a connection could not be accepted, for example for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A request and its answer.
#[derive(Debug, Clone)]
pub struct Answered {
    /// Its method.
    pub method: String,
    /// The requested path.
    pub path: String,
    /// The status of the answer.
    pub status: u16,
    /// The length of the answer's body.
    pub bytes: u64,
}

/// Called for each request.
pub type OnAnswered = Arc<dyn Fn(&Answered) + Send + Sync>;

/// A listening preview.
pub struct Preview {
    listener: TcpListener,
    address: SocketAddr,
    root: PathBuf,
}

impl Preview {
    /// Listens on `listen` (port 0 for any free one) for the registry in `root`.
    ///
    /// # Errors
    /// Fails if `root` is not a directory, its settings are not understood, the address is not a loopback address of this machine, or it is in use.
    pub async fn bind(root: &Path, listen: SocketAddr) -> Result<Self> {
        if !root.is_dir() {
            return Err(Refusal::new(root.display(), "no registry to serve")
                .found("no such directory")
                .expected("a directory that `tfreg publish --to DIR` or `--dry-run DIR` has written")
                .remedy("publish into it first; of a bucket, copy it first: aws s3 sync s3://BUCKET DIR")
                .into());
        }
        if !listen.ip().is_loopback() {
            return Err(Error::Usage(format!(
                "--listen {listen}: the preview is plain http and for this machine only; use a loopback address such as \
                 127.0.0.1:8080, and a real web server for others"
            )));
        }
        if let Some(bytes) = links::document(&root.join(Key::Settings.to_string())) {
            Settings::parse(&bytes)?;
        }
        let root = root.canonicalize().map_err(|error| Error::io("cannot read", root, error))?;
        let failed = |source| Error::Io {
            context: format!("cannot listen on {listen} (another port: --listen)"),
            source,
        };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, root })
    }

    /// The address on which it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` completes, and a moment longer to finish open requests. Calls `answered` for each request.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send, answered: OnAnswered) {
        let address = format!("http://{}/", self.address).into();
        let site = Served { root: self.root.into(), address, answered };
        let files = ServeDir::new(&*site.root).append_index_html_on_directories(false);
        let app =
            Router::new().fallback_service(files).layer(middleware::from_fn_with_state(site, as_registry));
        let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        let (stopping, stopped) = watch::channel(());
        let accept = async {
            loop {
                // The semaphore is never closed.
                let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
                match self.listener.accept().await {
                    Ok((stream, _)) => {
                        let (app, stopped) = (app.clone(), stopped.clone());
                        tokio::spawn(async move {
                            connection(stream, app, stopped).await;
                            drop(place);
                        });
                    }
                    Err(error) => {
                        tracing::debug!("cannot accept a connection: {error}");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        };
        tokio::select! {
            () = accept => {}
            () = stop => {}
        }
        drop(stopping);
        let all = u32::try_from(MOST_CONNECTIONS).unwrap_or(u32::MAX);
        drop(tokio::time::timeout(STOP_PATIENCE, places.acquire_many(all)).await);
    }
}

/// Answers the requests of one connection, until its time limit is reached or the preview is stopped.
async fn connection(stream: TcpStream, app: Router, mut stopped: watch::Receiver<()>) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_PATIENCE);
    let mut serving = pin!(http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(app)));
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        // Nothing is ever sent: it completes when the sender is dropped.
        _ = stopped.changed() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
        () = tokio::time::sleep(LONGEST_CONNECTION) => return,
    };
    if let Err(error) = ended {
        tracing::debug!("a connection ended: {error}");
    }
}

#[derive(Clone)]
struct Served {
    root: Arc<Path>,
    /// The preview's own address, ending in a slash.
    address: Arc<str>,
    answered: OnAnswered,
}

/// Whether `path` (of an address, beginning with a slash) is a regular file of the registry, also through links. Files
/// outside of the registry are not served; a pipe or a device would block.
fn is_file_of(root: &Path, path: &str) -> bool {
    let Some(relative) = path.strip_prefix('/') else { return false };
    // No key of a registry needs percent-encoding; an encoded hidden name would not look hidden. Hidden files do not
    // belong to a registry, for example a staging folder.
    let is_part = |part: &str| !part.is_empty() && (!part.starts_with('.') || part == ".well-known");
    if relative.contains(['%', '\0', '\\']) || !relative.split('/').all(is_part) {
        return false;
    }
    root.join(relative).canonicalize().is_ok_and(|file| file.starts_with(root) && file.is_file())
}

/// A file of the registry.
struct Found {
    settings: Option<Settings>,
    /// Its contents, if it has links that lead to the preview instead.
    mapped: Option<Vec<u8>>,
}

impl Found {
    /// The file at `path`; `None` if there is none.
    fn at(site: &Served, path: &str) -> Option<Self> {
        if !is_file_of(&site.root, path) {
            return None;
        }
        let (settings, name) = (links::settings(&site.root), path.trim_start_matches('/'));
        let document = if links::has_links(name) { links::document(&site.root.join(name)) } else { None };
        let mapped = document.and_then(|document| {
            let from = settings.as_ref().and_then(Settings::base_url).map(BaseUrl::as_str);
            let is_there = |key: &Key| is_file_of(&site.root, &format!("/{key}"));
            links::Mapping { from, to: &site.address, is_there: &is_there }.mapped(&document)
        });
        Some(Self { settings, mapped })
    }

    /// Adds the headers that the file would have on S3.
    fn add_headers(&self, path: &str, headers: &mut HeaderMap) {
        let Ok(key) = path.trim_start_matches('/').parse::<Key>() else { return };
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(key.content_type()));
        let max_age = self.settings.as_ref().map(Settings::document_max_age).unwrap_or_default();
        if let Ok(value) = key.cache_control(max_age).parse() {
            headers.insert(header::CACHE_CONTROL, value);
        }
    }
}

/// Answers a request for an object of the registry, with the headers that it would have on S3.
async fn as_registry(
    State(site): State<Served>,
    mut request: Request,
    next: Next,
) -> std::result::Result<Response, Infallible> {
    if request.uri().path() == "/" {
        // The default root object of a CDN. Folders below have none there, so they have none here.
        *request.uri_mut() = Uri::from_static("/index.html");
    }
    let path = request.uri().path().to_owned();
    let method = request.method().clone();
    let found = {
        let (site, path) = (site.clone(), path.clone());
        tokio::task::spawn_blocking(move || Found::at(&site, &path)).await.ok().flatten()
    };
    let mut response = match (&found, &method) {
        (None, _) => StatusCode::NOT_FOUND.into_response(),
        (Some(Found { mapped: Some(document), .. }), &Method::GET | &Method::HEAD) => {
            let is_wanted = method == Method::GET;
            let body = if is_wanted { Body::from(document.clone()) } else { Body::empty() };
            let length = document.len().to_string();
            let kind = "application/json".to_owned();
            ([(header::CONTENT_TYPE, kind), (header::CONTENT_LENGTH, length)], body).into_response()
        }
        _ => next.run(request).await,
    };
    if let (true, Some(found)) = (response.status().is_success(), &found) {
        found.add_headers(&path, response.headers_mut());
    }
    let length = response.headers().get(header::CONTENT_LENGTH);
    let length =
        length.and_then(|length| length.to_str().ok()?.parse().ok()).filter(|_| method != Method::HEAD);
    (site.answered)(&Answered {
        method: method.to_string(),
        path,
        status: response.status().as_u16(),
        bytes: length.unwrap_or(0),
    });
    Ok(response)
}

/// The providers of the registry in `root`, each with its newest version.
///
/// # Errors
/// Fails if the directory cannot be read, or an index in it cannot be parsed.
pub fn providers(root: &Path) -> Result<Vec<(Provider, Option<String>)>> {
    let mut providers = Vec::new();
    let registry = root.join("registry");
    for namespace in folder_names(&registry)? {
        for provider_type in folder_names(&registry.join(&namespace))? {
            let (Ok(namespace), Ok(provider_type)) = (namespace.parse(), provider_type.parse()) else {
                continue;
            };
            let provider = Provider { namespace, provider_type };
            let key = Key::Versions { provider: provider.clone() };
            let Some(bytes) = links::document(&root.join(key.to_string())) else { continue };
            let newest = VersionsDocument::parse(&key, &bytes)?.versions().max().map(ToString::to_string);
            providers.push((provider, newest));
        }
    }
    providers.sort();
    Ok(providers)
}

fn folder_names(folder: &Path) -> Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("cannot read", folder, error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| Error::io("cannot read", folder, error))?;
        if entry.path().is_dir() {
            names.extend(entry.file_name().into_string());
        }
    }
    Ok(names)
}
