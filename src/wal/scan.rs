//! The first pass of replay: headers, marks, and how the files continue each other.
//!
//! 1. Read every file whole and check every frame, also those beyond bad places: a mark in any valid frame counts.
//! 2. From the last file to the first, find which files are part of the log, and where each must end.
//! 3. Group the files into eras, and the marks by era.

use super::format::{
    self, DecodedHeader, FIRST_FRAME, KIND_CONTINUATION, KIND_FRAME, KIND_FRAME_WITH_MARK, KIND_HEADER,
};
use super::{DurableMark, Previous, WalFile, WalHeader, WalPosition};
use crate::base::error::{ErrorKind, Subcode};
use crate::base::{Error, Result};
use crate::env::Env;
use crate::record::{ReadOutcome, RecordReader, changed_hands};
use std::collections::BTreeMap;

/// Bytes of files kept between the passes; files beyond them are read twice.
const KEPT_BYTES: usize = 128 << 20;

/// What stands at the start of a file.
pub(super) enum Header {
    /// With what the continuation says, if there is one.
    Valid(WalHeader),
    /// It was there and changed (L3).
    Damaged(String),
}

/// A file after the first pass.
pub(super) struct ScannedFile {
    pub header: Header,
    /// Where frames begin: after the header, and after the continuation if it is there.
    pub first_frame: u64,
    /// What all records after the header are bound to; not 0 where the file held another log.
    pub salt: u64,
    /// Bytes up to the last that is not zero; in a file that held another log, to the end of the last record.
    pub data_len: u64,
    pub reader: Option<RecordReader>,
    /// Whether the file belongs to the log; one without frames that nothing continues does not.
    pub takes_part: bool,
    /// Where the file that continues this one says it ended.
    pub continued_at: Option<u64>,
    pub era: usize,
    marks: WalPosition,
}

/// All files after the first pass, and what is known to be durable, for each era.
pub(super) struct Scan {
    pub files: Vec<ScannedFile>,
    pub durable: Vec<DurableMark>,
}

impl Scan {
    pub fn run(env: &dyn Env, files: &[WalFile], database: &[u8; 16], skip_corrupted: bool) -> Result<Scan> {
        let mut segments = BTreeMap::new();
        let mut scanned: Vec<ScannedFile> = Vec::with_capacity(files.len());
        let mut kept = 0;
        for file in files {
            let mut one = scan_file(env, file, database, &mut segments)?;
            kept += one.reader.as_ref().map_or(0, |reader| reader.bytes().len());
            if kept > KEPT_BYTES {
                one.reader = None;
            }
            scanned.push(one);
        }
        note_marked(files, &mut scanned);
        chain(files, &mut scanned, skip_corrupted)?;
        let eras = assign_eras(&mut scanned);
        let segments: Vec<(u64, u64)> = segments.into_iter().collect();
        let mut durable = vec![DurableMark { wal: WalPosition::default(), segments }; eras];
        for file in &scanned {
            let wal = &mut durable[file.era].wal;
            *wal = (*wal).max(file.marks);
        }
        Ok(Scan { files: scanned, durable })
    }

    /// Whether a later file of the same era follows.
    pub fn is_continued(&self, index: usize) -> bool {
        let era = self.files[index].era;
        self.files[index + 1..].iter().any(|later| later.takes_part && later.era == era)
    }
}

fn scan_file(
    env: &dyn Env,
    file: &WalFile,
    database: &[u8; 16],
    segments: &mut BTreeMap<u64, u64>,
) -> Result<ScannedFile> {
    let mut reader = RecordReader::open(env, &file.path, file.number, 0, None)?;
    let (mut header, salt) = match read_header(&mut reader, file, database) {
        // A writer had taken the file for another log already when it was opened by the name it no longer has.
        Ok((Header::Damaged(_), _)) | Err(_) if !env.exists(&file.path) => {
            return Err(changed_hands(&file.path));
        }
        other => other?,
    };
    let first_frame = read_continuation(&mut reader, &mut header);
    let mut takes_part = file.sealed_len.is_some() || matches!(header, Header::Damaged(_));
    let mut marks = WalPosition::default();
    let mut last_end = first_frame;
    loop {
        let bad = match reader.next() {
            ReadOutcome::Record { kind: KIND_FRAME_WITH_MARK, payload, end, .. } => {
                (takes_part, last_end) = (true, end);
                if let Some((mark, _)) = format::decode_mark(payload) {
                    marks = marks.max(mark.wal);
                    for (segment, durable) in mark.segments {
                        let known = segments.entry(segment).or_insert(0);
                        *known = durable.max(*known);
                    }
                }
                continue;
            }
            ReadOutcome::Record { end, .. } => {
                (takes_part, last_end) = (true, end);
                continue;
            }
            ReadOutcome::End { offset } | ReadOutcome::Bad { offset, .. } => offset,
        };
        match reader.next_valid_after(bad) {
            Some(next) => reader.seek(next),
            None => break,
        }
    }
    Ok(ScannedFile {
        header,
        first_frame,
        salt,
        data_len: if salt == 0 { reader.non_zero_bytes_after(0) } else { last_end },
        reader: Some(reader),
        takes_part,
        continued_at: None,
        era: 0,
        marks,
    })
}

/// Reads the header; if it is valid, leaves the reader after it, bound to the salt that it gives.
fn read_header(reader: &mut RecordReader, file: &WalFile, database: &[u8; 16]) -> Result<(Header, u64)> {
    let reason = match reader.next() {
        ReadOutcome::Record { kind: KIND_HEADER, payload, .. } => {
            let (header, salt) = check_header(format::decode_header(payload), file, database)?;
            reader.bind_to(salt);
            return Ok((header, salt));
        }
        ReadOutcome::Record { kind, .. } => {
            return Err(Error::corruption(
                &file.path,
                0,
                format!(
                    "the first record is of kind {kind}, not a log's header; restore the file from a backup"
                ),
            ));
        }
        ReadOutcome::End { .. } => "the file has no header".to_string(),
        ReadOutcome::Bad { reason, .. } => format!("the file's header is bad: {reason}"),
    };
    if let Some(claimed) = claimed_by_whole_header(reader.bytes())
        && claimed != file.number
    {
        return Err(misnamed(file, claimed));
    }
    Ok((Header::Damaged(reason), 0))
}

/// Reads what a file made ahead continues; gives where frames begin, and leaves the reader there.
fn read_continuation(reader: &mut RecordReader, header: &mut Header) -> u64 {
    let Header::Valid(header) = header else { return FIRST_FRAME };
    if header.previous == Previous::ToldLater {
        if let ReadOutcome::Record { kind: KIND_CONTINUATION, payload, end, .. } = reader.next()
            && let Some(position) = format::decode_continuation(payload)
        {
            header.previous = Previous::At(position);
            return end;
        }
        reader.seek(FIRST_FRAME);
    }
    FIRST_FRAME
}

/// The number in a header that is valid under that number.
fn claimed_by_whole_header(bytes: &[u8]) -> Option<u64> {
    let claimed = format::claimed_number(bytes)?;
    let header = bytes.get(..FIRST_FRAME as usize)?;
    let mut reader = RecordReader::from_bytes(header.to_vec(), claimed, 0);
    matches!(reader.next(), ReadOutcome::Record { kind: KIND_HEADER, .. }).then_some(claimed)
}

fn misnamed(file: &WalFile, claimed: u64) -> Error {
    let name = file.number;
    Error::corruption(
        &file.path,
        0,
        format!(
            "this is log {claimed}, not {name}: the file was renamed or copied; put the right file in its place"
        ),
    )
}

fn check_header(decoded: DecodedHeader, file: &WalFile, database: &[u8; 16]) -> Result<(Header, u64)> {
    match decoded {
        DecodedHeader::Known(header, _) if header.database != *database => Err(Error::corruption(
            &file.path,
            0,
            "this log belongs to another database; put the right file in its place",
        )),
        DecodedHeader::Known(header, _) if header.number != file.number => Err(misnamed(file, header.number)),
        DecodedHeader::Known(header, salt) => Ok((Header::Valid(header), salt)),
        DecodedHeader::Newer(version) => Err(Error::new(
            ErrorKind::Corruption,
            format!("log format {version} is newer than this build knows; open with a newer version"),
        )
        .with_subcode(Subcode::NewerFormat)
        .at(&file.path, 0)),
        DecodedHeader::Malformed => {
            Err(Error::corruption(&file.path, 0, "not a log's header; restore the file from a backup"))
        }
    }
}

/// A file of which more than the header was durable takes part, even if nothing of it is left.
fn note_marked(files: &[WalFile], scanned: &mut [ScannedFile]) {
    let marks: Vec<WalPosition> = scanned.iter().map(|file| file.marks).collect();
    for mark in marks {
        if let Ok(index) = files.binary_search_by_key(&mark.log, |file| file.number) {
            scanned[index].takes_part |= mark.offset > scanned[index].first_frame;
        }
    }
}

/// Finds the files that take part and where each ends, by what its successor says (R1).
fn chain(files: &[WalFile], scanned: &mut [ScannedFile], skip_corrupted: bool) -> Result<()> {
    for index in (1..files.len()).rev() {
        let Header::Valid(WalHeader { previous: Previous::At(previous), .. }) = scanned[index].header else {
            continue;
        };
        if !scanned[index].takes_part {
            continue;
        }
        match files[..index].iter().position(|file| file.number == previous.log) {
            Some(before) => link(files, scanned, before, index, previous.offset, skip_corrupted)?,
            None if skip_corrupted => {}
            None => {
                return Err(Error::corruption(
                    &files[index].path,
                    0,
                    format!(
                        "this log continues log {:06}, which is missing; restore {:06}.log from a backup, or open \
                         with recovery mode SkipCorrupted",
                        previous.log, previous.log
                    ),
                )
                .with_subcode(Subcode::MissingFile));
            }
        }
    }
    Ok(())
}

fn link(
    files: &[WalFile],
    scanned: &mut [ScannedFile],
    before: usize,
    index: usize,
    end: u64,
    skip_corrupted: bool,
) -> Result<()> {
    let contradiction = |what: String| {
        let what =
            format!("{what}; restore the logs from one backup, or open with recovery mode SkipCorrupted");
        if skip_corrupted { Ok(()) } else { Err(Error::corruption(&files[index].path, 0, what)) }
    };
    let log = files[before].number;
    if let Some(between) = (before + 1..index).find(|&between| scanned[between].takes_part) {
        let between = files[between].number;
        return contradiction(format!("this log continues log {log}, yet log {between} stands between them"));
    }
    if let Some(sealed) = files[before].sealed_len
        && sealed != end
    {
        contradiction(format!("this log continues log {log} at {end}, which was sealed at {sealed}"))?;
    }
    scanned[before].takes_part = true;
    scanned[before].continued_at = Some(end);
    Ok(())
}

/// Numbers the eras; returns how many there are.
fn assign_eras(scanned: &mut [ScannedFile]) -> usize {
    let mut era = 0;
    let mut began = false;
    for file in scanned {
        let starts = matches!(&file.header, Header::Valid(header) if header.previous == Previous::None);
        if file.takes_part && starts && began {
            era += 1;
        }
        began |= file.takes_part;
        file.era = era;
    }
    era + 1
}

/// Whether records of this kind are frames.
pub(super) fn is_frame(kind: u8) -> bool {
    matches!(kind, KIND_FRAME | KIND_FRAME_WITH_MARK)
}
