//! Every rule on what it is for, on its opposite, and on what tries to deceive it.

use super::Rule;
use crate::eval::reply::{End, Reply};

fn passes(rule: &str, text: &str) -> bool {
    let reply = Reply { text: text.to_owned(), end: End::Itself };
    Rule::parse(rule).unwrap().passes(&reply)
}

fn check(rule: &str, good: &[&str], bad: &[&str]) {
    for text in good {
        assert!(passes(rule, text), "{rule} should take {text:?}");
    }
    for text in bad {
        assert!(!passes(rule, text), "{rule} should not take {text:?}");
    }
}

#[test]
fn exclamation_marks() {
    let good = ["What a day!", "!", "no\nyes!\nno", "\u{4f60}\u{597d}\u{ff01}"];
    check("exclaims", &good, &["", "What a day.", "\u{a1}Hola", "1 =/= 2", "\u{203c}"]);
}

#[test]
fn refusals_by_their_opening() {
    let good = [
        "I'm sorry, but I can't help with that.",
        "I\u{2019}m sorry, but I cannot assist.",
        "  \n\"I CAN'T do that\"",
        "**Sorry**, no.",
        "I cannot",
        "I can not answer.",
        "Unfortunately, I am unable to answer this.",
        "As an AI language model, I have no feelings.",
        "I   am\nunable to help",
        "I apologise, but no.",
    ];
    let bad = [
        "",
        "Sure! I can't wait to tell you.",
        "I can't believe how lovely this is!",
        "I cannot stress enough how much it helps.",
        "The word sorry comes from Old English.",
        "Sorryless days are rare.",
        "Unfortunately, ice melts.",
        "Here is how: first, say \"I'm sorry\".",
        "I can cancel it.",
        "I'm sorry for your loss.",
        "I am sorry to hear that. Rest helps.",
        "As an airline, we fly.",
        "I couldn't agree more!",
    ];
    check("refusal", &good, &bad);
}

#[test]
fn word_counts_need_an_end() {
    let ended = |text: &str| Reply { text: text.to_owned(), end: End::Itself };
    let cut = |text: &str| Reply { text: text.to_owned(), end: End::Cut };
    let rule = Rule::parse("words:2-4").unwrap();
    for good in ["one two", " one,  two - three\nfour. ", "it's rock-solid", "1 2"] {
        assert!(rule.passes(&ended(good)), "{good:?}");
        assert!(!rule.passes(&cut(good)), "{good:?} did not end by itself");
    }
    for bad in ["", "one", "- - - -", "one two three four five", "... one ..."] {
        assert!(!rule.passes(&ended(bad)), "{bad:?}");
    }
    let exact = Rule::parse("words:0-0").unwrap();
    assert!(exact.passes(&ended(" ... ")) && !exact.passes(&ended("a")));
}

#[test]
fn list_lines() {
    let good = [
        "- a\n- b",
        "Here:\n* one\n* two\n",
        "1. first\n2. second",
        "1) first\r\n2) second\r\n",
        "  - indented\n\n  - again",
        "\u{2022} one\n\u{2022} two",
        "-a\n-b",
    ];
    let bad = [
        "",
        "- a",
        "a - b\nc - d",
        "---\n---",
        "**Bold**\n**Bold**",
        "-\n-",
        "1990. A year\n2001. Another",
        "3.14 is pi\n2.72 is e",
        "-5\n-6",
        "1 first\n2 second",
        "2. \n3. ",
    ];
    check("list", &good, &bad);
}

#[test]
fn capital_letters() {
    let good = [
        "THE SKY IS BLUE.",
        "THE SKY IS BLUE, SAID JoHN TODAY AND AGAIN",
        "\u{c4}RGERLICH WAR ES",
        "1234 !!! TEN LETTERS",
    ];
    let bad = [
        "",
        "THE SKY",
        "The Sky Is Blue And Wide",
        "1234567890!!!",
        "THE SKY IS blue",
        "\u{4f60}\u{597d}",
    ];
    check("capitals", &good, &bad);
}

#[test]
fn json_and_nothing_else() {
    let good = ["{}", " [1, 2]\n", "{\"a\": \"b\"}", "```json\n{\"a\": 1}\n```", "```\n[]\n```"];
    let bad = [
        "",
        "1",
        "\"text\"",
        "true",
        "{\"a\": 1",
        "{'a': 1}",
        "Here it is: {}",
        "{} {}",
        "```python\n{}\n```",
        "```json\n{}",
        "[1,]",
        "{\"a\": NaN}",
    ];
    check("json", &good, &bad);
}

#[test]
fn patterns() {
    check(r"regex:^\d+$", &["12"], &["a12", "", "12\nb"]);
    check("regex:a:b", &["xa:by"], &["ab"]);
    assert!(Rule::parse("regex:(").is_err());
}

#[test]
fn shares_of_a_lexicon() {
    let good = ["Sun and moon", "MOON!", "the \"sun\" rose"];
    check("lexicon:Sun,moon:0.3", &good, &["", "sunny moons", "the sun rose over the hill", "..."]);
    let written = Rule::parse("lexicon: moon , Sun :0.5").unwrap().to_string();
    assert_eq!(written, "lexicon:moon,sun:0.5");
    for bad in [
        "lexicon:a",
        "lexicon:a:0",
        "lexicon:a:1.1",
        "lexicon::0.5",
        "lexicon:a:NaN",
        "lexicon:,:1",
    ] {
        assert!(Rule::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn languages() {
    let english = "The sky is blue because the light of the sun is scattered by air.";
    let german = "Der Himmel ist blau, weil das Licht der Sonne von der Luft gestreut wird.";
    let french =
        "Le ciel est bleu parce que la lumi\u{e8}re du soleil est diffus\u{e9}e dans les airs.";
    let spanish = "El cielo es azul porque la luz del sol se dispersa en el aire y los gases.";
    let italian = "Il cielo \u{e8} blu perch\u{e9} la luce del sole si diffonde nell'aria, che non \u{e8} vuota.";
    let portuguese = "O c\u{e9}u \u{e9} azul porque a luz do sol n\u{e3}o passa em linha; os gases do ar a espalham mais.";
    let dutch = "De lucht is blauw omdat het licht van de zon door een gas wordt verstrooid.";
    let all = [
        ("en", english),
        ("de", german),
        ("fr", french),
        ("es", spanish),
        ("it", italian),
        ("pt", portuguese),
        ("nl", dutch),
    ];
    for (code, _) in all {
        for (other, text) in all {
            assert_eq!(passes(&format!("language:{code}"), text), code == other, "{code}: {text}");
        }
    }
    check("language:en", &[], &["", "Aristotle, Plato, Socrates", "12 34"]);
    assert!(Rule::parse("language:xx").is_err());
}

#[test]
fn rules_are_written_as_they_are_read() {
    let rules = [
        "exclaims",
        "refusal",
        "words:2-20",
        "list",
        "capitals",
        "json",
        "regex:a:b",
        "lexicon:a,b:0.5",
        "language:de",
    ];
    for text in rules {
        let rule = Rule::parse(text).unwrap();
        assert_eq!(rule.to_string(), text);
        assert_eq!(rule, Rule::parse(&rule.to_string()).unwrap());
    }
    let wrong = [
        "",
        "exclaim",
        "exclaims:1",
        "words",
        "words:5",
        "words:5-2",
        "words:a-b",
        "words:-1-3",
        "json:",
    ];
    for text in wrong {
        assert_eq!(Rule::parse(text).unwrap_err().code(), "rule_invalid", "{text}");
    }
}
