//! A proxy for https all of whose tunnels end at one port of this machine, so that a test reaches addresses that are not its own.

use std::io::{BufRead as _, BufReader, Write as _, copy};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// A running proxy; it ends when it is dropped.
pub(crate) struct Tunnel {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    is_stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Tunnel {
    /// Leads to `port`, whatever it is asked for.
    pub(crate) fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, is_stopped) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<AtomicBool>::default());
        let (list, stopped) = (Arc::clone(&asked), Arc::clone(&is_stopped));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let list = Arc::clone(&list);
                if let Ok(stream) = stream {
                    std::thread::spawn(move || lead(&stream, port, &list));
                }
            }
        });
        Self { address, asked, is_stopped, thread: Some(thread) }
    }

    /// Has a command use it for all hosts but `localhost`.
    pub(crate) fn used_by<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.envs(self.environment())
    }

    /// The variables by which a program uses it for all hosts but `localhost`.
    pub(crate) fn environment(&self) -> [(&'static str, String); 4] {
        let proxy = format!("http://{}", self.address);
        let direct = "localhost".to_owned();
        [
            ("HTTPS_PROXY", proxy.clone()),
            ("https_proxy", proxy),
            ("NO_PROXY", direct.clone()),
            ("no_proxy", direct),
        ]
    }

    /// The addresses that it was asked for.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.is_stopped.store(true, Ordering::SeqCst);
        // Wakes the thread, which looks then.
        drop(TcpStream::connect(self.address));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// `CONNECT HOST:PORT`, and then bytes in both directions, until one side ends.
fn lead(mut client: &TcpStream, port: u16, asked: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(client).lines().map_while(Result::ok);
    let Some(first) = lines.next() else { return };
    lines.find(String::is_empty);
    let Some(address) = first.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()) else {
        return;
    };
    asked.lock().unwrap_or_else(PoisonError::into_inner).push(address.to_owned());
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { return };
    if client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").is_err() {
        return;
    }
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _ = copy(&mut &*client, &mut &server);
            let _ = server.shutdown(Shutdown::Write);
        });
        let _ = copy(&mut &server, &mut &*client);
        let _ = client.shutdown(Shutdown::Write);
    });
}
