//! Faults: what the client sees, and what the server did all the same.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod support;

use std::time::Duration;

use descope_emulator::{Emulator, Fault, FaultAction, FaultBody, HoldStage};
use reqwest::StatusCode;
use serde_json::Value;
use support::Tester;

const TOKEN: &str = "/oauth2/v1/token";
const REFRESH: &str = "/v1/auth/refresh";

async fn logged_in() -> (Emulator, Tester, String) {
    let emulator = Emulator::builder().auto_approve("alice@acme.test").start().await.unwrap();
    emulator.control().update_settings(|settings| settings.refresh.rotate = true);
    let tester = Tester::new(&emulator);
    let refresh = tester.login().await.refresh;
    (emulator, tester, refresh)
}

#[tokio::test]
async fn statuses_with_retry_after_and_odd_bodies() {
    let (emulator, tester, refresh) = logged_in().await;
    let control = emulator.control();
    control.inject(Fault::on(REFRESH, FaultAction::too_many_requests(7)).once());
    let limited = tester.bearer(REFRESH, &refresh).await;
    assert_eq!(limited.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(limited.headers()["retry-after"], "7");
    assert_eq!(limited.json::<Value>().await.unwrap()["errorCode"], "E130429");

    control.inject(Fault::on("*", FaultAction::html(503)).once());
    let page = tester.bearer(REFRESH, &refresh).await;
    assert_eq!(page.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(page.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
    assert!(page.text().await.unwrap().contains("<h1>"));

    for (body, expected) in [
        (FaultBody::Garbage, "{\"errorCode\": "),
        (FaultBody::Empty, ""),
        (FaultBody::Rfc, "temporarily_unavailable"),
    ] {
        let action = FaultAction::Status { status: 500, retry_after: None, body, processed: false };
        control.inject(Fault::on(REFRESH, action).once());
        assert!(tester.bearer(REFRESH, &refresh).await.text().await.unwrap().contains(expected));
    }
    assert_eq!(control.family(1).unwrap().refreshes, 0);
    assert_eq!(tester.bearer(REFRESH, &refresh).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_gateway_error_after_processing() {
    let (emulator, tester, refresh) = logged_in().await;
    let action =
        FaultAction::Status { status: 504, retry_after: None, body: FaultBody::Html, processed: true };
    emulator.control().inject(Fault::on(TOKEN, action).grant("refresh_token").once());
    assert_eq!(tester.refresh_grant(&refresh).await.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(emulator.control().family(1).unwrap().refreshes, 1);
}

#[tokio::test]
async fn a_reset_connection_is_an_error_and_nothing_happened() {
    let (emulator, tester, refresh) = logged_in().await;
    emulator.control().inject(Fault::on(TOKEN, FaultAction::Reset).grant("refresh_token").once());
    let error = tester.try_refresh_grant(&refresh).await.unwrap_err();
    assert!(error.is_request() && error.status().is_none(), "{error:?}");
    let family = emulator.control().family(1).unwrap();
    assert_eq!((family.refreshes, family.live_tokens), (0, 1));
    assert_eq!(tester.refresh_grant(&refresh).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_lost_answer_is_an_error_and_the_token_is_spent() {
    let (emulator, tester, refresh) = logged_in().await;
    let control = emulator.control();
    control.inject(Fault::on(REFRESH, FaultAction::AnswerLost).once());
    let url = format!("{}{REFRESH}", tester.base);
    let bearer = format!("{}:{refresh}", tester.project);
    let error = tester.http.post(&url).bearer_auth(&bearer).send().await.unwrap_err();
    assert!(error.is_request() && error.status().is_none(), "{error:?}");
    let family = control.family(1).unwrap();
    assert_eq!((family.refreshes, family.live_tokens, family.alive), (1, 1, true));
    assert_eq!(control.count(REFRESH), 1, "the client did not silently try again");
    assert_eq!(control.requests().last().unwrap().status, None);
    assert_eq!(tester.bearer(REFRESH, &refresh).await.status(), StatusCode::UNAUTHORIZED);
    assert!(!control.family(1).unwrap().alive);
}

#[tokio::test]
async fn an_answer_may_break_in_the_middle() {
    let (emulator, tester, refresh) = logged_in().await;
    emulator.control().inject(Fault::on(REFRESH, FaultAction::AnswerTruncated).once());
    let response = tester.bearer(REFRESH, &refresh).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.bytes().await.is_err());
    assert_eq!(emulator.control().family(1).unwrap().refreshes, 1);
}

#[tokio::test]
async fn an_answer_is_held_until_released() {
    let (emulator, tester, refresh) = logged_in().await;
    let control = emulator.control();
    control.inject(Fault::on(REFRESH, FaultAction::HoldAfter).once());
    let ask = tester.bearer(REFRESH, &refresh);
    let release = async {
        let held = control.wait_for_hold(REFRESH).await;
        assert_eq!((held.stage, held.method.as_str()), (HoldStage::After, "POST"));
        assert_eq!(control.family(1).unwrap().refreshes, 1, "processed already");
        assert_eq!(control.counts()[REFRESH].in_flight, 1);
        assert!(control.release(held.id));
        assert!(!control.release(held.id));
    };
    let (response, ()) = tokio::join!(ask, release);
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_held_request_takes_effect_even_when_the_client_is_gone() {
    let (emulator, tester, refresh) = logged_in().await;
    let control = emulator.control();
    control.inject(Fault::on(REFRESH, FaultAction::HoldBefore).once());
    {
        let ask = tester.bearer(REFRESH, &refresh);
        let held = async {
            let held = control.wait_for_hold("*").await;
            assert_eq!((held.stage, control.family(1).unwrap().refreshes), (HoldStage::Before, 0));
        };
        tokio::select! { _ = ask => panic!("answered"), () = held => {} }
    }
    assert_eq!(control.release_all(), 1);
    tokio::time::timeout(Duration::from_secs(10), async {
        while control.counts()[REFRESH].in_flight > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    assert_eq!(control.family(1).unwrap().refreshes, 1);
}

#[tokio::test]
async fn a_held_request_can_be_dropped() {
    let (emulator, tester, refresh) = logged_in().await;
    let control = emulator.control();
    control.inject(Fault::on(TOKEN, FaultAction::HoldBefore).grant("refresh_token").once());
    let ask = tester.try_refresh_grant(&refresh);
    let drop = async {
        let held = control.wait_for_hold(TOKEN).await;
        assert_eq!(held.grant_type.as_deref(), Some("refresh_token"));
        assert!(control.drop_held(held.id));
    };
    let (result, ()) = tokio::join!(ask, drop);
    assert!(result.is_err());
    assert_eq!(control.family(1).unwrap().refreshes, 0);
}

#[tokio::test]
async fn delays_leave_time_to_overlap() {
    let (emulator, tester, refresh) = logged_in().await;
    let control = emulator.control();
    control.inject(Fault::on(REFRESH, FaultAction::DelayBefore { ms: 1 }));
    control.inject(Fault::on(REFRESH, FaultAction::DelayAfter { ms: 1 }));
    let id = control.inject(Fault::on(REFRESH, FaultAction::HoldAfter));
    let both = async {
        while control.held().len() < 2 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        control.clear_fault(id);
        control.release_all()
    };
    let (one, two, released) =
        tokio::join!(tester.bearer(REFRESH, &refresh), tester.bearer(REFRESH, &refresh), both);
    assert_eq!(released, 2);
    assert_eq!(control.counts()[REFRESH].peak, 2, "overlap shows");
    let statuses = [one.status().as_u16(), two.status().as_u16()];
    assert!(statuses.contains(&200) && statuses.contains(&401), "{statuses:?}");
    assert!(control.live_families().is_empty(), "two refreshes with one token look like theft");
}

#[tokio::test]
async fn unplugged_and_plugged_in_again() {
    let (mut emulator, tester, refresh) = logged_in().await;
    emulator.control().inject(Fault::on(REFRESH, FaultAction::HoldBefore).once());
    let control = emulator.control();
    let ask = tester.try_refresh_grant("x");
    drop(ask);
    emulator.go_offline().await;
    emulator.go_offline().await;
    let error = tester.try_refresh_grant(&refresh).await.unwrap_err();
    assert!(error.is_connect(), "{error:?}");
    emulator.go_online().await.unwrap();
    assert_eq!(tester.refresh_grant(&refresh).await.status(), StatusCode::OK);
    assert!(control.family(1).unwrap().alive);
    emulator.shutdown().await;
    assert!(tester.try_refresh_grant(&refresh).await.unwrap_err().is_connect());
}

#[tokio::test]
async fn shutting_down_does_not_wait_for_held_requests() {
    let (emulator, tester, refresh) = logged_in().await;
    let control = emulator.control();
    control.inject(Fault::on(REFRESH, FaultAction::HoldBefore));
    let url = format!("{}{REFRESH}", tester.base);
    let bearer = format!("{}:{refresh}", tester.project);
    let ask = tester.http.post(&url).bearer_auth(&bearer).send();
    let stop = async {
        control.wait_for_hold(REFRESH).await;
        emulator.shutdown().await;
    };
    let (result, ()) = tokio::join!(ask, stop);
    assert!(result.is_err());
    assert_eq!(control.family(1).unwrap().refreshes, 0);
}

#[tokio::test]
async fn a_skewed_clock_shows_in_tokens() {
    let (emulator, tester, _) = logged_in().await;
    emulator.control().set_skew(-700);
    let stale = tester.login().await;
    assert!(tester.verify(&stale.access).await.is_err(), "expired by the client's clock");
    emulator.control().set_skew(0);
    tester.verify(&tester.login().await.access).await.unwrap();
}

#[tokio::test]
async fn an_answer_comes_twice_on_the_wire() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (emulator, _, _) = logged_in().await;
    let path = format!("/v2/keys/{}", emulator.project_id());
    emulator.control().inject(Fault::on(&path, FaultAction::AnswerTwice).once());
    let address = emulator.base_url().trim_start_matches("http://").to_owned();
    let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut octets = Vec::new();
    stream.read_to_end(&mut octets).await.unwrap();
    let half = octets.len() / 2;
    assert!(octets.starts_with(b"HTTP/1.1 200 OK"));
    assert_eq!(octets[..half], octets[half..]);
}

#[tokio::test]
async fn a_request_is_processed_twice_and_the_second_time_is_a_reuse() {
    for (second, status) in [(false, StatusCode::OK), (true, StatusCode::UNAUTHORIZED)] {
        let (emulator, tester, refresh) = logged_in().await;
        emulator.control().inject(Fault::on(REFRESH, FaultAction::ProcessedTwice { second }).once());
        assert_eq!(tester.bearer(REFRESH, &refresh).await.status(), status);
        let family = emulator.control().family(1).unwrap();
        assert_eq!((family.refreshes, family.reuses, family.alive), (1, 1, false));
    }
}
