//! What a vector does to a model.

use super::{adding, bytes, card, model, one_hot};
use crate::direction::Direction;
use crate::file::VectorFile;
use crate::file::card::{Card, Operation, Role, Status};
use crate::scope::Scope;
use crate::steer::{NullVectors, Steer, SteerOptions};
use std::sync::Arc;
use trimtab_runtime::hook::{Addition, Intervention, Positions};
use trimtab_runtime::plan::Plan;
use trimtab_runtime::session::Session;
use trimtab_runtime::site::Site;
use trimtab_runtime::testing::{laws, tiny};

const SITES: [Site; 2] = [Site::ResidPost(0), Site::ResidPost(1)];

fn scaled(scale: f32) -> SteerOptions {
    SteerOptions { scale: Some(scale), ..SteerOptions::default() }
}

fn logits(plan: Plan) -> Vec<f32> {
    let decoder = tiny::decoder().unwrap();
    let pool = decoder.pool(64).unwrap();
    let mut session = Session::new(decoder, &pool, plan).unwrap();
    session.push_prompt(&[3, 1, 4, 1, 5]).unwrap();
    session.advance(&[9]).unwrap().logits.remove(0)
}

#[test]
fn a_vector_keeps_the_laws_of_interventions() {
    let file = adding(&SITES, tiny::WIDTH).unwrap();
    laws::check_intervention(Arc::new(Steer::new(&file, &scaled(0.5)).unwrap())).unwrap();
}

#[test]
fn it_adds_scale_times_magnitude_times_row() {
    let file = adding(&SITES, tiny::WIDTH).unwrap();
    let steer = Steer::new(&file, &scaled(-0.5)).unwrap();
    let mut first = vec![0.0; tiny::WIDTH];
    first[0] = -1.0;
    assert_eq!(steer.additions()[0].vector().as_ref(), first);
    assert_eq!(steer.sites(), SITES);
    // The default is the card's.
    assert_eq!(Steer::new(&file, &SteerOptions::default()).unwrap().scale(), 1.0);
    let mut second = vec![0.0; tiny::WIDTH];
    second[1] = -1.0;
    let plain = Plan::of(Addition::new(SITES[0], first, 1.0).unwrap())
        .then(Addition::new(SITES[1], second, 1.0).unwrap());
    assert_eq!(logits(Plan::of(steer)), logits(plain));
}

#[test]
fn scale_zero_is_the_model_itself() {
    let file = adding(&SITES, tiny::WIDTH).unwrap();
    let steered = logits(Plan::of(Steer::new(&file, &scaled(0.0)).unwrap()));
    assert_eq!(steered, logits(Plan::empty()));
    assert_ne!(logits(Plan::of(Steer::new(&file, &scaled(1.0)).unwrap())), steered);
}

#[test]
fn a_range_of_blocks_takes_both_ends() {
    let file = adding(&[0, 1, 2].map(Site::ResidPost), tiny::WIDTH).unwrap();
    let within = |blocks| SteerOptions { blocks: Some(blocks), ..SteerOptions::default() };
    let steer = Steer::new(&file, &within(1..=2)).unwrap();
    assert_eq!(steer.sites(), [1, 2].map(Site::ResidPost));
    let error = Steer::new(&file, &within(3..=9)).unwrap_err();
    assert_eq!(error.code(), "site_not_in_vector");
}

#[test]
fn the_cards_scope_holds_unless_another_is_asked_for() {
    let directions = vec![one_hot(SITES[0], tiny::WIDTH, 0)];
    let card = Card { scope: Scope::generated(), ..card(Operation::Add, &directions) };
    let file = VectorFile::new(card, directions).unwrap();
    let positions = |options| Steer::new(&file, &options).unwrap().positions();
    assert_eq!(positions(SteerOptions::default()), Positions::Generated);
    let all = SteerOptions { scope: Some(Scope::all()), ..SteerOptions::default() };
    assert_eq!(positions(all), Positions::All);
}

#[test]
fn equal_fingerprints_mean_equal_effect() {
    let file = adding(&SITES, tiny::WIDTH).unwrap();
    let of = |options: &SteerOptions| Steer::new(&file, options).unwrap().fingerprint();
    assert_eq!(of(&scaled(0.5)), of(&scaled(0.5)));
    assert_ne!(of(&scaled(0.5)), of(&scaled(0.6)));
    let prompt = SteerOptions { scope: Some(Scope::prompt()), ..scaled(0.5) };
    assert_ne!(of(&scaled(0.5)), of(&prompt));
}

#[test]
fn what_must_not_be_added_is_not() {
    let directions = vec![one_hot(SITES[0], 4, 0)];
    let made = |change: fn(&mut Card)| {
        let mut card = card(Operation::Add, &directions);
        change(&mut card);
        VectorFile::new(card, directions.clone()).unwrap()
    };
    let refused = |file: &VectorFile| {
        Steer::new(file, &SteerOptions::default()).map(drop).map_err(|e| e.code())
    };
    let null = made(|card| card.status = Status::Null);
    assert_eq!(refused(&null), Err("status_null"));
    let allowed = SteerOptions { null: NullVectors::Allow, ..SteerOptions::default() };
    assert!(Steer::new(&null, &allowed).is_ok());
    assert_eq!(refused(&made(|card| card.role = Role::Read)), Err("role_read"));
    assert_eq!(refused(&made(|_| {})), Ok(()));
    assert!(Steer::new(&made(|_| {}), &scaled(f32::INFINITY)).is_err());
}

#[test]
fn a_vector_of_another_width_never_reaches_the_model() {
    let file = VectorFile::from_bytes(&bytes("native.safetensors")).unwrap();
    assert!(file.admit(&model(tiny::WIDTH, tiny::LAYERS, "90be41d7"), None).is_err());
    let steer = Steer::new(&file, &SteerOptions::default()).unwrap();
    let decoder = tiny::decoder().unwrap();
    assert!(Plan::of(steer).bind(decoder.spec()).is_err());
    assert!(Direction::new(Site::ResidPost(1), 1, vec![1.0]).is_ok());
}
