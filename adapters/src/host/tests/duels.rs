//! Tastes: duels of samples, of settings, and token by token.

use super::*;
use crate::tpop::{DuelLevel, DuelOrder, SecondRule, ServeRule};
use trimtab_runtime::generate::Group;
use trimtab_runtime::kv::BLOCK_LEN;

/// The sampled answers of one turn, row 0 first.
pub fn samples(desk: &Desk, pinned: &PinnedAdapter, turn: u64, count: usize) -> Vec<AnswerRecord> {
    let row = |choice: u32| {
        let request = Request { choice, ..asked(turn) };
        let (generation, handle) = desk.generation(pinned, request);
        complete(generation).unwrap();
        record(pinned, &format!("{}-{turn}-{choice}", pinned.key().owner()), handle.take())
    };
    (0..count as u32).map(row).collect()
}

/// A duel of samples that is decided.
pub async fn duel(desk: &Desk, key: &AdapterKey, turn: u64, vote: DuelVote) -> FeedbackReport {
    let shown = open(desk, key, turn, DuelRequest::default()).await;
    desk.host.choose(key.owner(), &shown.id, vote).await.unwrap()
}

async fn open(desk: &Desk, key: &AdapterKey, turn: u64, request: DuelRequest) -> ShownDuel {
    let pinned = desk.host.pin(key, &PinRequest::Newest).await.unwrap();
    let TurnPlan::Samples(count) = desk.host.asking(&pinned, &request).unwrap() else {
        panic!("another plan")
    };
    let answers = samples(desk, &pinned, turn, count);
    desk.host.open_duel(&pinned, &request, answers).await.unwrap()
}

#[tokio::test]
async fn a_choice_teaches_and_the_same_again_is_the_stored_report() {
    let desk = Desk::new().await;
    desk.adapter(&key("o"), &tpop(taste())).await;
    let pinned = desk.host.pin(&key("o"), &PinRequest::Newest).await.unwrap();
    assert_eq!(desk.host.serving(&pinned).unwrap(), TurnPlan::Plain);
    let shown = open(&desk, &key("o"), 1, DuelRequest::default()).await;
    assert_eq!((shown.answers.len(), shown.version, shown.order_propensity), (2, 0, 0.5));
    // Before anything is known one of the two is the plain answer.
    let best = shown.answers.iter().find(|answer| answer.arm == "best").unwrap();
    assert_eq!((&best.contender, best.propensity), (&Contender::Sample(0), 1.0));
    assert_eq!(desk.host.duel("o", &shown.id).await.unwrap(), shown);
    assert_eq!(code(desk.host.duel("p", &shown.id).await), "not_found");
    assert_eq!(code(desk.host.choose("p", &shown.id, DuelVote::Left).await), "not_found");
    let report = desk.host.choose("o", &shown.id, DuelVote::Left).await.unwrap();
    assert_eq!((report.status, report.adapter.version), (FeedbackStatus::Applied, 1));
    let bandit = report.bandit.clone().unwrap();
    assert_eq!((bandit.pairs, bandit.updated, bandit.warning), (1, true, None));
    let again = desk.host.choose("o", &shown.id, DuelVote::Left).await.unwrap();
    assert_eq!(again, FeedbackReport { duplicate: true, ..report });
    assert_eq!(code(desk.host.choose("o", &shown.id, DuelVote::Right).await), "duel_closed");
    assert_eq!(desk.host.duel("o", &shown.id).await.unwrap().chosen.as_deref(), Some("0"));
    let pinned = desk.host.pin(&key("o"), &PinRequest::Newest).await.unwrap();
    assert_eq!(desk.host.serving(&pinned).unwrap(), TurnPlan::Samples(4));
    let summary = desk.host.adapter(&key("o")).await.unwrap();
    assert_eq!((summary.duels, summary.feedback, summary.site), (1, 0, None));
}

#[tokio::test]
async fn words_and_haste_teach_nothing_and_ties_may() {
    let desk = Desk::new().await;
    desk.adapter(&key("o"), &tpop(taste())).await;
    for (turn, vote) in [DuelVote::Tie, DuelVote::Skip, DuelVote::BothBad].into_iter().enumerate() {
        let report = duel(&desk, &key("o"), turn as u64, vote).await;
        assert_eq!(
            (report.status, report.reason.as_deref()),
            (FeedbackStatus::Rejected, Some(vote.as_str()))
        );
        assert!(report.adapter.version == 0 && !report.bandit.unwrap().updated);
    }
    let learning = LearningModel::new(desk.model.clone(), StateReader::Here);
    let hasty = AdapterHost::start(desk.store.clone(), learning, HostLimits::default()).unwrap();
    let shown = open(&desk, &key("o"), 7, DuelRequest::default()).await;
    let report = hasty.choose("o", &shown.id, DuelVote::Left).await.unwrap();
    assert_eq!(report.reason.as_deref(), Some("too_fast"));
    let half = TpopParams { ties: crate::tpop::TieRule::Half, ..taste() };
    desk.adapter(&key("half"), &tpop(half)).await;
    let report = duel(&desk, &key("half"), 1, DuelVote::Tie).await;
    assert_eq!((report.status, report.bandit.unwrap().updated), (FeedbackStatus::Applied, true));
}

#[tokio::test]
async fn the_answers_a_user_picks_are_served() {
    let desk = Desk::new().await;
    desk.adapter(&key("o"), &tpop(taste())).await;
    let features = |record: &AnswerRecord| {
        desk.host.model().extractor(8).unwrap().features(&record.recording.finals).unwrap()
    };
    // This user likes what lies one way along the first component.
    let liked = |record: &AnswerRecord| features(record)[0];
    for turn in 0..12 {
        let pinned = desk.host.pin(&key("o"), &PinRequest::Newest).await.unwrap();
        let answers = samples(&desk, &pinned, turn, 4);
        let request = DuelRequest { second: Some(SecondRule::Random), order: None };
        let shown = desk.host.open_duel(&pinned, &request, answers.clone()).await.unwrap();
        let of = |at: usize| {
            let Contender::Sample(row) = shown.answers[at].contender else { panic!("no sample") };
            liked(&answers[row])
        };
        assert!(shown.answers.iter().any(|answer| answer.arm == "random"));
        let propensities: f64 = shown.answers.iter().map(|answer| answer.propensity).product();
        assert!((propensities - 1.0 / 3.0).abs() < 1e-9);
        let vote = if of(0) > of(1) { DuelVote::Left } else { DuelVote::Right };
        desk.host.choose("o", &shown.id, vote).await.unwrap();
    }
    let pinned = desk.host.pin(&key("o"), &PinRequest::Newest).await.unwrap();
    let (mut better, mut turns) = (0.0, 0.0);
    for turn in 100..120 {
        let answers = samples(&desk, &pinned, turn, 4);
        let row = desk.host.best_of(&pinned, &answers).unwrap();
        let mean = answers.iter().map(liked).sum::<f32>() / 4.0;
        better += if liked(&answers[row]) > mean { 1.0 } else { 0.0 };
        turns += 1.0;
    }
    assert!(better / turns >= 0.7, "{better} of {turns}");
    // A reward is no lesson of a taste, a preference is one.
    let [a, b] = [200, 201].map(|turn| samples(&desk, &pinned, turn, 1).remove(0));
    desk.host.record(a.clone());
    desk.host.record(b.clone());
    let reward = desk.host.teach("o", Lesson::Remark(a.answer.clone(), thumb_up())).await;
    assert_eq!(code(reward), "value_invalid");
    let (preferred, rejected) = (a.answer.clone(), b.answer.clone());
    let report = desk.host.teach("o", Lesson::Preference { preferred, rejected }).await.unwrap();
    assert_eq!((report.status, report.bandit.unwrap().pairs), (FeedbackStatus::Applied, 13));
}

#[tokio::test]
async fn duels_of_settings_learn_the_best_one() {
    let desk = Desk::new().await;
    let arm = |name: &str| DuelArm { name: name.into(), instruction: None, steering: None };
    let arms = vec![arm("plain"), arm("short"), arm("warm")];
    let config = AdapterConfig::Tpop(TasteConfig { params: taste(), arms });
    desk.adapter(&key("o"), &config).await;
    for turn in 0..10 {
        let pinned = desk.host.pin(&key("o"), &PinRequest::Newest).await.unwrap();
        let request = DuelRequest { order: Some(DuelOrder::ALeft), ..DuelRequest::default() };
        let TurnPlan::Settings([a, b]) = desk.host.asking(&pinned, &request).unwrap() else {
            panic!("no duel")
        };
        if turn == 0 {
            assert_eq!(a, 0);
        }
        let answers = samples(&desk, &pinned, turn, 2);
        let names: Vec<AnswerRef> = answers.iter().map(|record| record.answer.clone()).collect();
        let shown = desk.host.open_duel(&pinned, &request, answers).await.unwrap();
        assert_eq!(shown.order_propensity, 1.0);
        let contenders = shown.answers.iter().map(|answer| answer.contender.clone());
        let expected = vec![Contender::Setting(a), Contender::Setting(b)];
        assert_eq!(contenders.collect::<Vec<_>>(), expected);
        assert_eq!(shown.answers[1].answer, names[1]);
        // The last setting is the best to this user.
        let vote = if a > b { DuelVote::Left } else { DuelVote::Right };
        desk.host.choose("o", &shown.id, vote).await.unwrap();
    }
    let pinned = desk.host.pin(&key("o"), &PinRequest::Newest).await.unwrap();
    assert_eq!(desk.host.serving(&pinned).unwrap(), TurnPlan::Setting(2));
    let summary = desk.host.adapter(&key("o")).await.unwrap();
    assert_eq!(summary.arms[0].name, "warm");
    // Going back to the beginning is going back to plain.
    desk.host.revert(&key("o"), 0).await.unwrap();
    let pinned = desk.host.pin(&key("o"), &PinRequest::Newest).await.unwrap();
    assert_eq!(desk.host.serving(&pinned).unwrap(), TurnPlan::Plain);
}

#[tokio::test]
async fn duels_token_by_token_end_in_a_tilt() {
    let desk = Desk::new().await;
    let params = TpopParams { level: DuelLevel::Token, kl_cap: 2.0, omega: 5.0, ..taste() };
    desk.adapter(&key("o"), &tpop(params)).await;
    let run = |pinned: &PinnedAdapter, turn: u64, count: u32| {
        let rows = (0..count).map(|choice| Request { choice, ..asked(turn) });
        let (generations, handles): (Vec<_>, Vec<_>) =
            rows.map(|request| desk.generation(pinned, request)).unzip();
        let duel = desk.host.token_duel(pinned, sampled(1.0)).unwrap();
        let answers = lockstep(generations, duel);
        let name = |at: usize| format!("t{turn}-{at}");
        let records: Vec<AnswerRecord> = handles
            .iter()
            .enumerate()
            .map(|(at, handle)| record(pinned, &name(at), handle.take()))
            .collect();
        (answers, records)
    };
    let pinned = desk.host.pin(&key("o"), &PinRequest::Newest).await.unwrap();
    // Nothing is known: arm a is the plain answer, token by token.
    let (answers, _) = run(&pinned, 1, 2);
    let plain = desk.answer(pinned.clone(), "p", asked(1)).answer;
    assert_eq!(answers[0].tokens, plain.tokens);
    assert_ne!(answers[0].tokens.first(), answers[1].tokens.first());
    for turn in 0..8 {
        let pinned = desk.host.pin(&key("o"), &PinRequest::Newest).await.unwrap();
        assert_eq!(desk.host.asking(&pinned, &DuelRequest::default()).unwrap(), TurnPlan::Tokens);
        let (_, records) = run(&pinned, turn, 2);
        let letters = |record: &AnswerRecord| {
            record.recording.tokens.iter().filter(|token| **token < 26).count()
        };
        let counts: Vec<usize> = records.iter().map(letters).collect();
        let shown = desk.host.open_duel(&pinned, &DuelRequest::default(), records).await.unwrap();
        let of = |at: usize| match shown.answers[at].contender {
            Contender::Token(row) => counts[row],
            Contender::Sample(_) | Contender::Setting(_) => panic!("no arm"),
        };
        let vote = if of(0) > of(1) { DuelVote::Left } else { DuelVote::Right };
        desk.host.choose("o", &shown.id, vote).await.unwrap();
    }
    let state = desk.taste_state(&key("o")).await;
    assert!(state.pairs().all(|pair| pair.prefixes.is_some()));
    let pinned = desk.host.pin(&key("o"), &PinRequest::Newest).await.unwrap();
    assert_eq!(desk.host.serving(&pinned).unwrap(), TurnPlan::Tokens);
    let (tilted, _) = run(&pinned, 50, 1);
    assert!(!tilted[0].tokens.is_empty());
}

#[tokio::test]
async fn equal_answers_are_one_and_nothing_is_asked() {
    let desk = Desk::new().await;
    desk.adapter(&key("o"), &tpop(taste())).await;
    let pinned = desk.host.pin(&key("o"), &PinRequest::Newest).await.unwrap();
    let answers = vec![samples(&desk, &pinned, 1, 1).remove(0); 4];
    let request = DuelRequest::default();
    let shown = desk.host.open_duel(&pinned, &request, answers.clone()).await.unwrap();
    assert_eq!((shown.answers.len(), shown.order_propensity), (1, 1.0));
    assert_eq!(code(desk.host.choose("o", &shown.id, DuelVote::Left).await), "duel_closed");
    let few = desk.host.open_duel(&pinned, &request, answers[..3].to_vec()).await;
    assert_eq!(code(few), "value_invalid");
    let rosa_key = AdapterKey::new("o", "r").unwrap();
    desk.adapter(&rosa_key, &rosa(BlockKind::FinalOffset)).await;
    let other = desk.host.pin(&rosa_key, &PinRequest::Newest).await.unwrap();
    assert_eq!(code(desk.host.asking(&other, &request)), "value_invalid");
    assert_eq!(desk.host.serving(&other).unwrap(), TurnPlan::Plain);
    assert_eq!(desk.host.best_of(&other, &answers).unwrap(), 0);
}

#[tokio::test]
async fn a_taste_that_is_not_served_stays_plain() {
    let desk = Desk::new().await;
    desk.adapter(&key("o"), &tpop(TpopParams { serve: ServeRule::Off, ..taste() })).await;
    duel(&desk, &key("o"), 1, DuelVote::Left).await;
    let pinned = desk.host.pin(&key("o"), &PinRequest::Newest).await.unwrap();
    assert_eq!(desk.host.serving(&pinned).unwrap(), TurnPlan::Plain);
}

#[tokio::test]
async fn m08_the_prompt_of_a_duel_is_prefilled_once() {
    let blocks = 3 * BLOCK_LEN;
    let prompt: Vec<u32> = (0..blocks as u32 + 5).map(|at| at * 7 % 60).collect();
    for level in [DuelLevel::Response, DuelLevel::Token] {
        let (desk, engine) = Desk::served(model(), Store::memory().await.unwrap(), 4);
        desk.adapter(&key("o"), &tpop(TpopParams { level, ..taste() })).await;
        let pinned = desk.host.pin(&key("o"), &PinRequest::Newest).await.unwrap();
        let plan = desk.host.asking(&pinned, &DuelRequest::default()).unwrap();
        let count = if plan == TurnPlan::Tokens { 2 } else { 4 };
        let rows: Vec<_> = (0..count)
            .map(|choice| {
                let request = Request { choice, ..asked(1) };
                desk.generation_of(&prompt, &pinned, request)
            })
            .collect();
        let (rows, handles): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
        let space = Some(desk.model.prefix_space("o"));
        let terms = SubmitOptions { space, ..SubmitOptions::default() };
        let (tell, told) = channel();
        let sink = move |notice| {
            if let Notice::Ended { result, .. } = notice {
                tell.send(result.unwrap()).ok();
            }
            Flow::Continue
        };
        let ticket = match level {
            DuelLevel::Token => {
                let duel = desk.host.token_duel(&pinned, sampled(1.0)).unwrap();
                engine.submit_group(Group::new(rows, duel), terms, sink).unwrap()
            }
            DuelLevel::Response => engine.submit(rows, terms, sink).unwrap(),
        };
        let ended = told.iter().take(count as usize).count();
        drop(ticket);
        let load = engine.load();
        // Every token of the prompt is run once, but for the last, partly filled block of each further row.
        assert_eq!(
            (ended, load.prompt_tokens),
            (count as usize, u64::from(count) * prompt.len() as u64)
        );
        assert_eq!(load.cached_tokens, u64::from(count - 1) * blocks as u64, "{level:?}");
        // The features are those of the answer alone, whatever shared its pass.
        let shared = handles[0].take();
        let (generation, handle) = desk.generation_of(&prompt, &pinned, asked(1));
        complete(generation).unwrap();
        assert_eq!(shared, handle.take(), "{level:?}");
    }
}

#[tokio::test]
async fn m09_two_owners_and_two_conversations_equal_serial_runs() {
    let owners = ["one", "two"];
    let together = Desk::new().await;
    for owner in owners {
        together.adapter(&key(owner), &tpop(taste())).await;
    }
    for turn in 0..6 {
        for owner in owners {
            duel(&together, &key(owner), turn, DuelVote::Left).await;
        }
    }
    for owner in owners {
        let alone = Desk::new().await;
        alone.adapter(&key(owner), &tpop(taste())).await;
        for turn in 0..6 {
            duel(&alone, &key(owner), turn, DuelVote::Left).await;
        }
        let [a, b] =
            [together.taste_state(&key(owner)).await, alone.taste_state(&key(owner)).await];
        assert_eq!((a.taught(), a.head()), (b.taught(), b.head()));
        assert_eq!(a.kappa(), b.kappa());
    }
    let [one, two] =
        [together.taste_state(&key("one")).await, together.taste_state(&key("two")).await];
    assert_ne!(one.scope().seed, two.scope().seed);
}

#[tokio::test]
async fn m13_an_offset_changes_no_feature_of_the_same_tokens() {
    let desk = Desk::new().await;
    desk.adapter(&key("r"), &rosa(BlockKind::FinalOffset)).await;
    let first = desk.ask(&key("r"), "r", asked(1)).await;
    desk.say(&first, thumb_down()).await;
    let state = desk.rosa_state(&key("r"), None).await;
    let crate::rosa::BlockState::FinalOffset(offset) = &state.block else { panic!("a lora") };
    assert!(offset.delta.iter().any(|x| *x != 0.0));
    // The same tokens are read with the offset in force and without.
    let read = |plan: Plan| {
        let mut session = desk.model.session(plan).unwrap();
        session.push_prompt(&[&PROMPT[..], &first.record.recording.tokens].concat()).unwrap();
        let reader = desk.host.model().reader();
        reader.states(vec![session], PROMPT.len() - 1).unwrap().remove(0).finals
    };
    let with = read(state.block.in_force(&Plan::empty(), tiny::LAYERS).unwrap());
    let plain = read(Plan::empty());
    assert_ne!(with, plain);
    let extractor = desk.host.model().extractor(8).unwrap();
    let without = super::super::evidence::without(&with, offset);
    let [a, b] = [extractor.features(&without).unwrap(), extractor.features(&plain).unwrap()];
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-4), "{a:?} {b:?}");
    assert_ne!(extractor.features(&with).unwrap(), b);
}

#[tokio::test]
async fn a_restart_and_a_file_keep_a_taste() {
    let desk = Desk::new().await;
    desk.adapter(&key("o"), &tpop(taste())).await;
    for turn in 0..5 {
        duel(&desk, &key("o"), turn, DuelVote::Right).await;
    }
    let state = desk.taste_state(&key("o")).await;
    let after = Desk::over(desk.model.clone(), desk.store.clone(), StateReader::Here);
    assert_eq!(after.taste_state(&key("o")).await.head(), state.head());
    let file = after.host.export(&key("o"), None).await.unwrap();
    let other = Desk::over(desk.model.clone(), Store::memory().await.unwrap(), StateReader::Here);
    other.host.import(&key("p"), &file.bytes).await.unwrap();
    assert_eq!(other.taste_state(&key("p")).await.head(), state.head());
    let shelf = AdapterShelf::new(other.store.clone());
    let norm = shelf.adapter(&key("p")).await.unwrap().norm;
    assert!((norm - state.head().norm()).abs() < 1e-12);
}
