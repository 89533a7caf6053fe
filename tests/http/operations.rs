//! What an operator does: train, follow, switch back, back up, watch, stop.

use savor::{Engine, Event, Timestamp};
use serde_json::Value;

use crate::client::Client;
use crate::server::Running;

/// Asks until the job has ended.
fn ended(client: &mut Client, job: &str) -> Value {
    loop {
        let state = client.get(job).expect(200);
        if state["state"] != "running" {
            return state;
        }
    }
}

#[test]
fn training_is_a_job_that_can_be_followed_until_its_snapshot_answers() {
    let server = Running::with_taste();
    let mut client = server.client();
    let started = client.json("POST", "/v1/train", r#"{"activate":"always"}"#);
    assert_eq!(started.expect(202)["kind"], "train");
    let job = started.header("location").unwrap().to_owned();
    let done = ended(&mut client, &job);
    assert_eq!(done["state"], "done", "{done}");
    let snapshots = client.get("/v1/snapshots").expect(200);
    assert_eq!(snapshots["active"], done["snapshot"]);
    assert_eq!(client.get(&format!("/v1/snapshots/{}", done["snapshot"])).expect(200)["state"], "active");
    assert_eq!(client.get("/v1/jobs").expect(200)["jobs"].as_array().unwrap().len(), 1);
    client.get("/v1/jobs/99").problem(404, "not_found");
    client.json("DELETE", "/v1/jobs/99", "").problem(404, "not_found");
    assert_eq!(client.json("POST", "/v1/train", r#"{"activate":"now"}"#).problem(400, "invalid"), "activate");
}

#[test]
fn an_operator_sees_how_each_index_answers_and_a_question_how_it_was_answered() {
    let server = Running::trained();
    let mut client = server.client();
    client.json("POST", "/v1/items", r#"[{"id":"a","vectors":{"image":[1,0]}}]"#).expect(200);
    let indexes = client.get("/v1/indexes").expect(200)["indexes"].clone();
    let (model, space) = (&indexes[0], &indexes[1]);
    assert_eq!((&model["name"], &model["plan"]["kind"]), (&"model".into(), &"exact".into()), "{model}");
    assert!(model["plan"]["why"].as_str().unwrap().contains("too few") && model["bytes"].as_u64() > Some(0));
    assert_eq!((&space["name"], &space["is_loaded"], &space["vectors"]), (&"image".into(), &false.into(), &1.into()));
    client.json("POST", "/v1/vectors/search", r#"{"space":"image","vector":[1,1]}"#).expect(200);
    client.json("POST", "/v1/items", r#"[{"id":"b","vectors":{"image":[0,1]}}]"#).expect(200);
    let space = client.get("/v1/indexes").expect(200)["indexes"][1].clone();
    assert_eq!((&space["is_loaded"], &space["vectors"], &space["waiting"]), (&true.into(), &2.into(), &1.into()));

    let path = "/v1/users/u2/recommendations?limit=2&explain=true";
    let search = client.get(path).expect(200)["search"].clone();
    assert_eq!((&search["way"], &search["why"]), (&"scan".into(), &model["plan"]["why"]), "{search}");
    assert!(search["scored"].as_u64() > Some(0) && search["vectors"] == model["vectors"]);
    assert!(client.get(&path.replace("true", "false")).expect(200).get("search").is_none());
}

#[test]
fn only_one_training_runs_at_a_time_and_it_can_be_cancelled() {
    let server = Running::with_taste();
    let mut client = server.client();
    let options = r#"{"measure":false,"train":{"epochs":10000,"dimension":64}}"#;
    let job = client.json("POST", "/v1/train", options).header("location").unwrap().to_owned();
    client.json("POST", "/v1/train", "").problem(409, "conflict");
    client.json("DELETE", &job, "").expect(200);
    assert_eq!(ended(&mut client, &job)["state"], "cancelled");
}

#[test]
fn snapshots_are_switched_and_rolled_back() {
    let server = Running::trained();
    let mut client = server.client();
    let second = server.engine.train(&savor::TrainOptions::default()).unwrap();
    assert_eq!(client.json("POST", &format!("/v1/snapshots/{second}:activate"), "").expect(200)["active"], second.0);
    assert_eq!(client.json("POST", "/v1/snapshots:rollback", "").expect(200)["active"], 1);
    client.json("POST", "/v1/snapshots/99:activate", "").problem(404, "not_found");
    client.get("/v1/snapshots/99").problem(404, "not_found");
}

#[test]
fn a_backup_is_whole_has_a_name_and_no_path() {
    let server = Running::with_taste();
    let mut client = server.client();
    let backup = client.json("POST", "/v1/backups", r#"{"name":"monday"}"#).expect(201);
    assert_eq!(backup["generation"]["generation"], 1);
    let second = client.json("POST", "/v1/backups", r#"{"name":"monday"}"#).expect(201);
    assert_eq!(second["generation"]["generation"], 2);
    let listed = client.get("/v1/backups").expect(200);
    assert_eq!((&listed["backups"][0]["name"], &listed["backups"][1]), (&"monday".into(), &Value::Null));
    assert_eq!(listed["backups"][0]["generations"].as_array().unwrap().len(), 2);
    client.json("POST", "/v1/backups", r#"{"name":"none","log":true}"#).problem(409, "conflict");
    assert_eq!(client.json("POST", "/v1/backups", r#"{"name":"../elsewhere"}"#).problem(400, "invalid"), "name");
    client.json("POST", "/v1/backups", r#"{"path":"/tmp/x"}"#).problem(400, "invalid");
    let restored = server.directory().join("restored");
    Engine::restore(backup["path"].as_str().unwrap(), &restored).unwrap();
    let copy = Engine::open(&restored, savor::Config::default()).unwrap();
    assert_eq!(copy.stats().unwrap().events, server.engine.stats().unwrap().events);
}

#[test]
fn metrics_count_requests_by_route_and_status() {
    let server = Running::with_taste();
    let mut client = server.client();
    client.get("/v1/items/i1").expect(200);
    client.get("/v1/items/i2").expect(200);
    client.get("/v1/items/none").problem(404, "not_found");
    client.get("/nowhere").problem(404, "no_route");
    let metrics = client.get("/metrics");
    assert!(metrics.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    for line in [
        "savor_requests_total{method=\"GET\",route=\"/v1/items/{id}\",status=\"200\"} 2",
        "savor_requests_total{method=\"GET\",route=\"/v1/items/{id}\",status=\"404\"} 1",
        "savor_requests_total{method=\"GET\",route=\"unmatched\",status=\"404\"} 1",
        "savor_request_duration_seconds_count{method=\"GET\",route=\"/v1/items/{id}\",status=\"200\"} 2",
        "savor_requests_in_flight 1",
        "savor_connections_open 1",
        "savor_users 40",
        "savor_items 20",
        "savor_events 400",
        "savor_active_snapshot 0",
    ] {
        assert!(metrics.text().lines().any(|found| found == line), "{line} is missing in\n{}", metrics.text());
    }
    assert!(metrics.text().ends_with("# EOF\n"));
    let stats = client.get("/v1/stats").expect(200);
    assert_eq!((&stats["users"], &stats["events"]), (&40.into(), &400.into()));
}

#[test]
fn the_address_is_announced_and_nobody_else_gets_in() {
    let mut server = Running::start();
    let holder = Engine::holder(server.directory().join("data")).unwrap();
    assert_eq!(holder.address, Some(format!("http://{}", server.address)));
    let error = Engine::open(server.directory().join("data"), savor::Config::default()).map(drop).unwrap_err();
    assert!(error.to_string().contains(&server.address.to_string()), "{error}");
    assert_eq!(server.client().get("/readyz").status, 200);
    assert_eq!(server.client().get("/").expect(200)["name"], "savor");
    server.stop().unwrap();
}

#[test]
fn an_address_that_is_taken_is_a_clear_error() {
    let server = Running::start();
    let directory = tempfile::tempdir().unwrap();
    let engine = Engine::open(directory.path().join("data"), savor::Config::default()).unwrap();
    let config = savor::ServerConfig { listen: server.address, ..Default::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = runtime.block_on(savor::server::serve(engine, &config, async {})).unwrap_err();
    assert!(error.to_string().contains(&server.address.to_string()), "{error}");
}

#[test]
fn drift_and_decisions_can_be_asked_for() {
    let server = Running::trained();
    let mut client = server.client();
    let drift = client.get("/v1/drift").expect(200);
    assert_eq!((&drift["events"], &drift["differences"]), (&0.into(), &Value::Array(Vec::new())), "{drift}");
    assert!(drift["note"].as_str().unwrap().contains("monitor.min_events"));
    assert_eq!(client.get("/v1/decisions").expect(200)["decisions"], Value::Array(Vec::new()));
    // The other half of the catalogue, by other people, in a few hours.
    let events: Vec<Event> = (0..1_000i64)
        .map(|n| {
            let time = Timestamp::from_millis(1_730_000_000_000 + n * 10_000).unwrap();
            Event::new(format!("n{}", n % 50), format!("j{}", n * 7 % 30), "buy").with_value(n as f64).at(time)
        })
        .collect();
    server.engine.append_events(&events).unwrap();
    let drift = client.get("/v1/drift").expect(200);
    assert_eq!(drift["events"], 1_000);
    let note = drift["note"].as_str().unwrap();
    assert!(note.contains("monitor.min_events"), "400 events were trained on, which is too few: {note}");
}
