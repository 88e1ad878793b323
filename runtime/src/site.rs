//! Where in the model: one name per tensor.
//!
//! A *site* names a `[time, d_model]` tensor of the forward pass. Blocks count from 0 and `ResidPost(l)` is the
//! stream after block *l*'s last addition, so there is no `resid_pre`: it would be a second name for
//! `resid_post.{l-1}`, and two names for one tensor is where off-by-one errors live. The text form
//! (`resid_post.12`) is the same in files, logs, JSON and flags.

use std::fmt;
use std::str::FromStr;

/// A place in the forward pass where activations can be read and edited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Site {
    /// The stream entering block 0, after any embedding scale.
    Embed,
    /// What attention adds to the stream in this block, after a post-norm where there is one.
    AttnOut(usize),
    /// The stream between the block's two additions.
    ResidMid(usize),
    /// What the MLP adds to the stream in this block, after a post-norm where there is one.
    MlpOut(usize),
    /// The complete stream after this block.
    ResidPost(usize),
    /// The output of the final norm, the input of the language-model head.
    Final,
}

impl Site {
    /// Every site of a model with `n_layers` blocks, in forward order.
    pub fn all(n_layers: usize) -> impl Iterator<Item = Site> {
        let blocks = (0..n_layers).flat_map(|l| {
            [Site::AttnOut(l), Site::ResidMid(l), Site::MlpOut(l), Site::ResidPost(l)]
        });
        std::iter::once(Site::Embed).chain(blocks).chain(std::iter::once(Site::Final))
    }

    /// The block this site belongs to; `None` for `embed` and `final`.
    pub fn block(self) -> Option<usize> {
        match self {
            Site::AttnOut(l) | Site::ResidMid(l) | Site::MlpOut(l) | Site::ResidPost(l) => Some(l),
            Site::Embed | Site::Final => None,
        }
    }

    /// Whether a model with `n_layers` blocks has this site.
    pub fn exists_in(self, n_layers: usize) -> bool {
        self.block().is_none_or(|l| l < n_layers)
    }

    /// Whether an edit here can reach keys or values of some later position.
    ///
    /// The last block's own sites and `final` lie after the last key/value projection: leaving them out of a
    /// cache key is exact.
    pub fn is_kv_active(self, n_layers: usize) -> bool {
        match self {
            Site::Embed => true,
            Site::Final => false,
            Site::AttnOut(l) | Site::ResidMid(l) | Site::MlpOut(l) | Site::ResidPost(l) => {
                l + 1 < n_layers
            }
        }
    }

    /// Position in forward order: `embed` is 0, `final` comes after every block.
    pub fn order(self) -> usize {
        match self {
            Site::Embed => 0,
            Site::AttnOut(l) => 1 + 4 * l,
            Site::ResidMid(l) => 2 + 4 * l,
            Site::MlpOut(l) => 3 + 4 * l,
            Site::ResidPost(l) => 4 + 4 * l,
            Site::Final => usize::MAX,
        }
    }
}

impl PartialOrd for Site {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Site {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order().cmp(&other.order())
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Site::Embed => write!(f, "embed"),
            Site::AttnOut(l) => write!(f, "attn_out.{l}"),
            Site::ResidMid(l) => write!(f, "resid_mid.{l}"),
            Site::MlpOut(l) => write!(f, "mlp_out.{l}"),
            Site::ResidPost(l) => write!(f, "resid_post.{l}"),
            Site::Final => write!(f, "final"),
        }
    }
}

impl Site {
    /// A site by its own text, or by the name that TransformerLens has for it.
    ///
    /// # Errors
    /// When the text is neither.
    pub fn named(name: &str) -> Result<Site, SiteError> {
        let lens = |name: &str| {
            if name == "hook_embed" {
                return Some("embed".to_owned());
            }
            let (block, kind) = name.strip_prefix("blocks.")?.split_once(".hook_")?;
            Some(format!("{kind}.{block}"))
        };
        let site: Result<Site, SiteError> = lens(name).as_deref().unwrap_or(name).parse();
        site.map_err(|error| match error {
            SiteError::Unknown(_) => SiteError::Unknown(name.to_owned()),
            pre @ SiteError::ResidPre { .. } => pre,
        })
    }
}

/// A text that names no site.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SiteError {
    /// `resid_pre.l` has another name here.
    #[error("{given} is named {equal} here")]
    ResidPre {
        /// What was written.
        given: String,
        /// The same tensor's name.
        equal: Site,
    },
    /// Not a site at all.
    #[error(
        "{0:?} is no site; sites are embed, attn_out.N, resid_mid.N, mlp_out.N, resid_post.N and final"
    )]
    Unknown(String),
}

impl FromStr for Site {
    type Err = SiteError;

    fn from_str(text: &str) -> Result<Self, SiteError> {
        let unknown = || SiteError::Unknown(text.to_owned());
        match text {
            "embed" => return Ok(Site::Embed),
            "final" => return Ok(Site::Final),
            _ => {}
        }
        let (kind, digits) = text.split_once('.').ok_or_else(unknown)?;
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        // Sixteen bits: no model has more blocks, and forward order is four times the number.
        let block = digits.parse::<u16>().ok().filter(|_| plain).ok_or_else(unknown)?;
        let block = usize::from(block);
        match kind {
            "attn_out" => Ok(Site::AttnOut(block)),
            "resid_mid" => Ok(Site::ResidMid(block)),
            "mlp_out" => Ok(Site::MlpOut(block)),
            "resid_post" => Ok(Site::ResidPost(block)),
            "resid_pre" => Err(SiteError::ResidPre {
                given: text.to_owned(),
                equal: block.checked_sub(1).map_or(Site::Embed, Site::ResidPost),
            }),
            _ => Err(unknown()),
        }
    }
}

/// A set of sites as bits in forward order, so that an empty site costs one test.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SiteSet {
    words: Vec<u64>,
    has_final: Presence,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Presence {
    #[default]
    Absent,
    Present,
}

impl SiteSet {
    /// Adds one site.
    pub fn insert(&mut self, site: Site) {
        if site == Site::Final {
            self.has_final = Presence::Present;
            return;
        }
        let (word, bit) = (site.order() / 64, site.order() % 64);
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        if let Some(w) = self.words.get_mut(word) {
            *w |= 1 << bit;
        }
    }

    /// Adds every site of another set.
    pub fn extend(&mut self, other: &SiteSet) {
        if self.words.len() < other.words.len() {
            self.words.resize(other.words.len(), 0);
        }
        for (mine, theirs) in self.words.iter_mut().zip(&other.words) {
            *mine |= theirs;
        }
        if other.has_final == Presence::Present {
            self.has_final = Presence::Present;
        }
    }

    /// Whether the set holds this site.
    #[inline]
    pub fn contains(&self, site: Site) -> bool {
        if site == Site::Final {
            return self.has_final == Presence::Present;
        }
        let (word, bit) = (site.order() / 64, site.order() % 64);
        self.words.get(word).is_some_and(|w| w >> bit & 1 == 1)
    }

    /// Whether no site is in the set.
    pub fn is_empty(&self) -> bool {
        self.has_final == Presence::Absent && self.words.iter().all(|w| *w == 0)
    }
}

impl FromIterator<Site> for SiteSet {
    fn from_iter<I: IntoIterator<Item = Site>>(sites: I) -> Self {
        let mut set = SiteSet::default();
        sites.into_iter().for_each(|s| set.insert(s));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_round_trips_and_orders_as_forward() {
        let sites: Vec<Site> = Site::all(12).collect();
        assert_eq!(sites.len(), 4 * 12 + 2);
        for pair in sites.windows(2) {
            assert!(pair[0] < pair[1], "{} before {}", pair[0], pair[1]);
        }
        for site in sites {
            assert_eq!(site.to_string().parse::<Site>().unwrap(), site);
        }
    }

    #[test]
    fn resid_pre_is_refused_with_the_equal_site() {
        let message = |t: &str| t.parse::<Site>().unwrap_err().to_string();
        assert_eq!(message("resid_pre.5"), "resid_pre.5 is named resid_post.4 here");
        assert_eq!(message("resid_pre.0"), "resid_pre.0 is named embed here");
        for bad in
            ["", "resid_post", "resid_post.", "resid_post.-1", "resid_post.+1", "Final", "x.1"]
        {
            assert!(bad.parse::<Site>().is_err(), "{bad}");
        }
    }

    #[test]
    fn kv_neutral_sites_are_those_after_the_last_projection() {
        assert!(Site::ResidPost(2).is_kv_active(4));
        assert!(!Site::AttnOut(3).is_kv_active(4));
        assert!(!Site::Final.is_kv_active(4));
    }

    #[test]
    fn a_set_holds_what_was_put_in() {
        let set: SiteSet = [Site::Final, Site::ResidPost(40)].into_iter().collect();
        assert!(set.contains(Site::Final) && set.contains(Site::ResidPost(40)));
        assert!(!set.contains(Site::ResidPost(39)) && !set.contains(Site::Embed));
        assert!(SiteSet::default().is_empty() && !set.is_empty());
    }
}
