//! Which model a vector may be used on.

use super::{adding, model};
use crate::error::Error;
use crate::file::card::ModelPin;
use crate::file::{VectorFile, Warning, family_sha256};
use trimtab_runtime::site::Site;
use trimtab_runtime::testing::tiny;

fn pinned() -> VectorFile {
    adding(&[Site::ResidPost(1)], 8).unwrap().pinned_to(model(8, 4, "ab12")).unwrap()
}

#[test]
fn the_same_weights_are_fine() {
    assert_eq!(pinned().admit(&model(8, 4, "ab12"), None).unwrap(), []);
}

#[test]
fn another_shape_is_always_refused() {
    for other in [model(16, 4, "cd"), model(8, 5, "cd")] {
        for accept in [None, Some("ab12ab12ab12")] {
            let error = pinned().admit(&other, accept).unwrap_err();
            assert_eq!(error.code(), "model_shape_mismatch");
        }
    }
    let text = pinned().admit(&model(16, 4, "cd"), None).unwrap_err().to_string();
    assert!(text.contains("d_model 8, the model has 16"), "{text}");
}

#[test]
fn another_build_must_be_accepted_by_the_files_own_hash() {
    let other = model(8, 4, "cd");
    let error = pinned().admit(&other, None).unwrap_err();
    assert_eq!(error.code(), "model_mismatch");
    let Error::ModelMismatch { accept, .. } = error else { panic!("{error}") };
    assert_eq!(accept, "ab12ab12ab12");
    let warnings = pinned().admit(&other, Some(accept.as_str())).unwrap();
    assert!(matches!(&warnings[..], [Warning::ModelDiffers { .. }]));
    assert_eq!(pinned().admit(&other, ["unpinned", &accept]).unwrap(), warnings);
    for wrong in ["ab12ab12ab1", "cdcdcdcdcdcd", "unpinned", "", "AB12AB12AB12"] {
        assert!(pinned().admit(&other, Some(wrong)).is_err(), "{wrong}");
    }
}

#[test]
fn a_file_without_a_model_must_be_accepted_by_word() {
    let file = adding(&[Site::ResidPost(1)], 8).unwrap();
    let here = model(8, 4, "cd");
    assert_eq!(file.admit(&here, None).unwrap_err().code(), "model_mismatch");
    assert_eq!(file.admit(&here, Some("unpinned")).unwrap().len(), 1);
    assert_eq!(
        file.admit(&model(9, 4, "cd"), Some("unpinned")).unwrap_err().code(),
        "model_shape_mismatch"
    );
    assert!(file.admit(&model(8, 1, "cd"), Some("unpinned")).is_err());
    assert!(file.pinned_to(model(8, 1, "cd")).is_err());
    assert!(file.pinned_to(model(9, 4, "cd")).is_err());
}

#[test]
fn template_and_tokenizer_only_warn() {
    let other = ModelPin {
        template_sha256: Some("7".repeat(64)),
        tokenizer_sha256: "8".repeat(64),
        ..model(8, 4, "ab12")
    };
    let warnings = pinned().admit(&other, None).unwrap();
    assert_eq!(warnings, [Warning::TemplateDiffers, Warning::TokenizerDiffers]);
}

#[test]
fn the_family_is_the_hash_of_seven_numbers() {
    // printf '{"arch":"llama","d_ff":24,…}' | sha256sum
    let decoder = tiny::decoder().unwrap();
    let expected = "0e26f8f07255fbde7f7f6b629a8539b976c8bbbc945467f5aab9a3dd0f50957d";
    assert_eq!(family_sha256(decoder.spec()), expected);
}
