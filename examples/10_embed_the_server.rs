//! The server inside another axum application: its routes under `/llm`, beside your own.
//!
//! ```sh
//! cargo run --release -p trimtab-examples --example 10_embed_the_server
//! ```
//!
//! With an address it serves there; without one it asks itself a question, prints the answer, and ends.

use axum::{Router, routing::get};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use trimtab_runtime::Model;
use trimtab_server::Server;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const ROOT: &str = "/llm";
const QUESTION: &str = r#"{"model": "smollm2-135m-instruct", "temperature": 0, "max_tokens": 16,
    "messages": [{"role": "user", "content": "What is the capital of France? Answer in one word."}]}"#;

#[tokio::main]
async fn main() -> Result<()> {
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:0")).await?;
    let home = listener.local_addr()?;
    let server = Server::builder(Model::open("smollm2-135m-instruct")?).build()?;
    let application = Router::new()
        .route("/", get(|| async { "This application has a language model at /llm.\n" }))
        .nest(ROOT, server.router());
    let serving = tokio::spawn(async move { axum::serve(listener, application).await });
    if address.is_some() {
        println!("http://{home}");
        return Ok(serving.await??);
    }
    print!("{}", send(&home.to_string(), "GET / HTTP/1.1", "").await?);
    let answer =
        send(&home.to_string(), &format!("POST {ROOT}/v1/chat/completions HTTP/1.1"), QUESTION)
            .await?;
    println!("{answer}");
    assert!(answer.contains("Paris"));
    Ok(())
}

/// One request, and the body of its answer.
async fn send(address: &str, request: &str, body: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let head = format!(
        "{request}\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned()))
}
