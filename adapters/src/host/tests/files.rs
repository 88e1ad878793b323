//! Undoing, files, deletion.

use super::*;

/// Four turns with thumbs down; the tokens that each version answers the same question with.
async fn taught(desk: &Desk, owner: &str, block: BlockKind) -> Vec<Vec<u32>> {
    desk.adapter(&key(owner), &rosa(block)).await;
    let mut answers = Vec::new();
    for turn in 0..4 {
        let asked = desk.ask(&key(owner), &format!("{owner}-{turn}"), asked(turn)).await;
        desk.say(&asked, thumb_down()).await;
        answers.push(probe(desk, owner, turn_of(answers.len())).await);
    }
    answers
}

fn turn_of(version: usize) -> PinRequest {
    PinRequest::Version(version as u32)
}

async fn probe(desk: &Desk, owner: &str, request: PinRequest) -> Vec<u32> {
    let pinned = desk.host.pin(&key(owner), &request).await.unwrap();
    desk.answer(pinned, "probe", Request { max_tokens: Some(60), ..asked(77) }).answer.tokens
}

#[tokio::test]
async fn going_back_to_a_version_gives_its_answers() {
    for block in [BlockKind::FinalOffset, BlockKind::LastMlpLora] {
        let desk = Desk::new().await;
        taught(&desk, "o", block).await;
        let newest = desk.host.adapter(&key("o")).await.unwrap().version;
        assert!(newest >= 3, "{newest}");
        for to in [2, 0, 1] {
            let before = probe(&desk, "o", PinRequest::Version(to)).await;
            let from = desk.host.adapter(&key("o")).await.unwrap().version;
            let reverted = desk.host.revert(&key("o"), to).await.unwrap();
            let expected = Reverted { adapter: "a".into(), from, version: from + 1, restores: to };
            assert_eq!(reverted, expected);
            assert_eq!(probe(&desk, "o", PinRequest::Newest).await, before, "{block:?} {to}");
            let state = desk.rosa_state(&key("o"), None).await;
            assert_eq!(state.version, u64::from(from) + 1);
            assert_eq!(state.block, desk.rosa_state(&key("o"), Some(to)).await.block);
        }
        // It goes on learning from there.
        let asked = desk.ask(&key("o"), "later", asked(40)).await;
        let report = desk.say(&asked, thumb_down()).await;
        assert_eq!(report.status, FeedbackStatus::Applied, "{report:?}");
        let missing = desk.host.revert(&key("o"), 99).await;
        assert_eq!(code(missing), "value_invalid");
    }
}

#[tokio::test]
async fn a_file_carries_a_version_to_another_host() {
    for block in [BlockKind::FinalOffset, BlockKind::LastMlpLora] {
        let desk = Desk::new().await;
        taught(&desk, "o", block).await;
        let file = desk.host.export(&key("o"), Some(2)).await.unwrap();
        let other =
            Desk::over(desk.model.clone(), Store::memory().await.unwrap(), StateReader::Here);
        let summary = other.host.import(&key("p"), &file.bytes).await.unwrap();
        assert_eq!((summary.version, summary.method.as_str()), (1, "rosa"));
        let there = probe(&other, "p", PinRequest::Newest).await;
        assert_eq!(there, probe(&desk, "o", PinRequest::Version(2)).await);
        let versions = other.host.versions(&key("p")).await.unwrap();
        assert_eq!(versions[0].cause, "import");
        // Version 0 is a file, too, and a damaged file is none.
        let empty = desk.host.export(&key("o"), Some(0)).await.unwrap();
        other.host.import(&key("p"), &empty.bytes).await.unwrap();
        assert!(other.rosa_state(&key("p"), None).await.block.is_zero());
        for at in (0..file.bytes.len()).step_by(97) {
            let mut bytes = file.bytes.clone();
            bytes[at] ^= 4;
            assert_eq!(code(other.host.import(&key("q"), &bytes).await), "adapter_state_refused");
        }
        assert_eq!(code(other.host.adapter(&key("q")).await), "adapter_not_found");
    }
}

#[tokio::test]
async fn a_file_of_another_kind_or_other_weights_is_refused() {
    let desk = Desk::new().await;
    taught(&desk, "o", BlockKind::FinalOffset).await;
    let file = desk.host.export(&key("o"), None).await.unwrap();
    desk.adapter(&key("lora"), &rosa(BlockKind::LastMlpLora)).await;
    assert_eq!(code(desk.host.import(&key("lora"), &file.bytes).await), "id_in_use");
    let mut other = super::super::adapter_file::AdapterFile::read(&file.bytes).unwrap();
    other.header.weights_sha256 = "00".into();
    let other = other.write().unwrap();
    assert_eq!(code(desk.host.import(&key("new"), &other).await), "model_mismatch");
    // The shelf, which knows no model, takes it; the host then serves nothing of it, but shows and deletes it.
    AdapterShelf::new(desk.store.clone()).import(&key("new"), &other).await.unwrap();
    assert_eq!(code(desk.host.pin(&key("new"), &PinRequest::Newest).await), "model_mismatch");
    assert_eq!(desk.host.adapter(&key("new")).await.unwrap().version, 1);
    assert_eq!(desk.host.versions(&key("new")).await.unwrap().len(), 1);
    assert_eq!(desk.host.delete(&key("new")).await.unwrap().versions, 1);
}

#[tokio::test]
async fn a_shelf_shows_and_takes_back_without_a_model() {
    let desk = Desk::new().await;
    taught(&desk, "o", BlockKind::LastMlpLora).await;
    let shelf = AdapterShelf::new(desk.store.clone());
    let newest = shelf.adapter(&key("o")).await.unwrap().version;
    let (_, state) = shelf.state(&key("o"), Some(2)).await.unwrap();
    let AdapterState::Rosa(state) = state else { panic!("a taste") };
    assert_eq!(state, desk.rosa_state(&key("o"), Some(2)).await);
    shelf.revert(&key("o"), 0).await.unwrap();
    let back = desk.rosa_state(&key("o"), None).await;
    assert!(back.block.is_zero() && back.version == u64::from(newest) + 1);
    let file = shelf.export(&key("o"), Some(1)).await.unwrap();
    assert_eq!(file, desk.host.export(&key("o"), Some(1)).await.unwrap());
}

#[tokio::test]
async fn an_adapter_is_made_once_and_of_one_kind() {
    let desk = Desk::new().await;
    let config = rosa(BlockKind::FinalOffset);
    desk.adapter(&key("o"), &config).await;
    desk.adapter(&key("o"), &config).await;
    let other = desk.host.create(&key("o"), &rosa(BlockKind::LastMlpLora)).await;
    assert_eq!(code(other), "id_in_use");
    let lookahead = TpopParams {
        level: crate::tpop::DuelLevel::Token,
        token_features: crate::tpop::TokenFeatureKind::Lookahead,
        ..taste()
    };
    let refused = desk.host.create(&key("t"), &tpop(lookahead)).await.unwrap_err();
    assert!(refused.to_string().contains("embed"), "{refused}");
    // More components than the model's activations vary in: no row is left of it.
    let wide = TpopParams { features: 512, ..taste() };
    assert!(desk.host.create(&key("t"), &tpop(wide)).await.is_err());
    assert_eq!(code(desk.host.adapter(&key("t")).await), "adapter_not_found");
}

#[tokio::test]
async fn a_deleted_owner_is_in_no_file_of_the_folder() {
    let folder = std::env::temp_dir().join(format!("trimtab-host-delete-{}", std::process::id()));
    std::fs::remove_dir_all(&folder).ok();
    let store = Store::open(&folder).await.unwrap();
    let desk = Desk::over(model(), store, StateReader::Here);
    let owner = "quetzalcoatl";
    for owner in [owner, "stays"] {
        taught(&desk, owner, BlockKind::FinalOffset).await;
        let taste_key = AdapterKey::new(owner, "taste").unwrap();
        desk.adapter(&taste_key, &tpop(taste())).await;
        super::duels::duel(&desk, &taste_key, 0, DuelVote::Left).await;
    }
    let kept = || {
        let files = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path());
        files.filter(|file| file.is_file()).flat_map(|file| std::fs::read(file).unwrap()).collect()
    };
    let found = |bytes: &Vec<u8>, word: &str| {
        bytes.windows(word.len()).any(|window| window == word.as_bytes())
    };
    assert!(found(&kept(), owner));
    let forgotten = desk.host.delete_owner(owner).await.unwrap();
    assert_eq!(forgotten.adapters, 2);
    let bytes: Vec<u8> = kept();
    assert!(!found(&bytes, owner) && found(&bytes, "stays"));
    assert_eq!(code(desk.host.pin(&key(owner), &PinRequest::Newest).await), "adapter_not_found");
    assert_eq!(desk.host.adapters(owner).await.unwrap(), []);
    desk.host.delete(&key("stays")).await.unwrap();
    assert_eq!(desk.host.adapters("stays").await.unwrap().len(), 1);
    desk.store.close().await;
    std::fs::remove_dir_all(&folder).ok();
}
