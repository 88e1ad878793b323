//! The accept loop, over a real socket.

use super::kit::*;
use crate::serve;
use crate::settings::{Key, Params};
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
        match stream.try_write(bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            // The server has closed the connection.
            Err(_) => return,
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

/// Steps until only the brake's answer runs.
async fn frees_its_row(house: &House, brake: &Brake, what: &str) {
    for _ in 0..200 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        brake.step();
        if house.app.engine.load().active == 1 {
            return;
        }
    }
    panic!("{what}: {:?}", house.app.engine.load());
}

async fn ends(served: Served) {
    served.stop.send(()).unwrap();
    tokio::time::timeout(LONG, served.done).await.unwrap().unwrap().unwrap();
}

/// Whether something is sent with a body, or later.
#[derive(Debug, Clone, Copy, PartialEq)]
enum When {
    With,
    Later,
}

#[tokio::test]
async fn nothing_behind_a_body_hides_that_a_client_has_left() {
    let served = served(Params::default()).await;
    let house = &served.house;
    let brake = house.brake();
    let body = chat(json!({"max_tokens": 900, "logit_bias": {"62": -100}})).to_string();
    for behind in ["\r\n", "x", "GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n"] {
        for when in [When::With, When::Later] {
            let client = TcpStream::connect(served.address).await.unwrap();
            let with = if when == When::With { behind } else { "" };
            write(&client, format!("{}{with}", ask(&body)).as_bytes()).await;
            house.present(2).await;
            brake.step();
            if when == When::Later {
                write(&client, behind.as_bytes()).await;
            }
            drop(client);
            frees_its_row(house, &brake, &format!("{behind:?} {when:?}")).await;
        }
    }
    // A flood, and a client that says that it sends no more.
    for flood in [200_000, 0] {
        let client = TcpStream::connect(served.address).await.unwrap();
        write(&client, ask(&body).as_bytes()).await;
        house.present(2).await;
        match flood {
            0 => client.into_std().unwrap().shutdown(std::net::Shutdown::Write).unwrap(),
            many => write(&client, "x".repeat(many).as_bytes()).await,
        }
        frees_its_row(house, &brake, &format!("{flood}")).await;
    }
    drop(brake);
    ends(served).await;
}

#[tokio::test]
async fn requests_behind_each_other_are_answered_in_turn() {
    let served = served(Params::default()).await;
    let client = TcpStream::connect(served.address).await.unwrap();
    let body = chat(json!({})).to_string();
    let close = "GET /version HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    write(&client, format!("{0}{0}{close}", ask(&body)).as_bytes()).await;
    let all = read_until(&client, NEVER).await;
    assert_eq!(all.matches("HTTP/1.1 200 OK").count(), 3, "{all}");
    assert!(all.rfind("chat.completion") < all.rfind("vector_spec"), "{all}");
    ends(served).await;
}

#[tokio::test]
async fn who_waits_for_nothing_gives_its_place_up() {
    let served = served(Params { connections: 3, ..Params::default() }).await;
    let brake = served.house.brake();
    let asking = TcpStream::connect(served.address).await.unwrap();
    write(&asking, ask(&chat(json!({})).to_string()).as_bytes()).await;
    served.house.present(2).await;
    let mut idle = Vec::new();
    for _ in 0..9 {
        idle.push(TcpStream::connect(served.address).await.unwrap());
    }
    let honest = TcpStream::connect(served.address).await.unwrap();
    write(&honest, b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    assert!(read_until(&honest, NEVER).await.contains("200 OK"));
    assert_eq!(read_until(&idle[0], NEVER).await, "");
    drop(brake);
    assert!(read_until(&asking, "usage").await.contains("200 OK"));
    ends(served).await;
}

#[tokio::test]
async fn who_sends_a_long_body_gets_to_read_why_it_is_refused() {
    let keys = vec![Key::user("ann", "k")];
    let served = served(Params { keys, max_body: 1 << 20, ..Params::default() }).await;
    let head = |path: &str, more: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{more}\
             content-length: 5000000\r\n\r\n"
        )
    };
    let json = "content-type: application/json\r\n";
    let key = "authorization: Bearer k\r\n";
    let body = "x".repeat(5_000_000);
    let chat = "/v1/chat/completions";
    for (path, more, status) in [
        (chat, json.to_owned(), "401"),
        ("/nowhere", json.to_owned(), "404"),
        (chat, format!("{key}content-type: text/plain\r\n"), "415"),
        (chat, format!("{key}{json}"), "413"),
    ] {
        let client = TcpStream::connect(served.address).await.unwrap();
        write(&client, head(path, &more).as_bytes()).await;
        write(&client, body.as_bytes()).await;
        let reply = read_until(&client, NEVER).await;
        assert!(reply.starts_with(&format!("HTTP/1.1 {status}")), "{status}: {reply}");
        // Asked before, it is told before the body.
        let client = TcpStream::connect(served.address).await.unwrap();
        let asks = format!("{more}expect: 100-continue\r\n");
        write(&client, head(path, &asks).as_bytes()).await;
        let reply = read_until(&client, "\"error\"").await;
        assert!(reply.starts_with(&format!("HTTP/1.1 {status}")), "{status}: {reply}");
    }
    ends(served).await;
}

#[tokio::test]
async fn a_server_whose_engine_has_gone_goes_too() {
    use trimtab_runtime::engine::SubmitOptions;
    use trimtab_runtime::generate::{Flow, Generation, Request};
    let Served { house, address, stop: _stop, done } = served(Params::default()).await;
    let mut session = house.app.model.session(trimtab_runtime::plan::Plan::empty()).unwrap();
    session.push_prompt(&[1, 2]).unwrap();
    let tokenizer = house.app.model.tokenizer().unwrap().clone();
    let request = Request { max_tokens: Some(1), ..Request::default() };
    let generation = Generation::new(session, tokenizer, request).unwrap();
    /// Ends the engine's thread, where it is dropped.
    struct Deadly;
    impl Drop for Deadly {
        fn drop(&mut self) {
            panic!("a sink that cannot be dropped");
        }
    }
    let deadly = Deadly;
    let sink = move |_| {
        let _held = &deadly;
        Flow::Continue
    };
    let options = SubmitOptions::default();
    let _ticket = house.app.engine.submit(vec![generation], options, sink).unwrap();
    let error = tokio::time::timeout(LONG, done).await.unwrap().unwrap().unwrap_err();
    assert!(error.to_string().contains("engine has ended"), "{error}");
    assert!(TcpStream::connect(address).await.is_err());
}
