//! `TRIMTAB_<FLAG>` for every long flag, and what looks like one and is none.

use clap::{Arg, ArgAction, Command};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;
use trimtab_runtime::json::nearest;

const PREFIX: &str = "TRIMTAB_";
/// What turns a switch off, and what turns it on, in any case.
const OFF: [&str; 7] = ["", "0", "f", "false", "n", "no", "off"];
const ON: [&str; 6] = ["1", "t", "true", "y", "yes", "on"];
/// Flags that may be given again, and whose variables hold a list that commas separate.
const LISTS: [&str; 3] = ["stop", "steer", "adapt_param"];
/// Known to the project's tests, not to the program.
const OF_TESTS: &str = "TRIMTAB_TEST_";

/// Binds every long flag of a command and its subcommands to its variable, but for those that are `outranked`.
pub fn bind(command: Command, outranked: &BTreeSet<&str>) -> Command {
    let command = command.mut_args(|arg| match outranked.contains(arg.get_id().as_str()) {
        true => arg,
        false => bind_one(arg),
    });
    command.mut_subcommands(|inner| bind(inner, outranked))
}

fn bind_one(arg: Arg) -> Arg {
    let names = names(&arg);
    let arg = match arg.get_action() {
        ArgAction::SetTrue => arg.value_parser(switch),
        _ => arg,
    };
    // clap reads one variable per flag: the one that is set, should it be an alias's.
    let set = names.iter().find(|name| is_set(name)).or(names.first());
    match set.cloned() {
        Some(name) if is_off(&arg, &name) => arg,
        // What is typed holds one item a flag, a variable a list; where both are, this one's is not bound.
        Some(name) if is_set(&name) && LISTS.contains(&arg.get_id().as_str()) => {
            arg.env(name).hide_env(true).value_delimiter(',')
        }
        Some(name) => arg.env(name).hide_env(true),
        None => arg,
    }
}

/// A switch, as its variable says it.
fn switch(text: &str) -> Result<bool, &'static str> {
    let word = text.to_lowercase();
    match (ON.contains(&word.as_str()), OFF.contains(&word.as_str())) {
        (true, _) => Ok(true),
        (_, true) => Ok(false),
        _ => Err("a switch is 1 or 0"),
    }
}

/// The variables of a flag: that of its name, then those of its aliases.
fn names(arg: &Arg) -> Vec<String> {
    let aliases = arg.get_all_aliases().unwrap_or_default();
    arg.get_long().into_iter().chain(aliases).map(variable).collect()
}

fn variable(flag: &str) -> String {
    format!("{PREFIX}{}", flag.replace('-', "_").to_uppercase())
}

/// Whether a variable is set.
pub fn is_set(name: &str) -> bool {
    value(name).is_some()
}

/// Whether the variable turns a switch off, which is as if it were not set.
fn is_off(arg: &Arg, name: &str) -> bool {
    let switch = matches!(arg.get_action(), ArgAction::SetTrue | ArgAction::Count);
    let value = value(name);
    let text = value.as_ref().map(|value| value.to_string_lossy());
    switch && text.is_some_and(|text| OFF.contains(&text.to_ascii_lowercase().as_str()))
}

#[allow(clippy::disallowed_methods)] // the command line reads the environment
fn value(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// Where programs keep their state: `$XDG_STATE_HOME/trimtab`; `None` where there is no home either.
pub fn state_folder() -> Option<PathBuf> {
    let state = value("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let usual = || std::env::home_dir().map(|home| home.join(".local").join("state"));
    Some(state.or_else(usual)?.join("trimtab"))
}

/// A warning for each variable of our name that is no flag's.
pub fn unknown() -> Vec<String> {
    #[allow(clippy::disallowed_methods)] // the command line reads the environment
    let set = std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned());
    let known = known(&super::command());
    let strange =
        |n: &String| n.starts_with(PREFIX) && !n.starts_with(OF_TESTS) && !known.contains(n);
    set.filter(strange).map(|name| warning(&name, &known)).collect()
}

fn known(command: &Command) -> BTreeSet<String> {
    let own = command.get_arguments().flat_map(names);
    own.chain(command.get_subcommands().flat_map(known)).collect()
}

fn warning(name: &str, known: &BTreeSet<String>) -> String {
    let nearest = nearest(name, known.iter().map(String::as_str));
    let nearest = nearest.map(|n| format!("; the nearest name is {n}")).unwrap_or_default();
    format!("variable {name} is not known{nearest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_name_is_offered() {
        let known = known(&crate::args::command());
        assert!(known.contains("TRIMTAB_CTX_SIZE") && known.contains("TRIMTAB_TEMP"));
        let text = warning("TRIMTAB_CTX_SISE", &known);
        assert!(text.ends_with("the nearest name is TRIMTAB_CTX_SIZE"), "{text}");
    }

    #[test]
    fn a_switch_is_on_or_off() {
        assert!(ON.iter().all(|word| switch(word) == Ok(true)) && switch("ON") == Ok(true));
        assert!(OFF.iter().all(|word| switch(word) == Ok(false)));
        assert_eq!(switch("maybe"), Err("a switch is 1 or 0"));
    }

    #[test]
    fn every_long_flag_has_its_variable() {
        let command = crate::args::command();
        let all = command.get_subcommands().chain([&command]);
        let mut count = 0;
        for arg in all.flat_map(Command::get_arguments) {
            let Some(long) = arg.get_long() else { continue };
            let name = arg.get_env().map(|name| name.to_string_lossy().into_owned());
            assert_eq!(name, Some(variable(long)));
            count += 1;
        }
        assert!(count > 60, "{count}");
    }
}
