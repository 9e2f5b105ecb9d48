//! Data blocks on their way into the file: compressed and written by whoever builds them, or by a thread apart.
//!
//! Building blocks costs about as much as compressing and writing them. So where somebody waits for the table (a
//! flush), a second thread does the latter, once there is more than one write:
//!
//! 1. Blocks gather in a batch, uncompressed, each with its last key for the fence index.
//! 2. A full batch goes to the thread, which appends its blocks and notes how long each has become.
//! 3. Batches that come back are told, in order, and used again. At most `IN_FLIGHT` are on their way.
//! 4. `end` waits for all of them. What follows the blocks is written by the caller.
//!
//! Invariants: the bytes in the file are the same with and without the thread. When a writer is dropped the thread
//! has ended: nobody writes to a file that was given up.

use super::block::BlockBuilder;
use super::section_writer::SectionWriter;
use crate::base::{Codec, Error, ErrorKind, Result};
use crate::env::{Env, Joinable};
use parking_lot::Mutex;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Uncompressed bytes of a batch, about.
const BATCH_BYTES: usize = 256 << 10;
/// Batches that were handed over and have not come back, at most.
const IN_FLIGHT: usize = 4;

/// A block that was appended.
pub(super) struct Appended<'a> {
    pub last_key: &'a [u8],
    pub stored_len: u64,
    pub entries: u64,
}

/// Blocks that go through the thread together.
#[derive(Default)]
struct Batch {
    /// The blocks' contents, one after the other.
    contents: Vec<u8>,
    last_keys: Vec<u8>,
    blocks: Vec<BatchBlock>,
}

struct BatchBlock {
    contents_end: usize,
    key_end: usize,
    entries: u64,
    stored_len: u64,
}

impl Batch {
    fn push(&mut self, block: &mut BlockBuilder, last_key: &[u8]) {
        let entries = block.count() as u64;
        block.finish(&mut self.contents);
        self.last_keys.extend_from_slice(last_key);
        let (contents_end, key_end) = (self.contents.len(), self.last_keys.len());
        self.blocks.push(BatchBlock { contents_end, key_end, entries, stored_len: 0 });
    }

    fn append(&mut self, codec: Codec, writer: &mut SectionWriter) -> Result<()> {
        let mut start = 0;
        for block in &mut self.blocks {
            block.stored_len = writer.append(codec, &self.contents[start..block.contents_end]).stored_len;
            start = block.contents_end;
            writer.write_if_full()?;
        }
        Ok(())
    }

    /// Tells of the blocks, and empties the batch.
    fn tell(&mut self, appended: &mut dyn FnMut(Appended<'_>)) {
        let mut start = 0;
        for block in self.blocks.drain(..) {
            let last_key = &self.last_keys[start..block.key_end];
            appended(Appended { last_key, stored_len: block.stored_len, entries: block.entries });
            start = block.key_end;
        }
        self.contents.clear();
        self.last_keys.clear();
    }
}

/// What the thread has made of a batch.
struct Done {
    batch: Batch,
    /// Where the file ends now.
    position: u64,
    /// A panic goes on in the builder's thread.
    outcome: std::thread::Result<Result<()>>,
}

/// The thread, and the ways there and back.
struct Apart {
    /// `None` when no more will come.
    forth: Option<SyncSender<Batch>>,
    back: Receiver<Done>,
    thread: Option<Box<dyn Joinable>>,
    filling: Batch,
    spare: Vec<Batch>,
    in_flight: usize,
    /// Uncompressed.
    bytes_in_flight: usize,
}

impl Apart {
    fn start(env: &dyn Env, codec: Codec, writer: Arc<Mutex<SectionWriter>>) -> Result<Apart> {
        // Both ways are long enough for all there can be, so that only the builder ever waits.
        let (forth, incoming) = sync_channel::<Batch>(IN_FLIGHT);
        let (outgoing, back) = sync_channel::<Done>(IN_FLIGHT);
        let body = move || {
            for mut batch in incoming {
                let mut writer = writer.lock();
                let outcome = catch_unwind(AssertUnwindSafe(|| batch.append(codec, &mut writer)));
                let failed = !matches!(outcome, Ok(Ok(())));
                let done = Done { batch, position: writer.position(), outcome };
                if outgoing.send(done).is_err() || failed {
                    return;
                }
            }
        };
        let thread = Some(env.spawn("auradb-flush", 0, Box::new(body))?);
        let (filling, spare) = (Batch::default(), Vec::new());
        Ok(Apart { forth: Some(forth), back, thread, filling, spare, in_flight: 0, bytes_in_flight: 0 })
    }

    /// Hands the filling batch over; false if the thread has ended.
    fn hand_over(&mut self) -> bool {
        let batch = std::mem::replace(&mut self.filling, self.spare.pop().unwrap_or_default());
        self.in_flight += 1;
        self.bytes_in_flight += batch.contents.len();
        let forth = self.forth.as_ref().expect("not after the end");
        forth.send(batch).is_ok()
    }

    /// Takes note of a batch that came back. Returns where the file ends.
    fn note(&mut self, mut done: Done, appended: &mut dyn FnMut(Appended<'_>)) -> Result<u64> {
        self.in_flight -= 1;
        self.bytes_in_flight -= done.batch.contents.len();
        done.outcome.unwrap_or_else(|panic| resume_unwind(panic))?;
        done.batch.tell(appended);
        self.spare.push(done.batch);
        Ok(done.position)
    }

    fn join(&mut self) {
        self.forth = None;
        if let Some(thread) = self.thread.take() {
            thread.join();
        }
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        self.join();
    }
}

fn ended_early() -> Error {
    let message = "the thread that writes a table ended early; the table is written anew by the next flush";
    Error::new(ErrorKind::Internal, message)
}

/// Appends data blocks; see the module's text.
pub(super) struct BlockWriter {
    codec: Codec,
    writer: Arc<Mutex<SectionWriter>>,
    /// Where the file ends, without what is on its way.
    position: u64,
    /// A thread is wanted and not there yet.
    env: Option<Arc<dyn Env>>,
    apart: Option<Apart>,
}

impl BlockWriter {
    pub(super) fn new(codec: Codec, writer: SectionWriter) -> BlockWriter {
        let position = writer.position();
        BlockWriter { codec, writer: Arc::new(Mutex::new(writer)), position, env: None, apart: None }
    }

    /// From the first write on a thread of `env` compresses and writes, if it has threads.
    pub(super) fn set_apart(&mut self, env: Arc<dyn Env>) {
        self.env = Some(env).filter(|env| !env.runs_inline());
    }

    /// See `SectionWriter`.
    pub(super) fn set_bytes_per_sync(&mut self, bytes: u64) {
        self.writer.lock().set_bytes_per_sync(bytes);
    }

    /// Where the file ends, what is on its way counted as if it were written as it is.
    pub(super) fn position(&self) -> u64 {
        let on_its_way = |apart: &Apart| (apart.bytes_in_flight + apart.filling.contents.len()) as u64;
        self.position + self.apart.as_ref().map_or(0, on_its_way)
    }

    /// Appends what `block` holds, of which `last_key` is the last key, and empties it. `appended` hears of it now or
    /// later, in order.
    pub(super) fn append(
        &mut self,
        block: &mut BlockBuilder,
        last_key: &[u8],
        appended: &mut dyn FnMut(Appended<'_>),
    ) -> Result<()> {
        let Some(apart) = &mut self.apart else { return self.append_here(block, last_key, appended) };
        apart.filling.push(block, last_key);
        if apart.filling.contents.len() < BATCH_BYTES {
            return Ok(());
        }
        while apart.in_flight > 0 {
            let full = apart.in_flight == IN_FLIGHT;
            let done = if full { apart.back.recv().ok() } else { apart.back.try_recv().ok() };
            match done {
                Some(done) => self.position = apart.note(done, appended)?,
                None if full => return Err(ended_early()),
                None => break,
            }
        }
        if apart.hand_over() { Ok(()) } else { self.end(appended).and(Err(ended_early())) }
    }

    fn append_here(
        &mut self,
        block: &mut BlockBuilder,
        last_key: &[u8],
        appended: &mut dyn FnMut(Appended<'_>),
    ) -> Result<()> {
        let mut writer = self.writer.lock();
        let entries = block.count() as u64;
        let stored_len = writer.append_block(self.codec, block);
        appended(Appended { last_key, stored_len, entries });
        self.position = writer.position();
        writer.write_if_full()?;
        if self.env.is_some() && writer.has_written() {
            drop(writer);
            // Without a thread it goes on here.
            let start = |env: Arc<dyn Env>| Apart::start(&*env, self.codec, Arc::clone(&self.writer)).ok();
            self.apart = self.env.take().and_then(start);
        }
        Ok(())
    }

    /// Waits until all blocks are appended, and gives the file's end, which nobody else uses any more.
    pub(super) fn end(
        &mut self,
        appended: &mut dyn FnMut(Appended<'_>),
    ) -> Result<Arc<Mutex<SectionWriter>>> {
        if let Some(mut apart) = self.apart.take() {
            if !apart.filling.blocks.is_empty() {
                // If the thread has ended, why comes back below.
                apart.hand_over();
            }
            apart.forth = None;
            while let Ok(done) = apart.back.recv() {
                self.position = apart.note(done, appended)?;
            }
            if apart.in_flight > 0 {
                return Err(ended_early());
            }
        }
        Ok(Arc::clone(&self.writer))
    }
}
