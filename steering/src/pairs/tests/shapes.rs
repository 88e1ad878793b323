//! The shapes that are read, by hand-written records of each.

use super::super::{BadPairs, Class, Finding, Item, Names, PairError, Pairs, Shape, Sides};
use super::{flaw, read};
use trimtab_runtime::text::Message;

fn answers(item: &Item) -> (Vec<(&str, &str)>, &str, &str) {
    let Sides::Answers { prompt, chosen, rejected } = &item.sides else { panic!("{item:?}") };
    (prompt.iter().map(|m| (m.role.as_str(), m.content.as_str())).collect(), chosen, rejected)
}

#[test]
fn preferences_are_texts_or_messages() {
    let text = r#"{"prompt": "Hi", "chosen": "Hello!", "rejected": "Hm.", "score": 3}

{"prompt": [{"role": "system", "content": "Sing."}, {"role": "user", "content": "Hi"}], "chosen": [{"role": "assistant", "content": "La!"}], "rejected": "No."}
{"prompt": "Hi", "chosen": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ah!"}], "rejected": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Oh."}]}"#;
    let pairs = read(text);
    assert_eq!(pairs.shape, Shape::Preference);
    assert_eq!(pairs.items.iter().map(|i| i.line).collect::<Vec<_>>(), [1, 3, 4]);
    assert_eq!(answers(&pairs.items[0]), (vec![("user", "Hi")], "Hello!", "Hm."));
    assert_eq!(answers(&pairs.items[1]), (vec![("system", "Sing."), ("user", "Hi")], "La!", "No."));
    assert_eq!(answers(&pairs.items[2]), (vec![("user", "Hi")], "Ah!", "Oh."));
    assert_eq!(pairs.items[0].group, "Hi");
    assert_eq!(pairs.sha256, crate::file::sha256(text.as_bytes()));
}

#[test]
fn transcripts_are_taken_apart() {
    let text = r#"{"chosen": "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: Well?\n\nAssistant: Very well!", "rejected": "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: Well?\n\nAssistant: No."}"#;
    let pairs = read(text);
    assert_eq!(pairs.shape, Shape::Transcript);
    let talk = vec![("user", "Hi"), ("assistant", "Hello."), ("user", "Well?")];
    assert_eq!(answers(&pairs.items[0]), (talk, "Very well!", "No."));
    assert_eq!(pairs.items[0].group, "Hi\nHello.\nWell?");
}

#[test]
fn a_prompt_may_be_a_transcript_that_waits_for_its_answer() {
    let text = r#"{"prompt": "\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: Well?\n\nAssistant:", "chosen": " Very well!", "rejected": " No."}
{"prompt": "\n\nHuman: Oh?", "chosen": "Yes", "rejected": "No"}"#;
    let pairs = read(text);
    assert_eq!(pairs.shape, Shape::Preference);
    let talk = vec![("user", "Hi"), ("assistant", "Hello."), ("user", "Well?")];
    assert_eq!(answers(&pairs.items[0]), (talk, "Very well!", "No."));
    assert_eq!(answers(&pairs.items[1]).0, [("user", "Oh?")]);
    assert_eq!(pairs.items[0].group, "Hi\nHello.\nWell?");
}

#[test]
fn choices_are_questions_with_two_answers() {
    let text = r#"[
  {"question": "Do you?\n(A) Yes\n(B) No", "answer_matching_behavior": " (A)", "answer_not_matching_behavior": " (B)"},
  {"question": "Would \"you\", }?", "answer_matching_behavior": " Yes",
   "answer_not_matching_behavior": " No", "label_confidence": 0.9}
]"#;
    let pairs = read(text);
    assert_eq!(pairs.shape, Shape::Choice);
    assert_eq!(
        answers(&pairs.items[0]),
        (vec![("user", "Do you?\n(A) Yes\n(B) No")], "(A)", "(B)")
    );
    // An array's records are counted by the lines they begin on.
    assert_eq!(pairs.items.iter().map(|i| i.line).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(pairs.items[1].group, "Would \"you\", }?");
}

#[test]
fn pairs_of_prompts_are_grouped_by_what_they_share() {
    let text = r#"{"positive": "Is it?\n(A) Yes\n(B) No\n(A)", "negative": "Is it?\n(A) Yes\n(B) No\n(B)"}
{"positive": "I love it.", "negative": "Boring, I say."}"#;
    let pairs = read(text);
    assert_eq!(pairs.shape, Shape::Prompts);
    assert_eq!(pairs.items[0].group, "Is it?\n(A) Yes\n(B) No\n(");
    assert_eq!(pairs.items[1].group, "I love it.");
    let Sides::Prompts { positive, .. } = &pairs.items[1].sides else { panic!() };
    assert_eq!(positive, &[Message::new("user", "I love it.")]);
}

#[test]
fn a_question_with_several_instructions_is_one_group() {
    let questions = ["Why is it?", "How, then?", "What of the sea and of all that lives in it?"];
    let wordings = [
        ("Be glad and very loud.", "Be dull."),
        ("Shout it with joy!", "Say it calmly, if at all."),
    ];
    let groups = |line: &dyn Fn(&str, &str) -> String| -> Vec<String> {
        let mut lines = String::new();
        for question in questions {
            for (positive, negative) in wordings {
                let (positive, negative) = (line(question, positive), line(question, negative));
                lines +=
                    &serde_json::json!({"positive": positive, "negative": negative}).to_string();
                lines += "\n";
            }
        }
        read(&lines).items.into_iter().map(|item| item.group).collect()
    };
    let expected: Vec<&str> = questions.iter().flat_map(|q| [*q, *q]).collect();
    assert_eq!(groups(&|question, order| format!("{question}\n\n{order}")), expected);
    assert_eq!(groups(&|question, order| format!("{order} {question}")), expected);
    // A frame that all share is no question.
    let framed =
        |question: &str, order: &str| format!("You are told a thing.\n{order}\n{question}");
    assert_eq!(groups(&framed), expected);
    let framed = |question: &str, order: &str| {
        format!("{question}\n{order}\nYou are told a thing, and a long one.")
    };
    assert_eq!(groups(&framed), expected);
}

#[test]
fn a_group_can_be_said() {
    let line = |a: &str| {
        format!("{{\"positive\": \"{a} yes\", \"negative\": \"{a} no\", \"group\": \"one\"}}\n")
    };
    let pairs = read(&(line("a") + &line("b")));
    assert!(pairs.items.iter().all(|item| item.group == "one"), "{:?}", pairs.items);
}

#[test]
fn labels_come_in_many_spellings() {
    let labels = ["1", "0", "-1", "true", "false", "\"positive\"", "\"Negative\"", "\"+1\""];
    let line = |(i, label): (usize, &&str)| format!("{{\"text\": \"t{i}\", \"label\": {label}}}\n");
    let pairs = read(&labels.iter().enumerate().map(line).collect::<String>());
    let found: Vec<bool> = pairs
        .items
        .iter()
        .map(|item| matches!(item.sides, Sides::Labelled { label: Class::Positive, .. }))
        .collect();
    assert_eq!(found, [true, false, false, true, false, true, false, true]);
}

#[test]
fn contrast_templates_pair_every_suffix_under_every_two_personas() {
    let text = r#"{
  "template": "Act as if you are {persona}.",
  "positive_personas": ["happy", "glad"],
  "negative_personas": ["sad", "gloomy"],
  "suffixes": ["", "That game"]
}"#;
    let pairs = read(text);
    assert_eq!((pairs.shape, pairs.items.len()), (Shape::Contrast, 4));
    let Sides::Prompts { positive, negative } = &pairs.items[3].sides else { panic!() };
    let talk = |persona: &str| {
        let asked = format!("Act as if you are {persona}.");
        vec![Message::new("user", asked), Message::new("assistant", "That game")]
    };
    assert_eq!((positive, negative), (&talk("glad"), &talk("gloomy")));
    let Sides::Prompts { positive, .. } = &pairs.items[0].sides else { panic!() };
    assert_eq!(positive.len(), 1);
    assert_eq!(pairs.items[3].group, "That game");
}

#[test]
fn personas_alone_are_groups_of_their_own() {
    let text = r#"{"template": "Be {persona}.", "positive_personas": ["glad", "gay"], "negative_personas": ["sad", "low"]}"#;
    let pairs = read(text);
    let groups: Vec<&str> = pairs.items.iter().map(|item| item.group.as_str()).collect();
    assert_eq!(groups, ["glad\nsad", "gay\nlow"]);
}

#[test]
fn an_example_without_a_worse_answer_is_told() {
    let text = r#"{"examples": [
        {"input": "a", "target_scores": {"x": 1, "y": 1}},
        {"input": "b", "target_scores": {}},
        {"input": "c", "target_scores": {"x": 1, "y": 0}}]}"#;
    let pairs = read(text);
    assert_eq!((pairs.items.len(), pairs.findings.len()), (1, 2));
    let told = pairs.findings[0].to_string();
    assert_eq!(told, "line 1 has an example without a worse answer");
}

#[test]
fn scored_examples_set_the_best_answer_against_the_others() {
    let text = r#"{"name": "x", "examples": [
        {"input": "2 + 2", "target_scores": {"3": 0, "4": 1, "5": 0.0}}]}"#;
    let pairs = read(text);
    assert_eq!(pairs.shape, Shape::Scored);
    let found: Vec<_> = pairs.items.iter().map(answers).collect();
    assert_eq!(found[0], (vec![("user", "2 + 2")], "4", "3"));
    assert_eq!((found.len(), found[1].2), (2, "5"));
}

#[test]
fn tables_have_the_same_fields_in_columns() {
    let text =
        "\u{feff}prompt,chosen,rejected\nHi,\"Hello, \"\"you\"\"!\",Hm.\n\"Two\nlines\",a,b\n";
    let pairs = read(text);
    assert_eq!(answers(&pairs.items[0]), (vec![("user", "Hi")], "Hello, \"you\"!", "Hm."));
    assert_eq!(answers(&pairs.items[1]).0, [("user", "Two\nlines")]);
    assert_eq!(pairs.items[1].line, 3);
}

fn lines(pairs: &Pairs) -> Vec<usize> {
    pairs.items.iter().map(|item| item.line).collect()
}

#[test]
fn files_are_read_as_editors_and_spreadsheets_save_them() {
    let mark = '\u{feff}';
    let one = |p: &str| format!(r#"{{"prompt": "{p}", "chosen": "a", "rejected": "b"}}"#);
    let joined = read(&format!("{mark}{}\r\n{mark}{}", one("p"), one("q")));
    assert_eq!(lines(&joined), [1, 2]);
    assert_eq!(lines(&read(&format!("{}\r{}\r", one("p"), one("q")))), [1, 2]);
    for end in ["\n", "\r\n", "\r"] {
        for between in [",", ";", "\t"] {
            let rows = [["Prompt", "CHOSEN", " rejected "], ["p", "a\nb", "c"], ["q", "d", "e"]];
            let row = |cells: [&str; 3]| cells.map(|c| format!("\"{c}\"")).join(between) + end;
            let table = format!("{mark}{}", rows.map(row).concat());
            let pairs = read(&table);
            // A line break within a cell is a line too.
            assert_eq!(lines(&pairs), [2, 4], "{end:?} {between:?}");
            let Sides::Answers { chosen, .. } = &pairs.items[0].sides else { panic!() };
            assert_eq!(chosen, "a\nb");
        }
        let bad = format!("prompt,chosen,rejected{end}q,a,b{end}{end}r,,b{end}");
        let expected = PairError::EmptyText { line: 4, field: "chosen".to_owned() };
        assert_eq!(flaw(&bad), expected, "{end:?}");
    }
    let again = flaw("prompt,chosen,rejected\nq,a,b\n\u{feff}prompt,chosen,rejected\n").to_string();
    assert!(again.starts_with("line 3 of the table begins with a byte order mark"), "{again}");
    // Columns without a name, as spreadsheets leave behind.
    assert_eq!(lines(&read("prompt;chosen;rejected;;\nq;a;b;;\n")), [2]);
}

#[test]
fn a_column_or_key_is_named_once() {
    let twice = flaw("prompt,chosen,rejected,Chosen\nq,a,b,b\n").to_string();
    assert_eq!(twice, "line 1 of the table has the column chosen twice; rename or delete one");
    for text in [
        r#"{"prompt": "p", "chosen": "a", "rejected": "b", "chosen": "b"}"#,
        r#"{"prompt": [{"role": "user", "role": "user", "content": "x"}], "chosen": "a", "rejected": "b"}"#,
    ] {
        let PairError::NotJson { line: 1, problem } = flaw(text) else { panic!("{text}") };
        assert!(problem.contains("appears twice"), "{problem}");
    }
}

#[test]
fn public_names_of_fields_are_known() {
    let answers = |text: &str| match read(text).items.remove(0).sides {
        Sides::Answers { prompt, chosen, rejected } => (prompt, chosen, rejected),
        other => panic!("{other:?}"),
    };
    let user = |text: &str| Message::new("user", text);
    let (prompt, ..) = answers(r#"{"question": "q", "chosen": "a", "rejected": "b"}"#);
    assert_eq!(prompt, [user("q")]);
    let text =
        r#"{"instruction": "do", "input": "this", "system": "be", "chosen": "a", "rejected": "b"}"#;
    assert_eq!(answers(text).0, [Message::new("system", "be"), user("do\nthis")]);
    let text = r#"{"conversations": [{"from": "human", "value": "q"}],
        "chosen": {"from": "gpt", "value": "a"}, "rejected": {"role": "assistant", "content": [{"type": "text", "text": "b"}]}}"#;
    assert_eq!(answers(text), (vec![user("q")], "a".to_owned(), "b".to_owned()));
    let harm = read(r#"{"harmful": "x", "harmless": "y"}"#);
    assert_eq!(harm.shape, Shape::Prompts);
    let wrapped = read(
        "{\"train\": [\n{\"positive\": \"x\", \"negative\": \"y\"},\n{\"positive\": \"v\", \"negative\": \"w\"}]}",
    );
    assert_eq!(lines(&wrapped), [2, 3]);
    let several = r#"{"question": "q", "answer_matching_behavior": "a", "answer_not_matching_behavior": ["b", "c"]}"#;
    assert_eq!(read(several).items.len(), 2);
    let image = r#"{"prompt": [{"role": "user", "content": [{"type": "image_url", "text": "x"}]}], "chosen": "a", "rejected": "b"}"#;
    assert!(matches!(flaw(image), PairError::WrongType { .. }));
}

#[test]
fn fields_can_be_named() {
    let names = Names::parse(["prompt=Q", "chosen=good", "rejected = bad"]).unwrap();
    let text = "q,good,bad\nhow,fine,poor\n";
    let pairs = Pairs::named(text.as_bytes(), BadPairs::Refuse, &names).unwrap();
    assert_eq!(pairs.items[0].group, "how");
    for wrong in ["prompt", "prompt=", "colour=x"] {
        assert!(Names::parse([wrong]).is_err(), "{wrong}");
    }
    assert!(Names::parse(["prompt=a", "prompt=b"]).is_err());
    // What is named must be there, but for what every shape can do without.
    let names = Names::parse(["prompt=Q", "group=topic"]).unwrap();
    let text = "{\"Q\":\"p\",\"chosen\":\"a\",\"rejected\":\"b\"}\n{\"chosen\":\"a\",\"rejected\":\"c\"}\n";
    let refused = Pairs::named(text.as_bytes(), BadPairs::Refuse, &names).unwrap_err().to_string();
    assert!(refused.contains("line 2 field Q is not there"), "{refused}");
    let pairs = Pairs::named(text.as_bytes(), BadPairs::Skip, &names).unwrap();
    assert_eq!((lines(&pairs), pairs.findings.len()), (vec![1], 1));
}

#[test]
fn a_file_that_wraps_its_records_is_told_from_a_record() {
    let one = r#"{"prompt": "p", "chosen": "a", "rejected": "b"}"#;
    let of = |text: &str| Pairs::from_bytes(text.as_bytes(), BadPairs::Refuse);
    assert_eq!(of(&format!(r#"{{"about": 1, "train": [{one}]}}"#)).unwrap().items.len(), 1);
    // A record may have a list of that name, and is not taken for its wrapping.
    let own = of(r#"{"prompt": "p", "chosen": "a", "rejected": "b", "data": [1]}"#).unwrap();
    assert_eq!(own.items[0].group, "p");
    let twice = of(&format!(r#"{{"data": [{one}], "data": [{one}]}}"#)).unwrap_err().to_string();
    assert!(twice.contains("key \"data\" appears twice"), "{twice}");
}

#[test]
fn an_empty_line_of_prompts_is_found_in_its_file() {
    let folder = std::env::temp_dir().join(format!("trimtab-prompts-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = |name: &str, text: &str| {
        std::fs::write(folder.join(name), text).unwrap();
        folder.join(name)
    };
    let (full, holed) = (file("full", "x\ny\nz\n"), file("holed", "a\n\nd\n"));
    for (positive, negative) in [(&holed, &full), (&full, &holed)] {
        let text =
            Pairs::open_prompts(positive, negative, BadPairs::Refuse).unwrap_err().to_string();
        assert!(text.contains("holed") && text.contains("line 2"), "{text}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn records_that_cannot_be_read_can_be_left_out() {
    let text = r#"{"prompt": "p", "chosen": null, "rejected": "b"}
{"prompt": "p", "chosen": "a"}
{"prompt": "p", "chosen": "\ud800", "rejected": "b"}
[1]
{"prompt": "p", "chosen": "a", "rejected": "b"}
{"prompt": "p", "#;
    let pairs = Pairs::from_bytes(text.as_bytes(), BadPairs::Skip).unwrap();
    assert_eq!((lines(&pairs), pairs.findings.len()), (vec![5], 5));
    assert!(pairs.findings[2].to_string().starts_with("line 3 is not JSON"));
    let list = format!("[{}]", text.lines().take(5).collect::<Vec<_>>().join(",\n"));
    let pairs = Pairs::from_bytes(list.as_bytes(), BadPairs::Skip).unwrap();
    assert_eq!((lines(&pairs), pairs.findings.len()), (vec![5], 4));
    let table = "prompt,chosen,rejected\nq\nq,a,b\n";
    let pairs = Pairs::from_bytes(table.as_bytes(), BadPairs::Skip).unwrap();
    assert_eq!((lines(&pairs), pairs.findings.len()), (vec![3], 1));
    assert!(Pairs::from_bytes(text.as_bytes(), BadPairs::Refuse).is_err());
}

#[test]
fn other_kinds_of_files_are_named() {
    for (text, what) in [
        ("version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        ("<!doctype html><html>", "HTML page"),
        ("PAR1\u{15}", "Parquet"),
    ] {
        let found = flaw(text).to_string();
        assert!(found.contains(what), "{found}");
    }
}

#[test]
fn repeated_pairs_are_taken_out_and_told() {
    let one = r#"{"prompt": "p", "chosen": "a", "rejected": "b"}"#;
    let pairs = read(&format!("{one}\n{one}\n{}\n", one.replace("\"p\"", "\"q\"")));
    assert_eq!(pairs.items.iter().map(|i| i.line).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(pairs.findings, [Finding::Duplicate { line: 2, of: 1 }]);
    assert_eq!(pairs.findings[0].to_string(), "line 2 repeats line 1");
}

#[test]
fn bad_pairs_can_be_left_out_of_noisy_data() {
    let text = r#"{"prompt": "p", "chosen": "a", "rejected": "b"}
{"prompt": "p", "chosen": "same", "rejected": "same"}
{"prompt": "p", "chosen": "b", "rejected": "a"}
{"prompt": "p", "chosen": "", "rejected": "a"}
{"prompt": "p", "chosen": "good", "rejected": "bad"}"#;
    let pairs = Pairs::from_bytes(text.as_bytes(), BadPairs::Skip).unwrap();
    assert_eq!(pairs.items.iter().map(|i| i.line).collect::<Vec<_>>(), [5]);
    let told: Vec<String> = pairs.findings.iter().map(ToString::to_string).collect();
    assert!(told[0].starts_with("line 2 has equal sides"), "{told:?}");
    assert!(told[1].starts_with("line 3 contradicts line 1"), "{told:?}");
    assert!(told[2].starts_with("line 1 contradicts line 3"), "{told:?}");
    assert!(told[3].starts_with("line 4 field chosen is empty"), "{told:?}");
    // What was done is no advice any more.
    assert!(told.iter().all(|t| !t.contains("keep one") && !t.contains("leave")), "{told:?}");
}
