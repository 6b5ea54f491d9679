//! TensorBoard's event files: the metrics of a run as scalars, one file per session in `RUN/tensorboard`.
//!
//! A file is a series of records (length, checksum, bytes, checksum) whose bytes are messages of Protocol Buffers. Only
//! the few fields that scalars need are written, so they are encoded here. A session that goes on from a checkpoint says
//! so at the start of its file, from which TensorBoard drops the steps that are written again. What was measured when
//! `--max-steps` cut an epoch short stays, as a point of its own.

use super::TrainError;
use crate::files::{self, file_error};
use std::fs::{File, OpenOptions, read_dir};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

const PREFIX: &str = "events.out.tfevents.";

/// Fields of TensorBoard's messages (event.proto, summary.proto) with their wire types.
mod field {
    pub const WALL_TIME: u8 = 1 << 3 | 1;
    pub const STEP: u8 = 2 << 3;
    pub const FILE_VERSION: u8 = 3 << 3 | 2;
    pub const SUMMARY: u8 = 5 << 3 | 2;
    pub const SESSION_LOG: u8 = 7 << 3 | 2;
    pub const SESSION_STATUS: u8 = 1 << 3;
    pub const SUMMARY_VALUE: u8 = 1 << 3 | 2;
    pub const TAG: u8 = 1 << 3 | 2;
    pub const SIMPLE_VALUE: u8 = 2 << 3 | 5;
}
/// SessionLog.START.
const START: u8 = 1;

/// An event file, open for appending.
pub struct EventFile {
    file: File,
    path: PathBuf,
}

impl EventFile {
    /// A new file in `folder`, for a session whose first step is `first`.
    pub fn create(folder: &Path, first: u64) -> Result<Self, TrainError> {
        files::create_folder(folder)?;
        // TensorBoard reads files in the order of their names, which therefore never has two in one second.
        let second = (now() as u64).max(1 + last_file(folder));
        let host = gethostname::gethostname();
        let path = folder.join(format!("{PREFIX}{second:010}.{}.{}", host.display(), std::process::id()));
        let file = OpenOptions::new().create_new(true).append(true).open(&path);
        let mut events = Self { file: file.map_err(file_error("create", &path))?, path };
        events.append(&version(now()))?;
        events.append(&start(now(), first))?;
        Ok(events)
    }

    /// Appends scalars of one step; those that are absent are left out.
    pub fn scalars(&mut self, step: u64, values: &[(&str, Option<f64>)]) -> Result<(), TrainError> {
        let values: Vec<(&str, f32)> =
            values.iter().filter_map(|(tag, value)| Some((*tag, (*value)? as f32))).collect();
        self.append(&scalars(now(), step, &values))
    }

    fn append(&mut self, event: &[u8]) -> Result<(), TrainError> {
        self.file.write_all(&record(event)).map_err(file_error("write", &self.path))?;
        Ok(())
    }
}

/// Whether a file of this name is one of TensorBoard's.
pub fn is_event_file(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// Checks the checksums of all records in the bytes of an event file. A file that ends within a record is one whose
/// session was killed; TensorBoard reads it up to there.
///
/// # Errors
/// Which record is damaged.
pub fn check(mut bytes: &[u8]) -> Result<(), String> {
    for number in 1.. {
        let damaged = || format!("record {number} is damaged");
        let Some((length, rest)) = bytes.split_first_chunk::<8>() else { break };
        let Some((own, rest)) = rest.split_first_chunk::<4>() else { break };
        if *own != checksum(length) {
            return Err(damaged());
        }
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| damaged())?;
        let Some((event, rest)) = rest.split_at_checked(length) else { break };
        let Some((after, rest)) = rest.split_first_chunk::<4>() else { break };
        if *after != checksum(event) {
            return Err(damaged());
        }
        bytes = rest;
    }
    Ok(())
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

/// The second in the name of the folder's last event file.
fn last_file(folder: &Path) -> u64 {
    let names = read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    names
        .filter_map(|name| name.to_str()?.strip_prefix(PREFIX)?.split('.').next()?.parse().ok())
        .max()
        .unwrap_or(0)
}

fn version(time: f64) -> Vec<u8> {
    let mut event = event(time, 0);
    bytes(&mut event, field::FILE_VERSION, b"brain.Event:2");
    event
}

/// Says that steps from `first` on follow, whatever earlier files say about them.
fn start(time: f64, first: u64) -> Vec<u8> {
    let mut event = event(time, first);
    bytes(&mut event, field::SESSION_LOG, &[field::SESSION_STATUS, START]);
    event
}

fn scalars(time: f64, step: u64, values: &[(&str, f32)]) -> Vec<u8> {
    let mut summary = Vec::new();
    for (tag, value) in values {
        let mut one = Vec::new();
        bytes(&mut one, field::TAG, tag.as_bytes());
        one.push(field::SIMPLE_VALUE);
        one.extend(value.to_le_bytes());
        bytes(&mut summary, field::SUMMARY_VALUE, &one);
    }
    let mut event = event(time, step);
    bytes(&mut event, field::SUMMARY, &summary);
    event
}

fn event(time: f64, step: u64) -> Vec<u8> {
    let mut event = vec![field::WALL_TIME];
    event.extend(time.to_le_bytes());
    if step > 0 {
        event.push(field::STEP);
        varint(&mut event, step);
    }
    event
}

/// A field with a length.
fn bytes(message: &mut Vec<u8>, field: u8, content: &[u8]) {
    message.push(field);
    varint(message, content.len() as u64);
    message.extend(content);
}

/// Seven bits at a time, the lowest first, all but the last marked.
fn varint(message: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        message.push(value as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}

fn record(event: &[u8]) -> Vec<u8> {
    let length = (event.len() as u64).to_le_bytes();
    [&length[..], &checksum(&length), event, &checksum(event)].concat()
}

/// CRC-32C, turned and shifted as the format has it, so that checksums of checksums are none.
fn checksum(content: &[u8]) -> [u8; 4] {
    crc32c::crc32c(content).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(event: &[u8]) -> String {
        record(event).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    // The bytes are from tests/tensorboard/make_golden.py.
    #[test]
    fn records_are_those_of_tensorboards_own_writer() {
        assert_eq!(
            hex(&version(1.5)),
            "1800000000000000a37f4b2209000000000000f83f1a0d627261696e2e4576656e743a322a28646c"
        );
        assert_eq!(hex(&start(1.5, 301)), "100000000000000095fbfe1809000000000000f83f10ad023a020801d17949d4");
        assert_eq!(
            hex(&scalars(1.5, 300, &[("train/loss", 0.25), ("train/delta", -3.0)])),
            "3500000000000000d6c55de609000000000000f83f10ac022a270a110a0a747261696e2f6c6f7373150000803e0a120a0b74\
             7261696e2f64656c746115000040c06834b74b"
        );
    }

    #[test]
    fn a_changed_bit_is_found_and_a_cut_off_end_is_none() {
        let file = [record(&version(1.5)), record(&start(1.5, 301))].concat();
        check(&file).unwrap();
        check(&file[..file.len() - 3]).unwrap();
        for bit in 0..8 * file.len() {
            let mut damaged = file.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(check(&damaged).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn files_of_sessions_follow_each_other_by_name_even_within_a_second() {
        let folder = tempfile::tempdir().unwrap();
        for first in 1..4 {
            EventFile::create(folder.path(), first).unwrap();
        }
        let seconds: std::collections::BTreeSet<String> = read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap()[PREFIX.len()..][..10].to_string())
            .collect();
        assert_eq!(seconds.len(), 3);
    }
}
