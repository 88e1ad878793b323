//! What may be opened, who may open it, and what is left alone.

use super::{Scratch, trace};
use crate::Error;
use crate::store::{Store, schema};
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};
use trimtab_runtime::Kind;

/// Runs SQL on a file with SQLite alone, as another program would.
async fn other_program(scratch: &Scratch, sql: &'static str) {
    std::fs::create_dir_all(&scratch.0).unwrap();
    let url = format!("sqlite:{}?mode=rwc", scratch.file().display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn what_was_stored_is_there_after_reopening() {
    let scratch = Scratch::new();
    let store = Store::open(&scratch.0.join("deep/er")).await.unwrap();
    store.put_trace(&trace("ada", 3)).await.unwrap();
    store.close().await;
    drop(store);
    let store = Store::open(&scratch.0.join("deep/er")).await.unwrap();
    assert_eq!(store.trace("trace-ada-3").await.unwrap(), Some(trace("ada", 3)));
    store.check().await.unwrap();
}

#[tokio::test]
async fn a_folder_has_one_server_until_the_last_clone_is_gone() {
    let scratch = Scratch::new();
    let store = Store::open(&scratch.0).await.unwrap();
    let clone = store.clone();
    for held in [store, clone] {
        let error = Store::open(&scratch.0).await.unwrap_err();
        assert!(matches!(&error, Error::InUse { folder } if *folder == scratch.0), "{error}");
        assert_eq!((error.kind(), error.code()), (Kind::Busy, "state_in_use"));
        held.put_trace(&trace("ada", held.traces(9).await.unwrap().len() as u32)).await.unwrap();
    }
    Store::open(&scratch.0).await.unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn nothing_is_readable_by_other_users() {
    use std::os::unix::fs::PermissionsExt;
    let mode =
        |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let scratch = Scratch::new();
    let store = Store::open(&scratch.0).await.unwrap();
    store.put_trace(&trace("ada", 1)).await.unwrap();
    assert_eq!(mode(&scratch.0), 0o700);
    let files = ["trimtab.sqlite3", "trimtab.sqlite3-wal", "trimtab.sqlite3-shm", "trimtab.lock"];
    for file in files {
        assert_eq!(mode(&scratch.0.join(file)), 0o600, "{file}");
    }
    drop(store);

    // A file that was copied here is closed too.
    let copied = Scratch::with(b"");
    std::fs::set_permissions(copied.file(), std::fs::Permissions::from_mode(0o644)).unwrap();
    let _store = Store::open(&copied.0).await.unwrap();
    assert_eq!(mode(&copied.file()), 0o600);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_left_as_it_is() {
    let nearly = b"SQLite format 4\0 and something".as_slice();
    for bytes in [b"x".as_slice(), b"SQLite format 3", nearly, &[0; 4096]] {
        let scratch = Scratch::with(bytes);
        let error = Store::open(&scratch.0).await.unwrap_err();
        assert!(matches!(&error, Error::NotADatabase { path } if *path == scratch.file()));
        assert_eq!((error.kind(), error.code()), (Kind::Input, "state_not_a_database"));
        assert_eq!(std::fs::read(scratch.file()).unwrap(), bytes);
        // Nor is it locked afterwards: the same refusal comes again.
        assert!(matches!(Store::open(&scratch.0).await, Err(Error::NotADatabase { .. })));
    }
}

#[tokio::test]
async fn a_magic_word_alone_is_damage() {
    let mut bytes = b"SQLite format 3\0".to_vec();
    bytes.resize(8192, 0xff);
    let scratch = Scratch::with(&bytes);
    let error = Store::open(&scratch.0).await.unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    let named = format!("state file is damaged: {}: ", scratch.file().display());
    assert!(error.to_string().starts_with(&named), "{error}");
    assert_eq!(std::fs::read(scratch.file()).unwrap(), bytes);
}

#[tokio::test]
async fn a_database_of_another_program_is_left_as_it_is() {
    for sql in [
        "CREATE TABLE diary (page TEXT); INSERT INTO diary VALUES ('dear');",
        "PRAGMA application_id = 77; CREATE TABLE traces (id TEXT); PRAGMA user_version = 1;",
    ] {
        let scratch = Scratch::new();
        other_program(&scratch, sql).await;
        let before = std::fs::read(scratch.file()).unwrap();
        let error = Store::open(&scratch.0).await.unwrap_err();
        assert!(matches!(error, Error::Foreign { .. }), "{error}");
        assert_eq!(std::fs::read(scratch.file()).unwrap(), before);
    }
}

#[tokio::test]
async fn a_file_of_a_newer_program_is_refused_with_both_versions() {
    let scratch = Scratch::new();
    Store::open(&scratch.0).await.unwrap().close().await;
    other_program(&scratch, "CREATE TABLE later (x); PRAGMA user_version = 7").await;
    let error = Store::open(&scratch.0).await.unwrap_err();
    let known = schema::MIGRATIONS.len();
    let said = format!("has state version 7, this program knows versions up to {known}");
    assert!(error.to_string().ends_with(&said), "{error}");
    assert_eq!((error.kind(), error.code()), (Kind::Input, "state_newer"));
    assert_eq!(known, 4);
    other_program(&scratch, "DROP TABLE later; PRAGMA user_version = 4").await;
    Store::open(&scratch.0).await.unwrap().check().await.unwrap();
}

#[tokio::test]
async fn a_folder_that_is_a_file_is_named() {
    let scratch = Scratch::with(b"");
    let error = Store::open(&scratch.file()).await.unwrap_err();
    assert!(error.to_string().starts_with(scratch.file().to_str().unwrap()), "{error}");
}

#[tokio::test]
async fn every_step_ends_by_setting_its_version() {
    for (number, step) in (1..).zip(schema::MIGRATIONS) {
        let last = format!("PRAGMA user_version = {number};\n");
        assert!(step.ends_with(&last), "step {number}");
        assert_eq!(step.matches("user_version").count(), 1, "step {number}");
    }
}

#[tokio::test]
async fn a_file_of_the_first_version_keeps_what_it_holds() {
    let scratch = Scratch::new();
    let url = format!("sqlite:{}?mode=rwc", scratch.file().display());
    std::fs::create_dir_all(&scratch.0).unwrap();
    let mut old = SqliteConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(schema::MIGRATIONS[0]).execute(&mut old).await.unwrap();
    let audit =
        "INSERT INTO audit (when_ms, who, what, object, detail) VALUES (5, 'a', 'b', 'c', '{}')";
    sqlx::raw_sql(audit).execute(&mut old).await.unwrap();
    old.close().await.unwrap();
    let store = Store::open(&scratch.0).await.unwrap();
    assert_eq!(store.audits(0, 9).await.unwrap().len(), 1);
    store.put_interventions(&[super::intervention("ada", 1)]).await.unwrap();
    assert_eq!(store.interventions(0, 9).await.unwrap(), [super::intervention("ada", 1)]);
    store.check().await.unwrap();
}

#[tokio::test]
async fn rows_of_the_second_version_were_found_once() {
    let scratch = Scratch::new();
    std::fs::create_dir_all(&scratch.0).unwrap();
    let url = format!("sqlite:{}?mode=rwc", scratch.file().display());
    let mut old = SqliteConnection::connect(&url).await.unwrap();
    for step in &schema::MIGRATIONS[..2] {
        sqlx::raw_sql(*step).execute(&mut old).await.unwrap();
    }
    let row = "INSERT INTO interventions (request, response, trace, owner, when_ms, weights_sha256, prompt_sha256,
        choice, attempt, watch, \"from\", \"at\", action, rule, guidance, ban, discarded, outcome)
        VALUES ('r', 'c', 't', 'ada', 5, 'w', 'p', 0, 0, 'digits', 1, 2, 'hit', '', 'none', '[]', 0, 'noted')";
    sqlx::raw_sql(row).execute(&mut old).await.unwrap();
    old.close().await.unwrap();
    let store = Store::open(&scratch.0).await.unwrap();
    let rows = store.interventions(0, 9).await.unwrap();
    assert_eq!((rows[0].watch.as_str(), rows[0].count), ("digits", 1));
    store.check().await.unwrap();
}

#[tokio::test]
async fn a_step_that_fails_is_taken_back_whole() {
    let store = Store::memory().await.unwrap();
    let known = schema::MIGRATIONS.len() as i64;
    let next = |by: i64, sql: &str| -> &'static str {
        format!("{sql}; PRAGMA user_version = {};", known + by).leak()
    };
    let mut steps = schema::MIGRATIONS.to_vec();
    steps.push(next(1, "CREATE TABLE next (x)"));
    steps.push(next(2, "CREATE TABLE broken (x); INSERT INTO nowhere VALUES (1)"));
    let error = schema::migrate(&store.pool, &steps).await.unwrap_err();
    let failed = known + 2;
    assert!(matches!(error, Error::Migration { version, .. } if version == failed), "{error}");
    let count = async |sql: String| -> i64 {
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&store.pool).await.unwrap()
    };
    assert_eq!(count("PRAGMA user_version".to_owned()).await, known + 1);
    let tables = |name| format!("SELECT count(*) FROM sqlite_schema WHERE name = '{name}'");
    assert_eq!((count(tables("next")).await, count(tables("broken")).await), (1, 0));
}

#[tokio::test]
async fn the_connection_keeps_what_the_page_says() {
    let scratch = Scratch::new();
    let store = Store::open(&scratch.0).await.unwrap();
    let word: String =
        sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&store.pool).await.unwrap();
    assert_eq!(word, "wal");
    // FULL is 2, ON is 1, MEMORY is 2.
    for (pragma, expected) in [
        ("PRAGMA synchronous", 2_i64),
        ("PRAGMA foreign_keys", 1),
        ("PRAGMA secure_delete", 1),
        ("PRAGMA temp_store", 2),
        ("PRAGMA busy_timeout", 5000),
    ] {
        let found: i64 = sqlx::query_scalar(pragma).fetch_one(&store.pool).await.unwrap();
        assert_eq!(found, expected, "{pragma}");
    }
}

#[tokio::test]
async fn a_broken_page_is_found() {
    let scratch = Scratch::new();
    let store = Store::open(&scratch.0).await.unwrap();
    for number in 0..60 {
        store.put_trace(&trace("ada", number)).await.unwrap();
    }
    store.close().await;
    drop(store);
    let mut bytes = std::fs::read(scratch.file()).unwrap();
    // Behind the pages of the schema, which are read when the file is opened.
    let late = bytes.len() * 3 / 4 / 4096 * 4096;
    bytes[late..late + 4096].fill(0x5a);
    std::fs::write(scratch.file(), bytes).unwrap();
    let store = Store::open(&scratch.0).await.unwrap();
    let error = store.check().await.unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    assert_eq!(error.code(), "state_damaged");
}
