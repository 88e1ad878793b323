//! What a composition does to a model, and what the file of it says.

use super::{Draws, HERE, LATER, built, by, code, composed, narrow, part, vector};
use crate::compose::{Finding, Mode, Part, Settings};
use crate::file::VectorFile;
use crate::file::card::{MethodName, Operation, Param, Status};
use crate::scope::Scope;
use crate::steer::{Steer, SteerOptions};
use trimtab_runtime::hook::{Edit, hook_fn};
use trimtab_runtime::plan::Plan;
use trimtab_runtime::session::Session;
use trimtab_runtime::site::Site;
use trimtab_runtime::testing::tiny;

fn logits(plan: Plan) -> Vec<f32> {
    let decoder = tiny::decoder().unwrap();
    let pool = decoder.pool(64).unwrap();
    let mut session = Session::new(decoder, &pool, plan).unwrap();
    session.push_prompt(&[3, 1, 4, 1, 5]).unwrap();
    session.advance(&[9]).unwrap().logits.remove(0)
}

fn apart(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Three vectors at two sites of the tiny model.
fn three() -> Vec<VectorFile> {
    let mut draws = Draws(11);
    let mut rows = || [HERE, LATER].map(|site| (site, narrow(&draws.row(tiny::WIDTH))));
    ["calm", "short", "plain"].map(|name| vector(name, &rows())).into()
}

#[test]
fn merged_equals_separate_and_the_file_equals_both() {
    let files = three();
    let parts: Vec<Part<'_>> =
        files.iter().zip([0.6, -0.4, 0.3]).map(|(f, s)| part(f, s)).collect();
    for mode in [Mode::Sum, Mode::GramSchmidt, Mode::Subspace] {
        let composed = composed(&parts, &by(mode)).unwrap();
        let separate = logits(composed.separate().unwrap());
        let merged = logits(composed.merged().unwrap());
        assert!(apart(&separate, &merged) < 1e-5);
        assert!(apart(&separate, &logits(Plan::empty())) > 1e-2);
        let file = composed.file("three").unwrap();
        let steer = Steer::new(&file, &SteerOptions::default()).unwrap();
        assert_eq!(steer.scale(), 1.0);
        assert!(apart(&merged, &logits(Plan::of(steer))) < 1e-5);
    }
}

#[test]
fn a_file_that_will_be_refused_is_told() {
    let row = |at: usize, length: f32| {
        let mut row = vec![0.0; tiny::WIDTH];
        row[at] = length;
        [(HERE, row)]
    };
    let (one, other) = (vector("one", &row(0, 4.0)), vector("other", &row(1, 4.0)));
    let parts = [part(&one, 1.0), part(&other, 1.0)];
    let both = composed(&parts, &by(Mode::Sum)).unwrap();
    let [Finding::Heavy { site: HERE, dose, limit }] = both.report().findings[..] else {
        panic!("{:?}", both.report().findings)
    };
    assert!((dose - 0.32f64.sqrt()).abs() < 1e-6 && limit == 0.5);
    // It is as the file says: alone, it is refused.
    let file = both.file("both").unwrap();
    assert_eq!(code(composed(&[part(&file, 1.0)], &by(Mode::Sum))), "dose_exceeded");
    let light = composed(&[part(&one, 1.0)], &by(Mode::Sum)).unwrap();
    assert_eq!(light.report().findings, []);
}

#[test]
fn a_vector_applied_in_another_way_is_not_composed() {
    let file = &three()[0];
    let options = SteerOptions { operation: Some(Operation::Project), ..SteerOptions::default() };
    let other: Part<'_> = crate::compose::dose::Dosed::new(file, &options).into();
    assert_eq!(code(composed(&[other], &by(Mode::Sum))), "operation_refused");
}

#[test]
fn the_order_of_additions_does_not_matter() {
    let files = three();
    let parts: Vec<Part<'_>> = files.iter().map(|f| part(f, 0.3)).collect();
    let back: Vec<Part<'_>> = parts.iter().rev().cloned().collect();
    let of =
        |parts: &[Part<'_>]| logits(composed(parts, &by(Mode::Sum)).unwrap().merged().unwrap());
    assert!(apart(&of(&parts), &of(&back)) < 1e-5);
}

#[test]
fn a_vector_and_its_opposite_are_no_plan() {
    let file = &three()[0];
    let parts = [part(file, 0.7), part(file, -0.7)];
    let composed = composed(&parts, &by(Mode::Sum)).unwrap();
    assert_eq!(logits(composed.merged().unwrap()), logits(Plan::empty()));
    let zero = [HERE, LATER].map(|site| Finding::Cancelled { site });
    assert_eq!(composed.report().findings, zero);
    assert!(composed.report().groups.iter().all(|group| group.push == 0.0));
    assert_eq!(code(composed.file("nothing")), "push_zero");
}

#[test]
fn the_card_says_how_it_was_made() {
    let files = three();
    let parts = [part(&files[0], 0.6), part(&files[1], -0.4)];
    let composed = composed(&parts, &by(Mode::Subspace)).unwrap();
    let file = composed.file("both").unwrap();
    let (card, group) = (file.card(), &composed.report().groups[0]);
    assert_eq!((card.method.name, card.status), (MethodName::Composed, Status::Unmeasured));
    assert_eq!((card.scale.default, card.scale.safe), (1.0, None));
    let param = |key: &str| card.method.params.get(key).cloned();
    assert_eq!(param("mode"), Some(Param::Text("subspace".to_owned())));
    assert_eq!(param("m"), Some(Param::Integer(4)));
    let hash = crate::file::sha256(&files[1].to_bytes().unwrap());
    assert_eq!(param("parent.2.sha256"), Some(Param::Text(hash)));
    assert_eq!(param("parent.2.scale"), Some(Param::Number(-0.4)));
    let kept = param("parent.2.kept.resid_post.1");
    assert_eq!(kept, Some(Param::Number(group.kept[1] as f32)));
    assert_eq!(param("parent.1.kept.resid_post.1"), None);
    // Both sites, at the length that is pushed, in a stream of known length.
    let entry = &card.sites[&HERE];
    assert!((f64::from(entry.magnitude.unwrap()) - group.push).abs() < 1e-6);
    assert_eq!(entry.stream_norm, Some(10.0));
    assert_eq!(file.directions().len(), 2);
    assert_eq!(VectorFile::from_bytes(&file.to_bytes().unwrap()).unwrap(), file);
}

#[test]
fn scopes_apart_act_apart_and_are_not_one_file() {
    let files = three();
    let mut draws = Draws(2);
    let row = narrow(&draws.row(tiny::WIDTH));
    let prompt = built("prompt", &[(HERE, row)], |card| card.scope = Scope::prompt());
    let parts = [part(&files[0], 0.3), part(&prompt, 0.3)];
    let composed = composed(&parts, &by(Mode::Subspace)).unwrap();
    assert_eq!(composed.report().groups.len(), 3);
    assert!(composed.report().groups.iter().all(|group| group.kept == [1.0]));
    let apart_by =
        apart(&logits(composed.merged().unwrap()), &logits(composed.separate().unwrap()));
    assert!(apart_by < 1e-5);
    assert_eq!(code(composed.file("both")), "operation_refused");
}

#[test]
fn projecting_and_adding_do_not_commute_and_that_is_told() {
    let (mut one, mut other) = (vec![0.0; tiny::WIDTH], vec![0.0; tiny::WIDTH]);
    one[0] = 1.0;
    (other[0], other[1]) = (0.4, 0.9);
    let away = built("away", &[(HERE, one)], |card| card.operation = Operation::Project);
    let push = vector("push", &[(HERE, other.clone())]);
    let parts = [part(&push, 0.5), part(&away, 1.0)];
    let composed = composed(&parts, &by(Mode::Sum)).unwrap();
    let told = Finding::Ordered {
        first: "away (project)".to_owned(),
        second: "push (add)".to_owned(),
        site: HERE,
    };
    assert_eq!(composed.report().findings, [told]);
    assert_eq!(code(composed.file("both")), "operation_refused");

    // They do not, on the model: the same two operations in both orders.
    let project = hook_fn([HERE], |_: Site, stream, pass| {
        let mask: Vec<f32> = (0..tiny::WIDTH).map(|at| if at == 0 { 0.0 } else { 1.0 }).collect();
        let mask = candle_core::Tensor::new(mask, stream.device()).unwrap();
        let stream = stream.broadcast_mul(&mask).unwrap();
        Ok(Edit::Replace { stream, positions: pass.tokens.len() })
    });
    let project: std::sync::Arc<dyn trimtab_runtime::hook::Intervention> =
        std::sync::Arc::new(project);
    let add = Steer::new(&push, &SteerOptions::default()).unwrap();
    let add: std::sync::Arc<dyn trimtab_runtime::hook::Intervention> = std::sync::Arc::new(add);
    let there = Plan::from_shared([project.clone(), add.clone()]);
    assert!(apart(&logits(there), &logits(Plan::from_shared([add, project]))) > 1e-3);
}

#[test]
fn eight_vectors_at_four_sites_are_one_addition_each() {
    let mut draws = Draws(4);
    let sites = [0, 1, 2].map(Site::ResidPost).into_iter().chain([Site::Final]);
    let sites: Vec<Site> = sites.collect();
    let files: Vec<VectorFile> = (0..8)
        .map(|_| {
            let rows: Vec<_> = sites.iter().map(|s| (*s, narrow(&draws.row(64)))).collect();
            vector("any", &rows)
        })
        .collect();
    let parts: Vec<Part<'_>> = files.iter().map(|f| part(f, 0.05)).collect();
    let settings = Settings { m: 1, ..by(Mode::Subspace) };
    let composed = composed(&parts, &settings).unwrap();
    assert_eq!(composed.merged().unwrap().items().len(), 4);
}
