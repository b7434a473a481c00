//! A static host with https and a certificate of its own: files of a directory, as a CDN would serve them, and what a test
//! wants to be served otherwise.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, LOCATION};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tempfile::TempDir;
use tfreg::registry::{DocumentMaxAge, Key};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use super::folder;

/// An address of a company's network (RFC 1918), for which the host has a certificate. A test leads there by a proxy.
pub(crate) const PRIVATE: &str = "10.11.12.13";

/// What is served otherwise than a CDN would.
#[derive(Debug, Clone)]
pub(crate) enum Instead {
    /// This status, and nothing else.
    Status(u16),
    /// The file with this header; an empty value leaves it out.
    Header(&'static str, &'static str),
    /// 401, unless the request has this `Authorization`.
    Demand(&'static str),
    /// A redirect there; `{host}` stands for the host's own address, and `{port}` for its port.
    Redirect(&'static str),
    /// 401, unless the request has this bearer token.
    WithoutToken(&'static str),
}

/// Paths, or parts of them, with what is served for them instead. The first one that is a part of a path counts.
type Rules = Vec<(String, Instead)>;

/// A certificate that signs itself, with its key.
pub(crate) struct Certificate(rcgen::Certificate, KeyPair);

impl Certificate {
    /// A server's, for this machine.
    pub(crate) fn server() -> Self {
        Self::of(&["localhost", "127.0.0.1", PRIVATE], |_| {})
    }

    /// A server's, for these names.
    pub(crate) fn server_of(names: &[&str]) -> Self {
        Self::of(names, |_| {})
    }

    /// A CA's, as `openssl req -x509` makes it, for these names.
    pub(crate) fn authority(names: &[&str]) -> Self {
        Self::of(names, |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained))
    }

    /// A CA's for this machine, whose time is over.
    pub(crate) fn expired_authority() -> Self {
        Self::of(&["localhost"], |params| {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.not_after = date_time_ymd(2020, 1, 1);
        })
    }

    fn of(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Self {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        Self(params.self_signed(&key).unwrap(), key)
    }
}

/// What answers behind the certificate.
#[derive(Clone)]
enum Served {
    Files(Arc<Files>),
    Port(u16),
}

/// A request as a host heard it.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) method: String,
    pub(crate) path: String,
    /// By their names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
}

/// What a host and its server share.
struct Shared {
    rules: Arc<Mutex<Rules>>,
    requests: Arc<Mutex<BTreeMap<String, usize>>>,
    heard: Arc<Mutex<Vec<Heard>>>,
}

/// A running host; it ends when it is dropped.
pub(crate) struct Host {
    address: SocketAddr,
    certificate: TempDir,
    rules: Arc<Mutex<Rules>>,
    requests: Arc<Mutex<BTreeMap<String, usize>>>,
    heard: Arc<Mutex<Vec<Heard>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Host {
    /// Serves the files of `root` at `https://localhost:PORT/`.
    pub(crate) fn of(root: &Path) -> Self {
        Self::with(root, &Certificate::server())
    }

    /// The same with another certificate.
    pub(crate) fn with(root: &Path, certificate: &Certificate) -> Self {
        Self::start(certificate, |shared, port| {
            Served::Files(Arc::new(Files { root: root.to_owned(), shared, port }))
        })
    }

    /// Leads to the server at `port` of this machine, which speaks plain http.
    pub(crate) fn before(port: u16, certificate: &Certificate) -> Self {
        Self::start(certificate, |_, _| Served::Port(port))
    }

    fn start(certified: &Certificate, served: impl FnOnce(Shared, u16) -> Served) -> Self {
        let certificate = folder();
        std::fs::write(certificate.path().join("cert.pem"), certified.0.pem()).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(certified.1.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let chain = vec![certified.0.der().clone()];
        let config = config.with_no_client_auth().with_single_cert(chain, key).unwrap();

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (rules, requests) = (Arc::<Mutex<Rules>>::default(), Arc::<Mutex<BTreeMap<_, _>>>::default());
        let heard = Arc::<Mutex<Vec<Heard>>>::default();
        let shared =
            Shared { rules: Arc::clone(&rules), requests: Arc::clone(&requests), heard: Arc::clone(&heard) };
        let served = served(shared, address.port());
        let (stop, stopped) = oneshot::channel();
        let serve = serve(listener, TlsAcceptor::from(Arc::new(config)), served, stopped);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(serve);
        });
        Self { address, certificate, rules, requests, heard, stop: Some(stop), thread: Some(thread) }
    }

    /// `https://localhost:PORT/`
    pub(crate) fn url(&self) -> String {
        format!("https://{}/", self.name())
    }

    /// `localhost:PORT`, as source addresses name it.
    pub(crate) fn name(&self) -> String {
        format!("localhost:{}", self.address.port())
    }

    /// The port.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// The certificate's file.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.certificate.path().join("cert.pem")
    }

    /// Serves what has `part` in its path otherwise.
    pub(crate) fn instead(&self, part: &str, instead: Instead) {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).push((part.to_owned(), instead));
    }

    /// All requests so far.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often a path, without its first slash, was asked for by GET.
    pub(crate) fn gets(&self, suffix: &str) -> usize {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.iter().filter(|(path, _)| path.ends_with(suffix)).map(|(_, count)| count).sum()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.stop.take());
        // Its panic was shown when it came, and its clients have noticed.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

async fn serve(listener: TcpListener, tls: TlsAcceptor, served: Served, mut stopped: oneshot::Receiver<()>) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    loop {
        let stream = tokio::select! {
            _ = &mut stopped => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => continue,
            },
        };
        let (tls, served) = (tls.clone(), served.clone());
        tokio::spawn(async move {
            // A client that does not trust the certificate ends it here.
            let Ok(mut stream) = tls.accept(stream).await else { return };
            let files = match served {
                Served::Files(files) => files,
                Served::Port(port) => {
                    let Ok(mut behind) = TcpStream::connect(("127.0.0.1", port)).await else { return };
                    let _ = tokio::io::copy_bidirectional(&mut stream, &mut behind).await;
                    return;
                }
            };
            let service = service_fn(move |request: Request<Incoming>| {
                let answer = files.answer(&request);
                async move { Ok::<_, Infallible>(answer) }
            });
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

struct Files {
    root: PathBuf,
    shared: Shared,
    port: u16,
}

impl Files {
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path().trim_start_matches('/').to_owned();
        let headers = request.headers().iter();
        self.shared.heard.lock().unwrap_or_else(PoisonError::into_inner).push(Heard {
            method: request.method().to_string(),
            path: request.uri().path().to_owned(),
            headers: headers
                .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()))
                .collect(),
        });
        if request.method() == Method::GET {
            let mut requests = self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner);
            *requests.entry(path.clone()).or_default() += 1;
        }
        let rules = self.shared.rules.lock().unwrap_or_else(PoisonError::into_inner);
        let rules: Vec<Instead> = rules
            .iter()
            .filter(|(part, _)| path.contains(part.as_str()))
            .map(|(_, instead)| instead.clone())
            .filter(|instead| match instead {
                Instead::Demand(wanted) => {
                    request.headers().get(AUTHORIZATION).is_none_or(|sent| sent != wanted)
                }
                _ => true,
            })
            .collect();
        let mut answer = Response::new(Full::new(Bytes::new()));
        let has_token = |token: &str| {
            let sent = request.headers().get(AUTHORIZATION).and_then(|sent| sent.to_str().ok());
            sent == Some(&format!("Bearer {token}"))
        };
        match rules.iter().find(|instead| !matches!(instead, Instead::Header(..))) {
            Some(Instead::WithoutToken(token)) if !has_token(token) => {
                *answer.status_mut() = StatusCode::UNAUTHORIZED;
                return answer;
            }
            Some(Instead::Status(status)) => {
                *answer.status_mut() = StatusCode::from_u16(*status).unwrap();
                return answer;
            }
            Some(Instead::Demand(_)) => {
                *answer.status_mut() = StatusCode::UNAUTHORIZED;
                return answer;
            }
            Some(Instead::Redirect(to)) => {
                let to = to.replace("{host}", &format!("https://localhost:{}", self.port));
                let to = to.replace("{port}", &self.port.to_string());
                *answer.status_mut() = StatusCode::FOUND;
                answer.headers_mut().insert(LOCATION, HeaderValue::from_str(&to).unwrap());
                return answer;
            }
            _ => {}
        }
        let file = self.root.join(&path);
        let Some(bytes) = std::fs::read(&file).ok().filter(|_| !path.contains("..")) else {
            *answer.status_mut() = StatusCode::NOT_FOUND;
            for instead in rules {
                if let Instead::Header(name, value) = instead {
                    answer.headers_mut().insert(name, HeaderValue::from_static(value));
                }
            }
            return answer;
        };
        *answer.body_mut() = Full::new(bytes.into());
        let headers = answer.headers_mut();
        if let Ok(key) = path.parse::<Key>() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(key.content_type()));
            let cache = key.cache_control(DocumentMaxAge::default());
            headers.insert(CACHE_CONTROL, HeaderValue::from_str(&cache).unwrap());
        }
        for instead in rules {
            if let Instead::Header(name, value) = instead {
                headers.remove(name);
                if !value.is_empty() {
                    headers.insert(name, HeaderValue::from_static(value));
                }
            }
        }
        answer
    }
}
