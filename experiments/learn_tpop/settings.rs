//! The settings that duels choose between: no wish, or one of three styles asked for in words, by a vector, or both.

use std::path::Path;
use trimtab_runtime::plan::Plan;
use trimtab_steering::steer::{NullVectors, SteerOptions};
use trimtab_steering::{Steer, VectorFile};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The system prompt of every setting; a wish in words comes behind it.
pub const SYSTEM: &str = "You are a helpful assistant.";

/// What is wished for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Short,
    List,
    Warm,
}

impl Style {
    pub const ALL: [Style; 3] = [Style::Short, Style::List, Style::Warm];

    pub fn name(self) -> &'static str {
        match self {
            Style::Short => "short",
            Style::List => "list",
            Style::Warm => "warm",
        }
    }

    /// The wish in words, as in `scripts/styles.sh`.
    fn words(self) -> &'static str {
        match self {
            Style::Short => "Please keep your answer very short.",
            Style::List => "Please give your answer as a bulleted list.",
            Style::Warm => "Please answer in a very enthusiastic and excited way.",
        }
    }

    fn file(self) -> &'static str {
        match self {
            Style::Short => "concise.safetensors",
            Style::List => "list.safetensors",
            Style::Warm => "enthusiastic.safetensors",
        }
    }
}

/// How it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Instruction,
    Vector,
    Both,
}

impl Form {
    pub const ALL: [Form; 3] = [Form::Instruction, Form::Vector, Form::Both];

    pub fn name(self) -> &'static str {
        match self {
            Form::Instruction => "instruction",
            Form::Vector => "vector",
            Form::Both => "both",
        }
    }
}

/// An arm of a duel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    Plain,
    Styled(Style, Form),
}

impl Setting {
    /// All ten.
    pub fn all() -> Vec<Setting> {
        let styled = Form::ALL.into_iter().flat_map(Setting::of);
        [Setting::Plain].into_iter().chain(styled).collect()
    }

    /// Plain and the three styles in one form.
    pub fn four(form: Form) -> Vec<Setting> {
        [Setting::Plain].into_iter().chain(Setting::of(form)).collect()
    }

    fn of(form: Form) -> impl Iterator<Item = Setting> {
        Style::ALL.into_iter().map(move |style| Setting::Styled(style, form))
    }

    pub fn name(self) -> String {
        match self {
            Setting::Plain => "plain".to_owned(),
            Setting::Styled(style, form) => format!("{}, {}", style.name(), form.name()),
        }
    }

    pub fn system(self) -> String {
        match self {
            Setting::Styled(style, Form::Instruction | Form::Both) => {
                format!("{SYSTEM} {}", style.words())
            }
            Setting::Plain | Setting::Styled(_, Form::Vector) => SYSTEM.to_owned(),
        }
    }

    fn steered(self) -> Option<Style> {
        match self {
            Setting::Styled(style, Form::Vector | Form::Both) => Some(style),
            Setting::Plain | Setting::Styled(_, Form::Instruction) => None,
        }
    }
}

/// The vectors of the styles, each at the scale of its card or at another.
pub struct Vectors {
    files: Vec<(Style, VectorFile)>,
    scales: Vec<(Style, f32)>,
}

impl Vectors {
    /// The files of a folder, and scales instead of those of the cards, such as `short=0.1,warm=0.5`.
    pub fn open(folder: &Path, scales: &str) -> Result<Vectors> {
        let file = |style: Style| Ok((style, VectorFile::open(&folder.join(style.file()))?));
        let scale = |part: &str| -> Result<(Style, f32)> {
            let (name, scale) = part.split_once('=').ok_or("a scale is written style=number")?;
            let style = Style::ALL.into_iter().find(|style| style.name() == name);
            Ok((style.ok_or_else(|| format!("there is no style {name:?}"))?, scale.parse()?))
        };
        let scales = scales.split(',').filter(|part| !part.is_empty()).map(scale);
        Ok(Vectors {
            files: Style::ALL.into_iter().map(file).collect::<Result<_>>()?,
            scales: scales.collect::<Result<_>>()?,
        })
    }

    /// What a setting does to the model's stream.
    pub fn plan(&self, setting: Setting) -> Result<Plan> {
        let Some(style) = setting.steered() else { return Ok(Plan::empty()) };
        let found = self.files.iter().find(|(of, _)| *of == style);
        let (_, file) = found.ok_or("a style has no vector")?;
        let scale = self.scales.iter().find(|(of, _)| *of == style).map(|(_, scale)| *scale);
        let options = SteerOptions { scale, null: NullVectors::Allow, ..SteerOptions::default() };
        Ok(Plan::of(Steer::new(file, &options)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_ten_settings_and_four_of_each_form() {
        let names: Vec<String> = Setting::all().into_iter().map(Setting::name).collect();
        let distinct: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!((names.len(), distinct.len()), (10, 10));
        assert!(Form::ALL.into_iter().all(|form| Setting::four(form).len() == 4));
        let both = Setting::Styled(Style::List, Form::Both);
        assert!(both.system().ends_with("bulleted list.") && both.steered() == Some(Style::List));
    }
}
