//! The mapping file: what each column of a table is, in which unit, and what holds for all rows.
//!
//! Deliberately knows nothing of how the table is stored.

use serde::Deserialize;

/// What the columns of a table are.
///
/// In TOML, as in
/// ```toml
/// kind = "latencies"
/// [columns]
/// latency = "ms_to_start"
/// cold = "is_cold"
/// [units]
/// latency = "ms"
/// [constants]
/// runtime = "python3.8"
/// memory_mib = 128
/// ```
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Mapping {
    /// Each row is one invocation: cold or warm, and how long it took.
    Latencies(Latencies),
    /// Each row is one pool of idle instances, probed once.
    Pools(Pools),
}

/// Rows of cold and warm latencies.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latencies {
    /// Names of columns.
    pub columns: LatencyColumns,
    /// Units of columns.
    #[serde(default)]
    pub units: LatencyUnits,
    /// What holds for all rows.
    #[serde(default)]
    pub constants: Constants,
}

/// Columns of cold and warm latencies: `latency` or `round_trip` must be there, and `cold` or `instance`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatencyColumns {
    /// From the request's sending to the function's first statement.
    pub latency: Option<String>,
    /// From the request's sending to the response's arrival.
    pub round_trip: Option<String>,
    /// The function's own duration, which is subtracted from `round_trip`.
    pub duration: Option<String>,
    /// Whether it was a cold start: true, 1, yes, cold; or false, 0, no, warm.
    pub cold: Option<String>,
    /// The instance's id; its first row is the cold one.
    pub instance: Option<String>,
    /// The function's name.
    pub function: Option<String>,
    /// Rows of one round depend on each other and are resampled together; where it is absent, rows of one instance are.
    pub round: Option<String>,
    /// Whether the request failed; its latency is then larger than every answered one's.
    pub failed: Option<String>,
    /// Runtime.
    pub runtime: Option<String>,
    /// Memory, MiB.
    pub memory_mib: Option<String>,
}

/// Units of the columns of latencies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LatencyUnits {
    /// Of `latency`, `round_trip` and `duration`.
    pub latency: Unit,
}

/// Rows of idle pools.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pools {
    /// Names of columns.
    pub columns: PoolColumns,
    /// Units of columns.
    #[serde(default)]
    pub units: PoolUnits,
    /// What holds for all rows.
    #[serde(default)]
    pub constants: Constants,
}

/// Columns of idle pools.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolColumns {
    /// Instances that were started and left idle together.
    pub started: String,
    /// How long they were left idle.
    pub idle: String,
    /// How many of them were still there.
    pub warm: String,
    /// When the pool fell idle, in the unit of `idle`; where it is absent, pools are taken to be far apart.
    pub at: Option<String>,
    /// Runtime.
    pub runtime: Option<String>,
    /// Memory, MiB.
    pub memory_mib: Option<String>,
}

/// Units of the columns of idle pools.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PoolUnits {
    /// Of `idle` and `at`.
    pub idle: Unit,
}

impl Default for PoolUnits {
    fn default() -> Self {
        Self { idle: Unit::Seconds }
    }
}

/// What holds for all rows where no column says it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Constants {
    /// Runtime.
    pub runtime: String,
    /// Memory, MiB.
    pub memory_mib: u32,
}

impl Default for Constants {
    fn default() -> Self {
        Self { runtime: "unknown".to_owned(), memory_mib: 0 }
    }
}

/// Unit of a column of times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Unit {
    /// Seconds.
    #[serde(rename = "s")]
    Seconds,
    /// Milliseconds.
    #[default]
    #[serde(rename = "ms")]
    Milliseconds,
    /// Microseconds.
    #[serde(rename = "us")]
    Microseconds,
    /// Nanoseconds.
    #[serde(rename = "ns")]
    Nanoseconds,
}

impl Unit {
    /// As it is written.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::Milliseconds => "ms",
            Self::Microseconds => "us",
            Self::Nanoseconds => "ns",
        }
    }

    /// Nanoseconds in one of it.
    pub(crate) const fn nanoseconds(self) -> f64 {
        match self {
            Self::Seconds => 1e9,
            Self::Milliseconds => 1e6,
            Self::Microseconds => 1e3,
            Self::Nanoseconds => 1.0,
        }
    }
}

/// Why a mapping does not fit.
#[derive(Debug, thiserror::Error)]
pub enum MappingError {
    /// It is no TOML, or has a key too many or too few.
    #[error("cannot read the mapping")]
    Text(#[from] toml::de::Error),
    /// It does not say enough.
    #[error("mapping has no columns.{wanted}")]
    Missing {
        /// The keys, one of which must be there.
        wanted: &'static str,
    },
    /// Two keys that exclude each other.
    #[error("mapping has both columns.{one} and columns.{other}: remove one")]
    Both {
        /// A key.
        one: &'static str,
        /// The other one.
        other: &'static str,
    },
    /// The table does not have the column.
    #[error("table has no column {name:?} (columns.{key}), it has {found}")]
    Column {
        /// Key of the mapping.
        key: &'static str,
        /// The column that it names.
        name: String,
        /// The table's columns.
        found: String,
    },
}

impl Mapping {
    /// Reads and checks a mapping.
    ///
    /// # Errors
    /// [`MappingError`], naming the key.
    pub fn from_toml(text: &str) -> Result<Self, MappingError> {
        let mapping: Self = toml::from_str(text)?;
        if let Self::Latencies(Latencies { columns, .. }) = &mapping {
            match (&columns.latency, &columns.round_trip) {
                (None, None) => {
                    return Err(MappingError::Missing { wanted: "latency or columns.round_trip" });
                }
                (Some(_), Some(_)) => {
                    return Err(MappingError::Both { one: "latency", other: "round_trip" });
                }
                (Some(_), None) if columns.duration.is_some() => {
                    return Err(MappingError::Both { one: "latency", other: "duration" });
                }
                _ => {}
            }
            if columns.cold.is_none() && columns.instance.is_none() {
                return Err(MappingError::Missing { wanted: "cold or columns.instance" });
            }
        }
        Ok(mapping)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // What is missing, contradicts itself or is misspelt is named.
    #[test]
    fn wrong_mappings_are_named() {
        let error = |text: &str| {
            let error = Mapping::from_toml(text).expect_err("a wrong mapping");
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            cause.unwrap_or(error.to_string())
        };
        let latencies = "kind = \"latencies\"\n[columns]\n";
        assert_eq!(
            error(&format!("{latencies}latency = \"a\"")),
            "mapping has no columns.cold or columns.instance"
        );
        assert_eq!(
            error(&format!("{latencies}cold = \"a\"")),
            "mapping has no columns.latency or columns.round_trip"
        );
        assert!(error(&format!("{latencies}latensy = \"a\"")).contains("latensy"));
        assert!(error("kind = \"pools\"\n[columns]\nstarted = \"n\"").contains("idle"));
        assert!(error("kind = \"lakes\"").contains("lakes"));
        let both = "latency = \"a\"\nround_trip = \"b\"\ncold = \"c\"";
        assert!(error(&format!("{latencies}{both}")).contains("remove one"));
    }
}
