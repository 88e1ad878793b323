//! Every spelling that people know from llama.cpp means what the long form means.

use super::*;
use std::ffi::OsString;

/// What a command line means, as far as the command has something to check.
fn meaning(line: &str) -> Result<String, String> {
    let argv: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
    let args = args::parse(&argv).map_err(|e| e.to_string())?;
    let form = Form::of(&args.output);
    if args.list_devices {
        return Ok("devices".to_owned());
    }
    let meaning = match args.command.ok_or("no command")? {
        Command::Chat(args) => chat::args::Chat::of(args).map(|config| format!("{config:?}")),
        Command::Generate(args) => {
            generate::config::Generate::of(args, form).map(|config| format!("{config:?}"))
        }
        Command::Capture(args) => capture::config::capture(args).map(|c| format!("{c:?}")),
        Command::Perplexity(args) => perplexity::config::perplexity(args).map(|c| format!("{c:?}")),
        Command::Bench(args) => bench::config::bench(args, form).map(|c| format!("{c:?}")),
        Command::Models(args) => match args.command {
            models::args::ModelsCommand::Info(target) => {
                target.source().map(|source| format!("{source:?}"))
            }
            other => Ok(format!("{other:?}")),
        },
        other => Ok(format!("{other:?}")),
    };
    meaning.map_err(|e| e.to_string())
}

fn plan(line: &str) -> String {
    meaning(line).unwrap()
}

fn refusal(line: &str) -> String {
    meaning(line).unwrap_err()
}

#[test]
fn known_spellings_give_the_same_plan() {
    let pairs = [
        ("-hf a/b:Q8_0", "--hf-repo a/b:Q8_0"),
        ("-hfr a/b", "--hf-repo a/b"),
        ("-hf a/b -hff x.gguf", "--hf-repo a/b --hf-file x.gguf"),
        ("-hf a/b", "--model hf:a/b"),
        ("-hf a/b --revision v1", "-m hf:a/b@v1"),
        ("--model-id hf:a/b", "-m hf:a/b"),
        ("-c 64", "--ctx-size 64"),
        ("-c 0", ""),
        ("-t 3", "--threads 3"),
        ("-b 7", "--batch-size 7"),
        ("-dev cpu", "--device cpu"),
        ("--cpu", "--device cpu"),
        ("-ngl 0", "--gpu-layers 0"),
        ("-ngl 0", "--device cpu"),
        ("-ngl all", "--n-gpu-layers all"),
        ("-ngl all", ""),
        ("-s 5", "--seed 5"),
        ("-s -1", ""),
        ("-n 9", "--n-predict 9"),
        ("--predict 9", "--n-predict 9"),
        ("-n -1", ""),
        ("--temp 0.5", "--temperature 0.5"),
        ("-r END", "--stop END"),
        ("--reverse-prompt END", "--stop END"),
        ("--chat-template chatml --temp 0", "--temp 0 --chat-template chatml"),
        ("--thinking off", "--chat-template-kwargs {\"enable_thinking\":false}"),
        ("--kv-memory 1M", "--kv-memory 1048576"),
        ("--control-vector a,b", "--control-vector a --control-vector b"),
        (
            "--control-vector-scaled a:1,b:2",
            "--control-vector-scaled a:1 --control-vector-scaled b:2",
        ),
        ("--steer a --dose-policy refuse --dose-limit 1", "--steer a"),
        ("--batch-invariant on --kv-type f32 --dtype f32", "--dtype f32"),
    ];
    for (known, long) in pairs {
        for command in ["chat", "generate -p x"] {
            let (a, b) = (
                plan(&format!("trimtab {command} {known}")),
                plan(&format!("trimtab {command} {long}")),
            );
            assert_eq!(a, b, "{command} {known}");
        }
    }
    assert_eq!(plan("trimtab run -sys hello"), plan("trimtab chat --system-prompt hello"));
    assert_eq!(plan("trimtab models info -m hf:a/b"), plan("trimtab models info hf:a/b"));
    assert_eq!(plan("trimtab bench --list-devices"), plan("trimtab --list-devices"));
    assert_eq!(plan("trimtab generate -f a"), plan("trimtab generate --file a"));
    assert_eq!(
        plan("trimtab perplexity -f a"),
        plan("trimtab perplexity -f a -c 512 --ppl-stride 0")
    );
    assert_eq!(
        plan("trimtab bench"),
        plan("trimtab bench -p 512 -n 128 -d 0 -r 5 --batch 1 -o md")
    );
    assert_eq!(plan("trimtab bench --json"), plan("trimtab bench -o json --json"));
    assert_ne!(plan("trimtab chat -c 64"), plan("trimtab chat -c 65"));
    assert_ne!(plan("trimtab chat --kv-type f16"), plan("trimtab chat"));
}

#[test]
fn what_makes_no_sense_is_refused_before_any_work() {
    let table = [
        ("generate -p x --temp -1", "temperature is -1"),
        ("generate -p x -n 0", "--n-predict is 0"),
        ("generate -p x -n -2", "--n-predict is -2"),
        ("generate -p x -s -3", "--seed is -3"),
        ("generate -p x --top-p 1.5", "top_p is 1.5"),
        ("generate -p x --repeat-penalty 0", "repeat_penalty is 0"),
        ("generate -p x --batch-invariant off", "always independent"),
        ("generate -p x -ngl 12", "--gpu-layers is 12"),
        ("generate -p x -ngl 0 -dev cuda", "--device names a GPU"),
        ("generate -p x --device gpu", "\"gpu\" is none of cpu, cuda"),
        ("generate -p x --hf-file a.gguf", "--hf-file needs a repository"),
        ("generate -p x --revision v1", "--revision needs a repository"),
        ("generate -p x --kv-memory 0", "--kv-memory \"0\""),
        ("generate -p x --special", "--special needs --raw"),
        ("generate -p x --logprobs 3", "--logprobs needs --json"),
        ("generate -p x -b 0", "--batch-size is 0"),
        ("generate -p x -t 0", "--threads is 0"),
        ("generate -p x -f y", "cannot be used with"),
        ("generate -p x --steer", "a value is required for '--steer"),
        ("generate -p x --steer calm:", "no scale behind it"),
        ("generate -p x --steer calm:nan", "not finite"),
        ("generate -p x --steer calm:x", "which is no scale"),
        ("chat --control-vector-scaled a.gguf", "expected FNAME:SCALE"),
        (
            "chat --control-vector-scaled a.gguf 0.8",
            "has no scale, expected FNAME:SCALE such as a.gguf:0.8",
        ),
        ("chat --steer a --control-vector-layer-range 5 3", "expected START END"),
        ("chat --steer a --control-vector-layer-range 5", "2 values required"),
        ("chat --control-vector-layer-range 1 2", "needs a vector"),
        ("chat --layer-shift -1", "--layer-shift needs a vector"),
        ("chat --accept-model unpinned", "--accept-model needs a vector"),
        ("chat --allow-null", "--allow-null needs a vector"),
        ("chat --scope last", "--scope needs a vector"),
        ("chat --dose-limit 0.5", "--dose-limit needs a vector"),
        ("chat --steer a --dose-limit 0", "--dose-limit is 0"),
        ("chat --steer a --dose-limit nan", "--dose-limit is NaN"),
        ("chat --steer a --dose-limit 9", "--dose-limit is 9"),
        ("chat --steer a --dose-policy harder", "invalid value 'harder'"),
        ("chat --steer a --scope some", "invalid value 'some'"),
        ("chat --compare", "--compare needs a vector"),
        ("generate -p x --compare", "--compare needs a vector"),
        ("generate -p x --compare --steer a --json --stream", "excludes --stream"),
        ("perplexity -f x --kl-divergence", "--kl-divergence needs a vector"),
        ("bench --steer a --scope prompt", "every token is timed"),
        ("inspect", "required arguments were not provided"),
        ("import x --shape 3", "expected rows x width"),
        ("import x --shape 0x3", "expected rows x width"),
        ("export x -o y", "required arguments were not provided"),
        ("export x --to gguf", "required arguments were not provided"),
        ("export x --to gguf -o y --drop-block-0 --keep-block-0", "cannot be used with"),
        ("verify a b", "unexpected argument 'b'"),
        ("generate -m a -hf b/c -p x", "cannot be used with"),
        ("models info a -m b", "cannot be used with"),
        ("chat --cpu --device cpu", "cannot be used with"),
        ("capture --token-ids 1 -o x", "--sites or --logits is needed"),
        ("capture --logits -o x", "--data or --token-ids is needed"),
        ("capture --logits --token-ids 1", "--out is needed"),
        ("capture --sites resid_pre.3 --token-ids 1 -o x", "named resid_post.2 here"),
        ("capture --token-ids 1 --data x --logits -o x", "cannot be used with"),
        ("perplexity", "--file is needed"),
        ("perplexity -f x --chunks 0", "--chunks is 0"),
        ("bench -p 0 -n 0", "leave nothing to measure"),
        ("bench --batch 0", "--repetitions and --batch are at least 1"),
        ("bench --json -o csv", "--output excludes --json"),
        ("bench --beside steered,calm", "invalid value 'calm' for '--beside"),
        ("chat -q -v", "cannot be used with"),
        ("train", "unrecognized subcommand"),
    ];
    refused(&table);
}

#[test]
fn variables_that_make_no_sense_are_refused() {
    refused(&[
        ("generate -p x --chat-template-kwargs 1", "--chat-template-kwargs is no JSON object"),
        ("chat --chat-template-kwargs {\"messages\":1}", "variable messages cannot be set"),
        (
            "chat --thinking on --chat-template-kwargs {\"enable_thinking\":false}",
            "sets enable_thinking, and so does --thinking",
        ),
    ]);
}

fn refused(table: &[(&str, &str)]) {
    for (line, expected) in table {
        let text = refusal(&format!("trimtab {line}"));
        assert!(text.contains(expected), "{line}: {text}");
    }
}

#[test]
fn a_series_is_every_combination() {
    let line = "trimtab bench -p 8,16 -n 4 -d 0,2 --batch 1,3";
    let argv: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
    let Some(Command::Bench(args)) = args::parse(&argv).unwrap().command else {
        panic!("no bench");
    };
    let bench = bench::config::bench(args, Form::Text).unwrap();
    let names: Vec<String> =
        bench.cases.iter().map(|c| format!("{} x{}", c.name(), c.batch)).collect();
    assert_eq!(names.len(), 12);
    assert_eq!(names[3], "pp8 @ d2 x3");
    assert_eq!(names[11], "tg4 @ d2 x3");
    assert_eq!(bench.opening.options.pool_tokens, Some(3 * 32));
}
