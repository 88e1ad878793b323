//! Extraction on the tiny model, with a tokenizer of letters and a template that leads with a system prompt.

mod files;
mod reading;
mod refusals;
mod shuffled;
mod streamed;

use super::{Extraction, Recipe, STATE_BYTES, Shard, States};
use crate::estimate::Moments;
use crate::file::card::MethodName;
use crate::pairs::{BadPairs, Class, Pairs};
use serde_json::json;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use trimtab_runtime::Model;
use trimtab_runtime::generate::Flow;
use trimtab_runtime::site::Site;
use trimtab_runtime::testing::tiny;

const TEMPLATE: &str = "{% if messages[0].role != 'system' %}<|im_start|>system\nBe kind.<|im_end|>\n{% endif %}\
    {% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}\
    {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/// Every third block but the last: what the tiny model has.
const SITES: [Site; 3] = [Site::Embed, Site::ResidPost(0), Site::ResidPost(1)];

/// Letters, a few marks, and one merge, so that a text can run into a template.
fn tokenizer() -> serde_json::Value {
    let mut texts: Vec<String> = ('a'..='z').chain('A'..='Z').map(String::from).collect();
    texts.extend(
        ["Ġ", "Ċ", ".", ",", "?", "!", "'", "<unk>", "<s>", "<|im_start|>"].map(String::from),
    );
    texts.extend(["<|im_end|>", "en"].map(String::from));
    assert_eq!(texts.len(), tiny::VOCABULARY);
    let special = |text: &str| {
        let id = texts.iter().position(|t| t == text).unwrap();
        json!({"id": id, "content": text, "special": true, "lstrip": false, "rstrip": false,
            "single_word": false, "normalized": false})
    };
    let vocab: serde_json::Map<_, _> =
        texts.iter().enumerate().map(|(id, text)| (text.clone(), json!(id))).collect();
    let added = ["<unk>", "<s>", "<|im_start|>", "<|im_end|>"].map(special);
    json!({
        "version": "1.0",
        "added_tokens": added,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "vocab": vocab, "merges": ["e n"], "unk_token": "<unk>"},
    })
}

/// The tiny model with this template.
fn model_with(template: &str) -> Model {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let folder = format!("trimtab-extract-{}-{number}", std::process::id());
    let path: PathBuf = std::env::temp_dir().join(folder);
    tiny::write(&path).unwrap();
    std::fs::write(path.join("tokenizer.json"), tokenizer().to_string()).unwrap();
    let config = json!({"bos_token": "<s>", "eos_token": "<|im_end|>", "add_bos_token": false});
    std::fs::write(path.join("tokenizer_config.json"), config.to_string()).unwrap();
    std::fs::write(path.join("chat_template.jinja"), template).unwrap();
    let model = Model::open(path.to_str().unwrap()).unwrap();
    std::fs::remove_dir_all(&path).ok();
    model
}

fn model() -> Model {
    model_with(TEMPLATE)
}

/// So many pairs of a glad and a dull answer, no two alike.
fn lines(count: usize) -> Vec<String> {
    let word = |seed: usize, length: usize| -> String {
        let mut state = seed * 2_654_435_761 + 12_345;
        let mut letter = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223) % (1 << 31);
            char::from(b'a' + (state >> 16) as u8 % 26)
        };
        (0..length).map(|_| letter()).collect()
    };
    let line = |i: usize| {
        json!({
            "prompt": format!("Tell me of {}?", word(i, 3 + i % 5)),
            "chosen": format!("Oh, {}! What a {}!", word(i + 1000, 4), word(i + 2000, 2 + i % 7)),
            "rejected": format!("It is {}.", word(i + 3000, 2 + i % 4)),
        })
    };
    (0..count).map(|i| line(i).to_string()).collect()
}

fn pairs_of(lines: &[String]) -> Pairs {
    Pairs::from_bytes(lines.join("\n").as_bytes(), BadPairs::Refuse).unwrap()
}

fn pairs(count: usize) -> Pairs {
    pairs_of(&lines(count))
}

fn recipe(method: MethodName) -> Recipe {
    Recipe { min_pairs: 4, ..Recipe::new(method, "glad") }
}

/// The states of a whole extraction, or of a shard.
fn read(extraction: &Extraction<'_>, shard: Shard) -> States {
    let mut states = extraction.begin(shard, STATE_BYTES).unwrap();
    let flow = extraction.read(&mut states, &mut |_, _| Flow::Continue).unwrap();
    assert_eq!(flow, Flow::Continue);
    states
}

/// Sums of the states of one class that are fitted on at a candidate.
fn sums(states: &States, candidate: usize, class: Class) -> Moments {
    let plan = super::sums::Plan::of(&states.about);
    let [positive, negative] = states.fitted(candidate, &plan).unwrap().sums;
    match class {
        Class::Positive => positive,
        Class::Negative => negative,
    }
}
