//! The smaller routes.

use super::kit::*;
use crate::settings::{Build, Params};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

#[tokio::test]
async fn models_are_listed_and_described() {
    let params = Params { names: vec!["alias".to_owned()], ..Params::default() };
    let house = House::with(params, Default::default());
    let list = house.get("/v1/models").await.ok();
    let model = &list["data"][0];
    assert_eq!((&list["object"], &model["id"]), (&json!("list"), &json!("alias")));
    assert_eq!(model["trimtab"]["arch"], "llama");
    assert_eq!(model["trimtab"]["n_layers"], 3);
    assert_eq!(model["trimtab"]["context"], 1024);
    assert_eq!(model["trimtab"]["weights_sha256"].as_str().unwrap().len(), 64);
    for id in ["alias", "tiny"] {
        assert_eq!(house.get(&format!("/v1/models/{id}")).await.ok()["id"], id);
        assert_eq!(house.chat(json!({"model": id})).await.ok()["model"], id);
    }
    for id in ["other", "a/b", "tiny@x", "%FF"] {
        let reply = house.get(&format!("/v1/models/{id}")).await;
        assert_eq!(reply.error(), (404, "model_not_found".to_owned(), "model".to_owned()), "{id}");
    }
}

#[tokio::test]
async fn health_and_version_say_what_is() {
    let build =
        Build { git: "abc1234".to_owned(), tensors: "0.11.1".to_owned(), ..Build::default() };
    let house = House::with(Params { build, ..Params::default() }, Default::default());
    assert_eq!(house.get("/health").await.ok(), json!({"status": "ok"}));
    let version = house.get("/version").await.ok();
    assert_eq!(version["name"], "trimtab");
    assert_eq!((&version["git"], &version["candle"]), (&json!("abc1234"), &json!("0.11.1")));
    assert_eq!((&version["api"], &version["receipt_spec"]), (&json!(1), &json!(1)));
}

#[tokio::test]
async fn texts_tokens_and_prompts() {
    let house = House::new();
    let tokens =
        house.post("/tokenize", json!({"content": "ab 9", "add_special": true})).await.ok();
    assert_eq!(tokens, json!({"tokens": [0, 1, 63, 61]}));
    let text = house.post("/detokenize", json!({"tokens": [0, 1, 63, 61, 62]})).await.ok();
    assert_eq!(text, json!({"content": "ab 9<|im_end|>"}));
    assert_eq!(house.post("/detokenize", json!({"tokens": []})).await.ok()["content"], "");
    let messages = json!([{"role": "system", "content": "be"}, {"role": "user", "content": "hi"}]);
    let prompt = house.post("/apply-template", json!({"messages": messages})).await.ok();
    assert_eq!(prompt["prompt"], "system be<|im_end|>user hi<|im_end|>assistant ");
    let reply = house.post("/tokenize", json!({"content": "a", "with_bytes": true})).await;
    assert_eq!(reply.headers["x-trimtab-ignored"], "with_bytes");
}

async fn embed(house: &House, more: Value) -> Value {
    let mut body = json!({"model": "tiny"});
    more.as_object().unwrap().iter().for_each(|(key, value)| body[key] = value.clone());
    house.post("/v1/embeddings", body).await.ok()
}

fn floats(embedding: &Value) -> Vec<f64> {
    embedding.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

#[tokio::test]
async fn embeddings_are_unit_means_in_either_encoding() {
    let house = House::new();
    let one = embed(&house, json!({"input": "hello"})).await;
    let values = floats(&one["data"][0]["embedding"]);
    assert_eq!(
        (values.len(), &one["usage"]),
        (16, &json!({"prompt_tokens": 5, "total_tokens": 5}))
    );
    assert!((values.iter().map(|x| x * x).sum::<f64>() - 1.0).abs() < 1e-6);
    // Many at once, by text and by id, in order.
    let texts =
        embed(&house, json!({"input": vec!["hello", "a", "hello", "b", "c", "d", "e", "hello"]}))
            .await;
    assert_eq!(texts["data"].as_array().unwrap().len(), 8);
    for index in [0, 2, 7] {
        assert_eq!(texts["data"][index]["embedding"], one["data"][0]["embedding"]);
        assert_eq!(texts["data"][index]["index"], index);
    }
    assert_ne!(texts["data"][1]["embedding"], one["data"][0]["embedding"]);
    let ids = house.post("/tokenize", json!({"content": "hello"})).await.ok()["tokens"].clone();
    for input in [ids.clone(), json!([ids])] {
        let by_ids = embed(&house, json!({"input": input})).await;
        assert_eq!(by_ids["data"][0]["embedding"], one["data"][0]["embedding"]);
    }
    let packed = embed(&house, json!({"input": "hello", "encoding_format": "base64"})).await;
    let bytes = STANDARD.decode(packed["data"][0]["embedding"].as_str().unwrap()).unwrap();
    let unpacked: Vec<f32> =
        bytes.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    assert_eq!(unpacked, values.iter().map(|x| *x as f32).collect::<Vec<_>>());
}

#[tokio::test]
async fn metrics_have_the_names_of_the_interface() {
    let house = House::new();
    house.chat(json!({})).await.ok();
    house.get("/nowhere").await;
    let text = house.get("/metrics").await.text;
    let value = |name: &str| {
        let line = text
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_else(|| panic!("{name}\n{text}"));
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    assert_eq!(value(r#"trimtab_requests_total{route="/v1/chat/completions",status="200"}"#), 1.0);
    assert_eq!(value(r#"trimtab_requests_total{route="other",status="404"}"#), 1.0);
    assert_eq!(
        value(r#"trimtab_request_seconds_count{route="/v1/chat/completions",status="200"}"#),
        1.0
    );
    assert_eq!(value("trimtab_time_to_first_token_seconds_count"), 1.0);
    assert_eq!(value("trimtab_inter_token_seconds_count"), 5.0);
    assert_eq!(value("trimtab_queue_wait_seconds_count"), 1.0);
    assert_eq!(value("trimtab_prompt_tokens_total"), 27.0);
    assert_eq!(value("trimtab_generated_tokens_total"), 6.0);
    assert_eq!(value("trimtab_discarded_tokens_total"), 0.0);
    assert_eq!(value(r#"trimtab_prefix_cache_tokens_total{result="miss"}"#), 27.0);
    assert_eq!(value("trimtab_ready"), 1.0);
    for name in ["queue_depth", "active_sequences", "kv_tokens", "vectors_loaded"] {
        assert_eq!(value(&format!("trimtab_{name} ")), 0.0, "{name}");
    }
    assert_eq!(value("trimtab_build_info{"), 1.0);
    assert!(text.contains(r#"device="cpu""#) && text.ends_with("# EOF\n"));
}

#[tokio::test]
async fn the_document_describes_every_route() {
    let house = House::new();
    let document = house.get("/openapi.json").await.ok();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
    let chat = &document["paths"]["/v1/chat/completions"]["post"];
    for status in ["200", "400", "401", "404", "413", "415", "429", "500", "503", "504"] {
        assert!(chat["responses"].get(status).is_some(), "{status}");
    }
    // Nothing refers to what is not there.
    let text = document.to_string();
    for name in text.split("schemas/").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(document["components"]["schemas"].get(name).is_some(), "{name}");
    }
    assert!(document["components"]["schemas"]["ChatRequest"]["properties"].get("rest").is_none());
}
