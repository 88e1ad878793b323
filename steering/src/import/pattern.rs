//! Where the tensors of a bare file act: by their own names, or by a pattern that the caller gives.

use crate::error::{Error, Result};
use trimtab_runtime::site::{Site, SiteError};

/// Stands for the block.
const BLOCK: &str = "{n}";

/// How tensor names become sites.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    /// A name is a site's text, ours or TransformerLens's.
    Names,
    /// The block is the one number in a name, or the number between these two parts of it.
    Numbers {
        /// Before and behind the number; `None` for the only number there is.
        around: Option<(String, String)>,
        /// The site's text before and behind the block.
        site: (String, String),
    },
}

impl Pattern {
    /// Understands `resid_post.{n}` and `layers.{n}.vector=resid_post.{n}`.
    pub(super) fn of(text: Option<&str>) -> Result<Pattern> {
        let Some(text) = text else {
            return Ok(Pattern::Names);
        };
        let halves = |text: &str| {
            let (before, behind) = text.split_once(BLOCK)?;
            (!behind.contains(BLOCK)).then(|| (before.to_owned(), behind.to_owned()))
        };
        let (names, site) = text.rsplit_once('=').map_or((None, text), |(n, s)| (Some(n), s));
        let around = names.map(halves);
        match (halves(site), around) {
            (Some(site), None) => Ok(Pattern::Numbers { around: None, site }.checked(text)?),
            (Some(site), Some(Some(around))) => {
                Ok(Pattern::Numbers { around: Some(around), site }.checked(text)?)
            }
            _ => Err(wrong(text)),
        }
    }

    /// A pattern whose site is one for block 0.
    fn checked(self, text: &str) -> Result<Pattern> {
        match &self {
            Pattern::Numbers { site: (before, behind), .. } => {
                let site = format!("{before}0{behind}").parse::<Site>();
                site.map_err(|source| Error::site(format!("--site {text}"), source))?;
                Ok(self)
            }
            Pattern::Names => Ok(self),
        }
    }

    /// The site of a tensor, moved by a number of blocks.
    pub(super) fn site(&self, name: &str, shift: i64) -> Result<Site> {
        let unknown = |source: SiteError| Error::site(format!("tensor {name}"), source);
        let Pattern::Numbers { around, site: (before, behind) } = self else {
            return named(name).map_err(unknown);
        };
        let digits = match around {
            None => only_number(name),
            Some((before, behind)) => name
                .strip_prefix(before.as_str())
                .and_then(|rest| rest.strip_suffix(behind.as_str())),
        };
        let plain = |digits: &&str| digits.bytes().all(|b| b.is_ascii_digit());
        let number = digits.filter(plain).and_then(|digits| digits.parse::<u16>().ok());
        let Some(number) = number else {
            let problem = "holds no block number where --site looks for it";
            return Err(Error::tensor(name, problem));
        };
        let block = i64::from(number) + shift;
        if block < 0 {
            let advice = format!("with --layer-shift {} it is block 0", -i64::from(number));
            let last = usize::from(u16::MAX);
            return Err(Error::LayerRange { name: name.to_owned(), block, last, advice });
        }
        format!("{before}{block}{behind}").parse().map_err(unknown)
    }
}

fn wrong(text: &str) -> Error {
    let reason = format!("{text:?} is no site with {{n}} for the block, such as resid_post.{{n}}");
    Error::Refused { what: "--site", reason }
}

/// A site by its own text, or by the name TransformerLens has for it.
pub(super) fn named(name: &str) -> Result<Site, SiteError> {
    let lens = |name: &str| {
        if name == "hook_embed" {
            return Some("embed".to_owned());
        }
        let (block, kind) = name.strip_prefix("blocks.")?.split_once(".hook_")?;
        Some(format!("{kind}.{block}"))
    };
    lens(name).as_deref().unwrap_or(name).parse()
}

/// The only run of digits in a name.
fn only_number(name: &str) -> Option<&str> {
    let mut runs = name.split(|c: char| !c.is_ascii_digit()).filter(|run| !run.is_empty());
    let first = runs.next()?;
    runs.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(pattern: Option<&str>, name: &str) -> Result<Site> {
        Pattern::of(pattern)?.site(name, 0)
    }

    #[test]
    fn names_are_sites() {
        assert_eq!(site(None, "mlp_out.7").unwrap(), Site::MlpOut(7));
        assert_eq!(site(None, "blocks.7.hook_resid_post").unwrap(), Site::ResidPost(7));
        assert_eq!(site(None, "hook_embed").unwrap(), Site::Embed);
        let text = site(None, "blocks.7.hook_resid_pre").unwrap_err().to_string();
        assert!(text.contains("resid_post.6"), "{text}");
        for bad in ["7", "resid_post", "blocks.x.hook_resid_post", "ln_final.hook_normalized"] {
            assert_eq!(site(None, bad).unwrap_err().code(), "site_unknown", "{bad}");
        }
    }

    #[test]
    fn a_pattern_finds_the_block() {
        let only = Some("resid_post.{n}");
        assert_eq!(site(only, "layer_12").unwrap(), Site::ResidPost(12));
        assert_eq!(site(only, "12").unwrap(), Site::ResidPost(12));
        for bad in ["layer_1_row_2", "steer", "layer_70000"] {
            assert_eq!(site(only, bad).unwrap_err().code(), "tensor_mismatch", "{bad}");
        }
        let around = Some("v2.layers.{n}.dir=mlp_out.{n}");
        assert_eq!(site(around, "v2.layers.3.dir").unwrap(), Site::MlpOut(3));
        for bad in ["v2.layers.3", "v2.layers.3.x.dir", "v2.layers..dir", "v2.layers.+3.dir"] {
            assert_eq!(site(around, bad).unwrap_err().code(), "tensor_mismatch", "{bad}");
        }
        let shifted = |shift| Pattern::of(only).unwrap().site("layer_2", shift);
        assert_eq!(shifted(-1).unwrap(), Site::ResidPost(1));
        assert_eq!(shifted(-3).unwrap_err().code(), "layer_out_of_range");
    }

    #[test]
    fn patterns_that_place_nothing_are_refused() {
        for bad in ["resid_post.3", "{n}{n}", "x={n}", "x=resid_post.{n}", "a{n}b{n}=mlp_out.{n}"] {
            assert!(Pattern::of(Some(bad)).is_err(), "{bad}");
        }
        assert_eq!(Pattern::of(Some("resid_pre.{n}")).unwrap_err().code(), "site_unknown");
    }
}
