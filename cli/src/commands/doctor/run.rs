//! Looks at the processor, the devices, the model's files, the state folder and the port, and says what is in the way.

use super::args::DoctorArgs;
use crate::args::environment::state_folder;
use crate::commands::table::markdown;
use crate::console::Console;
use crate::document::{Fields, VERSION, head};
use crate::error::{Error, Result};
use crate::flags::model::Source;
use crate::threads::physical_cores;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use trimtab_runtime::device::{self, Device, DeviceChoice};
use trimtab_runtime::hub::{Reach, Resolver};
use trimtab_runtime::output::{self, Named};

/// One thing that was looked at: its name, how it stands, and what was found.
type Finding = (&'static str, Standing, String);

/// How a thing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Fine,
    /// It works, but not as it could.
    Note,
    Broken,
}

/// Looks at everything and says it; something broken fails the command.
pub fn run(args: DoctorArgs, console: &Console) -> Result<()> {
    let source = Source::of(args.model, args.source)?;
    let findings = vec![
        finding("build", Ok(format!("trimtab {VERSION}, {}", Device::built_in().join(", ")))),
        device(),
        processor(),
        memory(),
        model(&source),
        state(args.state_dir),
        port(args.port),
    ];
    let broken = findings.iter().filter(|f| f.1 == Standing::Broken).map(|f| f.0);
    let broken = broken.collect::<Vec<_>>().join(", ");
    let told = findings.into_iter().map(|(name, standing, found)| {
        let standing = match standing {
            Standing::Fine => "fine",
            Standing::Note => "note",
            Standing::Broken => "broken",
        };
        (name, standing, found)
    });
    if console.is_json() {
        let entry = |(name, standing, found): (&str, &str, String)| {
            Fields::new("name", name).with("standing", standing).with("found", found)
        };
        let findings: Vec<Fields> = told.map(entry).collect();
        console.print(&head("doctor", None).with("findings", findings))?;
    } else {
        let rows =
            told.map(|(name, standing, found)| [name.to_owned(), standing.to_owned(), found]);
        console.say_line(markdown("what;is;found", rows))?;
    }
    if broken.is_empty() { Ok(()) } else { Err(Error::Check { failed: broken }) }
}

fn finding(name: &'static str, found: std::result::Result<String, String>) -> Finding {
    match found {
        Ok(found) => (name, Standing::Fine, found),
        Err(found) => (name, Standing::Broken, found),
    }
}

fn device() -> Finding {
    let best = DeviceChoice::Best.open();
    finding("device", best.map(|d| d.kind().to_owned()).map_err(|e| e.to_string()))
}

fn processor() -> Finding {
    let set = device::instruction_set();
    let found = format!("{} physical cores, quantised products by {set}", physical_cores());
    let standing = if set == "portable" { Standing::Note } else { Standing::Fine };
    ("processor", standing, found)
}

/// What Linux says is free; other systems do not say it in a file.
fn memory() -> Finding {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kilobytes = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    };
    let gib = |kilobytes: u64| kilobytes as f64 / f64::from(1 << 20);
    let (standing, found) = match (kilobytes("MemAvailable"), kilobytes("MemTotal")) {
        (Some(free), Some(all)) => {
            // The default model with a gigabyte of keys and values needs about one and a half.
            let standing = if gib(free) < 1.5 { Standing::Note } else { Standing::Fine };
            (standing, format!("{:.1} GiB free of {:.1}", gib(free), gib(all)))
        }
        _ => (Standing::Note, "not known on this system".to_owned()),
    };
    ("memory", standing, found)
}

fn model(source: &Source) -> Finding {
    match Resolver::new().with_reach(Reach::Offline).resolve(&source.model) {
        Ok(local) => finding("model", Ok(format!("{}: {}", local.name, local.path.display()))),
        Err(error) => {
            let found =
                format!("not here yet ({error}); the first command that needs it fetches it");
            ("model", Standing::Note, found)
        }
    }
}

/// Whether state can be kept where it belongs.
fn state(named: Option<PathBuf>) -> Finding {
    let folder = named.or_else(state_folder);
    let Some(folder) = folder else {
        let problem = "no home folder; give --state-dir".to_owned();
        return finding("state", Err(problem));
    };
    finding("state", writable(&folder))
}

fn writable(folder: &Path) -> std::result::Result<String, String> {
    let there = folder.ancestors().find(|folder| folder.exists());
    let there = there.ok_or_else(|| format!("{} has no parent", folder.display()))?;
    let probe = Named::new("--state-dir", there.join(".trimtab-probe"));
    output::plan(&[], &[probe]).map_err(|e| format!("{} {}", there.display(), e.problem))?;
    Ok(folder.display().to_string())
}

fn port(port: u16) -> Finding {
    let (standing, found) = match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => (Standing::Fine, format!("{port} is free")),
        Err(error) => {
            (Standing::Note, format!("{port} cannot be had: {error}; serve takes --port"))
        }
    };
    ("port", standing, found)
}
