//! SQLite3 file of a bag. Messages are read in the order of their timestamps, or of a file that was cut off in the order of
//! writing, up to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::ops::ControlFlow;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, params};

use super::error::BagError;
use super::files::OpenFile;
use super::in_order::InOrder;
use super::message::{Contents, Recorded, Topic, Visit};
use super::message_compression::unpacked;

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
    let connection =
        Connection::open_with_flags(&file.readable, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(error(file))?;
    if cut_off(file)?.is_some() {
        // SQLite's setting for recovery: without it a file shorter than in its header is refused as a whole.
        connection
            .pragma_update(None, "writable_schema", true)
            .map_err(error(file))?;
    }
    Ok(connection)
}

fn error(file: &OpenFile) -> impl Fn(rusqlite::Error) -> BagError + use<'_> {
    |error| BagError::Sqlite(file.named.clone(), error)
}
