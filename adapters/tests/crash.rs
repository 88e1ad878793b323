//! A server that is killed at any moment has lost nothing that it was told is stored, and left nothing half done.
//!
//! A program of its own, because it starts itself: with the word `write` and a folder it is the server, which writes
//! without end and reports each act after it was done; without, it is the judge, which kills ten servers on one folder
//! with SIGKILL and reads what they left.

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, SystemTime};
use trimtab_adapters::store::{
    Adapter, AdapterVersion, Cause, Forgotten, LessonRow, Published, Retention, Store, Trace,
    UserText,
};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

const ROUNDS: u32 = 10;
/// Numbers of one server; the next begins behind them.
const SPAN: u32 = 1_000_000;
/// Kept by every retention run, so that the log is emptied and no trace is missed.
const ALL: Retention = Retention {
    traces: u32::MAX,
    trace_age: Duration::MAX,
    audit_age: Duration::MAX,
    interventions: u32::MAX,
    interventions_of_one: u32::MAX,
    audits: u32::MAX,
    lessons: u32::MAX,
};

fn trace(number: u32) -> Trace {
    Trace {
        id: number.to_string(),
        response: format!("chatcmpl-{number}"),
        owner: "ada".to_owned(),
        created_ms: i64::from(number),
        weights_sha256: format!("{number:064x}"),
        // From less than a page to some twenty.
        receipt: format!(
            r#"{{"n": {number}, "text": "{}"}}"#,
            "word ".repeat(number as usize % 97 * 170)
        ),
        prompt: (number..number + 40).collect(),
        answers: vec![(0..number % 300).collect()],
        user_text: UserText::Present,
        adapter: None,
    }
}

/// Publishes the next version of the one adapter that is never deleted, with its lesson.
async fn learn(store: &Store, number: u32) -> Outcome<u32> {
    let (owner, adapter) = ("ada".to_owned(), "learner".to_owned());
    let newest = store.newest_version(&owner, &adapter).await?;
    let parent = newest.map_or(0, |version| version.parent + 1);
    let version = AdapterVersion {
        owner: owner.clone(),
        adapter: adapter.clone(),
        parent,
        cause: Cause::Feedback,
        created_ms: i64::from(number),
        detail: "{}".to_owned(),
        state: vec![7; 2_000 + parent as usize % 60_000],
    };
    let lesson = LessonRow {
        owner,
        adapter,
        id: format!("fb-{number}"),
        subject: format!("answer {number}"),
        said_sha256: String::new(),
        when_ms: i64::from(number),
        report: "{}".to_owned(),
        entry: "{}".to_owned(),
        version: None,
    };
    match store.publish(&version, &lesson).await? {
        Published::Version(version) => Ok(version),
        Published::Stale => Err("somebody else writes here".into()),
    }
}

/// What belongs to a guest: written in three transactions, deleted in one.
async fn welcome(store: &Store, number: u32) -> Outcome {
    let owner = format!("guest-{number}");
    let adapter = Adapter {
        owner: owner.clone(),
        id: "taste".to_owned(),
        method: "rosa".to_owned(),
        weights_sha256: String::new(),
        config: "{}".to_owned(),
        created_ms: 0,
    };
    store.put_adapter(&adapter).await?;
    let version = AdapterVersion {
        owner: owner.clone(),
        adapter: adapter.id,
        parent: 0,
        cause: Cause::Import,
        created_ms: 0,
        detail: "{}".to_owned(),
        state: vec![7; 20_000],
    };
    store.put_version(&version).await?;
    let id = format!("guest-trace-{number}");
    store.put_trace(&Trace { owner, response: id.clone(), id, ..trace(number) }).await?;
    Ok(())
}

/// Writes until it is killed. A line is printed when its act is done, never before.
async fn write(folder: &Path, first: u32) -> Outcome {
    let store = Store::open(folder).await?;
    let learner = Adapter {
        owner: "ada".to_owned(),
        id: "learner".to_owned(),
        method: "rosa".to_owned(),
        weights_sha256: String::new(),
        config: "{}".to_owned(),
        created_ms: 0,
    };
    store.put_adapter(&learner).await?;
    let mut out = std::io::stdout();
    let mut report = |line: String| out.write_all(line.as_bytes()).and_then(|()| out.flush());
    for number in first..first + SPAN {
        store.put_trace(&trace(number)).await?;
        report(format!("trace {number}\n"))?;
        let seen = store.settings().await?.map_or(0, |settings| settings.version);
        let version = store.put_settings(seen, &format!("[{}]", seen + 1)).await?;
        report(format!("settings {}\n", version.ok_or("somebody else writes here")?))?;
        report(format!("version {}\n", learn(&store, number).await?))?;
        welcome(&store, number).await?;
        report(format!("guest {number}\n"))?;
        store.delete_owner(&format!("guest-{number}")).await?;
        report(format!("gone {number}\n"))?;
        if number.is_multiple_of(8) {
            store.retain(&ALL, 0).await?;
        }
    }
    Ok(())
}

/// The acts that a server reported, each with its number.
type Reports = Vec<(String, u32)>;

/// Starts a server, kills it, and returns all it has reported. Every other one may have begun to write before its time
/// runs; the rest may be killed while they still open the file.
fn kill_one(folder: &Path, round: u32) -> Outcome<Reports> {
    let patience = chance()?;
    let mut child = Command::new(std::env::current_exe()?)
        .args(["write", &(round * SPAN).to_string()])
        .arg(folder)
        .stdout(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(child.stdout.take().ok_or("no pipe to the server")?);
    let (sender, receiver) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut line = String::new();
        // A line without its end was not finished, and a receiver that is gone ends the round.
        while lines.read_line(&mut line).is_ok() && line.ends_with('\n') {
            if sender.send(std::mem::take(&mut line)).is_err() {
                break;
            }
        }
    });
    let waits = round.is_multiple_of(2);
    let first = waits.then(|| receiver.recv_timeout(Duration::from_secs(60)));
    std::thread::sleep(patience);
    // Before anything else may fail: the server would write for ever.
    child.kill()?;
    let ended = child.wait()?;
    reader.join().map_err(|_| "the reader of reports failed")?;
    if ended.code().is_some() {
        return Err(format!("the server ended by itself: {ended}").into());
    }
    let report = |line: String| {
        let (act, number) = line.trim_end().split_once(' ')?;
        Some((act.to_owned(), number.parse().ok()?))
    };
    let lines = first.transpose()?.into_iter().chain(receiver);
    lines.map(|line| report(line).ok_or_else(|| "a report that cannot be read".into())).collect()
}

/// Up to half a second, by the last digits of the clock.
fn chance() -> Outcome<Duration> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(Duration::from_micros(u64::from(now.subsec_nanos() / 7 % 500_000)))
}

/// What must be true of the folder after a kill.
async fn judge(folder: &Path, reports: &Reports) -> Outcome {
    let store = Store::open(folder).await?;
    store.check().await?;
    for (act, number) in reports {
        let number = *number;
        let kept = match act.as_str() {
            "trace" => store.trace(&number.to_string()).await? == Some(trace(number)),
            "settings" => store.settings().await?.is_some_and(|s| s.version >= number),
            _ => true,
        };
        if !kept {
            return Err(format!("{act} {number} was reported and is not there").into());
        }
    }
    // Also what was not reported any more is whole or absent.
    for found in store.traces(u32::MAX).await? {
        let number = u32::try_from(found.created_ms)?;
        let receipt = trace(number).receipt;
        if found.receipt != receipt || found.prompt != trace(number).prompt {
            return Err(format!("trace {} is there in part", found.id).into());
        }
    }
    if let Some(settings) = store.settings().await?
        && settings.document != format!("[{}]", settings.version)
    {
        return Err("settings and their version are of two changes".into());
    }
    judge_learner(&store, reports).await?;
    judge_guests(&store, reports).await?;
    store.close().await;
    Ok(())
}

/// Versions are numbered without a gap, each with the lesson it came of and whole; none that was reported is missing.
async fn judge_learner(store: &Store, reports: &Reports) -> Outcome {
    let (versions, lessons) =
        (store.versions("ada", "learner").await?, store.lessons("ada", "learner").await?);
    let numbers = versions.iter().map(|version| (version.version, version.created_ms));
    let taught = lessons.iter().map(|lesson| (lesson.version.unwrap_or(0), lesson.when_ms));
    if !numbers.clone().eq(taught)
        || !numbers.map(|(number, _)| number).eq(1..=versions.len() as u32)
    {
        return Err("versions and lessons do not belong together".into());
    }
    let whole = |v: &trimtab_adapters::store::VersionEntry| {
        v.size_bytes == u64::from(2_000 + v.parent % 60_000)
    };
    if let Some(torn) = versions.iter().find(|version| !whole(version)) {
        return Err(format!("version {} is there in part", torn.version).into());
    }
    let newest = versions.len() as u32;
    match reports.iter().find(|(act, number)| act == "version" && *number > newest) {
        Some((_, number)) => Err(format!("version {number} was reported and is not there").into()),
        None => Ok(()),
    }
}

/// A guest that was complete is complete, or gone whole; one that was gone stays gone.
async fn judge_guests(store: &Store, reports: &Reports) -> Outcome {
    let none = Forgotten::default();
    let all = Forgotten { traces: 1, adapters: 1, versions: 1 };
    for (_, number) in reports.iter().filter(|(act, _)| act == "guest") {
        let left = store.delete_owner(&format!("guest-{number}")).await?;
        let gone = reports.contains(&("gone".to_owned(), *number));
        if left != none && (gone || left != all) {
            return Err(format!("guest {number} has left {left:?}").into());
        }
    }
    Ok(())
}

async fn rounds(folder: &Path) -> Outcome {
    let mut reports = Reports::new();
    for round in 0..ROUNDS {
        let latest = kill_one(folder, round)?;
        println!("round {round}: killed after {} reports", latest.len());
        reports.extend(latest);
        judge(folder, &reports).await?;
    }
    println!("{} reports kept by ten killed servers", reports.len());
    Ok(())
}

#[tokio::main]
async fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, word, first, folder] = arguments.as_slice()
        && word == "write"
    {
        return write(Path::new(folder), first.parse()?).await;
    }
    let name = format!("crash-{}", std::process::id());
    let folder: PathBuf = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let outcome = rounds(&folder).await;
    std::fs::remove_dir_all(&folder)?;
    outcome
}
