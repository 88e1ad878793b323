//! Lists of sites, with ranges of blocks.

use crate::error::Result;
use std::collections::BTreeSet;
use trimtab_runtime::site::Site;

/// Understands `resid_post.1-22` and plain names; in forward order, each once.
pub fn parse(texts: &[String]) -> Result<Vec<Site>> {
    let mut sites = BTreeSet::new();
    for text in texts.iter().map(|text| text.trim()) {
        match range(text) {
            Some((kind, first, last)) => {
                for block in first..=last {
                    sites.insert(site(&format!("{kind}.{block}"))?);
                }
            }
            None => {
                sites.insert(site(text)?);
            }
        }
    }
    Ok(sites.into_iter().collect())
}

fn site(text: &str) -> Result<Site> {
    Ok(Site::named(text).map_err(trimtab_runtime::Error::from)?)
}

/// More blocks than any model has; a longer range is read as the wrong name that it is.
const MOST: usize = 1 << 12;

fn range(text: &str) -> Option<(&str, usize, usize)> {
    let (kind, blocks) = text.split_once('.')?;
    let (first, last) = blocks.split_once('-')?;
    let number = |text: &str| text.parse().ok().filter(|_| !text.starts_with('+'));
    let (first, last): (usize, usize) = (number(first)?, number(last)?);
    (first <= last && last < MOST).then_some((kind, first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Option<String> {
        let texts: Vec<String> = text.split(',').map(str::to_owned).collect();
        let sites = parse(&texts).ok()?;
        Some(sites.iter().map(Site::to_string).collect::<Vec<_>>().join(","))
    }

    #[test]
    fn names_of_transformer_lens_are_understood() {
        let found = names("blocks.3.hook_resid_post,hook_embed,blocks.2.hook_mlp_out");
        assert_eq!(found.as_deref(), Some("embed,mlp_out.2,resid_post.3"));
        assert_eq!(names("blocks.x.hook_resid_post"), None);
    }

    #[test]
    fn ranges_are_inclusive_and_lists_sorted() {
        assert_eq!(
            names("final,resid_post.1-3,resid_post.2").as_deref(),
            Some("resid_post.1,resid_post.2,resid_post.3,final")
        );
        for bad in [
            "resid_post.3-1",
            "resid_post.1-",
            "embed.1-2",
            "resid_pre.1-2",
            "x",
            "resid_post.0-99999999999",
            "",
        ] {
            assert_eq!(names(bad), None, "{bad}");
        }
    }
}
