//! The files of one log group: segments in their order, and what the group is told to be.
//!
//! Deliberately knows nothing of what waits to be written.

use crate::bounds::Bounds;
use crate::frame::{Builder, Record};
use crate::segment::{Segment, unix_ms};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

const DAY_MS: i64 = 24 * 3600 * 1000;
const ABOUT: &str = "group.json";

/// The files of one group.
#[derive(Debug)]
pub(crate) struct Files {
    directory: PathBuf,
    /// None until the directory was looked at.
    segments: Option<VecDeque<Segment>>,
    about: Option<About>,
    /// Whether the directory is known to be there.
    is_made: bool,
    /// When somebody last asked or wrote.
    pub touched: Instant,
}

/// What a group is told to be.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct About {
    pub created_ms: i64,
    pub retention_days: Option<u32>,
}

/// How many of a group's oldest segments to take away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spare {
    /// The one that is written to.
    Last,
    Nothing,
}

impl Files {
    pub fn new(directory: PathBuf) -> Self {
        Self { directory, segments: None, about: None, is_made: false, touched: Instant::now() }
    }

    /// The segments, as the directory has them.
    pub fn segments(&mut self) -> &mut VecDeque<Segment> {
        self.segments.get_or_insert_with(|| {
            let entries = fs::read_dir(&self.directory).into_iter().flatten().flatten();
            let mut found: Vec<Segment> =
                entries.filter_map(|entry| Segment::found(entry.path())).collect();
            found.sort_by_key(|segment| segment.first);
            found.into()
        })
    }

    /// The segments, each with its index.
    pub fn indexed(&mut self) -> io::Result<&mut VecDeque<Segment>> {
        self.touched = Instant::now();
        let segments = self.segments();
        for segment in segments.iter_mut() {
            segment.index()?;
        }
        Ok(segments)
    }

    /// Streams that were removed, each with the number of the first event after that. Call [`Self::indexed`] before.
    pub fn removed(&self) -> BTreeMap<Arc<str>, u64> {
        let segments = self.segments.iter().flatten();
        let indexes = segments.filter_map(|segment| segment.index.as_ref());
        indexes.flat_map(|index| index.removed.iter().cloned()).collect()
    }

    pub fn bytes(&self) -> u64 {
        self.segments.iter().flatten().map(|segment| segment.bytes).sum()
    }

    /// When the oldest segment was last written that may go; None where none may.
    pub fn oldest_ms(&mut self, spare: Spare) -> Option<i64> {
        let segments = self.segments();
        let least = match spare {
            Spare::Last => 2,
            Spare::Nothing => 1,
        };
        (segments.len() >= least).then(|| segments.front().map(|it| it.written_ms)).flatten()
    }

    /// Removes the oldest segment.
    pub fn remove_oldest(&mut self) {
        let Some(segment) = self.segments().pop_front() else { return };
        if let Err(error) = fs::remove_file(&segment.path) {
            tracing::warn!(path = %segment.path.display(), %error, "cannot remove a log file");
        }
    }

    /// Removes what is beyond the group's bounds.
    pub fn trim(&mut self, bounds: &Bounds, now_ms: i64) {
        while self.bytes() > bounds.group_bytes && self.oldest_ms(Spare::Last).is_some() {
            self.remove_oldest();
        }
        let from = self.visible_from_ms(bounds, now_ms);
        while self.oldest_ms(Spare::Nothing).is_some_and(|written| written < from) {
            self.remove_oldest();
        }
    }

    /// Time from which events are shown.
    pub fn visible_from_ms(&mut self, bounds: &Bounds, now_ms: i64) -> i64 {
        let age_ms = i64::try_from(bounds.age.as_millis()).unwrap_or(i64::MAX);
        let retention = self.about().retention_days;
        let retention_ms = retention.map_or(i64::MAX, |days| i64::from(days) * DAY_MS);
        now_ms.saturating_sub(age_ms.min(retention_ms))
    }

    /// Chooses the segment of the next frame, and says how the streams are numbered in it.
    pub fn begin_frame(
        &mut self,
        bounds: &Bounds,
        now_ms: i64,
    ) -> io::Result<BTreeMap<Arc<str>, u32>> {
        self.touched = Instant::now();
        self.make()?;
        let mut next = 0;
        if let Some(last) = self.segments().back_mut() {
            let index = last.index()?;
            let (events, numbers) = (index.events, index.numbers.clone());
            // Each file has a name of its own, also one that holds nothing but removals.
            next = last.first + events.max(1);
            if last.bytes < bounds.segment_bytes() && now_ms - last.begun_ms < bounds.segment_ms() {
                return Ok(numbers);
            }
        }
        let segment = Segment::begin(&self.directory, next, now_ms);
        self.segments().push_back(segment);
        Ok(BTreeMap::new())
    }

    /// Writes a frame to the segment that [`Self::begin_frame`] chose.
    pub fn append(&mut self, frame: Builder, now_ms: i64) -> io::Result<()> {
        let (_, bytes) = frame.finish(now_ms);
        match self.segments().back_mut() {
            Some(last) => last.append(&bytes),
            None => Err(io::Error::other("no segment was begun")),
        }
    }

    /// Hides what a stream has so far.
    pub fn remove_stream(&mut self, bounds: &Bounds, name: &str) -> io::Result<()> {
        let now_ms = unix_ms(SystemTime::now());
        self.begin_frame(bounds, now_ms)?;
        let mut frame = Builder::new();
        frame.push(Record::Removed { name });
        self.append(frame, now_ms)
    }

    /// What the group is told to be; made up where nothing says so.
    pub fn about(&mut self) -> About {
        if let Some(about) = self.about {
            return about;
        }
        let text = fs::read(self.directory.join(ABOUT)).unwrap_or_default();
        let about = serde_json::from_slice(&text).unwrap_or_else(|_| {
            let first = self.segments().front().map(|segment| segment.begun_ms);
            let created_ms = first.unwrap_or_else(|| unix_ms(SystemTime::now()));
            About { created_ms, retention_days: None }
        });
        self.about = Some(about);
        about
    }

    /// Says how long events are kept, durably.
    pub fn set_retention(&mut self, days: Option<u32>) -> io::Result<()> {
        self.make()?;
        let about = About { retention_days: days, ..self.about() };
        self.write_about(about)
    }

    /// Makes the directory where it is missing.
    pub fn make(&mut self) -> io::Result<()> {
        if self.is_made {
            return Ok(());
        }
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        let about = self.about();
        if !self.directory.join(ABOUT).exists() {
            self.write_about(about)?;
        }
        self.is_made = true;
        Ok(())
    }

    /// Removes everything.
    pub fn remove_all(&mut self) -> io::Result<()> {
        (self.segments, self.about, self.is_made) = (None, None, false);
        match fs::remove_dir_all(&self.directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Forgets the indexes; they are read again when somebody asks.
    pub fn forget(&mut self) {
        for segment in self.segments.iter_mut().flatten() {
            segment.index = None;
        }
    }

    fn write_about(&mut self, about: About) -> io::Result<()> {
        let aside = self.directory.join("group.new");
        let text = serde_json::to_vec(&about).map_err(io::Error::other)?;
        let mut file = fs::OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&aside)?;
        file.write_all(&text)?;
        fs::rename(&aside, self.directory.join(ABOUT))?;
        self.about = Some(about);
        Ok(())
    }
}
