//! What a log is.
use super::harness::{Harness, P, PARTITIONS, append, new, numbered, read, read_all, texts};
use bytes::Bytes;
use std::time::Duration;
use stream::log::{AppendError, LogError, NewRecord, Offset, Partition, Topic};

pub(crate) async fn records_get_consecutive_offsets_and_are_read_as_they_were_appended(
    harness: &dyn Harness,
) {
    let log = harness.open().await;
    log.check().await.unwrap();
    assert_eq!(log.partition_count(), PARTITIONS);
    let before = log.bounds(Topic::Facts, P).await.unwrap();
    assert_eq!((before.start, before.end), (Offset(0), Offset(0)));
    let appender = log.appender().await.unwrap();
    let mut records = numbered("r", 0..20);
    records[3] = NewRecord { key: Bytes::new(), value: Bytes::from_static(&[0, 1, 255]) };
    for part in records.chunks(7) {
        append(appender.as_ref(), Topic::Facts, P, part.to_vec()).await;
    }
    let stored = read_all(&log, Topic::Facts, P).await;
    assert_eq!(stored.len(), records.len());
    let mut time = stored[0].appended_at;
    for (offset, (stored, appended)) in (0..).zip(stored.iter().zip(&records)) {
        assert_eq!(
            (stored.offset, &stored.key, &stored.value),
            (Offset(offset), &appended.key, &appended.value)
        );
        assert!(stored.appended_at >= time && time.0 > 1_600_000_000_000_000, "append time in microseconds");
        time = stored.appended_at;
    }
    let after = log.bounds(Topic::Facts, P).await.unwrap();
    assert_eq!((after.start, after.end), (Offset(0), Offset(20)));
}

pub(crate) async fn a_thousand_records_and_half_a_mebibyte_pass_whole(harness: &dyn Harness) {
    let log = harness.open().await;
    let appender = log.appender().await.unwrap();
    let mut records = numbered("r", 0..1_000);
    records.insert(500, new(vec![7; 512 << 10]));
    let mut offsets = appender.append(Topic::Facts, P, records.clone()).await.unwrap();
    offsets.dedup();
    assert_eq!(offsets.len(), 1_001, "one offset each");
    let stored = read_all(&log, Topic::Facts, P).await;
    assert!(stored.iter().map(|record| &record.value).eq(records.iter().map(|record| &record.value)));
}

pub(crate) async fn a_read_keeps_to_its_limits_but_returns_at_least_one_record(harness: &dyn Harness) {
    let log = harness.open().await;
    let appender = log.appender().await.unwrap();
    append(appender.as_ref(), Topic::Facts, P, (0..50).map(|n| new(vec![n; 1_000])).collect()).await;
    let mut reader = log.reader(Topic::Facts, P, Offset(0)).await.unwrap();
    let mut seen = 0;
    while seen < 50 {
        let (most_records, most_bytes) = if seen % 2 == 0 { (3, usize::MAX) } else { (usize::MAX, 10) };
        let records = reader.next(most_records, most_bytes).await.unwrap();
        assert!(!records.is_empty() && records.len() <= if seen % 2 == 0 { 3 } else { 1 });
        for record in records {
            assert_eq!((record.offset, record.value[0]), (Offset(seen), u8::try_from(seen).unwrap()));
            seen += 1;
        }
    }
}

pub(crate) async fn a_record_is_found_by_its_offset_and_only_below_the_end(harness: &dyn Harness) {
    let log = harness.open().await;
    let appender = log.appender().await.unwrap();
    append(appender.as_ref(), Topic::Facts, P, numbered("r", 0..30)).await;
    for offset in [0, 17, 29] {
        let record = log.record_at(Topic::Facts, P, Offset(offset)).await.unwrap().unwrap();
        assert_eq!((record.offset, texts(&[record])), (Offset(offset), vec![format!("r{offset}")]));
    }
    for offset in [30, 1_000] {
        let error = log.record_at(Topic::Facts, P, Offset(offset)).await.unwrap_err();
        assert!(matches!(error, LogError::OutOfRange { wanted, .. } if wanted == Offset(offset)), "{error}");
    }
}

pub(crate) async fn a_reader_outside_the_bounds_is_refused(harness: &dyn Harness) {
    let log = harness.open().await;
    let appender = log.appender().await.unwrap();
    append(appender.as_ref(), Topic::Facts, P, numbered("r", 0..5)).await;
    log.reader(Topic::Facts, P, Offset(5)).await.unwrap();
    let error = match log.reader(Topic::Facts, P, Offset(6)).await {
        Err(error) => error,
        Ok(mut reader) => reader.next(1, 1).await.unwrap_err(),
    };
    assert!(matches!(error, LogError::OutOfRange { bounds, .. } if bounds.end == Offset(5)), "{error}");
}

pub(crate) async fn a_reader_waits_and_calls_dropped_half_way_lose_nothing(harness: &dyn Harness) {
    let log = harness.open().await;
    let appender = log.appender().await.unwrap();
    let mut reader = log.reader(Topic::Facts, P, Offset(0)).await.unwrap();
    let mut records = Vec::new();
    for number in 0..200_u32 {
        let appended = appender.append(Topic::Facts, P, numbered("r", number..number + 1));
        tokio::select! {
            biased;
            read = reader.next(1, usize::MAX) => records.extend(read.unwrap()),
            appended = appended => assert!(appended.is_ok()),
        }
    }
    while records.len() < 200 {
        // Each call is dropped at its first wait; some get through, since the records are there.
        match tokio::time::timeout(Duration::from_millis(5), reader.next(2, usize::MAX)).await {
            Ok(read) => records.extend(read.unwrap()),
            Err(_) => tokio::task::yield_now().await,
        }
    }
    assert_eq!(texts(&records), (0..200).map(|number| format!("r{number}")).collect::<Vec<_>>());
}

pub(crate) async fn two_appenders_interleave_and_each_keeps_its_order(harness: &dyn Harness) {
    let log = harness.open().await;
    let (one, two) = (log.appender().await.unwrap(), log.appender().await.unwrap());
    let mut appends = Vec::new();
    for number in 0..100 {
        appends.push(one.append(Topic::Facts, P, numbered("one", number..number + 1)));
        appends.push(two.append(Topic::Facts, P, numbered("two", number..number + 1)));
    }
    let mut offsets: Vec<_> = futures::future::try_join_all(appends).await.unwrap().concat();
    offsets.sort_unstable();
    assert_eq!(offsets, (0..200).map(|offset| Some(Offset(offset))).collect::<Vec<_>>());
    let stored = texts(&read_all(&log, Topic::Facts, P).await);
    for name in ["one", "two"] {
        let of_one: Vec<_> = stored.iter().filter(|text| text.starts_with(name)).cloned().collect();
        assert_eq!(of_one, (0..100).map(|number| format!("{name}{number}")).collect::<Vec<_>>());
    }
}

pub(crate) async fn an_append_needs_no_polling_and_a_dropped_appender_leaves_no_disorder(
    harness: &dyn Harness,
) {
    let log = harness.open().await;
    let appender = log.appender().await.unwrap();
    drop(appender.append(Topic::Facts, P, numbered("a", 0..1)));
    let mut reader = log.reader(Topic::Facts, P, Offset(0)).await.unwrap();
    assert_eq!(texts(&read(reader.as_mut(), 1).await), ["a0"]);

    for number in 0..50 {
        drop(appender.append(Topic::Facts, P, numbered("b", number..number + 1)));
    }
    drop(appender);
    let next = log.appender().await.unwrap();
    append(next.as_ref(), Topic::Facts, P, numbered("c", 0..1)).await;
    let mut stored = texts(&read_all(&log, Topic::Facts, P).await);
    stored.retain(|text| text.starts_with('b'));
    assert_eq!(stored, (0..stored.len()).map(|number| format!("b{number}")).collect::<Vec<_>>(), "a prefix");
}

pub(crate) async fn partitions_and_topics_do_not_mix_under_load(harness: &dyn Harness) {
    let log = harness.open().await;
    let mut tasks = tokio::task::JoinSet::new();
    for topic in [Topic::Ingest, Topic::Facts, Topic::Attributed, Topic::Commissions] {
        for partition in (0..PARTITIONS).map(Partition) {
            let log = std::sync::Arc::clone(&log);
            tasks.spawn(async move {
                let appender = log.appender().await.unwrap();
                let name = format!("{}/{}/", topic.name(), partition.0);
                let mut reader = log.reader(topic, partition, Offset(0)).await.unwrap();
                let mut appends = Vec::new();
                for part in 0..20 {
                    appends.push(appender.append(
                        topic,
                        partition,
                        numbered(&name, part * 10..(part + 1) * 10),
                    ));
                }
                futures::future::try_join_all(appends).await.unwrap();
                let stored = read(reader.as_mut(), 200).await;
                assert_eq!(texts(&stored), (0..200).map(|n| format!("{name}{n}")).collect::<Vec<_>>());
            });
        }
    }
    tasks.join_all().await;
    let mut active = log.active();
    let all: Vec<_> = (0..PARTITIONS).map(Partition).collect();
    active.wait_for(|active| *active == all).await.unwrap();
}

pub(crate) async fn an_oversized_record_is_refused_and_nothing_lands(harness: &dyn Harness) {
    let log = harness.open().await;
    let appender = log.appender().await.unwrap();
    let records = vec![new("before"), new(vec![0; 2 << 20])];
    let refused = appender.append(Topic::Facts, P, records).await;
    assert!(matches!(refused, Err(AppendError::Refused(_))), "{refused:?}");
    append(appender.as_ref(), Topic::Facts, P, vec![new("after")]).await;
    assert_eq!(texts(&read_all(&log, Topic::Facts, P).await), ["after"]);
}

pub(crate) async fn what_was_acknowledged_survives_a_restart_and_offsets_go_on(harness: &dyn Harness) {
    let log = harness.open().await;
    let appender = log.appender().await.unwrap();
    for topic in [Topic::Ingest, Topic::Commissions] {
        append(appender.as_ref(), topic, P, numbered("r", 0..100)).await;
    }
    let before = read_all(&log, Topic::Commissions, P).await;
    drop((appender, log));

    let log = harness.open().await;
    assert_eq!(read_all(&log, Topic::Commissions, P).await, before);
    assert!(log.active().borrow().contains(&P));
    let appender = log.appender().await.unwrap();
    assert_eq!(append(appender.as_ref(), Topic::Commissions, P, vec![new("next")]).await, Offset(100));
    assert_eq!(append(appender.as_ref(), Topic::Commissions, Partition(2), vec![new("x")]).await, Offset(0));
}
