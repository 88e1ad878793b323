//! The accept loop, over a real socket.

use super::kit::*;
use crate::serve;
use crate::settings::Params;
use serde_json::json;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

struct Served {
    house: House,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    done: JoinHandle<std::io::Result<()>>,
}

async fn served(params: Params) -> Served {
    let house = House::with(params, Default::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let app = house.app.clone();
    let done =
        tokio::spawn(async move { serve(listener, app, async { drop(stopped.await) }).await });
    Served { house, address, stop, done }
}

async fn write(stream: &TcpStream, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        stream.writable().await.unwrap();
        if let Ok(n) = stream.try_write(bytes) {
            bytes = &bytes[n..];
        }
    }
}

/// Reads until the text is there, or the end.
async fn read_until(stream: &TcpStream, wanted: &str) -> String {
    let mut all = Vec::new();
    let reading = async {
        loop {
            stream.readable().await.unwrap();
            let mut some = [0; 4096];
            match stream.try_read(&mut some) {
                Ok(0) => break,
                Ok(n) => all.extend_from_slice(&some[..n]),
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => continue,
                Err(_) => break,
            }
            if String::from_utf8_lossy(&all).contains(wanted) {
                break;
            }
        }
    };
    tokio::time::timeout(LONG, reading).await.unwrap();
    String::from_utf8_lossy(&all).into_owned()
}

fn ask(body: &str) -> String {
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

const NEVER: &str = "\u{0}";

#[tokio::test]
async fn a_server_drains_and_goes() {
    let params = Params { drain_timeout: Duration::from_millis(300), ..Params::default() };
    let Served { house, address, stop, done } = served(params).await;
    let brake = house.brake();
    let stream = TcpStream::connect(address).await.unwrap();
    let body = chat(json!({"stream": true, "max_tokens": 900, "logit_bias": {"62": -100}}));
    write(&stream, ask(&body.to_string()).as_bytes()).await;
    house.present(2).await;
    (0..3).for_each(|_| brake.step());
    let begun = read_until(&stream, "\"content\":\"").await;
    assert!(begun.starts_with("HTTP/1.1 200 OK"), "{begun}");
    stop.send(()).unwrap();
    while !house.app.engine.is_draining() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // It still answers, and says that it goes.
    let other = TcpStream::connect(address).await.unwrap();
    write(&other, b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    let health = read_until(&other, NEVER).await;
    assert!(health.starts_with("HTTP/1.1 503") && health.contains("draining"), "{health}");
    tokio::time::sleep(Duration::from_millis(310)).await;
    drop(brake);
    let rest = read_until(&stream, NEVER).await;
    assert!(rest.contains("\"code\":\"draining\"") && rest.contains("data: [DONE]"), "{rest}");
    tokio::time::timeout(LONG, done).await.unwrap().unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn headers_that_do_not_come_are_not_waited_for() {
    let params = Params { header_timeout: Duration::from_millis(50), ..Params::default() };
    let Served { address, stop, done, house: _house } = served(params).await;
    let silent = TcpStream::connect(address).await.unwrap();
    let slow = TcpStream::connect(address).await.unwrap();
    write(&slow, b"GET /health HTTP/1.1\r\nhost:").await;
    assert_eq!(read_until(&silent, NEVER).await, "");
    assert!(!read_until(&slow, NEVER).await.contains("200 OK"));
    stop.send(()).unwrap();
    tokio::time::timeout(LONG, done).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_closed_socket_frees_the_row() {
    let Served { house, address, stop, done } = served(Params::default()).await;
    let brake = house.brake();
    for stream in [false, true] {
        let client = TcpStream::connect(address).await.unwrap();
        let body = chat(json!({"stream": stream, "max_tokens": 900, "logit_bias": {"62": -100}}));
        write(&client, ask(&body.to_string()).as_bytes()).await;
        house.present(2).await;
        (0..3).for_each(|_| brake.step());
        drop(client);
        // The server has to see that it is gone first; from then on it takes one round.
        for _ in 0..200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            brake.step();
            if house.app.engine.load().active == 1 {
                break;
            }
        }
        assert_eq!(house.app.engine.load().active, 1, "stream {stream}");
    }
    drop(brake);
    stop.send(()).unwrap();
    tokio::time::timeout(LONG, done).await.unwrap().unwrap().unwrap();
}
