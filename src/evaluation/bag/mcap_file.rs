//! One MCAP file. With an index (chunks that the summary lists) it is read in the order of log times; without one, or
//! with a damaged end, from its beginning as far as it goes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use mcap::records::{MessageHeader, Record, SchemaHeader};
use mcap::sans_io::indexed_reader::{IndexedReadEvent, IndexedReader};
use mcap::sans_io::linear_reader::{LinearReadEvent, LinearReader, LinearReaderOptions};
use mcap::sans_io::summary_reader::{SummaryReadEvent, SummaryReader};
use mcap::{McapError, Summary};

use super::files::OpenFile;
use super::in_order::InOrder;
use super::message_compression::unpacked;
use super::{BagError, Contents, Recorded, Topic, Visit};

/// A record that claims to be larger than this is damage.
const LARGEST_RECORD: usize = 1 << 30;
/// Bytes read at once, at least.
const READ_SIZE: usize = 1 << 16;

/// What the file tells of its topics: its summary, or all of it when it has none.
pub(super) fn contents(file: &OpenFile) -> Result<Contents, BagError> {
    if let Some(summary) = index(file)? {
        return Ok(of_summary(&summary));
    }
    let mut topics = BTreeMap::<String, Topic>::new();
    let mut span: Option<(Duration, Duration)> = None;
    // Where it is damaged is told by whoever reads its messages.
    let _damage = scan(file, |channel, header, _| {
        let topic = topics.entry(channel.topic.clone()).or_insert_with(|| Topic {
            type_name: channel.type_name.clone(),
            encoding: channel.encoding.clone(),
            messages: Some(0),
        });
        topic.messages = topic.messages.map(|messages| messages + 1);
        let time = Duration::from_nanos(header.log_time);
        let (start, end) = span.unwrap_or((time, time));
        span = Some((start.min(time), end.max(time)));
        ControlFlow::Continue(())
    })?;
    Ok(Contents {
        topics,
        span,
        warnings: Vec::new(),
    })
}

/// Hands the messages of the topics `wanted` on, and says where a damaged file ended.
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

/// A channel with its schema, as far as they matter.
#[derive(Clone, Debug)]
struct Channel {
    topic: String,
    type_name: String,
    encoding: String,
}

/// The summary when it has an index of all chunks.
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
    let mut reader = SummaryReader::new();
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
        let type_name = channel.schema.as_ref().map_or("", |schema| &schema.name);
        let topic = topics.entry(channel.topic.clone()).or_insert_with(|| Topic {
            type_name: type_name.to_owned(),
            encoding: channel.message_encoding.clone(),
            messages: Some(0),
        });
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
        let mut reader = IndexedReader::new(summary)?;
        let mut chunk = Vec::new();
        while let Some(event) = reader.next_event() {
            match event? {
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
    let (mut flow, damage) = scan(file, |channel, header, data| {
        if !wanted.contains(&channel.topic) {
            return ControlFlow::Continue(());
        }
        let message = Recorded {
            topic: &channel.topic,
            log_time: Duration::from_nanos(header.log_time),
            data,
        };
        in_order.take(message, visit)
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

/// Hands every message on in the order of the file, and answers with what stopped the reading before its end.
fn scan(
    file: &OpenFile,
    mut each: impl FnMut(&Channel, &MessageHeader, &[u8]) -> ControlFlow<()>,
) -> Result<(ControlFlow<()>, Option<McapError>), BagError> {
    let mut source = open(file)?;
    // Of a file that was cut off, the last chunk is read as far as it goes; of any other, a chunk only when it is whole.
    let options = LinearReaderOptions::default()
        .with_validate_chunk_crcs(true)
        .with_prevalidate_chunk_crcs(has_end(&mut source).map_err(|source| io(file, source))?)
        .with_record_length_limit(LARGEST_RECORD);
    let mut reader = LinearReader::new_with_options(options);
    let mut schemas = HashMap::<u16, SchemaHeader>::new();
    let mut channels = HashMap::<u16, Arc<Channel>>::new();
    let mut run = || -> Result<ControlFlow<()>, McapError> {
        while let Some(event) = reader.next_event() {
            let (opcode, data) = match event? {
                LinearReadEvent::ReadRequest(length) => {
                    let read = source.read(reader.insert(length.max(READ_SIZE)))?;
                    reader.notify_read(read);
                    continue;
                }
                LinearReadEvent::Record { opcode, data } => (opcode, data),
            };
            match mcap::parse_record(opcode, data)? {
                Record::Schema { header, .. } => {
                    schemas.insert(header.id, header);
                }
                Record::Channel(channel) => {
                    let schema = schemas.get(&channel.schema_id);
                    let known = Channel {
                        topic: channel.topic,
                        type_name: schema.map(|schema| schema.name.clone()).unwrap_or_default(),
                        encoding: channel.message_encoding,
                    };
                    channels.insert(channel.id, Arc::new(known));
                }
                Record::Message { header, data } => {
                    let channel = channels
                        .get(&header.channel_id)
                        .ok_or(McapError::UnknownChannel(header.sequence, header.channel_id))?;
                    if each(channel, &header, &unpacked(&data)?).is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                _ => {}
            }
        }
        Ok(ControlFlow::Continue(()))
    };
    Ok(match run() {
        Ok(flow) => (flow, None),
        Err(error) => (ControlFlow::Continue(()), Some(error)),
    })
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

/// Whether the file ends as MCAP files do. It is at its beginning afterwards.
fn has_end(source: &mut File) -> std::io::Result<bool> {
    let length = source.seek(SeekFrom::End(0))?;
    let mut end = [0; mcap::MAGIC.len()];
    source.seek(SeekFrom::Start(length.saturating_sub(end.len() as u64)))?;
    source.read_exact(&mut end)?;
    source.rewind()?;
    Ok(end == mcap::MAGIC)
}

fn open(file: &OpenFile) -> Result<File, BagError> {
    File::open(&file.readable).map_err(|source| io(file, source))
}

fn io(file: &OpenFile, source: std::io::Error) -> BagError {
    BagError::Io {
        path: file.named.clone(),
        source,
    }
}
