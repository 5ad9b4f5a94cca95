//! Names of this crate's metrics. `docs/reference/metrics.md` says what each means and what to do about it.
use crate::log::Topic;
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

/// Inputs that were taken up, by service; not all leave a frame.
pub const INPUTS: &str = "tributary_inputs_total";
/// Frames that were accepted, by service.
pub const FRAMES: &str = "tributary_frames_accepted_total";
/// Events in accepted frames, by service and kind.
pub const EVENTS: &str = "tributary_events_total";
/// From an append to its acknowledgement, in seconds, by service.
pub const APPEND_SECONDS: &str = "tributary_append_seconds";
/// Records of the input that are not worked off, by service, over all partitions.
pub const LAG_RECORDS: &str = "tributary_lag_records";
/// Age of the oldest record that is not worked off, in seconds, by service; 0 when there is none.
pub const LAG_SECONDS: &str = "tributary_lag_seconds";
/// How far the clock of the partition that is furthest behind is behind this machine's, in seconds, by service.
pub const WATERMARK_AGE: &str = "tributary_watermark_age_seconds";
/// The clock of each partition, in seconds since 1970, by service and partition.
pub const CLOCK: &str = "tributary_partition_clock_seconds";
/// Partitions given up and taken again, by service and reason.
pub const RETAKES: &str = "tributary_retakes_total";
/// Partitions that this process serves now, by service; of the projector, those that it follows.
pub const OWNED: &str = "tributary_partitions_owned";
/// Partitions taken, by service.
pub const TAKES: &str = "tributary_takes_total";
/// From being named for a partition, or from losing it, to serving it, in seconds, by service.
pub const TAKEOVER_SECONDS: &str = "tributary_takeover_seconds";
/// Partitions that stand still until a person has looked, by service.
pub const HALTED: &str = "tributary_partitions_halted";
/// Decisions that failed by a defect, by service; each leaves a parked input.
pub const DEFECTS: &str = "tributary_defects_total";
/// Inputs that are parked now, by service and partition.
pub const PARKED: &str = "tributary_parked_inputs";
/// Side outputs that were not acknowledged.
pub const SIDE_OUTPUTS_FAILED: &str = "tributary_side_outputs_failed_total";
/// Times that a record was further ahead of this machine's clock than clocks may differ, by service.
pub const CLOCK_AHEAD: &str = "tributary_clock_ahead_total";
/// Records that do not count, by topic and reason.
pub const VOID: &str = "tributary_void_records_total";
/// Kafka producers thrown away after a doubt, by topic.
pub const PRODUCERS_DISCARDED: &str = "tributary_kafka_producers_discarded_total";
/// Kafka readers given up because the client brought no records though there were some, by topic.
pub const READERS_STUCK: &str = "tributary_kafka_readers_stuck_total";
/// Kafka groups joined anew because they had named nobody for some partitions, by service.
pub const GROUPS_JOINED_ANEW: &str = "tributary_kafka_groups_joined_anew_total";
/// 1 once the embedded log cannot be trusted any more: the process ends.
pub const POISONED: &str = "tributary_log_poisoned_total";
/// Groups that the embedded log refused for want of space.
pub const NO_SPACE: &str = "tributary_log_refused_for_space_total";
/// Free bytes on the embedded log's file system, as last looked at.
pub const FREE_BYTES: &str = "tributary_log_free_bytes";

/// Snapshots written, by service.
pub const SNAPSHOTS: &str = "tributary_snapshots_written_total";
/// Snapshots that could not be written, by service.
pub const SNAPSHOTS_FAILED: &str = "tributary_snapshots_failed_total";
/// Snapshots passed over at a recovery because they are damaged or of another history, by service.
pub const SNAPSHOTS_SKIPPED: &str = "tributary_snapshots_skipped_total";
/// From the start of a snapshot to its file, in seconds, by service.
pub const SNAPSHOT_SECONDS: &str = "tributary_snapshot_seconds";
/// For how long a snapshot stopped the loop, in seconds, by service.
pub const SNAPSHOT_PAUSE_SECONDS: &str = "tributary_snapshot_pause_seconds";
/// Partitions whose state came from a snapshot, by service.
pub const RESTORES: &str = "tributary_snapshot_restores_total";

/// Why a partition is given up: the `reason` of [`RETAKES`].
pub(crate) const REASONS: [&str; 8] =
    ["lost", "log", "append", "deadline", "too_large", "store", "keys", "other"];

/// Tells the recorder what there is. Those that stand for trouble show from the start, as 0: an alarm needs something to
/// compare with.
pub fn register() {
    describe_counter!(INPUTS, "inputs taken up, by service");
    describe_counter!(FRAMES, "frames accepted, by service");
    describe_counter!(EVENTS, "events in accepted frames, by service and kind");
    describe_histogram!(APPEND_SECONDS, Unit::Seconds, "from append to acknowledgement, by service");
    describe_gauge!(LAG_RECORDS, "records of the input that are not worked off, by service");
    describe_gauge!(
        LAG_SECONDS,
        Unit::Seconds,
        "age of the oldest record that is not worked off, by service"
    );
    describe_gauge!(
        WATERMARK_AGE,
        Unit::Seconds,
        "how far the slowest partition's clock is behind, by service"
    );
    describe_gauge!(CLOCK, Unit::Seconds, "clock of each partition since 1970, by service and partition");
    describe_counter!(RETAKES, "partitions given up and taken again, by service and reason");
    describe_gauge!(OWNED, "partitions that this process serves now, by service");
    describe_counter!(TAKES, "partitions taken, by service");
    describe_histogram!(
        TAKEOVER_SECONDS,
        Unit::Seconds,
        "from being named for a partition to serving it, by service"
    );
    describe_gauge!(HALTED, "partitions that stand still until somebody looks, by service");
    describe_counter!(DEFECTS, "decisions that failed by a defect, by service");
    describe_gauge!(PARKED, "inputs that are parked now, by service and partition");
    describe_counter!(SIDE_OUTPUTS_FAILED, "side outputs not acknowledged");
    describe_counter!(CLOCK_AHEAD, "records too far ahead of this machine's clock, by service");
    describe_counter!(VOID, "records that do not count, by topic and reason");
    describe_counter!(PRODUCERS_DISCARDED, "Kafka producers thrown away after a doubt, by topic");
    describe_counter!(READERS_STUCK, "Kafka readers given up because the client stood still, by topic");
    describe_counter!(
        GROUPS_JOINED_ANEW,
        "groups joined anew because they had named nobody for some partitions, by service"
    );
    describe_counter!(POISONED, "1 once the embedded log cannot be trusted any more");
    describe_counter!(NO_SPACE, "groups refused for want of space");
    describe_gauge!(FREE_BYTES, Unit::Bytes, "free bytes on the log's file system");
    describe_counter!(SNAPSHOTS, "snapshots written, by service");
    describe_counter!(SNAPSHOTS_FAILED, "snapshots that could not be written, by service");
    describe_counter!(SNAPSHOTS_SKIPPED, "snapshots passed over at a recovery, by service");
    describe_histogram!(SNAPSHOT_SECONDS, Unit::Seconds, "from a snapshot's start to its file, by service");
    describe_histogram!(
        SNAPSHOT_PAUSE_SECONDS,
        Unit::Seconds,
        "for how long a snapshot stopped the loop, by service"
    );
    describe_counter!(RESTORES, "partitions whose state came from a snapshot, by service");
    for name in [SIDE_OUTPUTS_FAILED, POISONED, NO_SPACE] {
        counter!(name).absolute(0);
    }
    for topic in [Topic::Facts, Topic::Attributed, Topic::Commissions] {
        for reason in crate::judge::Void::NAMES {
            counter!(VOID, "topic" => topic.name(), "reason" => reason).absolute(0);
        }
    }
    for topic in Topic::ALL {
        counter!(PRODUCERS_DISCARDED, "topic" => topic.name()).absolute(0);
        counter!(READERS_STUCK, "topic" => topic.name()).absolute(0);
    }
}

/// What one service shows from its start on.
pub(crate) fn register_service(service: &'static str) {
    for name in [INPUTS, FRAMES, TAKES, DEFECTS, CLOCK_AHEAD, GROUPS_JOINED_ANEW] {
        counter!(name, "service" => service).absolute(0);
    }
    for name in [SNAPSHOTS, SNAPSHOTS_FAILED, SNAPSHOTS_SKIPPED, RESTORES] {
        counter!(name, "service" => service).absolute(0);
    }
    for reason in REASONS {
        counter!(RETAKES, "service" => service, "reason" => reason).absolute(0);
    }
    for name in [LAG_RECORDS, LAG_SECONDS, WATERMARK_AGE, OWNED, HALTED] {
        gauge!(name, "service" => service).increment(0.0);
    }
    for name in [APPEND_SECONDS, TAKEOVER_SECONDS, SNAPSHOT_SECONDS, SNAPSHOT_PAUSE_SECONDS] {
        let _ready = histogram!(name, "service" => service);
    }
}
