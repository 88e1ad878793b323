//! From the header's JSON to a card.

use super::apply::scope;
use super::card::{
    Card, DataCard, Evaluation, Method, ModelPin, Operation, Param, Response, Scale, SiteCard,
};
use super::json::{Node, parse};
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use trimtab_runtime::site::Site;

/// The value of `format`.
pub(crate) const FORMAT: &str = "trimtab.vector";
/// The version of the header this program writes, and the only one it reads.
pub(crate) const SPEC: usize = 1;
/// The only convention for signs there is.
pub(crate) const SIGN: &str = "positive_minus_negative";

/// A header, read: the card, and what is compared with the tensors.
pub(crate) struct Header {
    pub(crate) card: Card,
    pub(crate) rank: usize,
    pub(crate) content_sha256: String,
}

/// Reads a header. Whether the card makes sense is decided elsewhere.
pub(crate) fn header(text: &[u8]) -> Result<Header> {
    let value = parse(text)?;
    let mut top = Node::root(&value).object()?;
    fixed(&top.take("format")?, FORMAT)?;
    let spec = top.take("spec")?;
    if spec.integer().ok() != Some(SPEC) {
        let found = spec.whole().map_or_else(|| "no version".to_owned(), |n| n.to_string());
        return Err(Error::SpecUnsupported { found });
    }
    fixed(&top.take("sign")?, SIGN)?;
    let rank = top.take("rank")?.integer()?;
    let content_sha256 = top.take("content_sha256")?.hash()?;
    let card = Card {
        data: top.take_or_null("data", data)?,
        evaluation: top.take_or_null("evaluation", evaluation)?,
        extra: top.take_if_there("extra").map_or_else(|| Ok(BTreeMap::new()), extra)?,
        method: method(top.take("method")?)?,
        model: top.take_or_null("model", model)?,
        name: top.take("name")?.text()?.to_owned(),
        operation: operation(top.take("operation")?)?,
        role: top.take("role")?.choice()?,
        scale: scale(top.take("scale")?)?,
        scope: scope(top.take("scope")?)?,
        sites: sites(top.take("sites")?)?,
        status: top.take("status")?.choice()?,
        summary: top.take("summary")?.text()?.to_owned(),
        writer: top.take("writer")?.text()?.to_owned(),
    };
    top.finish()?;
    Ok(Header { card, rank, content_sha256 })
}

fn fixed(node: &Node<'_>, expected: &str) -> Result<()> {
    match node.text()? {
        found if found == expected => Ok(()),
        found => Err(node.wrong(format!("is {found:?}, expected {expected:?}"))),
    }
}

fn operation(node: Node<'_>) -> Result<Operation> {
    let mut fields = node.object()?;
    let kind = fields.take("kind")?;
    let number = |node: Node<'_>| node.number();
    let operation = match kind.text()? {
        "add" => Operation::Add,
        "project" => Operation::Project,
        "clamp" => Operation::Clamp {
            min: fields.take_or_null("min", number)?,
            max: fields.take_or_null("max", number)?,
        },
        "rotate" => Operation::Rotate { degrees: fields.take("degrees")?.number()? },
        found => {
            let found = found.chars().take(64).collect();
            return Err(Error::OperationUnknown { pointer: kind.pointer, found });
        }
    };
    fields.finish()?;
    Ok(operation)
}

fn sites(node: Node<'_>) -> Result<BTreeMap<Site, SiteCard>> {
    let mut sites = BTreeMap::new();
    for (name, node) in node.object()?.rest() {
        let site: Site = name.parse().map_err(|e| Error::site(&node.pointer, e))?;
        let pointer = node.pointer.clone();
        // `resid_post.02` would be a second name for one tensor.
        if site.to_string() != name || sites.insert(site, site_card(node)?).is_some() {
            return Err(Error::header(pointer, format!("is written {site} here")));
        }
    }
    Ok(sites)
}

fn site_card(node: Node<'_>) -> Result<SiteCard> {
    let mut fields = node.object()?;
    let number = |node: Node<'_>| node.number();
    let derived_at = fields.take("derived_at")?;
    let row_scale = match fields.take_if_there("row_scale") {
        None => Vec::new(),
        Some(list) => list.list()?.iter().map(Node::number).collect::<Result<_>>()?,
    };
    let card = SiteCard {
        anchor: fields.take_or_null("anchor", number)?,
        auc: fields.take_or_null("auc", number)?,
        derived_at: derived_at.text()?.parse().map_err(|e| Error::site(&derived_at.pointer, e))?,
        magnitude: fields.take_or_null("magnitude", number)?,
        row_scale,
        stream_norm: fields.take_or_null("stream_norm", number)?,
        stream_norm_p95: fields.take_or_null("stream_norm_p95", number)?,
    };
    fields.finish()?;
    Ok(card)
}

fn scale(node: Node<'_>) -> Result<Scale> {
    let mut fields = node.object()?;
    let safe = fields.take_or_null("safe", |node| match node.list()?.as_slice() {
        [low, high] => Ok([low.number()?, high.number()?]),
        _ => Err(node.wrong("is no pair, expected [lowest, highest] or null")),
    })?;
    let scale = Scale { default: fields.take("default")?.number()?, safe };
    fields.finish()?;
    Ok(scale)
}

fn method(node: Node<'_>) -> Result<Method> {
    let mut fields = node.object()?;
    let mut params = BTreeMap::new();
    for (name, node) in fields.take("params")?.object()?.rest() {
        params.insert(name.to_owned(), param(&node)?);
    }
    let method = Method {
        name: fields.take("name")?.choice()?,
        pairs: fields.take_or_null("pairs", |node| node.integer())?,
        params,
        position: fields.take_or_null("position", |node| node.choice())?,
        seed: fields.take_or_null("seed", |node| node.choice())?,
    };
    fields.finish()?;
    Ok(method)
}

fn param(node: &Node<'_>) -> Result<Param> {
    if let Some(integer) = node.whole() {
        return Ok(Param::Integer(integer));
    }
    if node.is_text() {
        return node.text().map(|text| Param::Text(text.to_owned()));
    }
    node.number().map(Param::Number)
}

fn model(node: Node<'_>) -> Result<ModelPin> {
    let mut fields = node.object()?;
    let mut text = |name| fields.take(name)?.text().map(str::to_owned);
    let (arch, name, quantization) = (text("arch")?, text("name")?, text("quantization")?);
    let pin = ModelPin {
        arch,
        d_model: fields.take("d_model")?.integer()?,
        family_sha256: fields.take("family_sha256")?.hash()?,
        n_layers: fields.take("n_layers")?.integer()?,
        name,
        pinned: fields.take("pinned")?.choice()?,
        quantization,
        revision: fields.take_or_null("revision", |node| node.text().map(str::to_owned))?,
        template_sha256: fields.take_or_null("template_sha256", |node| node.hash())?,
        tokenizer_sha256: fields.take("tokenizer_sha256")?.hash()?,
        vocab_size: fields.take("vocab_size")?.integer()?,
        weights_sha256: fields.take("weights_sha256")?.hash()?,
    };
    fields.finish()?;
    Ok(pin)
}

fn data(node: Node<'_>) -> Result<DataCard> {
    let mut fields = node.object()?;
    let data = DataCard {
        contrast: fields.take("contrast")?.text()?.to_owned(),
        licence: fields.take("licence")?.text()?.to_owned(),
        pairs: fields.take("pairs")?.integer()?,
        sha256: fields.take("sha256")?.hash()?,
    };
    fields.finish()?;
    Ok(data)
}

fn evaluation(node: Node<'_>) -> Result<Evaluation> {
    let mut fields = node.object()?;
    let number = |node: Node<'_>| node.number();
    let response = fields.take("response")?.list()?.into_iter().map(response);
    let evaluation = Evaluation {
        response: response.collect::<Result<_>>()?,
        build: fields.take("build")?.text()?.to_owned(),
        json_valid_delta: fields.take_or_null("json_valid_delta", number)?,
        n: fields.take("n")?.integer()?,
        random_p95: fields.take("random_p95")?.number()?,
        refusal_delta: fields.take_or_null("refusal_delta", number)?,
        set_sha256: fields.take("set_sha256")?.hash()?,
        shuffled_p95: fields.take_if_there("shuffled_p95").map(|node| node.number()).transpose()?,
    };
    fields.finish()?;
    Ok(evaluation)
}

fn response(node: Node<'_>) -> Result<Response> {
    let mut fields = node.object()?;
    let response = Response {
        concept: fields.take("concept")?.number()?,
        kl: fields.take("kl")?.number()?,
        ppl_ratio: fields.take("ppl_ratio")?.number()?,
        scale: fields.take("scale")?.number()?,
    };
    fields.finish()?;
    Ok(response)
}

fn extra(node: Node<'_>) -> Result<BTreeMap<String, String>> {
    let notes = node.object()?.rest().into_iter();
    notes.map(|(key, node)| Ok((key.to_owned(), node.text()?.to_owned()))).collect()
}
