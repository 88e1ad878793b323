//! Streams from many clients at once against a chat server, and what came of them.
//!
//! ```sh
//! cargo run --release -p trimtab-server --example load -- 127.0.0.1:8080 --streams 64 --seconds 300 --tokens 64
//! ```
//!
//! Every client asks again as soon as it has its answer, or a moment after it was told to come back. It speaks to any
//! server with OpenAI's chat route: what is measured is what a client sees.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

const TOPICS: [&str; 8] =
    ["rivers", "bread", "the moon", "chess", "rain", "old ships", "honey bees", "winter"];

#[derive(Clone)]
struct Load {
    address: String,
    tokens: usize,
    until: Instant,
    temperature: f64,
    /// A token that is never chosen, such as the one that ends an answer; below 0 for none.
    ban: i64,
}

/// Whether a stream was sent to its end.
#[derive(PartialEq)]
enum End {
    Whole,
    CutOff,
}

/// What one request came to.
struct Outcome {
    status: u16,
    tokens: usize,
    first: Option<Duration>,
    gaps: Vec<Duration>,
    end: End,
}

fn flag(name: &str, default: f64) -> f64 {
    let words: Vec<String> = std::env::args().collect();
    let value = words.windows(2).find(|w| w[0] == name).and_then(|w| w[1].parse().ok());
    value.unwrap_or(default)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let (streams, seconds) = (flag("--streams", 64.0) as usize, flag("--seconds", 30.0));
    let began = Instant::now();
    let load = Load {
        address: address.trim_start_matches("http://").to_owned(),
        tokens: flag("--tokens", 64.0) as usize,
        until: began + Duration::from_secs_f64(seconds),
        temperature: flag("--temperature", 0.8),
        ban: flag("--ban", -1.0) as i64,
    };
    let clients = (0..streams).map(|who| tokio::spawn(client(load.clone(), who)));
    let clients: Vec<_> = clients.collect();
    let mut all = Vec::new();
    for client in clients {
        all.extend(client.await.map_err(std::io::Error::other)?);
    }
    print!("{}", report(&all, began.elapsed()));
    Ok(())
}

async fn client(load: Load, who: usize) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    let mut turn = 0;
    while Instant::now() < load.until {
        let outcome = match ask(&load, who * 1009 + turn).await {
            Ok(outcome) => outcome,
            Err(_) => {
                Outcome { status: 0, tokens: 0, first: None, gaps: Vec::new(), end: End::CutOff }
            }
        };
        if outcome.status != 200 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        outcomes.push(outcome);
        turn += 1;
    }
    outcomes
}

async fn ask(load: &Load, number: usize) -> std::io::Result<Outcome> {
    let topic = TOPICS[number % TOPICS.len()];
    let mut body = json!({
        "model": "smollm2-135m-instruct", "stream": true, "stream_options": {"include_usage": true},
        "messages": [{"role": "user", "content": format!("Tell me about {topic}, part {number}.")}],
        "max_tokens": load.tokens, "temperature": load.temperature, "seed": number,
    });
    if load.ban >= 0 {
        body["logit_bias"] = json!({ load.ban.to_string(): -100 });
    }
    let body = body.to_string();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n",
        load.address,
        body.len()
    );
    let began = Instant::now();
    let mut stream = TcpStream::connect(&load.address).await?;
    stream.set_nodelay(true)?;
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    let mut lines = BufReader::new(stream).lines();
    let status = lines.next_line().await?.unwrap_or_default();
    let status = status.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    let mut outcome =
        Outcome { status, tokens: 0, first: None, gaps: Vec::new(), end: End::CutOff };
    let mut last = began;
    while let Some(line) = lines.next_line().await? {
        let Some(data) = line.strip_prefix("data: ") else { continue };
        if data == "[DONE]" {
            outcome.end = End::Whole;
            break;
        }
        let chunk: Value = serde_json::from_str(data)?;
        if let Some(tokens) = chunk["usage"]["completion_tokens"].as_u64() {
            outcome.tokens = tokens as usize;
        }
        if chunk["choices"][0]["delta"]["content"].as_str().is_some_and(|text| !text.is_empty()) {
            let now = Instant::now();
            match outcome.first {
                None => outcome.first = Some(now - began),
                Some(_) => outcome.gaps.push(now - last),
            }
            last = now;
        }
    }
    Ok(outcome)
}

fn report(all: &[Outcome], elapsed: Duration) -> String {
    let mut statuses: BTreeMap<u16, usize> = BTreeMap::new();
    all.iter().for_each(|outcome| *statuses.entry(outcome.status).or_default() += 1);
    let answered: Vec<&Outcome> = all.iter().filter(|o| o.status == 200).collect();
    let tokens: usize = answered.iter().map(|o| o.tokens).sum();
    let cut = answered.iter().filter(|o| o.end == End::CutOff).count();
    let firsts = answered.iter().filter_map(|o| o.first).collect();
    let gaps = answered.iter().flat_map(|o| o.gaps.iter().copied()).collect();
    format!(
        "answers {} of {} requests, by status {statuses:?}, cut off {cut}\n\
         tokens {tokens} in {:.1} s: {:.1} tokens/s\n\
         first token {}\nbetween tokens {}\n",
        answered.len(),
        all.len(),
        elapsed.as_secs_f64(),
        tokens as f64 / elapsed.as_secs_f64(),
        spread(firsts),
        spread(gaps),
    )
}

fn spread(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |share: f64| {
        let index = (times.len().saturating_sub(1)) as f64 * share;
        times.get(index as usize).map_or(f64::NAN, |t| t.as_secs_f64() * 1e3)
    };
    format!("p50 {:.2} ms, p95 {:.2} ms, p99 {:.2} ms", at(0.5), at(0.95), at(0.99))
}
