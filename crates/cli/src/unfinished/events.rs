//! The curves of a run as TensorBoard reads them: a file of `TFRecord`s, each an `Event` of its protocol buffers.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};

/// The folder of event files in a run directory.
pub const EVENTS: &str = "tensorboard";

/// An event file that is being written.
pub struct Events(File);

impl Events {
    /// A new file in the run directory, for what follows after `step`: TensorBoard forgets what earlier files have beyond
    /// it.
    pub fn create(run: &Path, step: usize) -> Result<Self> {
        let directory = run.join(EVENTS);
        fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        // The name must have `tfevents` in it, and names in order are files in order.
        let path = directory.join(format!("events.out.tfevents.{:020}.apprentice", now().as_nanos()));
        let file = File::create_new(&path).with_context(|| format!("cannot write {}", path.display()))?;
        let mut events = Self(file);
        events.put(0, |event| event.bytes(3, b"brain.Event:2"))?;
        // A session that starts.
        events.put(step + 1, |event| event.bytes(7, Message::default().varint(1, 1).content()))?;
        Ok(events)
    }

    /// Notes the values of a step by their names.
    pub fn record(&mut self, step: usize, values: Vec<(String, f64)>) -> Result<()> {
        let mut summary = Message::default();
        for (tag, value) in values {
            let value = Message::default().bytes(1, tag.as_bytes()).float(2, value as f32);
            summary = summary.bytes(1, value.content());
        }
        self.put(step, |event| event.bytes(5, summary.content()))
    }

    fn put(&mut self, step: usize, with: impl FnOnce(Message) -> Message) -> Result<()> {
        let event = with(Message::default().double(1, now().as_secs_f64()).varint(2, step as u64));
        self.0.write_all(&record(event.content())).context("cannot write the event file for TensorBoard")
    }
}

/// The time since 1970.
#[expect(clippy::disallowed_methods, reason = "events say when they were; the curves do not depend on it")]
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// A `TFRecord`: length, its checksum, content, its checksum, numbers in little endian.
fn record(content: &[u8]) -> Vec<u8> {
    // As TensorFlow masks CRC-32C.
    let checksum = |bytes: &[u8]| crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes();
    let length = (content.len() as u64).to_le_bytes();
    [&length[..], &checksum(&length), content, &checksum(content)].concat()
}

/// A message of protocol buffers, field by field.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn content(&self) -> &[u8] {
        &self.0
    }

    fn varint(mut self, field: u64, value: u64) -> Self {
        self.push(field << 3);
        self.push(value);
        self
    }

    fn double(mut self, field: u64, value: f64) -> Self {
        self.push(field << 3 | 1);
        self.0.extend(value.to_le_bytes());
        self
    }

    fn bytes(mut self, field: u64, value: &[u8]) -> Self {
        self.push(field << 3 | 2);
        self.push(value.len() as u64);
        self.0.extend(value);
        self
    }

    fn float(mut self, field: u64, value: f32) -> Self {
        self.push(field << 3 | 5);
        self.0.extend(value.to_le_bytes());
        self
    }

    fn push(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes that the Python package `tensorboard` writes for the same event.
    #[test]
    fn a_record_is_tensorboards() {
        let value = Message::default().bytes(1, b"train/loss").float(2, 0.25);
        let summary = Message::default().bytes(1, value.content());
        let event = Message::default().double(1, 1.5).varint(2, 300).bytes(5, summary.content());
        let length = [33, 0, 0, 0, 0, 0, 0, 0, 1, 123, 236, 246];
        let time_and_step = [9, 0, 0, 0, 0, 0, 0, 248, 63, 16, 172, 2];
        let tag = [42, 19, 10, 17, 10, 10, 116, 114, 97, 105, 110, 47, 108, 111, 115, 115];
        let value_and_checksum = [21, 0, 0, 128, 62, 101, 87, 152, 31];
        assert_eq!(record(event.content()), [&length[..], &time_and_step, &tag, &value_and_checksum].concat());
    }
}
