//! SQLite3 file of a bag. Messages are read in the order of their timestamps, or of a file that was cut off in the order of
//! writing, up to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::ops::ControlFlow;
use std::time::Duration;

use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags, params};

use super::error::BagError;
use super::files::OpenFile;
use super::in_order::InOrder;
use super::message::{Contents, Recorded, Topic, Visit};
use super::message_compression::unpacked;

/// Instructions of SQLite between two looks at how many there were.
const LOOK_AFTER: i32 = 10_000;
/// Instructions that reading a file may take, and further ones for each of its bytes. A message has at least 30 bytes and takes
/// 60 instructions.
const INSTRUCTIONS: u64 = 1_000_000;
const INSTRUCTIONS_FOR_EACH_BYTE: u64 = 20;

/// Reads the topics of the file.
pub(super) fn contents(file: &OpenFile) -> Result<Contents, BagError> {
    let connection = open(file)?;
    let error = error(file);
    let mut statement = connection
        .prepare("SELECT name, type, serialization_format FROM topics ORDER BY name")
        .map_err(&error)?;
    let topics = statement
        .query_map([], |row| {
            let topic = Topic {
                type_name: row.get(1)?,
                encoding: row.get(2)?,
                messages: None,
            };
            Ok((row.get(0)?, topic))
        })
        .and_then(Iterator::collect::<Result<BTreeMap<String, Topic>, _>>)
        .map_err(&error)?;
    // Only progress needs the span, so a damaged file may go without.
    let span = connection
        .query_row("SELECT min(timestamp), max(timestamp) FROM messages", [], |row| {
            Ok(time(row.get(0)?).zip(time(row.get(1)?)))
        })
        .unwrap_or(None);
    Ok(Contents {
        topics,
        span,
        warnings: Vec::new(),
    })
}

/// Passes on the messages of the topics `wanted`, and returns a warning where a damaged file ended.
pub(super) fn read(
    file: &OpenFile,
    wanted: &BTreeSet<String>,
    visit: &mut Visit,
) -> Result<(ControlFlow<()>, Vec<String>), BagError> {
    let connection = open(file)?;
    let topics = wanted_topics(&connection, wanted).map_err(error(file))?;
    let cut_off = cut_off(file)?;
    let order = match cut_off {
        // The index of the timestamps is spread over the whole file.
        Some(_) => "id",
        None => "timestamp, id",
    };
    let mut in_order = InOrder::default();
    let mut newest = None;
    let mut run = || -> Result<ControlFlow<()>, ReadError> {
        // The data is left out here, because sorting would carry it along.
        let mut rows = connection.prepare(&format!(
            "SELECT id, topic_id, timestamp FROM messages ORDER BY {order}"
        ))?;
        let mut data = connection.prepare("SELECT data FROM messages WHERE id = ?")?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            let (id, topic_id): (i64, i64) = (row.get(0)?, row.get(1)?);
            let Some(topic) = topics.get(&topic_id) else {
                continue;
            };
            let log_time = time(row.get(2)?).unwrap_or_default();
            let mut found = data.query(params![id])?;
            let Some(row) = found.next()? else { continue };
            let data = &unpacked(row.get_ref(0)?.as_blob().unwrap_or_default())?;
            newest = newest.max(Some(log_time));
            let message = Recorded {
                topic,
                log_time,
                data,
            };
            let flow = match cut_off {
                Some(_) => in_order.take(message, visit),
                None => visit(message),
            };
            if flow.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    };
    let ended = run();
    let mut warnings = Vec::new();
    let problem = match (&ended, cut_off) {
        (_, Some((found, expected))) => Some(format!("{found} bytes long, its header says {expected}")),
        (Err(error), None) => Some(error.to_string()),
        (Ok(_), None) => None,
    };
    if let Some(problem) = problem {
        let end = match newest {
            Some(time) => format!("read up to the log time {:.3} s", time.as_secs_f64()),
            None => "no message could be read".to_owned(),
        };
        warnings.push(format!(
            "{}: the file is damaged or cut off ({problem}): {end}",
            file.named.display()
        ));
    }
    let flow = match ended {
        Ok(ControlFlow::Break(())) => ControlFlow::Break(()),
        _ => in_order.finish(visit),
    };
    Ok((flow, warnings))
}

#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error("a compressed message: {0}")]
    Compression(#[from] std::io::Error),
}

fn wanted_topics(
    connection: &Connection,
    wanted: &BTreeSet<String>,
) -> Result<BTreeMap<i64, String>, rusqlite::Error> {
    let mut statement = connection.prepare("SELECT id, name FROM topics")?;
    let topics = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut topics: BTreeMap<i64, String> = topics.collect::<Result<_, _>>()?;
    topics.retain(|_, name| wanted.contains(name));
    Ok(topics)
}

/// Number of bytes that the file has, and that it should have, when some are missing. The header has the page size at byte 16 and the
/// number of pages at byte 28 (sqlite.org/fileformat.html).
fn cut_off(file: &OpenFile) -> Result<Option<(u64, u64)>, BagError> {
    let io = BagError::io(&file.named);
    let mut header = [0; 32];
    let mut source = File::open(&file.readable).map_err(&io)?;
    let found = source.metadata().map_err(&io)?.len();
    if source.read_exact(&mut header).is_err() {
        return Ok(Some((found, header.len() as u64)));
    }
    let page = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65536,
        size => u64::from(size),
    };
    let pages = u32::from_be_bytes([header[28], header[29], header[30], header[31]]);
    let expected = page * u64::from(pages);
    Ok((found < expected).then_some((found, expected)))
}

/// Time since the epoch; `None` for an earlier one.
fn time(nanoseconds: Option<i64>) -> Option<Duration> {
    u64::try_from(nanoseconds?).ok().map(Duration::from_nanos)
}

fn open(file: &OpenFile) -> Result<Connection, BagError> {
    let mut connection =
        Connection::open_with_flags(&file.readable, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(error(file))?;
    limit(&mut connection, file)?;
    if cut_off(file)?.is_some() {
        // SQLite's setting for recovery: without it a file shorter than in its header is refused as a whole.
        connection
            .pragma_update(None, "writable_schema", true)
            .map_err(error(file))?;
    }
    Ok(connection)
}

/// Keeps a file from taking more time and memory than its bytes explain: a table can be an endless query, a column a text of a
/// gigabyte, and a page can be reached in a million ways.
fn limit(connection: &mut Connection, file: &OpenFile) -> Result<(), BagError> {
    let metadata = std::fs::metadata(&file.readable).map_err(BagError::io(&file.named))?;
    let longest = i32::try_from(metadata.len()).unwrap_or(i32::MAX);
    connection
        .set_limit(Limit::SQLITE_LIMIT_LENGTH, longest.max(1 << 20))
        .map_err(error(file))?;
    let most = INSTRUCTIONS + INSTRUCTIONS_FOR_EACH_BYTE * metadata.len();
    let mut done = 0;
    let is_too_much = move || {
        done += LOOK_AFTER as u64;
        done > most
    };
    connection
        .progress_handler(LOOK_AFTER, Some(is_too_much))
        .map_err(error(file))
}

fn error(file: &OpenFile) -> impl Fn(rusqlite::Error) -> BagError + use<'_> {
    |error| BagError::Sqlite(file.named.clone(), error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::bag::Bag;

    /// A bag with this as its messages.
    fn bag_of(messages: &str) -> (tempfile::TempDir, Bag) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bag.db3");
        let connection = Connection::open(&path).unwrap();
        let topics =
            "CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT, type TEXT, serialization_format TEXT);
            INSERT INTO topics VALUES(1, '/prompt', 'std_msgs/msg/String', 'cdr');";
        connection.execute_batch(&format!("{topics}{messages}")).unwrap();
        let bag = Bag::open(path).unwrap();
        (folder, bag)
    }

    fn read_all(bag: &Bag) -> (usize, Vec<String>) {
        let mut count = 0;
        let warnings = bag.read(&["/prompt".to_owned()].into(), &mut |_| {
            count += 1;
            ControlFlow::Continue(())
        });
        (count, warnings.unwrap())
    }

    #[test]
    fn an_endless_query_in_place_of_the_messages_ends_with_a_warning() {
        let (_folder, bag) = bag_of(
            "CREATE VIEW messages AS WITH RECURSIVE endless(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM endless)
             SELECT id, 1 AS topic_id, id AS timestamp, x'00' AS data FROM endless;",
        );
        let (_, warnings) = read_all(&bag);
        assert!(warnings[0].contains("interrupted"), "{warnings:?}");
    }

    #[test]
    fn a_message_that_is_made_up_of_a_gigabyte_is_not_read() {
        let (_folder, bag) = bag_of(
            "CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER, timestamp INTEGER,
                data BLOB GENERATED ALWAYS AS (zeroblob(1000000000)));
             INSERT INTO messages(topic_id, timestamp) VALUES(1, 1);",
        );
        let (count, warnings) = read_all(&bag);
        assert_eq!(count, 0);
        assert!(warnings[0].contains("too big"), "{warnings:?}");
    }

    #[test]
    fn as_many_small_messages_as_a_file_has_are_within_the_limits() {
        let (_folder, bag) = bag_of(
            "CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER, timestamp INTEGER, data BLOB);
             INSERT INTO messages(topic_id, timestamp, data)
                WITH RECURSIVE number(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM number WHERE id < 200000)
                SELECT 1, id, x'00010000' FROM number;",
        );
        assert_eq!(read_all(&bag), (200_000, Vec::new()));
    }
}
