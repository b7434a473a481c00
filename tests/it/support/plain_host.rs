//! A host by plain http on this machine that answers whatever a test wants, byte by byte: what no well-made server would.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

/// A running host; it ends when it is dropped.
pub(crate) struct PlainHost {
    address: SocketAddr,
    is_stopped: Arc<AtomicBool>,
    requests: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl PlainHost {
    /// Has `answer` answer each request, given its path without the first slash. The connection is closed behind the answer.
    pub(crate) fn start(answer: impl Fn(&str, &mut TcpStream) + Send + Sync + 'static) -> Self {
        Self::with_ranges(move |path, _, stream| answer(path, stream))
    }

    /// The same; `answer` is also given the first byte of the part that is asked for, if one is.
    pub(crate) fn with_ranges(
        answer: impl Fn(&str, Option<usize>, &mut TcpStream) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (is_stopped, requests) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let (stopped, count, answer) = (Arc::clone(&is_stopped), Arc::clone(&requests), Arc::new(answer));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(mut stream), count, answer) = (stream, Arc::clone(&count), Arc::clone(&answer))
                else {
                    continue;
                };
                std::thread::spawn(move || {
                    let Some((path, from)) = head(&stream) else { return };
                    count.fetch_add(1, Ordering::SeqCst);
                    answer(&path, from, &mut stream);
                });
            }
        });
        Self { address, is_stopped, requests, thread: Some(thread) }
    }

    /// `http://127.0.0.1:PORT/`
    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// How many requests have come.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

impl Drop for PlainHost {
    fn drop(&mut self) {
        self.is_stopped.store(true, Ordering::SeqCst);
        // Wakes the thread, which looks then.
        drop(TcpStream::connect(self.address));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Reads the head of a request to its end; gives its path, and where the part begins that is asked for.
fn head(stream: &TcpStream) -> Option<(String, Option<usize>)> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    let first = lines.next()?.ok()?;
    let mut from = None;
    for line in lines {
        let line = line.ok()?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(range) = line.strip_prefix("range: bytes=") {
            from = range.trim_end_matches('-').parse().ok();
        }
    }
    Some((first.split(' ').nth(1)?.trim_start_matches('/').to_owned(), from))
}

/// Waits until the other side closes the connection.
pub(crate) fn wait_for_end(stream: &mut TcpStream) {
    let _ = stream.read_to_end(&mut Vec::new());
}
