//! From the header's JSON to a card.

use super::apply;
use super::card::{Card, Operation, SiteCard};
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
        data: top.take_or_null("data", |node| node.read())?,
        evaluation: top.take_or_null("evaluation", |node| node.read())?,
        extra: top.take_if_there("extra").map(|node| node.read()).transpose()?.unwrap_or_default(),
        method: top.take("method")?.read()?,
        model: top.take_or_null("model", |node| node.read())?,
        name: top.take("name")?.text()?.to_owned(),
        operation: operation(top.take("operation")?)?,
        role: top.take("role")?.read()?,
        scale: top.take("scale")?.read()?,
        scope: apply::scope(&top.take("scope")?)?,
        sites: sites(top.take("sites")?)?,
        status: top.take("status")?.read()?,
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
