//! From what is typed to a prompt: control tokens, variables of the template, and models without a usable tokenizer.

use crate::kit::{Folder, Run, trimtab};
use serde_json::Value;

/// A run of `generate` for one token, as JSON.
fn generate(model: &str, more: &[&str]) -> Run {
    trimtab(&[&["generate", "-m", model, "-n", "1", "--temp", "0", "--json"], more].concat())
}

fn document(run: &Run) -> Value {
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    serde_json::from_str(&run.stdout).unwrap()
}

fn prompt_tokens(run: &Run) -> u64 {
    document(run)["usage"]["prompt_tokens"].as_u64().unwrap()
}

#[test]
fn control_tokens_of_a_raw_prompt_are_text_unless_asked_for() {
    let folder = Folder::new();
    let model = folder.talking();
    // The tiny vocabulary has letters and no signs.
    let plain = generate(&model, &["--raw", "-p", "a<|im_end|>b"]);
    assert_eq!(prompt_tokens(&plain), 7);
    let note = "spells the control token <|im_end|>, which is read as text; --special reads";
    assert!(plain.stderr.contains(note), "{}", plain.stderr);
    let special = generate(&model, &["--raw", "--special", "-p", "a<|im_end|>b"]);
    assert_eq!(prompt_tokens(&special), 3);
    assert!(!special.stderr.contains("control token"), "{}", special.stderr);
    let message = generate(&model, &["-p", "a<|im_end|>b"]);
    assert!(!message.stderr.contains("control token"), "{}", message.stderr);
}

#[test]
fn an_empty_raw_prompt_is_wrong_use() {
    let folder = Folder::new();
    let run = generate(&folder.talking(), &["--raw", "-p", ""]);
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert!(run.stderr.contains("--prompt is empty"), "{}", run.stderr);
}

#[test]
fn variables_reach_the_template_and_the_receipt() {
    let folder = Folder::new();
    let model = folder.talking();
    let template = "{% if enable_thinking is defined and not enable_thinking %}no{% endif %}\
                    {% for message in messages %}{{ message.content }}{% endfor %}";
    let thinking = |more: &[&str]| {
        let words = ["-p", "hi", "--chat-template", template];
        generate(&model, &[&words[..], more].concat())
    };
    assert_eq!(prompt_tokens(&thinking(&[])), 2);
    assert_eq!(prompt_tokens(&thinking(&["--thinking", "on"])), 2);
    assert_eq!(prompt_tokens(&thinking(&["--thinking", "off"])), 4);
    let vector = folder.vector("glad", &model, &[("resid_post.1", 1.0)]);
    let kwargs = "{\"enable_thinking\": false}";
    let steered =
        thinking(&["--chat-template-kwargs", kwargs, "--steer", &vector, "--dose-policy", "warn"]);
    let document = document(&steered);
    assert_eq!(document["usage"]["prompt_tokens"], 4);
    assert_eq!(document["steering"]["chat_template_kwargs"]["enable_thinking"], false);
    let unread = generate(&model, &["-p", "hi", "--thinking", "off"]);
    assert!(unread.stderr.contains("template does not read enable_thinking"), "{}", unread.stderr);
}

#[test]
fn token_ids_need_no_tokenizer_that_can_be_used() {
    let folder = Folder::new();
    let model = folder.talking();
    folder.write("tiny/tokenizer.json", "{\"model\": {\"type\": \"Unigram\", \"vocab\": []}}");
    let out = folder.path("out");
    let ids = trimtab(&["capture", "-m", &model, "--token-ids", "1,2", "--logits", "-o", &out]);
    assert_eq!(ids.code, Some(0), "{}", ids.stderr);
    assert!(ids.stderr.contains("tokenizer of this model cannot be used"), "{}", ids.stderr);
    let bench = trimtab(&["bench", "-m", &model, "-p", "4", "-n", "0", "-r", "1"]);
    assert_eq!(bench.code, Some(0), "{}", bench.stderr);
    assert!(bench.stderr.contains("cannot be used"), "{}", bench.stderr);
    let text = generate(&model, &["-p", "x"]);
    assert_eq!(text.code, Some(3), "{}", text.stderr);
    assert!(text.stderr.contains("tokenizer of this model cannot be used: "), "{}", text.stderr);
    let served = trimtab(&["serve", "-m", &model, "--port", "0", "--no-state"]);
    assert_eq!(served.code, Some(3), "{}", served.stderr);
    let about = trimtab(&["models", "info", &model]);
    assert!(about.stdout.contains("cannot be used"), "{}{}", about.stdout, about.stderr);
}

#[test]
fn a_tokenizer_in_another_form_is_named_before_the_template() {
    let folder = Folder::new();
    let model = folder.tiny();
    folder.write("tiny/tokenizer.model", "");
    let run = generate(&model, &["-p", "x"]);
    assert_eq!(run.code, Some(3), "{}", run.stderr);
    assert!(run.stderr.contains("tokenizer.model is not read"), "{}", run.stderr);
    assert!(run.stderr.contains("\nhint: transformers writes tokenizer.json"), "{}", run.stderr);
    assert!(!run.stderr.contains("chat template"), "{}", run.stderr);
}

#[test]
fn a_template_that_cannot_be_used_leaves_raw_prompts() {
    let folder = Folder::new();
    let model = folder.talking();
    folder.write("tiny/chat_template.jinja", "{% for %}");
    assert_eq!(prompt_tokens(&generate(&model, &["--raw", "-p", "hi"])), 2);
    let run = generate(&model, &["-p", "hi"]);
    assert_eq!(run.code, Some(3), "{}", run.stderr);
    assert!(run.stderr.contains("chat template of this model cannot be used: "), "{}", run.stderr);
    assert!(run.stderr.contains("\nhint: --chat-template-file"), "{}", run.stderr);
    let named = generate(&model, &["-p", "hi", "--chat-template", "rag"]);
    assert_eq!(named.code, Some(3), "{}", named.stderr);
    assert!(named.stderr.contains("\"rag\" is missing (there are: default)"), "{}", named.stderr);
}
