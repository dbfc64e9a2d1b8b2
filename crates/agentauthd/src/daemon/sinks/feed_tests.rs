//! The engine: nothing is lost within the bound, nothing out of order, nothing repeated under another name, and nobody
//! waits for it.

use std::time::Duration;

use agentauth_host::clock::SystemClock;
use tokio::task::JoinHandle;

use super::super::board::{Shelf, SinkReport};
use super::super::fake::{Fake, FarEnd, Mood, Record, fake, until};
use super::*;

const GRACE: Duration = Duration::from_secs(10);

fn terms() -> Terms {
    Terms {
        linger: Duration::from_millis(1),
        patience: Duration::from_millis(200),
        first_pause: Duration::from_millis(5),
        longest_pause: Duration::from_millis(20),
        records: 50,
        ..Terms::usual(10_000, None, || 0.5)
    }
}

struct Fed {
    board: Board,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Fed {
    fn begin(record: &Record, sink: Fake, terms: Terms) -> Self {
        let (cursor, mark) = CursorFile::open(&record.cursor()).unwrap();
        let board = Board::new("test", "nowhere".to_owned(), SystemClock.now());
        let stop = CancellationToken::new();
        let feed = Feed::new(Parts {
            name: "test",
            sink,
            terms,
            recorder: record.recorder.clone(),
            trail: record.trail(),
            clock: Arc::new(SystemClock),
            board: board.clone(),
            place: Arc::new(Shelf::new(record.recorder.clone())).place(),
            cursor,
            mark,
        });
        let task = tokio::spawn(feed.run(stop.clone(), GRACE));
        Self { board, stop, task }
    }

    fn report(&self, record: &Record) -> SinkReport {
        self.board.read(record.recorder.newest())
    }

    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

fn up_to(last: u64) -> Vec<u64> {
    (1..=last).collect()
}

async fn has(far_end: &FarEnd, last: u64) {
    until("the records to arrive", || far_end.records().last() == Some(&last)).await;
}

#[tokio::test]
async fn everything_arrives_once_and_in_order_as_it_is_written() {
    let record = Record::begin();
    record.write(120);
    let (sink, far_end) = fake(Mood::Takes);
    let fed = Fed::begin(&record, sink, terms());
    has(&far_end, 120).await;
    assert!(far_end.batches().iter().all(|batch| batch.len() <= 50));
    for last in 121..140 {
        record.write(1);
        has(&far_end, last).await;
    }
    // What is written last of all is handed over before the end.
    record.write(3);
    let board = fed.board.clone();
    fed.end().await;
    assert_eq!(far_end.records(), up_to(142));
    let report = board.read(142);
    assert_eq!((report.up, report.behind, report.delivered, report.dropped), (true, 0, 142, 0));
}

#[tokio::test]
async fn an_outage_loses_nothing_and_its_beginning_and_end_are_recorded_once() {
    let record = Record::begin();
    let (sink, far_end) = fake(Mood::Takes);
    let fed = Fed::begin(&record, sink, terms());
    record.write(10);
    has(&far_end, 10).await;
    far_end.mood(Mood::Fails);
    record.write(3000);
    until("the sink to be down", || !fed.report(&record).up).await;
    until("many attempts", || fed.report(&record).failures > 8).await;
    let report = fed.report(&record);
    assert!(report.behind >= 3000, "{report:?}");
    assert_eq!(report.error.as_deref(), Some("told to fail"));
    far_end.mood(Mood::Takes);
    until("the sink to be up", || fed.report(&record).up).await;
    until("everything to arrive", || far_end.records().len() as u64 == record.recorder.newest()).await;
    fed.end().await;
    // The two records of the outage are among them.
    assert_eq!(far_end.records(), up_to(3012));
    let states: Vec<_> = record.details(Kind::SinkState).iter().map(|it| it["state"].clone()).collect();
    assert_eq!(states, ["down", "up"]);
    assert!(record.details(Kind::SinkDropped).is_empty());
}

#[tokio::test]
async fn a_sink_that_never_answers_keeps_nobody_waiting_and_one_failure_alone_is_no_outage() {
    let record = Record::begin();
    let (sink, far_end) = fake(Mood::HangsOnce);
    let fed = Fed::begin(&record, sink, terms());
    record.write(500);
    has(&far_end, 500).await;
    assert_eq!(fed.report(&record).failures, 1, "one attempt was given up");
    fed.end().await;
    assert!(record.details(Kind::SinkState).is_empty());
    assert_eq!(far_end.records(), up_to(500));
}

#[tokio::test]
async fn a_restart_in_the_midst_of_an_outage_goes_on_where_it_was_with_the_same_batch() {
    let mut record = Record::begin();
    let (sink, far_end) = fake(Mood::Takes);
    let fed = Fed::begin(&record, sink, terms());
    record.write(7);
    has(&far_end, 7).await;
    // It takes the next batch and its answer is lost.
    far_end.mood(Mood::Hangs);
    record.write(20);
    until("the batch to be under way", || {
        std::fs::read_to_string(record.cursor()).unwrap().contains("\"trying\":27")
    })
    .await;
    drop(fed.stop);
    fed.task.abort();
    let _ = fed.task.await;
    record = record.again();
    record.write(40);
    let (sink, again) = fake(Mood::Takes);
    let fed = Fed::begin(&record, sink, terms());
    has(&again, 67).await;
    fed.end().await;
    assert_eq!(again.batches()[0], (8..=27).collect::<Vec<_>>());
    assert_eq!(again.records(), (8..=67).collect::<Vec<_>>());
}

#[tokio::test]
async fn beyond_the_bound_the_oldest_are_counted_and_recorded_and_the_rest_arrives() {
    let record = Record::begin();
    let (sink, far_end) = fake(Mood::Fails);
    let fed = Fed::begin(&record, sink, Terms { spool: 200, ..terms() });
    record.write(1000);
    until("records to be dropped", || fed.report(&record).dropped > 0).await;
    far_end.mood(Mood::Takes);
    until("the rest to arrive", || far_end.records().last() == Some(&record.recorder.newest())).await;
    let dropped = fed.report(&record).dropped;
    fed.end().await;
    let arrived = far_end.records();
    let first = arrived[0];
    assert_eq!(arrived, (first..=*arrived.last().unwrap()).collect::<Vec<_>>());
    assert_eq!(dropped, first - 1);
    let records = record.details(Kind::SinkDropped);
    let told: u64 = records.iter().map(|it| it["records"].as_u64().unwrap()).sum();
    assert_eq!(told, dropped);
    assert_eq!(records[0]["first"], 1);
    assert_eq!(records.last().unwrap()["last"], first - 1);
    // The records of it do not feed on themselves.
    assert!(records.len() <= 20, "{}", records.len());
}

#[tokio::test]
async fn what_arrived_of_a_batch_is_not_sent_again_and_too_large_ones_are_halved() {
    let record = Record::begin();
    record.write(50);
    let (sink, far_end) = fake(Mood::TakesOnly(7));
    let fed = Fed::begin(&record, sink, terms());
    until("all to arrive", || far_end.records().len() >= 50).await;
    far_end.mood(Mood::Small(12));
    record.write(50);
    let newest = record.recorder.newest();
    until("all to arrive", || far_end.records().last() >= Some(&newest)).await;
    fed.end().await;
    let arrived = far_end.records();
    assert_eq!(arrived, up_to(*arrived.last().unwrap()));
}

#[tokio::test]
async fn what_a_receiver_refuses_is_counted_and_told_once() {
    let record = Record::begin();
    let (sink, far_end) = fake(Mood::RefusesOf(1));
    let fed = Fed::begin(&record, sink, terms());
    record.write(5);
    until("the record of it to be refused too", || far_end.records().len() >= 6).await;
    for last in 7..10 {
        record.write(1);
        has(&far_end, last).await;
    }
    fed.end().await;
    let told = record.details(Kind::SinkDropped);
    assert_eq!(told.len(), 1, "{told:?}");
}

#[tokio::test]
async fn what_has_not_settled_when_the_receiver_goes_is_sent_again() {
    let record = Record::begin();
    let (mut sink, far_end) = fake(Mood::Unconfirmed);
    sink.settles_after = Duration::from_secs(3600);
    let fed = Fed::begin(&record, sink, terms());
    record.write(30);
    has(&far_end, 30).await;
    far_end.mood(Mood::Fails);
    record.write(1);
    until("a failure", || fed.report(&record).failures > 0).await;
    far_end.mood(Mood::Unconfirmed);
    until("all to be sent again", || far_end.records().iter().filter(|seq| **seq == 1).count() == 2).await;
    fed.end().await;
    // And after a restart once more: nothing has settled.
    assert!(std::fs::read_to_string(record.cursor()).unwrap().contains("\"seq\":0"));
}

#[tokio::test]
async fn what_goes_out_without_a_pause_settles_all_the_same() {
    let record = Record::begin();
    let (mut sink, far_end) = fake(Mood::Unconfirmed);
    sink.settles_after = Duration::from_millis(50);
    let fed = Fed::begin(&record, sink, terms());
    until("something to settle while more goes out", || {
        record.write(1);
        !std::fs::read_to_string(record.cursor()).unwrap_or_default().contains("\"seq\":0,")
            && far_end.records().len() > 100
    })
    .await;
    fed.end().await;
}

#[tokio::test]
async fn what_has_settled_is_not() {
    let record = Record::begin();
    let (mut sink, far_end) = fake(Mood::Unconfirmed);
    sink.settles_after = Duration::from_millis(50);
    let fed = Fed::begin(&record, sink, terms());
    record.write(30);
    has(&far_end, 30).await;
    until("it to settle", || std::fs::read_to_string(record.cursor()).unwrap().contains("\"seq\":30")).await;
    fed.end().await;
    assert_eq!(far_end.records(), up_to(30));
}

#[tokio::test]
async fn only_what_is_wanted_arrives_and_the_rest_is_passed_by() {
    let record = Record::begin();
    let (sink, far_end) = fake(Mood::Takes);
    let fed = Fed::begin(&record, sink, Terms { wanted: Some(Kind::Checkpoint), ..terms() });
    record.write(2000);
    record.recorder.append(&agentauth_audit::Event::new(Kind::Checkpoint, SystemClock.now())).unwrap();
    has(&far_end, 2001).await;
    record.write(10);
    until("the rest to be passed by", || fed.report(&record).behind == 0).await;
    fed.end().await;
    assert_eq!(far_end.records(), [2001]);
}

#[tokio::test]
async fn another_log_is_handed_over_from_its_beginning() {
    let record = Record::begin();
    record.write(9);
    let mark = Mark { position: Position { seq: 5, hash: Some(agentauth_audit::Hash([1; 32])) }, trying: 0 };
    for mark in [mark, Mark { position: Position { seq: 5000, hash: None }, trying: 6000 }] {
        CursorFile::open(&record.cursor()).unwrap().0.write(&mark).unwrap();
        let (sink, far_end) = fake(Mood::Takes);
        let fed = Fed::begin(&record, sink, terms());
        has(&far_end, 9).await;
        fed.end().await;
        assert_eq!(far_end.records(), up_to(9));
    }
}

#[tokio::test]
async fn a_flaw_in_the_log_hides_its_own_record_and_no_other() {
    let mut record = Record::begin();
    record.write(30);
    let path = record.directory.path().join("audit/audit.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    // One line is edited, one put there again, and one is longer than any.
    let edited = lines[9].replace("files.read:/a", "files.read:/b");
    let long = "x".repeat(200 * 1024);
    let changed = [&lines[..9], &[&edited, lines[3]], &lines[10..20], &[&long], &lines[20..]].concat();
    std::fs::write(&path, changed.join("\n") + "\n").unwrap();
    record = record.again();
    record.write(5);
    let newest = record.recorder.newest();
    let (sink, far_end) = fake(Mood::Takes);
    let fed = Fed::begin(&record, sink, terms());
    until("the records to arrive", || far_end.records().contains(&newest)).await;
    until("the gap to be recorded", || fed.report(&record).dropped == 1).await;
    fed.end().await;
    let arrived = far_end.records();
    let expected: Vec<_> = (1..=*arrived.last().unwrap()).filter(|seq| *seq != 10).collect();
    assert_eq!(arrived, expected);
}

#[tokio::test]
async fn what_a_sink_still_needs_is_kept() {
    use agentauth_audit::Retention;

    let record = Record::begin();
    let (sink, far_end) = fake(Mood::Takes);
    let fed = Fed::begin(&record, sink, terms());
    record.write(10);
    has(&far_end, 10).await;
    far_end.mood(Mood::Fails);
    record.write(10);
    let log = record.recorder.log();
    let rotate = || {
        log.rotate(SystemClock.now()).unwrap();
        log.carry(std::iter::empty(), log.head().seq, SystemClock.now()).unwrap();
        record.write(1);
    };
    rotate();
    rotate();
    let nothing = Retention { age: SignedDuration::ZERO, size: 0 };
    let deleted = || log.retain(nothing, SystemClock.now(), |_| None).unwrap().len();
    assert_eq!(deleted(), 0, "the sink has not had them");
    far_end.mood(Mood::Takes);
    until("everything to arrive", || far_end.records().last() == Some(&record.recorder.newest())).await;
    until("the files to be free", || deleted() > 0).await;
    fed.end().await;
    let arrived = far_end.records();
    assert_eq!(arrived, up_to(*arrived.last().unwrap()), "over the files as over one");
}
