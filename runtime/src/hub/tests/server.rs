//! A hub of a few files: the four requests that the client makes, over plain sockets.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What the hub serves, for the repository `o/r`.
#[derive(Clone)]
pub struct Site {
    pub files: BTreeMap<String, Vec<u8>>,
    /// What it says `main` is.
    pub sha: String,
    /// Answers every GET of a file with this status and a page of text.
    pub broken: Option<u16>,
    /// Puts this hash on every listed file.
    pub listed_sha256: Option<String>,
}

impl Site {
    pub fn new(files: &[(&str, &[u8])]) -> Self {
        let files = files.iter().map(|(n, b)| ((*n).to_owned(), b.to_vec())).collect();
        Self { files, sha: COMMIT.to_owned(), broken: None, listed_sha256: None }
    }

    pub fn serve(self) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let (seen, stopped) = (Arc::clone(&log), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                self.answer(&stream.unwrap(), &seen);
            }
        });
        Server { address, log, stop, thread: Some(thread) }
    }

    fn answer(&self, stream: &TcpStream, log: &Mutex<Vec<String>>) {
        let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
        let Some(first) = lines.next() else { return };
        let range =
            |line: &str| line.strip_prefix("range: bytes=")?.strip_suffix('-')?.parse().ok();
        let from: Option<usize> =
            lines.take_while(|l| !l.is_empty()).filter_map(|l| range(&l.to_lowercase())).last();
        let mut words = first.split(' ');
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        log.lock().unwrap().push(format!("{method} {path}"));
        let (status, headers, body) = match (self.reply(method, path), from) {
            ((200, headers, body), Some(from)) => (206, headers, body[from..].to_vec()),
            (reply, _) => reply,
        };
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n"
        );
        let body = if method == "HEAD" { &[][..] } else { &body[..] };
        // A client that hangs up early has its own test to fail.
        let _ = { stream }.write_all(&[head.as_bytes(), body].concat());
    }

    fn reply(&self, method: &str, path: &str) -> (u16, String, Vec<u8>) {
        if path == "/api/models/o/r/revision/main" {
            let body = serde_json::json!({ "id": "o/r", "sha": self.sha });
            return (200, String::new(), body.to_string().into_bytes());
        }
        if path == format!("/api/models/o/r/tree/{COMMIT}?recursive=true") {
            return (200, String::new(), self.listing().into_bytes());
        }
        let Some(name) = path.strip_prefix(&format!("/o/r/resolve/{COMMIT}/")) else {
            return (404, String::new(), b"no such page".to_vec());
        };
        if let (Some(status), "GET") = (self.broken, method) {
            return (status, String::new(), b"something went wrong".to_vec());
        }
        match self.files.get(name) {
            Some(bytes) => {
                let tag = name.replace('/', "-");
                let headers = format!("ETag: \"{tag}\"\r\nX-Repo-Commit: {COMMIT}\r\n");
                (200, headers, bytes.clone())
            }
            None => (404, String::new(), Vec::new()),
        }
    }

    fn listing(&self) -> String {
        let file = |(name, bytes): (&String, &Vec<u8>)| {
            let lfs = self
                .listed_sha256
                .as_ref()
                .map(|sha| serde_json::json!({ "sha256": sha, "size": bytes.len() }));
            serde_json::json!({
                "type": "file", "oid": "0", "size": bytes.len(), "path": name, "lfs": lfs
            })
        };
        let mut entries: Vec<_> = self.files.iter().map(file).collect();
        entries.push(serde_json::json!({ "type": "directory", "oid": "1", "path": "onnx" }));
        serde_json::Value::from(entries).to_string()
    }
}

pub struct Server {
    address: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub fn address(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the loop that waits for a connection.
        drop(TcpStream::connect(self.address));
        let ended = self.thread.take().unwrap().join();
        if !std::thread::panicking() {
            ended.unwrap();
        }
    }
}
