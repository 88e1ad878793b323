//! What must hold for every text, with hostile ones made on purpose.

use super::golden::{BPE, from_gguf, from_json, json, metadata, template};
use super::*;
use proptest::prelude::*;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

const TEMPLATES: [&str; 7] = ["chatml", "llama3", "gemma", "qwen3", "mistral", "phi3", "smollm2"];

fn bpe() -> &'static Arc<Tokenizer> {
    static SHARED: OnceLock<Arc<Tokenizer>> = OnceLock::new();
    SHARED.get_or_init(|| from_gguf("bpe-llama-bpe"))
}

fn everyone() -> &'static [Arc<Tokenizer>] {
    static SHARED: OnceLock<Vec<Arc<Tokenizer>>> = OnceLock::new();
    SHARED.get_or_init(|| {
        let bpe = BPE.map(|pre| format!("bpe-{pre}"));
        let rebuilt =
            bpe.iter().map(String::as_str).chain(["spm-llama", "spm-gemma"]).map(from_gguf);
        let read = bpe.iter().map(String::as_str).chain(["spm-llama"]).map(from_json);
        rebuilt.chain(read).chain([spaced()]).collect()
    })
}

/// Gemma's vocabulary with a run of spaces in it, written as llama.cpp's converter writes it.
fn spaced() -> Arc<Tokenizer> {
    let mut file = json("spm-gemma.gguf.json");
    let run = serde_json::Value::from(" ".repeat(8));
    for (key, value) in [("tokens", run), ("token_type", 4.into()), ("scores", (-1000.0).into())] {
        file[format!("tokenizer.ggml.{key}")].as_array_mut().unwrap().push(value);
    }
    Arc::new(Tokenizer::from_metadata(&metadata(&file)).unwrap())
}

/// Tokenizers as we read them and as the `tokenizers` crate does.
fn pairs() -> &'static [(Arc<Tokenizer>, tokenizers::Tokenizer)] {
    static SHARED: OnceLock<Vec<(Arc<Tokenizer>, tokenizers::Tokenizer)>> = OnceLock::new();
    SHARED.get_or_init(|| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/text");
        let theirs = |name| {
            tokenizers::Tokenizer::from_file(format!("{folder}/{name}.tokenizer.json")).unwrap()
        };
        ["bpe-smollm", "bpe-gpt-2", "spm-llama"].map(|name| (from_json(name), theirs(name))).into()
    })
}

/// Texts built from whole and broken control tokens, the templates' own literals, white space and anything.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        proptest::sample::select(vec![
            "<|im_end|>",
            "<|im_start|>",
            "<|im_start|>system\n",
            "<|eot_id|>",
            "<|end_header_id|>",
            "<s>",
            "</s>",
            "[INST]",
            "[/INST]",
            "<end_of_turn>",
            "<start_of_turn>",
            "<|end|>",
            "<|user|>",
            "<|endoftext|>",
            "<bos>",
            "<|",
            "|>",
            "<|im_",
            "end|>",
            "im_end",
            "<",
            ">",
            "|",
            "user",
            "_turn>",
            "<think>",
            "</think>",
            "<tool_response>",
            "</tool_response>",
            " ",
            "\n",
            "\r\n",
            "\t",
            "\u{a0}",
            "\u{1c}",
            "\u{2581}",
            "\u{2581}\u{2581}\u{2581}\u{2581}\u{2581}\u{2581}\u{2581}\u{2581}",
            "\u{f0000}",
            "\u{f0001}",
            "\u{10fffd}",
            "\u{ffff}",
            "\u{200d}",
            "e\u{301}",
            "{{ x }}",
            "{% if %}",
            "'",
        ])
        .prop_map(str::to_owned),
        any::<String>(),
    ];
    proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

fn controls(tokenizer: &Tokenizer, ids: &[u32]) -> Vec<u32> {
    ids.iter().copied().filter(|id| tokenizer.is_control(*id)).collect()
}

fn prompt(template: &ChatTemplate, contents: [&str; 3]) -> Result<Vec<u32>> {
    let roles = ["user", "assistant", "user"];
    let turns: Vec<Message> =
        roles.iter().zip(contents).map(|(r, c)| Message::new(*r, c)).collect();
    let rendered = template.render(&turns, &RenderOptions::default())?;
    bpe().encode_rendered(&rendered)
}

fn inline(source: &str) -> ChatTemplate {
    ChatTemplate::new(source, Arc::clone(bpe())).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn plain_text_never_becomes_a_control_token(text in hostile()) {
        for tokenizer in everyone() {
            // An unknown character may give the unknown token; these vocabularies have all bytes.
            let ids = tokenizer.encode(&text, Special::Plain).unwrap();
            prop_assert_eq!(controls(tokenizer, &ids), Vec::<u32>::new());
        }
    }

    #[test]
    fn no_text_has_fewer_tokens_than_its_bound(text in hostile(), times in 1_usize..20) {
        let text = text.repeat(times);
        for tokenizer in everyone() {
            for special in [Special::Plain, Special::Parse] {
                let ids = tokenizer.encode(&text, special).unwrap();
                prop_assert!(tokenizer.fewest_tokens(&text, special) <= ids.len());
            }
        }
        for name in TEMPLATES {
            let turns = [Message::new("user", text.as_str())];
            let rendered = template(name, bpe()).render(&turns, &RenderOptions::default()).unwrap();
            let ids = bpe().encode_rendered(&rendered).unwrap();
            prop_assert!(bpe().fewest_tokens_rendered(&rendered) <= ids.len());
        }
    }

    #[test]
    fn messages_never_add_a_control_token(a in hostile(), b in hostile(), c in hostile()) {
        for name in TEMPLATES {
            let template = template(name, bpe());
            let ids = prompt(&template, [&a, &b, &c]).unwrap();
            let calm = prompt(&template, ["x", "x", "x"]).unwrap();
            prop_assert_eq!(controls(bpe(), &ids), controls(bpe(), &calm), "{}", name);
        }
    }

    #[test]
    fn nothing_of_a_prompt_is_lost(a in hostile(), b in hostile()) {
        for name in TEMPLATES {
            let turns = [Message::new("user", a.as_str()), Message::new("assistant", b.as_str())];
            let rendered = template(name, bpe()).render(&turns, &RenderOptions::default()).unwrap();
            let ids = bpe().encode_rendered(&rendered).unwrap();
            prop_assert_eq!(bpe().decode(&ids, Control::Show), rendered.text());
        }
    }

    #[test]
    fn templates_that_rewrite_messages_add_none_either(a in hostile(), b in hostile(), c in hostile()) {
        let odd = [
            "{% for m in messages %}{{ m.content }}{% endfor %}",
            "{% for m in messages %}<|{{ m.content }}|>{% endfor %}",
            "{% for m in messages %}<{{ m.content | trim }}|>{{ m.content[1:4] }}{% endfor %}",
            "{% for m in messages %}{{ m.content | lower }}|>{% endfor %}",
            "{% for m in messages %}{{ m.content | replace('x', '') | replace('user', '<|') }}{% endfor %}",
            "{% for m in messages %}{{ m.content.split('</think>')[-1] }}end|>{% endfor %}",
            "{% for m in messages %}{{ m | tojson }}{% endfor %}",
        ];
        for source in odd {
            match prompt(&inline(source), [&a, &b, &c]) {
                Ok(ids) => prop_assert_eq!(controls(bpe(), &ids), Vec::<u32>::new(), "{}", source),
                Err(error) => prop_assert!(matches!(error, Error::ControlInContent { .. }), "{}", error),
            }
        }
    }

    #[test]
    fn a_stream_gives_what_decode_gives(picks in proptest::collection::vec(any::<u32>(), 0..60), cut in 0_usize..60) {
        for tokenizer in everyone() {
            let ids: Vec<u32> = picks.iter().map(|n| n % tokenizer.vocab_size() as u32).collect();
            let mut stream = TextStream::new(Arc::clone(tokenizer));
            let mut text = String::new();
            for (n, id) in ids.iter().enumerate() {
                text.push_str(stream.push(*id));
                prop_assert_eq!(stream.text_len_at(n + 1), text.len());
            }
            let whole = text.clone() + &stream.flush();
            prop_assert_eq!(&whole, &tokenizer.decode(&ids, Control::Hide));
            prop_assert_eq!(stream.text(), &whole);
            let cut = cut.min(ids.len());
            let len = stream.text_len_at(cut);
            stream.truncate(cut);
            prop_assert_eq!((stream.tokens(), stream.text()), (cut, &text[..len]));
            let replayed: String = ids[cut..].iter().map(|id| stream.push(*id).to_owned()).collect();
            prop_assert_eq!(text[..len].to_owned() + &replayed, text);
            prop_assert_eq!(stream.flush(), &whole[stream.text_len_at(ids.len())..]);
        }
    }

    #[test]
    fn a_stream_of_encoded_text_gives_what_tokenizers_decodes(text in hostile()) {
        for (ours, theirs) in pairs() {
            let ids = ours.encode(&text, Special::Plain).unwrap();
            let mut stream = TextStream::new(Arc::clone(ours));
            let mut streamed: String = ids.iter().map(|id| stream.push(*id).to_owned()).collect();
            streamed.push_str(&stream.flush());
            prop_assert_eq!(streamed, theirs.decode(&ids, true).unwrap());
        }
    }
}

#[test]
fn half_a_character_waits() {
    let tokenizer = from_gguf("spm-llama");
    let byte = |b: u8| tokenizer.id_of(&format!("<0x{b:02X}>")).unwrap();
    let mut stream = TextStream::new(Arc::clone(&tokenizer));
    assert_eq!(stream.push(byte(0xe4)), "");
    assert_eq!(stream.push(byte(0xbd)), "");
    assert_eq!(stream.flush(), "\u{fffd}");
    assert_eq!(stream.push(byte(0xa0)), "\u{4f60}");
    stream.truncate(1);
    assert_eq!(stream.push(byte(0x41)), "\u{fffd}A");
}

#[test]
fn only_a_text_that_begins_drops_the_space() {
    let tokenizer = from_gguf("spm-llama");
    let ids = tokenizer.encode("the", Special::Plain).unwrap();
    let read = |mut stream: TextStream| {
        ids.iter().map(|id| stream.push(*id).to_owned()).collect::<String>()
    };
    assert_eq!(read(TextStream::new(Arc::clone(&tokenizer))), "the");
    assert_eq!(read(TextStream::continuing(tokenizer)), " the");
}

#[test]
fn a_template_that_looks_for_control_tokens_is_refused_them() {
    let source = "{% for m in messages %}{{ m.content }}\
                  {% if not m.content.endswith('<|im_end|>') %}<|im_end|>{% endif %}{% endfor %}";
    let error = prompt(&inline(source), ["hi<|im_end|>", "", ""]).unwrap_err();
    assert!(
        matches!(error, Error::ControlInContent { ref token } if token == "<|im_end|>"),
        "{error}"
    );
    assert_eq!(
        prompt(&inline(source), ["hi", "<|im_", "end|>"])
            .map(|ids| controls(bpe(), &ids).len())
            .unwrap(),
        3
    );
}

#[test]
fn a_control_token_made_by_rewriting_is_refused() {
    let lower = "{% for m in messages %}{{ m.content | lower }}|>{% endfor %}";
    for hostile in ["<|IM_END|>", "<|IM_END"] {
        let error = prompt(&inline(lower), [hostile, "", ""]).unwrap_err();
        assert!(matches!(error, Error::ControlInContent { .. }), "{error}");
    }
    let ids = prompt(&inline(lower), ["Quite HARMLESS", "", ""]).unwrap();
    assert_eq!(bpe().decode(&ids, Control::Show), "quite harmless|>|>|>");
}

#[test]
fn origins_are_exact_where_templates_trim_and_split() {
    let turns = [
        Message::new("user", " q <|im_end|> \n"),
        Message::new("assistant", "<think>a</think>\n\nb"),
    ];
    let options =
        RenderOptions { generation_prompt: GenerationPrompt::Leave, ..RenderOptions::default() };
    let content = |name: &str| {
        let rendered = template(name, bpe()).render(&turns, &options).unwrap();
        let parts = rendered.segments.into_iter().filter(|part| part.origin == Origin::Content);
        parts.map(|part| part.text).collect::<Vec<_>>()
    };
    assert_eq!(content("llama3"), ["q <|im_end|>", "<think>a</think>\n\nb"]);
    assert_eq!(content("qwen3"), ["q <|im_end|>", "a", "b"]);
}

#[test]
fn roles_are_not_free_text() {
    let turn = [Message::new("user<|im_end|>", "x")];
    let error = template("phi3", bpe()).render(&turn, &RenderOptions::default()).unwrap_err();
    assert!(matches!(error, Error::UnknownRole { .. }));
}

#[test]
fn a_runaway_template_stops() {
    let began = Instant::now();
    for source in [
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% for i in range(9999) %}{{ 'x' * 99999 }}{% endfor %}",
    ] {
        let error = prompt(&inline(source), ["", "", ""]).unwrap_err();
        assert!(matches!(error, Error::Template(_)), "{error}");
    }
    assert!(began.elapsed().as_secs() < 20);
}

#[test]
fn malformed_tokenizer_files_are_errors() {
    let file =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/text/bpe-gpt-2.tokenizer.json");
    let good: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let edits: [(&str, serde_json::Value); 8] = [
        ("/model", serde_json::Value::Null),
        ("/model/type", "Unigram".into()),
        ("/model/merges/0", "a".into()),
        // Longer than every entry: the tokenizers crate indexes past its buffer here.
        ("/model/merges/0", serde_json::json!(["<|start_header_id|>", "<|start_header_id|>"])),
        ("/model/vocab/a", 4_000_000_000_u64.into()),
        ("/added_tokens/0/id", "one".into()),
        ("/decoder", serde_json::Value::Null),
        ("/pre_tokenizer", "none".into()),
    ];
    let folder = std::env::temp_dir().join(format!("trimtab-text-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for (place, bad) in edits {
        let mut value = good.clone();
        *value.pointer_mut(place).unwrap() = bad;
        let path = folder.join("tokenizer.json");
        std::fs::write(&path, value.to_string()).unwrap();
        assert!(Tokenizer::from_file(&path).is_err(), "{place}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn files_beside_the_tokenizer_say_how_texts_begin_and_end() {
    let golden =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/text/bpe-gpt-2.tokenizer.json");
    let folder = std::env::temp_dir().join(format!("trimtab-beside-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::copy(golden, folder.join("tokenizer.json")).unwrap();
    let config = serde_json::json!({
        "bos_token": {"content": "<bos>"}, "add_bos_token": true,
        "chat_template": [{"name": "tool_use", "template": "no"}, {"name": "default", "template": "{{ bos_token }}yes"}],
    });
    std::fs::write(folder.join("tokenizer_config.json"), config.to_string()).unwrap();
    std::fs::write(folder.join("special_tokens_map.json"), r#"{"eos_token": "<eos>"}"#).unwrap();
    std::fs::write(folder.join("generation_config.json"), r#"{"eos_token_id": [1, 5]}"#).unwrap();
    let tokenizer = Arc::new(Tokenizer::from_file(&folder.join("tokenizer.json")).unwrap());
    assert_eq!(tokenizer.bos(), tokenizer.id_of("<bos>"));
    assert_eq!(tokenizer.eos(), tokenizer.id_of("<eos>"));
    assert!(
        tokenizer.adds_bos()
            && tokenizer.is_end_of_generation(1)
            && tokenizer.is_end_of_generation(5)
    );
    let template = ChatTemplate::from_folder(&folder, None, Arc::clone(&tokenizer)).unwrap();
    let rendered = template.render(&[], &RenderOptions::default()).unwrap();
    assert_eq!(rendered.text(), "<bos>yes");
    assert_eq!(
        tokenizer.with_bos(tokenizer.encode_rendered(&rendered).unwrap())[0],
        tokenizer.bos().unwrap()
    );
    std::fs::remove_dir_all(&folder).unwrap();
    let error = ChatTemplate::from_folder(&folder, None, tokenizer).unwrap_err();
    assert!(matches!(error, Error::NoTemplate), "{error}");
}

#[test]
fn variables_reach_the_template_and_a_rendering_outranks_them() {
    let source = "{% if think is defined and not think %}no{% endif %}{{ note }}";
    let set = |think: bool| Variables::from([("think".to_owned(), think.into())]);
    let options = |extra| RenderOptions { extra, ..RenderOptions::default() };
    let render = |template: &ChatTemplate, extra| {
        template.render(&[], &options(extra)).map(|rendered| rendered.text())
    };
    let template = inline(source);
    assert!(template.reads("think") && !template.reads("thinking"));
    assert_eq!(render(&template, Variables::new()).unwrap(), "");
    assert_eq!(render(&template, set(false)).unwrap(), "no");
    let template = template.with_variables(set(false)).unwrap();
    assert_eq!(render(&template, Variables::new()).unwrap(), "no");
    assert_eq!(render(&template, set(true)).unwrap(), "");

    let reserved = Variables::from([("messages".to_owned(), 1.into())]);
    let error = render(&template, reserved.clone()).unwrap_err();
    assert!(matches!(error, Error::ReservedVariable { ref name } if name == "messages"), "{error}");
    assert!(template.with_variables(reserved).is_err());
    let hostile = serde_json::json!([{"a": "x<|im_end|>"}]);
    let error = render(&inline(source), Variables::from([("note".to_owned(), hostile)]));
    assert!(matches!(error, Err(Error::ControlInContent { ref token }) if token == "<|im_end|>"));
}

#[test]
fn tokenizers_and_templates_are_shared_by_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Tokenizer>();
    shared::<ChatTemplate>();
}

#[test]
fn a_bound_sees_that_a_million_digits_are_many_tokens() {
    for tokenizer in everyone() {
        let digits = "1".repeat(1_000_000);
        let fewest = tokenizer.fewest_tokens(&digits, Special::Plain);
        assert!(fewest > 100_000, "{tokenizer:?}: {fewest}");
    }
}
