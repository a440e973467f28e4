//! MCAP file of a bag. With an index (chunks that the summary lists) it is read in the order of log times; without one, or
//! with a damaged end, from its beginning up to the damage.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use mcap::io::MessageReader;
use mcap::sans_io::LinearReaderOptions;
use mcap::sans_io::indexed_reader::{IndexedReadEvent, IndexedReader, IndexedReaderOptions};
use mcap::sans_io::summary_reader::{SummaryReadEvent, SummaryReader, SummaryReaderOptions};
use mcap::{Channel, McapError, Message, Summary};

use super::error::BagError;
use super::files::OpenFile;
use super::in_order::InOrder;
use super::message::{Contents, Recorded, Topic, Visit};
use super::message_compression::{largest_unpacked, unpacked};

/// Least bytes that are read at once.
const READ_SIZE: usize = 1 << 16;

/// Reads the topics of the file from its summary, or from all of its messages when it has none.
pub(super) fn contents(file: &OpenFile) -> Result<Contents, BagError> {
    if let Some(summary) = index(file)? {
        return Ok(of_summary(&summary));
    }
    let mut topics = BTreeMap::<String, Topic>::new();
    let mut span: Option<(Duration, Duration)> = None;
    // Damage is reported when the messages are read.
    let _damage = scan(file, |message| {
        let channel = &message.channel;
        let topic = topics
            .entry(channel.topic.clone())
            .or_insert_with(|| empty_topic(channel));
        topic.messages = topic.messages.map(|messages| messages + 1);
        let time = Duration::from_nanos(message.log_time);
        let (start, end) = span.unwrap_or((time, time));
        span = Some((start.min(time), end.max(time)));
        Ok(ControlFlow::Continue(()))
    })?;
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
    match index(file)? {
        Some(summary) => read_indexed(file, &summary, wanted, visit),
        None => read_linear(file, wanted, visit),
    }
}

fn empty_topic(channel: &Channel) -> Topic {
    let type_name = channel.schema.as_ref().map(|schema| schema.name.clone());
    Topic {
        type_name: type_name.unwrap_or_default(),
        encoding: channel.message_encoding.clone(),
        messages: Some(0),
    }
}

/// Reads the summary, if it has an index of all chunks.
fn index(file: &OpenFile) -> Result<Option<Summary>, BagError> {
    let mut source = open(file)?;
    // A summary that cannot be read is damage of the file's end; the messages before it are still there.
    let Some(summary) = read_summary(&mut source).ok().flatten() else {
        return Ok(None);
    };
    let chunks = summary.stats.as_ref().map(|stats| stats.chunk_count as usize);
    let is_complete = chunks == Some(summary.chunk_indexes.len()) && chunks > Some(0);
    Ok((is_complete && !summary.channels.is_empty()).then_some(summary))
}

fn read_summary(source: &mut File) -> Result<Option<Summary>, McapError> {
    let options = SummaryReaderOptions::default().with_file_size(source.metadata()?.len());
    let mut reader = SummaryReader::new_with_options(options);
    while let Some(event) = reader.next_event() {
        match event? {
            SummaryReadEvent::ReadRequest(length) => {
                let read = source.read(reader.insert(length))?;
                reader.notify_read(read);
            }
            SummaryReadEvent::SeekRequest(to) => reader.notify_seeked(source.seek(to)?),
        }
    }
    Ok(reader.finish())
}

fn of_summary(summary: &Summary) -> Contents {
    let stats = summary.stats.as_ref();
    let mut topics = BTreeMap::<String, Topic>::new();
    for (id, channel) in &summary.channels {
        let messages = stats.map(|stats| stats.channel_message_counts.get(id).copied().unwrap_or(0));
        let topic = topics
            .entry(channel.topic.clone())
            .or_insert_with(|| empty_topic(channel));
        topic.messages = topic.messages.zip(messages).map(|(a, b)| a + b);
    }
    Contents {
        topics,
        span: stats.map(|stats| {
            (
                Duration::from_nanos(stats.message_start_time),
                Duration::from_nanos(stats.message_end_time),
            )
        }),
        warnings: Vec::new(),
    }
}

fn read_indexed(
    file: &OpenFile,
    summary: &Summary,
    wanted: &BTreeSet<String>,
    visit: &mut Visit,
) -> Result<(ControlFlow<()>, Vec<String>), BagError> {
    let topics: HashMap<u16, &str> = summary
        .channels
        .iter()
        .filter(|(_, channel)| wanted.contains(&channel.topic))
        .map(|(&id, channel)| (id, channel.topic.as_str()))
        .collect();
    let mut source = open(file)?;
    let mut newest = None;
    let mut run = || -> Result<ControlFlow<()>, McapError> {
        let length = source.metadata()?.len();
        let options = IndexedReaderOptions::default().with_record_length_limit(largest_unpacked(length));
        let mut reader = IndexedReader::new_with_options(summary, options)?;
        let mut chunk = Vec::new();
        while let Some(event) = reader.next_event() {
            match event? {
                IndexedReadEvent::ReadChunkRequest { length: chunk, .. } if chunk as u64 > length => {
                    return Err(McapError::UnexpectedEof);
                }
                IndexedReadEvent::ReadChunkRequest { offset, length } => {
                    source.seek(SeekFrom::Start(offset))?;
                    chunk.resize(length, 0);
                    source.read_exact(&mut chunk)?;
                    reader.insert_chunk_record_data(offset, &chunk)?;
                }
                IndexedReadEvent::Message { header, data } => {
                    let log_time = Duration::from_nanos(header.log_time);
                    newest = Some(log_time);
                    if let Some(&topic) = topics.get(&header.channel_id) {
                        let data = &unpacked(data)?;
                        if visit(Recorded {
                            topic,
                            log_time,
                            data,
                        })
                        .is_break()
                        {
                            return Ok(ControlFlow::Break(()));
                        }
                    }
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    };
    Ok(match run() {
        Ok(flow) => (flow, Vec::new()),
        Err(error) => (ControlFlow::Continue(()), vec![ended(file, &error, newest)]),
    })
}

fn read_linear(
    file: &OpenFile,
    wanted: &BTreeSet<String>,
    visit: &mut Visit,
) -> Result<(ControlFlow<()>, Vec<String>), BagError> {
    let mut in_order = InOrder::default();
    let (mut flow, damage) = scan(file, |message| {
        let topic = &message.channel.topic;
        if !wanted.contains(topic) {
            return Ok(ControlFlow::Continue(()));
        }
        let recorded = Recorded {
            topic,
            log_time: Duration::from_nanos(message.log_time),
            data: &unpacked(&message.data)?,
        };
        Ok(in_order.take(recorded, visit))
    })?;
    if flow.is_continue() {
        flow = in_order.finish(visit);
    }
    let mut warnings = Vec::new();
    if let Some(error) = damage {
        let newest = Some(in_order.newest()).filter(|time| !time.is_zero());
        warnings.push(ended(file, &error, newest));
    }
    if in_order.late() > 0 {
        warnings.push(format!(
            "{}: has no index, and {} of its messages come more than a second after newer ones",
            file.named.display(),
            in_order.late()
        ));
    }
    Ok((flow, warnings))
}

/// Passes on every message in the order of the file, and returns the damage that ended the reading early.
fn scan(
    file: &OpenFile,
    mut visit: impl FnMut(&Message) -> Result<ControlFlow<()>, McapError>,
) -> Result<(ControlFlow<()>, Option<McapError>), BagError> {
    let mut source = open(file)?;
    let length = source.metadata().map_err(BagError::io(&file.named))?.len();
    // Of a file that was cut off, the last chunk is read as far as it goes; of any other, a chunk only when it is whole.
    let options = LinearReaderOptions::default()
        .with_validate_chunk_crcs(true)
        .with_prevalidate_chunk_crcs(has_end(&mut source).map_err(BagError::io(&file.named))?)
        .with_record_length_limit(largest_unpacked(length));
    let source = BufReader::with_capacity(READ_SIZE, source);
    let mut messages = MessageReader::new_with_options(source, options);
    // mcap 0.26.0 panics at a record that is longer than its chunk.
    let mut next = || catch_unwind(AssertUnwindSafe(|| messages.next()));
    while let Some(message) = next().unwrap_or(Some(Err(McapError::UnexpectedEoc))) {
        match message.and_then(|message| visit(&message)) {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => return Ok((ControlFlow::Break(()), None)),
            Err(damage) => return Ok((ControlFlow::Continue(()), Some(damage))),
        }
    }
    Ok((ControlFlow::Continue(()), None))
}

fn ended(file: &OpenFile, error: &McapError, newest: Option<Duration>) -> String {
    let end = match newest {
        Some(time) => format!("read up to the log time {:.3} s", time.as_secs_f64()),
        None => "no message could be read".to_owned(),
    };
    format!(
        "{}: the file is damaged or cut off ({error}): {end}",
        file.named.display()
    )
}

/// Returns whether the file ends as MCAP files do, and rewinds it.
fn has_end(source: &mut File) -> std::io::Result<bool> {
    let length = source.seek(SeekFrom::End(0))?;
    let mut end = [0; mcap::MAGIC.len()];
    source.seek(SeekFrom::Start(length.saturating_sub(end.len() as u64)))?;
    source.read_exact(&mut end)?;
    source.rewind()?;
    Ok(end == mcap::MAGIC)
}

fn open(file: &OpenFile) -> Result<File, BagError> {
    File::open(&file.readable).map_err(BagError::io(&file.named))
}
