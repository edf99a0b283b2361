//! What is wrong with a request to read state, in Spark's words.
use millstream_state::StateError;

/// Failure of a state reader.
#[derive(Debug, thiserror::Error)]
pub enum StateDataError {
    /// An option must be there.
    #[error("'{option}' must be specified.")]
    Required {
        /// Its name.
        option: &'static str,
    },
    /// Options that exclude each other.
    #[error("The options {options} cannot be specified together. Please specify the one.")]
    Conflict {
        /// Their names, as Spark lists them.
        options: &'static str,
    },
    /// A number below zero.
    #[error("Invalid value for source option '{option}': cannot be negative.")]
    Negative {
        /// The option.
        option: &'static str,
    },
    /// An empty text.
    #[error("Invalid value for source option '{option}': cannot be empty.")]
    Empty {
        /// The option.
        option: &'static str,
    },
    /// Any other bad value.
    #[error("Invalid value for source option '{option}': {message}")]
    Invalid {
        /// The option.
        option: &'static str,
        /// What is wrong.
        message: String,
    },
    /// The batch was not committed, or no batch was.
    #[error(
        "No committed batch found, checkpoint location: {location}. Ensure that the query has run and committed any \
         microbatch before stopping."
    )]
    NoCommittedBatch {
        /// URL of the checkpoint.
        location: String,
    },
    /// There is no such store.
    #[error(
        "Failed to read the state schema. Either the file does not exist, or the file is corrupted. options: \
         {options}.\nRerun the streaming query to construct the state schema, and report to the corresponding \
         communities or vendors if the error persists."
    )]
    NoSchema {
        /// The options, as Spark prints them.
        options: String,
    },
    /// The partition asked for does not exist.
    #[error(
        "An error occurred during loading state. Partition id {partition} not found for state of operator {operator} at \
         {location}."
    )]
    NoPartition {
        /// The partition.
        partition: u32,
        /// The operator.
        operator: u32,
        /// URL of the `state` folder.
        location: String,
    },
    /// The files of a store are missing or damaged.
    #[error(transparent)]
    State(#[from] StateError),
}

impl StateDataError {
    /// Spark's error class.
    pub fn error_class(&self) -> Option<&'static str> {
        Some(match self {
            Self::Required { .. } => "STDS_REQUIRED_OPTION_UNSPECIFIED",
            Self::Conflict { .. } => "STDS_CONFLICT_OPTIONS",
            Self::Negative { .. } => "STDS_INVALID_OPTION_VALUE.IS_NEGATIVE",
            Self::Empty { .. } => "STDS_INVALID_OPTION_VALUE.IS_EMPTY",
            Self::Invalid { .. } => "STDS_INVALID_OPTION_VALUE.WITH_MESSAGE",
            Self::NoCommittedBatch { .. } => "STDS_COMMITTED_BATCH_UNAVAILABLE",
            Self::NoSchema { .. } => "STDS_FAILED_TO_READ_STATE_SCHEMA",
            Self::NoPartition { .. } => "CANNOT_LOAD_STATE_STORE.SNAPSHOT_PARTITION_ID_NOT_FOUND",
            Self::State(_) => return None,
        })
    }

    /// Parameters of the class's message template.
    pub fn message_parameters(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Required { option } | Self::Negative { option } | Self::Empty { option } => {
                vec![("optionName", (*option).to_owned())]
            }
            Self::Conflict { options } => vec![("options", (*options).to_owned())],
            Self::Invalid { option, message } => vec![
                ("optionName", (*option).to_owned()),
                ("message", message.clone()),
            ],
            Self::NoCommittedBatch { location } => vec![("checkpointLocation", location.clone())],
            Self::NoSchema { options } => vec![("sourceOptions", options.clone())],
            Self::NoPartition {
                partition,
                operator,
                location,
            } => vec![
                ("snapshotPartitionId", partition.to_string()),
                ("operatorId", operator.to_string()),
                ("checkpointLocation", location.clone()),
            ],
            Self::State(_) => vec![],
        }
    }
}
