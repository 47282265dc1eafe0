//! The Azure Functions data set of 2019 (Shahrad et al., USENIX ATC 2020; AzurePublicDataset, "Azure Functions Trace 2019").
//!
//! One day has a file of invocations per function and minute, one of durations per function and one of memory per application.
//! What shares instances there is the application, and so an application is a function here. The data set counts invocations
//! by the minute: each is put at a random moment of its minute, and its duration is drawn from its function's percentiles.
//! Held in memory is one day of counts, packed, and the moments of one minute.

use super::{Arrival, Defaults, Facts, Functions, Problems, Source, TraceError, key};
use csv::ByteRecord;
use model::{MemoryMib, Span, Time};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};

const INVOCATIONS: &str = "invocations_per_function_md.anon.d";
const DURATIONS: &str = "function_durations_percentiles.anon.d";
const MEMORY: &str = "app_memory_percentiles.anon.d";

/// Minutes of a day, and columns of counts.
const MINUTES: usize = 1440;
/// Columns before the counts: HashOwner, HashApp, HashFunction, Trigger.
const LEADING: usize = 4;
/// Columns of percentiles, and which part of the invocations each bounds.
const PERCENTILES: [(&str, f64); 7] = [
    ("percentile_Average_0", 0.0),
    ("percentile_Average_1", 0.01),
    ("percentile_Average_25", 0.25),
    ("percentile_Average_50", 0.5),
    ("percentile_Average_75", 0.75),
    ("percentile_Average_99", 0.99),
    ("percentile_Average_100", 1.0),
];
/// No row.
const NONE: u32 = u32::MAX;

/// Days of the data set.
pub struct AzureDays {
    days: std::vec::IntoIter<(u32, PathBuf)>,
    defaults: Defaults,
    random: Pcg64,
    first_day: u32,
    day: Day,
    /// Minutes from the beginning of the trace to the day's.
    minute: u64,
    /// Moments of the present minute, the last one first.
    moments: Vec<(u32, u32)>,
    /// Memory of applications, as the last day that says it does.
    memory: HashMap<u128, u32>,
}

/// The counts of one day.
#[derive(Default)]
struct Day {
    rows: Vec<Row>,
    /// Gaps in minutes and counts, seven bits to a byte.
    packed: Vec<u8>,
    /// First row that has invocations in each minute.
    heads: Vec<u32>,
    /// Next minute to come.
    minute: usize,
    durations: Vec<[f32; 7]>,
}

/// One function of a day.
struct Row {
    function: u32,
    /// Place of its durations; [`NONE`] where there are none.
    durations: u32,
    /// Next row that has invocations in the same minute.
    next: u32,
    /// Where its next count is, and where its counts end.
    at: u32,
    end: u32,
    count: u32,
}

impl AzureDays {
    /// Opens one day's file of invocations, or all days of a directory, in order.
    ///
    /// # Errors
    /// [`TraceError`].
    pub fn open(path: &Path, defaults: Defaults) -> Result<Self, TraceError> {
        let mut days = BTreeMap::new();
        if path.is_dir() {
            let fault = |source| TraceError::Read { path: path.to_owned(), source };
            for entry in std::fs::read_dir(path).map_err(fault)? {
                let entry = entry.map_err(fault)?;
                if let Some(day) = day_of(&entry.file_name().to_string_lossy()) {
                    days.insert(day, entry.path());
                }
            }
        } else {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            days.extend(day_of(&name).map(|day| (day, path.to_owned())));
        }
        let first_day =
            *days.keys().next().ok_or_else(|| TraceError::Nothing { path: path.to_owned() })?;
        Ok(Self {
            days: days.into_iter().collect::<Vec<_>>().into_iter(),
            defaults,
            random: Pcg64::seed_from_u64(defaults.seed),
            first_day,
            day: Day { minute: MINUTES, ..Day::default() },
            minute: 0,
            moments: Vec::new(),
            memory: HashMap::new(),
        })
    }

    /// Fills the moments of the next minute that has any. False at the end of the trace.
    fn next_minute(
        &mut self,
        functions: &mut Functions,
        problems: &mut Problems,
    ) -> Result<bool, TraceError> {
        while self.moments.is_empty() {
            if self.day.minute >= MINUTES {
                let Some((number, path)) = self.days.next() else { return Ok(false) };
                self.minute = u64::from(number - self.first_day) * MINUTES as u64;
                self.load(&path, functions, problems)?;
            }
            let minute = self.day.minute;
            self.day.minute += 1;
            let mut row = self.day.heads[minute];
            while row != NONE {
                let it = &mut self.day.rows[row as usize];
                let next = it.next;
                let millionths = |random: &mut Pcg64| random.random_range(0..60_000_000_u32);
                self.moments.extend((0..it.count).map(|_| (millionths(&mut self.random), row)));
                self.day.expect(row, minute + 1);
                row = next;
            }
            self.moments.sort_unstable_by(|one, other| other.cmp(one));
        }
        Ok(true)
    }

    /// Reads one day.
    fn load(
        &mut self,
        path: &Path,
        functions: &mut Functions,
        problems: &mut Problems,
    ) -> Result<(), TraceError> {
        let beside = |prefix: &str| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            path.with_file_name(name.replacen(INVOCATIONS, prefix, 1))
        };
        self.read_memory(&beside(MEMORY), problems)?;
        let (durations, places) = read_durations(&beside(DURATIONS), problems)?;
        let mut day = Day { durations, heads: vec![NONE; MINUTES], ..Day::default() };
        let mut lines = Lines::open(path)?;
        lines.expect(&["HashOwner", "HashApp", "HashFunction", "Trigger"])?;
        while let Some((line, record)) = lines.next()? {
            if record.len() != LEADING + MINUTES {
                let what = format!("{} columns, must be {}", record.len(), LEADING + MINUTES);
                problems.row(path, line, &what);
                continue;
            }
            let start = day.packed.len();
            if let Err(what) = day.pack(record) {
                day.packed.truncate(start);
                problems.row(path, line, &what);
                continue;
            }
            let [owner, app, function] = [0, 1, 2].map(|it| record.get(it).unwrap_or_default());
            let app_key = key(&[owner, app]);
            let memory = self.memory.get(&app_key).copied();
            if memory.is_none() {
                problems.change(path, line, "its application's memory is not there: the default");
            }
            let memory = MemoryMib(memory.unwrap_or(self.defaults.memory.0));
            let number =
                functions.number(app_key, |all| Facts { tenant: all.tenant(owner), memory });
            let durations = places.get(&key(&[owner, app, function])).copied();
            if durations.is_none() {
                problems.change(path, line, "its durations are not there: the default");
            }
            let (at, end) = (start as u32, day.packed.len() as u32);
            let durations = durations.unwrap_or(NONE);
            day.rows.push(Row { function: number, durations, next: NONE, at, end, count: 0 });
            day.expect(day.rows.len() as u32 - 1, 0);
        }
        self.day = day;
        Ok(())
    }

    fn read_memory(&mut self, path: &Path, problems: &mut Problems) -> Result<(), TraceError> {
        // The data set has none for its last two days.
        if !path.exists() {
            return Ok(());
        }
        let mut lines = Lines::open(path)?;
        let column = lines.expect(&["HashOwner", "HashApp", "AverageAllocatedMb"])?;
        while let Some((line, record)) = lines.next()? {
            match number(record, column[2]) {
                Some(mib) if mib <= f64::from(u32::MAX) => {
                    let field = |place: usize| record.get(column[place]).unwrap_or_default();
                    self.memory.insert(key(&[field(0), field(1)]), mib.ceil().max(1.0) as u32);
                }
                _ => problems.row(path, line, "AverageAllocatedMb is no number from 0"),
            }
        }
        Ok(())
    }

    fn duration(&mut self, row: u32) -> Span {
        let durations = self.day.rows[row as usize].durations;
        let Some(ends) = self.day.durations.get(durations as usize) else {
            return self.defaults.duration;
        };
        let part: f64 = self.random.random();
        let above = PERCENTILES.iter().position(|&(_, p)| p >= part).unwrap_or(6).max(1);
        let (low, high) = (PERCENTILES[above - 1].1, PERCENTILES[above].1);
        let at = (part - low) / (high - low);
        let (from, to) = (f64::from(ends[above - 1]), f64::from(ends[above]));
        Span::from_secs_f64((from + (to - from) * at) / 1e3)
    }
}

/// The number of the day whose file of invocations this is.
pub(super) fn day_of(name: &str) -> Option<u32> {
    name.strip_prefix(INVOCATIONS)?.strip_suffix(".csv")?.parse().ok()
}

impl Day {
    /// Packs a row's counts.
    fn pack(&mut self, record: &ByteRecord) -> Result<(), String> {
        let mut gap = 0;
        for (minute, field) in record.iter().skip(LEADING).enumerate() {
            if field == b"0" {
                gap += 1;
                continue;
            }
            let text = std::str::from_utf8(field).unwrap_or("no text").trim();
            let count: u32 = text.parse().map_err(|_| {
                format!("minute {} is {text:?}, must be a whole number from 0", minute + 1)
            })?;
            if count > 0 {
                self.put(gap);
                self.put(count);
                gap = 0;
            } else {
                gap += 1;
            }
        }
        match u32::try_from(self.packed.len()) {
            Ok(_) => Ok(()),
            Err(_) => Err("the day has more than 4 GiB of counts".to_owned()),
        }
    }

    fn put(&mut self, mut number: u32) {
        while number >= 0x80 {
            self.packed.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.packed.push(number as u8);
    }

    fn take(&self, at: &mut u32) -> u32 {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = self.packed[*at as usize];
            *at += 1;
            number |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return number;
            }
            shift += 7;
        }
    }

    /// Puts a row into the line of the minute in which it comes next, from `minute` on.
    fn expect(&mut self, row: u32, minute: usize) {
        let Row { mut at, end, .. } = self.rows[row as usize];
        if at >= end {
            return;
        }
        let minute = minute + self.take(&mut at) as usize;
        let count = self.take(&mut at);
        let it = &mut self.rows[row as usize];
        (it.at, it.count) = (at, count);
        it.next = std::mem::replace(&mut self.heads[minute], row);
    }
}

impl Source for AzureDays {
    fn next(
        &mut self,
        functions: &mut Functions,
        problems: &mut Problems,
    ) -> Result<Option<Arrival>, TraceError> {
        if self.moments.is_empty() && !self.next_minute(functions, problems)? {
            return Ok(None);
        }
        let Some((micros, row)) = self.moments.pop() else { return Ok(None) };
        let minute = self.minute + self.day.minute as u64 - 1;
        let at = Time::ZERO + Span::from_secs(minute * 60) + Span::from_micros(micros.into());
        let duration = self.duration(row);
        let function = self.day.rows[row as usize].function;
        Ok(Some(Arrival { at, function, duration, cold_extra: Span::ZERO }))
    }
}

/// Durations by function, and where each function's are.
type Durations = (Vec<[f32; 7]>, HashMap<u128, u32>);

fn read_durations(path: &Path, problems: &mut Problems) -> Result<Durations, TraceError> {
    let (mut all, mut places) = (Vec::new(), HashMap::new());
    if !path.exists() {
        return Ok((all, places));
    }
    let mut lines = Lines::open(path)?;
    let names: Vec<&str> = ["HashOwner", "HashApp", "HashFunction"]
        .into_iter()
        .chain(PERCENTILES.iter().map(|(name, _)| *name))
        .collect();
    let column = lines.expect(&names)?;
    while let Some((line, record)) = lines.next()? {
        let mut ends = [0.0; 7];
        let mut least = 0.0;
        let read = ends.iter_mut().zip(&column[3..]).all(|(end, &column)| {
            let number = number(record, column).filter(|&it| it >= least && it <= 1e12);
            least = number.unwrap_or(least);
            *end = least as f32;
            number.is_some()
        });
        if !read {
            problems.row(path, line, "its percentiles are no ascending numbers from 0");
            continue;
        }
        let field = |place: usize| record.get(column[place]).unwrap_or_default();
        places.insert(key(&[field(0), field(1), field(2)]), all.len() as u32);
        all.push(ends);
    }
    Ok((all, places))
}

fn number(record: &ByteRecord, column: usize) -> Option<f64> {
    let text = std::str::from_utf8(record.get(column)?).ok()?;
    text.trim().parse().ok().filter(|it: &f64| *it >= 0.0)
}

/// The lines of one file.
struct Lines {
    path: PathBuf,
    reader: csv::Reader<File>,
    record: ByteRecord,
}

impl Lines {
    fn open(path: &Path) -> Result<Self, TraceError> {
        let file = File::open(path)
            .map_err(|source| TraceError::Read { path: path.to_owned(), source })?;
        let reader = csv::ReaderBuilder::new().flexible(true).from_reader(file);
        Ok(Self { path: path.to_owned(), reader, record: ByteRecord::new() })
    }

    /// Where the columns of these names are.
    fn expect(&mut self, names: &[&str]) -> Result<Vec<usize>, TraceError> {
        let path = self.path.clone();
        let header = self
            .reader
            .byte_headers()
            .map_err(|source| TraceError::Csv { path: path.clone(), source })?;
        let place = |name: &&str| {
            let place = header.iter().position(|it| it == name.as_bytes());
            let what = || format!("column {name:?} is missing");
            place.ok_or_else(|| TraceError::Columns { path: path.clone(), what: what() })
        };
        names.iter().map(place).collect()
    }

    fn next(&mut self) -> Result<Option<(u64, &ByteRecord)>, TraceError> {
        let read = self.reader.read_byte_record(&mut self.record);
        match read {
            Ok(true) => {
                Ok(Some((self.record.position().map_or(0, csv::Position::line), &self.record)))
            }
            Ok(false) => Ok(None),
            Err(source) => Err(TraceError::Csv { path: self.path.clone(), source }),
        }
    }
}
