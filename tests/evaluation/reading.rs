//! Bags of independent writers are read as they were written, damaged ones as far as they go.

use std::path::Path;

use pi0_node::evaluation::bag::{Bag, bags_below};
use rusqlite::Connection;

use crate::fixtures::{assert_same, bag, read, written};

/// Every way of writing the same recording down, but the one with compressed pictures.
const BAGS: [&str; 9] = [
    "mcap_zstd",
    "mcap_file_zstd",
    "mcap_message_zstd_big_endian",
    "mcap_lz4_chunks.mcap",
    "mcap_no_index.mcap",
    "mcap_split",
    "mcap_topic_by_topic.mcap",
    "sqlite3_file_zstd",
    "sqlite3_message_zstd",
];

#[test]
fn every_way_of_writing_a_recording_down_is_read_in_the_order_of_its_times() {
    let expected = written();
    for name in BAGS {
        println!("{name}");
        let (found, warnings) = read(&bag(name));
        assert_eq!(warnings, [""; 0], "{name}");
        assert_same(&found, &expected);
    }
}

#[test]
fn topics_types_counts_and_the_time_are_known_before_reading() {
    for name in BAGS {
        let opened = Bag::open(bag(name)).unwrap();
        let topic = &opened.topics()["/joint_states"];
        assert_eq!(topic.type_name, "sensor_msgs/msg/JointState", "{name}");
        assert_eq!(topic.encoding, "cdr", "{name}");
        assert_eq!(topic.messages.unwrap_or(30), 30, "{name}");
        let (start, end) = opened.span().unwrap();
        assert!((2.9..3.1).contains(&(end - start).as_secs_f64()), "{name}");
    }
}

#[test]
fn compressed_pictures_are_the_same_as_others() {
    let (found, _) = read(&bag("mcap_compressed_images.mcap"));
    let found: Vec<_> = found
        .into_iter()
        .map(|(time, topic, says)| (time, topic.replace("/compressed", ""), says))
        .collect();
    assert_same(&found, &written());
}

/// A copy of a file that ends after a share of its bytes.
fn cut(name: &str, share: f64, folder: &Path) -> std::path::PathBuf {
    let bytes = std::fs::read(bag(name)).unwrap();
    let path = folder.join(bag(name).file_name().unwrap());
    std::fs::write(&path, &bytes[..(bytes.len() as f64 * share) as usize]).unwrap();
    path
}

#[test]
fn a_file_that_was_cut_off_is_read_as_far_as_it_goes_and_a_warning_says_where_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    let expected = written();
    for (name, share) in [
        ("mcap_lz4_chunks.mcap", 0.6),
        ("mcap_no_index.mcap", 0.75),
        ("sqlite3_message_zstd/sqlite3_message_zstd.db3", 0.75),
    ] {
        let (found, warnings) = read(&cut(name, share, folder.path()));
        let last = format!(
            "read up to the log time {:.3} s",
            found.last().unwrap().0 as f64 / 1e9
        );
        assert!(
            found.len() > 40 && found.len() < expected.len(),
            "{name}: {}",
            found.len()
        );
        assert_same(&found, &expected[..found.len()]);
        assert!(
            warnings.iter().any(|warning| warning.contains(&last)),
            "{name}: {warnings:?}"
        );
    }
}

#[test]
fn a_file_cut_off_in_its_first_bytes_has_no_messages_and_never_panics() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["mcap_no_index.mcap", "mcap_zstd/mcap_zstd.mcap"] {
        for share in [0.001, 0.01, 0.05] {
            let (found, warnings) = read(&cut(name, share, folder.path()));
            assert!(found.len() < 30 && !warnings.is_empty(), "{name}: {warnings:?}");
        }
    }
}

#[test]
fn a_compressed_file_that_holds_nothing_whole_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = cut("sqlite3_file_zstd/sqlite3_file_zstd.db3.zstd", 0.5, folder.path());
    let refused = Bag::open(path).unwrap_err().to_string();
    assert!(refused.contains("the compression ends early"), "{refused}");
}

#[test]
fn damaged_bytes_in_the_middle_end_the_reading_with_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    for name in [
        "mcap_lz4_chunks.mcap",
        "mcap_no_index.mcap",
        "mcap_zstd/mcap_zstd.mcap",
    ] {
        let mut bytes = std::fs::read(bag(name)).unwrap();
        let middle = bytes.len() / 2;
        for byte in &mut bytes[middle..middle + 64] {
            *byte ^= 0xff;
        }
        let path = folder.path().join("damaged.mcap");
        std::fs::write(&path, bytes).unwrap();
        let (found, warnings) = read(&path);
        assert!(found.len() < written().len(), "{name}");
        assert_eq!(warnings.len(), 1, "{name}: {warnings:?}");
    }
}

#[test]
fn a_record_that_is_longer_than_its_chunk_ends_the_reading_with_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bag.mcap");
    let records = 20_u64;
    let mut bytes = b"\x89MCAP0\r\n".to_vec();
    // A chunk of 60 bytes: times of its messages, uncompressed size, checksum, no compression, records.
    bytes.push(6);
    bytes.extend(60_u64.to_le_bytes());
    bytes.extend([0; 16]);
    bytes.extend(records.to_le_bytes());
    bytes.extend([0; 8]);
    bytes.extend(records.to_le_bytes());
    // A message of 100 bytes.
    bytes.push(5);
    bytes.extend(100_u64.to_le_bytes());
    bytes.extend([0; 200]);
    std::fs::write(&path, bytes).unwrap();
    let (found, warnings) = read(&path);
    assert!(found.is_empty());
    assert_eq!(warnings.len(), 1, "{warnings:?}");
}

#[test]
fn an_index_with_a_chunk_that_is_larger_than_the_file_ends_the_reading_with_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let whole = std::fs::read(bag("mcap_zstd/mcap_zstd.mcap")).unwrap();
    // The last one is in the index, before the sizes of the compressed and of the unpacked chunk.
    let compression = b"\x04\0\0\0zstd";
    let at = whole
        .windows(compression.len())
        .rposition(|window| window == compression);
    let sizes = at.unwrap() + compression.len();
    for (offset, size) in [(0, 1 << 40), (0, 40 << 20), (8, 1 << 40), (8, 60 << 20)] {
        let mut bytes = whole.clone();
        bytes[sizes + offset..][..8].copy_from_slice(&u64::to_le_bytes(size));
        let path = folder.path().join("large.mcap");
        std::fs::write(&path, bytes).unwrap();
        let (_, warnings) = read(&path);
        assert_eq!(warnings.len(), 1, "{size}: {warnings:?}");
    }
}

#[test]
fn a_file_that_metadata_names_and_that_is_missing_is_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let source = bag("mcap_zstd");
    std::fs::copy(
        source.join("mcap_zstd.mcap"),
        folder.path().join("mcap_zstd.mcap"),
    )
    .unwrap();
    let metadata = std::fs::read_to_string(source.join("metadata.yaml")).unwrap();
    let two = metadata.replace("- mcap_zstd.mcap", "- mcap_zstd.mcap\n  - lost_1.mcap");
    assert_ne!(two, metadata);
    std::fs::write(folder.path().join("metadata.yaml"), two).unwrap();
    let opened = Bag::open(folder.path()).unwrap();
    assert_eq!(opened.warnings().len(), 1);
    assert!(
        opened.warnings()[0].contains("lost_1.mcap"),
        "{:?}",
        opened.warnings()
    );
}

#[test]
fn an_uncompressed_database_without_the_index_of_times_is_read_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bag.db3");
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch(
            "CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL,
                 serialization_format TEXT NOT NULL, offered_qos_profiles TEXT NOT NULL);
             CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER NOT NULL,
                 timestamp INTEGER NOT NULL, data BLOB NOT NULL);
             INSERT INTO topics VALUES (7, '/prompt', 'std_msgs/msg/String', 'cdr', '');
             INSERT INTO messages VALUES (1, 7, 2000, x'00010000020000006200');
             INSERT INTO messages VALUES (2, 7, 1000, x'00010000020000006100');",
        )
        .unwrap();
    drop(connection);
    let (found, warnings) = read(&path);
    let texts: Vec<_> = found
        .iter()
        .map(|(time, _, says)| (*time, says["text"].clone()))
        .collect();
    assert_eq!(texts, [(1000, "a".into()), (2000, "b".into())]);
    assert_eq!(warnings, [""; 0]);
}

#[test]
fn a_database_that_is_no_rosbag2_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.db3");
    Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE TABLE songs(name TEXT)")
        .unwrap();
    let refused = Bag::open(&path).unwrap_err().to_string();
    assert!(refused.contains("no SQLite3 database of a rosbag2"), "{refused}");
}

#[test]
fn bags_below_a_folder_are_found_each_once() {
    let found = bags_below(&bag("")).unwrap();
    // Files lie loose in this folder, which makes it a bag itself.
    assert_eq!(found, [bag("")]);
    let folder = tempfile::tempdir().unwrap();
    for name in ["b/run_10", "b/run_9", "a"] {
        let target = folder.path().join(name);
        std::fs::create_dir_all(&target).unwrap();
        std::fs::copy(bag("mcap_no_index.mcap"), target.join("x.mcap")).unwrap();
    }
    let found = bags_below(folder.path()).unwrap();
    assert_eq!(
        found,
        ["a", "b/run_9", "b/run_10"].map(|name| folder.path().join(name))
    );
}
