//! A loopback preview of a registry in a directory: plain http, files as they are.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use tokio::net::TcpListener;
use tower_http::services::ServeDir;

use crate::error::{Error, Refusal, Result};
use crate::provider::Provider;
use crate::registry::{DocumentMaxAge, Key, VersionsDocument};

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
    /// `root` is not a directory, the address is not of this machine's loopback, or it is taken.
    pub async fn bind(root: &Path, listen: SocketAddr) -> Result<Self> {
        if !root.is_dir() {
            return Err(Refusal::new(root.display(), "no registry to serve")
                .found("no directory")
                .expected("a directory that `tfreg publish --to DIR` or `--dry-run DIR` has written")
                .remedy("publish into it first")
                .into());
        }
        if !listen.ip().is_loopback() {
            return Err(Error::Usage(format!(
                "--listen {listen}: the preview is plain http and for this machine only; use a loopback address such as \
                 127.0.0.1:8080, and a real web server for others"
            )));
        }
        let failed = |source| Error::Io {
            context: format!("cannot listen on {listen} (another port: --listen)"),
            source,
        };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, root: root.to_owned() })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is done, and the requests under way are answered.
    ///
    /// # Errors
    /// The listener fails.
    pub async fn serve(self, stop: impl Future<Output = ()> + Send + 'static) -> Result<()> {
        let files = ServeDir::new(&self.root).append_index_html_on_directories(false);
        let app = Router::new().fallback_service(files).layer(middleware::from_fn(as_registry));
        axum::serve(self.listener, app)
            .with_graceful_shutdown(stop)
            .await
            .map_err(|source| Error::Io { context: "the preview failed".to_owned(), source })
    }
}

/// Gives each object the headers that it would have on S3, and hides what is none of a registry's: a staging folder, say.
async fn as_registry(request: Request, next: Next) -> Response {
    let path = request.uri().path().trim_start_matches('/').to_owned();
    tracing::debug!(method = %request.method(), path, "request");
    // No key of a registry needs percent-encoding; with it, a hidden name would not look like one.
    let hidden =
        path.contains('%') || path.split('/').any(|part| part.starts_with('.') && part != ".well-known");
    if hidden {
        return StatusCode::NOT_FOUND.into_response();
    }
    let mut response = next.run(request).await;
    if response.status().is_success()
        && let Ok(key) = path.parse::<Key>()
    {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(key.content_type()));
        if let Ok(value) = key.cache_control(DocumentMaxAge::default()).parse() {
            headers.insert(header::CACHE_CONTROL, value);
        }
    }
    response
}

/// The providers of the registry in `root`, each with its newest version.
///
/// # Errors
/// The directory cannot be read, or an index in it cannot be understood.
pub fn providers(root: &Path) -> Result<Vec<(Provider, Option<String>)>> {
    let mut providers = Vec::new();
    let registry = root.join("registry");
    for namespace in folder_names(&registry)? {
        for provider_type in folder_names(&registry.join(&namespace))? {
            let (Ok(namespace), Ok(provider_type)) = (namespace.parse(), provider_type.parse()) else {
                continue;
            };
            let provider = Provider { namespace, provider_type };
            let key = Key::Versions(provider.clone());
            let path = root.join(key.to_string());
            let Ok(bytes) = std::fs::read(&path) else { continue };
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
