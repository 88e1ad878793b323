//! Many owners at once, and floods.

use super::*;

const OWNERS: usize = 100;
const TURNS: u64 = 3;

/// A turn of every owner in one batch of the engine, and what each of them says of it.
async fn turn(desk: &Desk, engine: &Engine, owners: &[String], turn: u64) -> Vec<Vec<u32>> {
    let (mut rows, mut handles, mut pins) = (Vec::new(), Vec::new(), Vec::new());
    for owner in owners {
        let pinned = desk.host.pin(&key(owner), &PinRequest::Newest).await.unwrap();
        let (generation, handle) = desk.generation(&pinned, asked(turn));
        rows.push(generation);
        handles.push(handle);
        pins.push(pinned);
    }
    let answers = serve(engine, rows);
    let mut lessons = Vec::new();
    for (pinned, handle) in pins.iter().zip(&handles) {
        let owner = pinned.key().owner();
        let asked = record(pinned, &format!("{owner}-{turn}"), handle.take());
        let answer = asked.answer.clone();
        desk.host.record(asked);
        let said = if owner.len() % 2 == 0 { thumb_down() } else { thumb_up() };
        let lesson = Lesson::Remark(answer, said);
        lessons.push((owner.to_owned(), lesson));
    }
    let mut taught = tokio::task::JoinSet::new();
    for (owner, lesson) in lessons {
        let host = desk.host.clone();
        taught.spawn(async move { host.teach(&owner, lesson).await.unwrap() });
    }
    while let Some(report) = taught.join_next().await {
        report.unwrap();
    }
    answers.into_iter().map(|answer| answer.tokens).collect()
}

#[tokio::test]
async fn a_hundred_owners_in_one_batch_equal_their_runs_alone() {
    let model = model();
    let config = rosa(BlockKind::FinalOffset);
    let owners: Vec<String> = (0..OWNERS).map(|n| format!("owner{}", n * n)).collect();
    let (desk, engine) = Desk::served(model.clone(), Store::memory().await.unwrap(), OWNERS);
    for owner in &owners {
        desk.adapter(&key(owner), &config).await;
    }
    let mut together = Vec::new();
    for at in 0..TURNS {
        together.push(turn(&desk, &engine, &owners, at).await);
    }
    let mut taught = 0;
    for (place, owner) in owners.iter().enumerate() {
        let (alone, engine) = Desk::served(model.clone(), Store::memory().await.unwrap(), 1);
        alone.adapter(&key(owner), &config).await;
        for at in 0..TURNS {
            let answers = turn(&alone, &engine, std::slice::from_ref(owner), at).await;
            assert_eq!(answers[0], together[at as usize][place], "{owner} at {at}");
        }
        let [a, b] =
            [desk.rosa_state(&key(owner), None).await, alone.rosa_state(&key(owner), None).await];
        assert_eq!(a, b, "{owner}");
        taught += a.version;
    }
    assert!(taught > OWNERS as u64, "{taught} lessons were applied");
}

#[tokio::test]
async fn a_flood_of_one_key_is_refused_and_others_are_taught() {
    let desk = Desk::new().await;
    for owner in ["flood", "calm"] {
        desk.adapter(&key(owner), &rosa(BlockKind::FinalOffset)).await;
    }
    let pinned = desk.host.pin(&key("flood"), &PinRequest::Newest).await.unwrap();
    let one = desk.answer(pinned.clone(), "x", asked(1)).record;
    let mut codes = std::collections::BTreeMap::new();
    for n in 0..1000 {
        let answer = AnswerRef { response: format!("f{n}"), choice: 0 };
        desk.host.record(AnswerRecord { answer: answer.clone(), ..one.clone() });
        let queued = desk.host.queue("flood", Lesson::Remark(answer, thumb_down())).await;
        *codes.entry(code(queued)).or_insert(0) += 1;
    }
    assert_eq!(codes.values().sum::<i32>(), 1000);
    assert!(codes["busy"] > 0 && codes.len() == 2, "{codes:?}");
    let asked = desk.ask(&key("calm"), "c", asked(2)).await;
    let report = desk.say(&asked, thumb_down()).await;
    assert_eq!(report.status, FeedbackStatus::Applied, "{report:?}");
    // Contradictions and replays end where the guards say, and nothing is served that is not finite.
    let state = desk.rosa_state(&key("flood"), None).await;
    assert!(state.block.values().iter().all(|x| x.is_finite()));
}

#[tokio::test]
async fn lessons_of_all_owners_are_heard_of_once() {
    let desk = Desk::new().await;
    let (tell, told) = channel();
    desk.host.on_report(move |report, took| {
        tell.send((report.clone(), took)).ok();
    });
    desk.adapter(&key("o"), &rosa(BlockKind::FinalOffset)).await;
    let asked = desk.ask(&key("o"), "r", asked(1)).await;
    let report = desk.say(&asked, thumb_down()).await;
    desk.say(&asked, thumb_down()).await;
    assert_eq!(told.try_iter().map(|(report, _)| report).collect::<Vec<_>>(), [report]);
    assert_eq!(desk.host.load().waiting, 0);
}

#[tokio::test]
async fn states_are_dropped_from_memory_and_read_again() {
    let desk = Desk::new().await;
    let limits = HostLimits { resident_bytes: 4096, ..limits() };
    let learning = LearningModel::new(desk.model.clone(), StateReader::Here);
    let host = AdapterHost::start(desk.store.clone(), learning, limits).unwrap();
    for n in 0..20 {
        let key = key(&format!("o{n}"));
        host.create(&key, &rosa(BlockKind::FinalOffset)).await.unwrap();
        host.pin(&key, &PinRequest::Newest).await.unwrap();
    }
    let load = host.load();
    assert!(load.resident < 20 && load.resident_bytes <= 4096, "{load:?}");
    host.pin(&key("o0"), &PinRequest::Newest).await.unwrap();
    let few = HostLimits { adapters: 2, ..limits };
    let learning = LearningModel::new(desk.model.clone(), StateReader::Here);
    let host = AdapterHost::start(desk.store.clone(), learning, few).unwrap();
    for (n, expected) in [(0, "fine"), (1, "fine"), (2, "value_invalid"), (1, "fine")] {
        let key = AdapterKey::new("many", format!("a{n}")).unwrap();
        assert_eq!(code(host.create(&key, &rosa(BlockKind::FinalOffset)).await), expected);
    }
}
