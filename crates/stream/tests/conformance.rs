//! The same demands on every log: what the protocol takes for granted must hold on each of them.
//!
//! A new implementation adds a harness and a line at the end of this file.
#![allow(clippy::unwrap_used)]

#[path = "conformance/cases.rs"]
mod cases;
#[path = "conformance/harness.rs"]
mod harness;
#[path = "conformance/protocol.rs"]
mod protocol;

macro_rules! conforms {
    ($($log:ident: $harness:expr;)*) => { $(
        mod $log {
            use super::harness::*;

            conforms!(@ $harness;
                cases: records_get_consecutive_offsets_and_are_read_as_they_were_appended;
                cases: a_thousand_records_and_half_a_mebibyte_pass_whole;
                cases: a_read_keeps_to_its_limits_but_returns_at_least_one_record;
                cases: a_record_is_found_by_its_offset_and_only_below_the_end;
                cases: a_reader_outside_the_bounds_is_refused;
                cases: a_reader_waits_and_calls_dropped_half_way_lose_nothing;
                cases: two_appenders_interleave_and_each_keeps_its_order;
                cases: an_append_needs_no_polling_and_a_dropped_appender_leaves_no_disorder;
                cases: partitions_and_topics_do_not_mix_under_load;
                cases: an_oversized_record_is_refused_and_nothing_lands;
                cases: what_was_acknowledged_survives_a_restart_and_offsets_go_on;
                protocol: a_frame_that_lands_after_the_next_owners_fence_is_void;
                protocol: a_frame_that_landed_and_was_reported_failed_counts_once;
                protocol: a_frame_behind_a_hole_is_void_and_the_missing_one_still_counts;
                protocol: a_duplicate_is_void;
                protocol: a_fence_without_a_known_offset_is_below_the_end_read_after_its_acknowledgement;
                protocol: a_taker_reads_through_its_fence_and_not_only_to_the_tail_before_it;
                protocol: a_cursor_of_a_log_that_lost_records_is_refused;
            );
        }
    )* };
    (@ $harness:expr; $($file:ident: $case:ident;)*) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            super::$file::$case(&$harness).await;
        }
    )* };
}

conforms! {
    embedded: Embedded::new();
    embedded_without_memory: Embedded::without_tail();
    embedded_through_the_socket: Embedded::through_the_socket();
    simulated: Simulated::new(Faults::NONE);
    simulated_with_delays: Simulated::new(Faults::DELAYS);
    kafka: Kafka::new().await;
}
