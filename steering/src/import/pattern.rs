//! Where the tensors of a bare file act: by their own names, or by a pattern that the caller gives.

use crate::error::{Error, Result};
use trimtab_runtime::site::{Site, SiteError};

/// Stands for the block.
const BLOCK: &str = "{n}";
/// Stands for the row of a stack, behind the tensor's name.
const ROW: &str = "[n]";

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
    /// The block is the number of a tensor's row, moved by so many: `name[n]=resid_post.{n-1}`.
    Rows {
        tensor: String,
        /// Added to a row's number; rows that would lie before block 0 are no block's, such as the embedding's.
        offset: i64,
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
        if let Some(tensor) = names.and_then(|names| names.strip_suffix(ROW)) {
            let (site, offset) = moved(site).ok_or_else(|| wrong(text))?;
            return Pattern::Rows { tensor: tensor.to_owned(), offset, site }.checked(text);
        }
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
            Pattern::Numbers { site: (before, behind), .. }
            | Pattern::Rows { site: (before, behind), .. } => {
                let site = format!("{before}0{behind}").parse::<Site>();
                site.map_err(|source| Error::site(format!("--site {text}"), source))?;
                Ok(self)
            }
            Pattern::Names => Ok(self),
        }
    }

    /// Whether rows of a stack are placed, and not whole tensors.
    pub(super) fn is_of_rows(&self) -> bool {
        matches!(self, Pattern::Rows { .. })
    }

    /// The site of a tensor, or of a row of a stack, moved by a number of blocks; `None` of a row that is no block's.
    pub(super) fn site(&self, name: &str, shift: i64) -> Result<Option<Site>> {
        let unknown = |source: SiteError| Error::site(format!("tensor {name}"), source);
        let (digits, offset, (before, behind)) = match self {
            Pattern::Names => return Site::named(name).map(Some).map_err(unknown),
            Pattern::Numbers { around: None, site } => (only_number(name), 0, site),
            Pattern::Numbers { around: Some((before, behind)), site } => {
                let rest = name.strip_prefix(before.as_str());
                (rest.and_then(|rest| rest.strip_suffix(behind.as_str())), 0, site)
            }
            Pattern::Rows { tensor, offset, site } => {
                let row = name.strip_prefix(tensor.as_str()).and_then(|row| row.strip_prefix('['));
                (row.and_then(|row| row.strip_suffix(']')), *offset, site)
            }
        };
        let plain = |digits: &&str| digits.bytes().all(|b| b.is_ascii_digit());
        let number = digits.filter(plain).and_then(|digits| digits.parse::<u16>().ok());
        let Some(number) = number else {
            let problem = "holds no block number where --site looks for it";
            return Err(Error::tensor(name, problem));
        };
        let block = i64::from(number) + offset + shift;
        if block < 0 && i64::from(number) + offset < 0 {
            return Ok(None);
        }
        if block < 0 {
            let advice =
                format!("with --layer-shift {} it is block 0", -(i64::from(number) + offset));
            let last = usize::from(u16::MAX);
            return Err(Error::LayerRange { name: name.to_owned(), block, last, advice });
        }
        format!("{before}{block}{behind}").parse().map(Some).map_err(unknown)
    }
}

/// The parts of `resid_post.{n}` and `resid_post.{n-1}` around the block, and what is added to it.
fn moved(site: &str) -> Option<((String, String), i64)> {
    let (before, rest) = site.split_once("{n")?;
    let (offset, behind) = rest.split_once('}')?;
    let offset = if offset.is_empty() { 0 } else { offset.parse::<i32>().ok()?.into() };
    (!behind.contains("{n")).then(|| ((before.to_owned(), behind.to_owned()), offset))
}

fn wrong(text: &str) -> Error {
    let reason = format!("{text:?} is no site with {{n}} for the block, such as resid_post.{{n}}");
    Error::Refused { what: "--site", reason }
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
        Ok(Pattern::of(pattern)?.site(name, 0)?.unwrap())
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
        let shifted = |shift| Pattern::of(only).unwrap().site("layer_2", shift).map(Option::unwrap);
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

    #[test]
    fn rows_of_a_stack_are_blocks() {
        let rows = |pattern: &str, name: &str| Pattern::of(Some(pattern)).unwrap().site(name, 0);
        let plain = "vector[n]=resid_post.{n}";
        assert_eq!(rows(plain, "vector[3]").unwrap(), Some(Site::ResidPost(3)));
        let later = "vector[n]=resid_post.{n-1}";
        assert_eq!(rows(later, "vector[3]").unwrap(), Some(Site::ResidPost(2)));
        let before =
            Pattern::of(Some(later)).unwrap().site("vector[3]", -4).unwrap_err().to_string();
        assert!(before.contains("--layer-shift -2"), "{before}");
        // The embedding's row.
        assert_eq!(rows(later, "vector[0]").unwrap(), None);
        assert_eq!(rows("v[n]=mlp_out.{n+2}", "v[1]").unwrap(), Some(Site::MlpOut(3)));
        assert_eq!(rows(plain, "other[3]").unwrap_err().code(), "tensor_mismatch");
        for bad in ["v[n]=resid_post.3", "v[n]=resid_post.{n*2}", "v[n]={n}", "v[n]=a{n}b{n}"] {
            assert!(Pattern::of(Some(bad)).is_err(), "{bad}");
        }
    }
}
