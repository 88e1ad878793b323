//! What a specification comes to on a tiny model, and how a refusal names its field.

use super::*;
use crate::compose::dose::{DoseLimit, Standing};
use crate::file::card::{Card, Method, MethodName, ModelPin, Operation, SiteCard};
use crate::monitor::Cadence;
use crate::monitor::policy::BuiltIn;
use crate::receipt::ReceiptModel;
use crate::stack::Stack;
use crate::{Direction, VectorFile};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use trimtab_runtime::site::Site;
use trimtab_runtime::testing::tiny;

const SITE: Site = Site::ResidPost(1);

fn pin() -> ModelPin {
    crate::tests::model(tiny::WIDTH, tiny::LAYERS, "90be41d7")
}

/// A stream of length 10 everywhere.
fn model() -> SteeredModel {
    let spec = tiny::decoder().unwrap().spec().clone();
    SteeredModel {
        norms: Site::all(spec.n_layers()).map(|site| (site, 10.0)).collect(),
        spec,
        tokenizer: None,
        template: String::new(),
        receipt: ReceiptModel {
            weights_sha256: pin().weights_sha256,
            template_sha256: None,
            batch_invariant: true,
        },
        pin: pin(),
    }
}

/// `calm` moves by 2 at one site.
fn vectors() -> BTreeMap<String, Arc<LoadedVector>> {
    let method = Method::named(MethodName::MeanDifference);
    let mut card = Card::unmeasured("calm", "calmer tone", Operation::Add, method);
    card.model = Some(pin());
    let entry = SiteCard { anchor: Some(0.0), ..SiteCard::of(SITE, Some(2.0)) };
    card.sites.insert(SITE, entry);
    let mut row = vec![0.0; tiny::WIDTH];
    row[0] = 1.0;
    let file = VectorFile::new(card, vec![Direction::new(SITE, 1, row).unwrap()]).unwrap();
    let bytes = file.to_bytes().unwrap();
    let loaded = LoadedVector::read("calm", &bytes, &pin(), AdmitTerms::default()).unwrap();
    BTreeMap::from([("calm".to_owned(), Arc::new(loaded))])
}

fn monitor(document: serde_json::Value) -> MonitorSpec {
    serde_json::from_value(document).unwrap()
}

/// A watch over letters whose retry has `calm` at a scale.
fn retrying(scale: f64) -> MonitorSpec {
    let retry = json!({"vectors": [{"id": "calm", "scale": scale}]});
    monitor(json!({"watch": [{"kind": "text", "any": ["x"]}], "retry": retry}))
}

/// What a retry comes to beside an answer that has `calm` at a scale.
fn beside(answer: f32, retry: f64) -> Result<ResolvedMonitor, FieldError> {
    let (model, vectors, policies) = (model(), vectors(), BuiltIn::policies());
    let context =
        SpecContext { model: &model, vectors: &vectors, policies: &policies, prompt: None };
    let mut stack = Stack::new(DoseLimit { site: 0.5, ..DoseLimit::default() });
    let own = VectorSpec { id: Some("calm".to_owned()), scale: Some(answer), ..Default::default() };
    context.push(&mut stack, &own, Standing::Free).unwrap();
    context.monitor(&retrying(retry)).unwrap().beside(context, &stack)
}

#[test]
fn a_retry_has_its_vectors_behind_those_of_the_answer() {
    let retry = beside(1.0, 0.5).unwrap().retry.unwrap();
    let scales: Vec<f32> = retry.applied.iter().map(|vector| vector.scale).collect();
    assert_eq!((scales.as_slice(), retry.plan.items().len()), (&[1.0, 0.5][..], 2));
    // 2 and 1 of a stream of 10.
    assert!((retry.site_doses()[&SITE] - 0.3).abs() < 1e-6);
}

#[test]
fn a_retry_is_held_to_the_limit_with_the_vectors_of_the_answer() {
    assert!(beside(0.0, 2.0).is_ok());
    let fault = beside(1.0, 2.0).unwrap_err();
    assert_eq!(fault.code(), "dose_exceeded");
    assert!(fault.path.starts_with("retry.vectors"), "{fault}");
}

#[test]
fn a_vector_comes_back_with_everything_filled_in() {
    let (model, vectors, policies) = (model(), vectors(), BuiltIn::policies());
    let context =
        SpecContext { model: &model, vectors: &vectors, policies: &policies, prompt: None };
    let push = |spec: &VectorSpec| {
        let mut stack = Stack::new(DoseLimit::default());
        let settled = context.push(&mut stack, spec, Standing::Free)?;
        Ok::<_, FieldError>((settled, context.lower(&stack).unwrap().plan.fingerprint()))
    };
    let asked = json!({"id": "calm", "coeff": 0.5, "algorithm": "erase", "layers": [1]});
    let (mut settled, first) = push(&serde_json::from_value(asked).unwrap()).unwrap();
    assert_eq!(settled.sites.as_deref(), Some(&["resid_post.1".to_owned()][..]));
    settled.scale = Some(0.5);
    assert_eq!(push(&settled).unwrap(), (VectorSpec { scale: None, ..settled }, first));
    // Nothing is read from elsewhere unless the lookup says so.
    let source = VectorSpec { source: Some("file:calm".to_owned()), ..Default::default() };
    let fault = push(&source).unwrap_err();
    assert_eq!((fault.code(), fault.path.as_str()), ("source_disabled", "source"));
}

#[test]
fn a_monitor_names_the_policies_that_its_watches_judge_by() {
    let spec = monitor(json!({"watch": [
        {"kind": "coot", "policy": "strict"}, {"kind": "policy"}, {"kind": "text", "any": ["x"]},
    ]}));
    assert_eq!(spec.policies().into_iter().collect::<Vec<_>>(), ["default", "strict"]);
    // Both words are read, one is written.
    let kinds = spec.watch.iter().map(|watch| serde_json::to_value(watch.kind).unwrap());
    assert_eq!(kinds.collect::<Vec<_>>(), ["coot", "coot", "text"]);
    for watch in &spec.watch {
        assert_eq!(serde_json::to_value(watch.kind).unwrap(), watch.kind.as_str());
    }
}

#[test]
fn a_cadence_is_a_word_or_a_number() {
    for (cadence, written) in [(Cadence::Sentence, "\"sentence\""), (Cadence::Tokens(8), "8")] {
        assert_eq!(serde_json::to_string(&cadence).unwrap(), written);
        assert_eq!(serde_json::from_str::<Cadence>(written).unwrap(), cadence);
    }
    assert!(serde_json::from_str::<Cadence>("\"word\"").is_err());
}

#[test]
fn a_path_grows_outward() {
    let inner = FieldError::value("gate.site", "is no site");
    let outer = inner.under("[2]").under("vectors").under("");
    assert_eq!(outer.to_string(), "vectors[2].gate.site is no site");
    let empty = FieldError::value("", "names no vector").under("vectors[0]");
    assert_eq!(empty.to_string(), "vectors[0] names no vector");
    // A setting of the core is a field inside the part, unless the part is the field.
    let setting = || crate::Error::setting("half_life", "is 0");
    assert_eq!(FieldError::of(setting(), "").to_string(), "gate.half_life is 0");
    assert_eq!(FieldError::at(setting(), "decay").to_string(), "decay is 0");
    let refused = FieldError::of(crate::Error::RoleRead { name: "a".to_owned() }, "id");
    assert_eq!(refused.code(), "role_read");
    assert!(refused.to_string().starts_with("id: vector a is for reading"));
}
