//! Task files, exact answers, and how answers repeat themselves.

use crate::eval::{End, Goal, Reply, Task, Variety, exact};

#[test]
fn each_kind_is_read() {
    let prompts = Task::parse("{\"prompt\":\"a\"}\n\n{\"question\":\"b\",\"id\":7}\n").unwrap();
    assert_eq!((prompts.items().len(), prompts.items()[1].line, prompts.kind()), (2, 3, "prompts"));
    assert_eq!(prompts.items()[1].prompt[0].content, "b");
    assert_eq!(prompts.clone().first(1).sha256(), prompts.sha256());
    let chat = r#"{"prompt":[{"role":"system","content":"s"},{"role":"user","content":"u"}],"chosen":"a","rejected":"b"}"#;
    let chat = Task::parse(chat).unwrap();
    assert_eq!(chat.items()[0].prompt.len(), 2);
    assert!(matches!(&chat.items()[0].goal, Goal::Pair { chosen, .. } if chosen == "a"));
    let right = |answer: &str| {
        let line = format!(r#"{{"question":"q","choices":["x","y","B"],"answer":{answer}}}"#);
        match Task::parse(&line).map(|task| task.items()[0].goal.clone()) {
            Ok(Goal::Choice { right, .. }) => Some(right),
            _ => None,
        }
    };
    let answers = ["1", "\"y\"", "\"b\"", "\"B\"", "\"A\"", "3", "-1", "\"z\"", "1.5"];
    let expected = [Some(1), Some(1), Some(1), Some(2), Some(0), None, None, None, None];
    assert_eq!(answers.map(right), expected);
    let sums = Task::parse("{\"prompt\":\"2+2\",\"answer\":4}").unwrap();
    assert_eq!(sums.items()[0].goal, Goal::Exact("4".to_owned()));
    let worked = Task::parse(r#"{"question":"q","answer":"2+3 = 5\n#### 1,005"}"#).unwrap();
    assert_eq!(worked.items()[0].goal, Goal::Exact("1,005".to_owned()));
}

#[test]
fn what_is_no_task_is_named_by_its_line() {
    let refused = [
        ("", 1),
        ("\n\n", 1),
        ("{\"prompt\":\"a\"}\n[]", 2),
        ("{\"prompt\":\"a\"}\n{\"prompt\"", 2),
        ("{\"text\":\"a\"}", 1),
        ("{\"prompt\":\" \"}", 1),
        ("{\"prompt\":[{\"role\":\"user\"}]}", 1),
        ("{\"prompt\":\"a\"}\n{\"prompt\":\"a\",\"answer\":\"b\"}", 2),
        ("{\"prompt\":\"a\",\"chosen\":\"b\"}", 1),
        ("{\"prompt\":\"a\",\"rejected\":\"b\"}", 1),
        ("{\"prompt\":\"a\",\"chosen\":\"b\",\"rejected\":\"b\"}", 1),
        ("{\"prompt\":\"a\",\"chosen\":\"b\",\"rejected\":\"\"}", 1),
        ("{\"prompt\":\"a\",\"choices\":[\"b\"],\"answer\":0}", 1),
        ("{\"prompt\":\"a\",\"choices\":[\"b\",\"c\"]}", 1),
        ("{\"prompt\":\"a\",\"chosen\":\"b\",\"rejected\":\"c\",\"answer\":\"d\"}", 1),
        ("{\"prompt\":\"a\",\"answer\":\"  \"}", 1),
        ("{\"prompt\":\"a\",\"answer\":[1]}", 1),
    ];
    for (text, line) in refused {
        let error = Task::parse(text).unwrap_err();
        assert_eq!(error.code(), "task_invalid", "{text}");
        assert!(error.to_string().starts_with(&format!("line {line} ")), "{text}: {error}");
    }
}

#[test]
fn exact_answers() {
    let good = [
        ("Paris.", "paris"),
        (" The  Hague ", "the hague"),
        ("It is 1,005.", "1005"),
        ("3 + 4 = 7", "7"),
        ("$12.50", "12.5"),
        ("10-3", "3"),
        ("The answer is -4.", "-4"),
        ("7 apples", "7.0"),
        ("it is 10-ish", "10"),
        ("about -3-", "-3"),
    ];
    let bad = [
        ("Paris, France", "Paris"),
        ("", "Paris"),
        ("7, or 8", "7"),
        ("seven", "7"),
        ("", "7"),
        ("17", "7"),
        ("4", "-4"),
    ];
    for (reply, expected) in good {
        assert!(exact::matches(reply, expected), "{reply:?} {expected:?}");
    }
    for (reply, expected) in bad {
        assert!(!exact::matches(reply, expected), "{reply:?} {expected:?}");
    }
}

#[test]
fn variety_counts_words() {
    let reply = |text: &str, end| Reply { text: text.to_owned(), end };
    let loops = reply("go on and on, go on and on, go on and on", End::Cut);
    let plain = reply("a b c d e", End::Itself);
    let all = Variety::of(&[loops.clone(), plain.clone()]);
    // Of the loop's 9 four-grams 4 are different; the other text has 2 of 2.
    assert!((all.repetition - (5.0 / 9.0) / 2.0).abs() < 1e-12, "{all:?}");
    assert_eq!((all.words, all.ended), (8.5, 0.5));
    assert!((all.distinct_1 - 8.0 / 17.0).abs() < 1e-12, "{all:?}");
    assert!((all.distinct_2 - 8.0 / 15.0).abs() < 1e-12, "{all:?}");
    let none = Variety::of(&[]);
    assert_eq!((none.repetition, none.words, none.distinct_2), (0.0, 0.0, 0.0));
    assert_eq!(Variety::of(&[reply("one", End::Cut)]).distinct_2, 0.0);
}
