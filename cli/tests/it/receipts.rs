//! One receipt for one request, whether a server or a command answers it.

use crate::kit::{Folder, binary, trimtab};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// A server that ends with the test.
struct Server {
    child: Child,
    address: String,
    /// The line with the address.
    first: String,
    /// What stderr says after that line.
    said: Receiver<String>,
}

impl Server {
    fn new(words: &[&str]) -> Server {
        let mut command = binary();
        command.arg("serve").args(["--port", "0", "--no-state"]).args(words);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut told = String::new();
        let (first, address) = loop {
            let line = lines.next().unwrap_or_else(|| panic!("no address in {told}")).unwrap();
            if let Some((_, rest)) = line.split_once("http://") {
                let part = |c: char| c.is_ascii_digit() || c == '.' || c == ':';
                let address = rest.chars().take_while(|c| part(*c)).collect();
                break (line, address);
            }
            told.push_str(&line);
        };
        // The server must never wait for a reader of its log.
        let (sender, said) = channel();
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|l| drop(sender.send(l))));
        Server { child, address, first, said }
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let (body, address) = (body.to_string(), &self.address);
        let mut stream = TcpStream::connect(address).unwrap();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {answer}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn a_server_says_three_lines_at_the_start() {
    let folder = Folder::new();
    let server = Server::new(&["-m", &folder.talking(), "-a", "tiny"]);
    assert!(server.first.contains(" serves tiny (llama "), "{}", server.first);
    assert!(server.first.ends_with(&format!(" at http://{}", server.address)), "{}", server.first);
    let next = || server.said.recv_timeout(Duration::from_secs(20)).unwrap();
    let (device, keys) = (next(), next());
    assert!(device.starts_with("device cpu with ") && device.ends_with("may wait"), "{device}");
    assert!(keys.starts_with("no key needed") && keys.ends_with("state none"), "{keys}");
}

#[test]
fn a_command_gives_the_receipt_of_the_server() {
    let folder = Folder::new();
    let model = folder.talking();
    let calm = folder.vector("calm", &model, &[("resid_post.0", 0.4), ("resid_post.1", 0.3)]);
    let registered = format!("calm={calm}");
    let limit = ["--dose-limit", "8"];
    let words = [&["-m", &model, "-a", "tiny", "--vector", &registered], &limit[..]].concat();
    let server = Server::new(&words);
    let report = json!({"kind": "text", "regex": ["[0-9]"], "then": "report"});
    let letter = json!({"kind": "text", "regex": ["."], "then": "rewind"});
    let rewind = json!({"to": "fixed", "window": 2, "max": 1});
    let retry = json!({"vectors": [{"id": "calm", "scale": 0.25}]});
    let monitors = [
        None,
        Some(json!({"watch": [report]})),
        Some(json!({"watch": [report, letter], "rewind": rewind, "on_exhausted": "keep"})),
        Some(json!({"watch": [letter], "rewind": rewind, "retry": retry, "on_exhausted": "keep"})),
    ];
    for monitor in monitors {
        let mut steering = json!({"vectors": [{"id": "calm", "scale": 0.75}]});
        let asked = format!("{calm}:0.75");
        let mut words = [
            &["generate", "-m", &model, "-p", "abc", "-n", "8", "-s", "7", "--temperature", "0"],
            &limit[..],
            &["--steer", &asked, "--json", "-q"],
        ]
        .concat();
        let file = monitor.as_ref().map(|it| folder.write("monitor.json", &it.to_string()));
        if let (Some(monitor), Some(file)) = (&monitor, &file) {
            steering["monitor"] = monitor.clone();
            words.extend(["--monitor", file, "--monitor-vector", &registered]);
        }
        let body = json!({"model": "tiny", "messages": [{"role": "user", "content": "abc"}], "max_tokens": 8,
            "seed": 7, "temperature": 0, "steering": steering});
        let mut served = server.post("/v1/chat/completions", &body);
        let run = trimtab(&words);
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        let mut local: Value = serde_json::from_str(&run.stdout).unwrap();
        assert_eq!(served["choices"][0]["message"]["content"], local["text"], "{served}");
        let (mut over_http, by_command) = (served["steering"].take(), local["steering"].take());
        // A command has no request to name.
        let id = over_http.as_object_mut().unwrap().remove("request_id");
        assert!(id.unwrap().as_str().unwrap().len() > 4);
        assert_eq!(over_http, by_command, "{monitor:?}");
        assert_eq!(by_command.get("monitor").is_some(), monitor.is_some());
        assert!(by_command["vectors"][0]["sites"][0]["tokens"].as_u64().unwrap() > 0);
    }
    // What a retry does to a prompt alone would never be done.
    let idle = json!({"vectors": [{"id": "calm", "apply": {"prompt": "all"}}]});
    let monitor = json!({"watch": [letter], "rewind": rewind, "retry": idle});
    let body = json!({"model": "tiny", "messages": [{"role": "user", "content": "abc"}],
        "steering": {"monitor": monitor}});
    let served = server.post("/v1/chat/completions", &body);
    let field = "steering.monitor.retry.vectors[0].apply";
    assert_eq!(served["error"]["param"], field, "{served}");
    let file = folder.write("monitor.json", &monitor.to_string());
    let words = ["generate", "-m", &model, "-p", "abc", "--monitor", &file, "--monitor-vector"];
    let run = trimtab(&[&words[..], &[&registered]].concat());
    assert_ne!(run.code, Some(0));
    assert!(run.stderr.contains(field), "{}", run.stderr);
}
