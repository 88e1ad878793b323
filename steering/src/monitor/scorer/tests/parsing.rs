//! Written verdicts: the grammar, and the perceiver that has them written.

use super::*;
use crate::monitor::detect::{Action, Detection, Detector};
use crate::monitor::policy::{Flag, State};
use crate::monitor::scorer::{Parser, listen, parse_verdict, settle};
use regex::Regex;
use trimtab_runtime::fingerprint::Fingerprint;

/// The grammar written another way, with the table of the states that can be.
fn oracle(text: &str) -> Option<(Flag, State)> {
    const FEASIBLE: [[i8; 3]; 20] = [
        [1, 1, 1],
        [1, 1, 0],
        [1, 1, -1],
        [1, 0, 0],
        [1, 0, -1],
        [1, -1, 1],
        [1, -1, 0],
        [1, -1, -1],
        [0, 0, 0],
        [0, 0, -1],
        [0, -1, 0],
        [0, -1, -1],
        [-1, 1, 1],
        [-1, 1, 0],
        [-1, 1, -1],
        [-1, 0, 0],
        [-1, 0, -1],
        [-1, -1, 1],
        [-1, -1, 0],
        [-1, -1, -1],
    ];
    static GRAMMAR: OnceLock<Regex> = OnceLock::new();
    let value = "(1|0|-1)";
    let grammar = GRAMMAR.get_or_init(|| {
        let whole = format!(r"\A[ \n]*([VR]) \({value}, ?{value}, ?{value}\)[ \n]*\z");
        Regex::new(&whole).unwrap()
    });
    let parts = grammar.captures(text)?;
    let value = |index: usize| parts[index].parse::<i8>().unwrap();
    let state = [value(2), value(3), value(4)];
    let flag = if state.contains(&-1) { Flag::Violation } else { Flag::Respected };
    let agrees = FEASIBLE.contains(&state) && &parts[1] == flag.letter();
    agrees.then_some((flag, State(state)))
}

/// Numbers drawn one after another.
struct Draws(u64);

impl Draws {
    fn below(&mut self, n: usize) -> usize {
        self.0 += 1;
        let digest = Fingerprint::builder("fuzz").number(self.0).finish().to_u64();
        (digest % n as u64) as usize
    }
}

#[test]
fn no_malformed_verdict_is_one() {
    let pieces = [
        "V",
        "R",
        "(",
        ")",
        "1",
        "0",
        "-1",
        ",",
        ", ",
        " ",
        "\n",
        "-",
        "\u{2212}1",
        "+1",
        "01",
        "v",
        "r",
        "V (-1, 0, 0)",
        "R (1, 1, 1)",
        "\t",
        "\u{a0}",
        "safe",
        "\u{ff11}",
        "[",
        "]",
    ];
    let mut draws = Draws(0);
    let mut read = 0;
    let grammar: Vec<String> = State::all()
        .flat_map(|State([s, a, e])| ["V", "R"].map(|flag| format!("{flag} ({s}, {a}, {e})")))
        .collect();
    for round in 0..100_000 {
        let mut text = match round % 3 {
            0 => (0..draws.below(12)).map(|_| pieces[draws.below(pieces.len())]).collect(),
            _ => grammar[draws.below(grammar.len())].clone(),
        };
        for _ in 0..draws.below(3) {
            let places: Vec<usize> =
                text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
            let at = places[draws.below(places.len())];
            match draws.below(2) {
                0 => text.insert_str(at, pieces[draws.below(pieces.len())]),
                _ if at < text.len() => drop(text.remove(at)),
                _ => {}
            }
        }
        let expected = oracle(&text);
        assert_eq!(parse_verdict(&text), expected, "{text:?}");
        read += usize::from(expected.is_some());
    }
    assert!(read > 5_000, "{read}");
}

#[test]
fn every_state_is_read_under_its_own_flag_only() {
    let mut states = 0;
    for state in State::all() {
        let State([s, a, e]) = state;
        let read = |flag: &str| parse_verdict(&format!("{flag} ({s},{a}, {e})"));
        let found = [read("V"), read("R")].into_iter().flatten().collect::<Vec<_>>();
        assert_eq!(found.len(), usize::from(state.is_feasible()));
        states += found.iter().filter(|found| **found == (state.flag(), state)).count();
    }
    assert_eq!(states, 20);
}

#[test]
fn a_model_that_writes_no_verdict_is_unknown_within_sixteen_tokens() {
    let policy = Arc::new(policy(BuiltIn::Default));
    let form = form();
    let mut parser = Parser::new(&form, &policy, "what", 5).unwrap();
    let text = tokens("an answer");
    let mut asked = Vec::new();
    let finding = loop {
        match parser.detect(&answer(&text)).unwrap() {
            Detection::Found(finding) => break finding,
            Detection::Ask(sessions) => {
                asked.push(sessions[0].pending());
                parser.heard(listen(sessions).unwrap()).unwrap();
            }
        }
    };
    assert_eq!(finding.action, Action::Unknown);
    assert!(finding.note.as_deref().unwrap().starts_with("no verdict in"));
    assert!((1..=16).contains(&asked.len()));
    assert!(asked[1..].iter().all(|pending| *pending == 1));
    // What it wrote is forgotten, and a rewind in the middle of writing too.
    let again = settle(&mut parser, &answer(&text)).unwrap();
    assert_eq!(again.note, finding.note);
    let longer = tokens("an answer that goes on");
    for _ in 0..2 {
        let Detection::Ask(sessions) = parser.detect(&answer(&longer)).unwrap() else {
            panic!("it has to read");
        };
        parser.heard(listen(sessions).unwrap()).unwrap();
    }
    parser.rewind(text.len());
    assert_eq!(settle(&mut parser, &answer(&text)).unwrap().note, finding.note);
    parser.give_way().unwrap();
    assert_eq!(settle(&mut parser, &answer(&text)).unwrap().note, finding.note);
}
