//! The same commands through a server.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use crate::place::{Place, Server, stderr};

#[test]
fn a_directory_that_is_served_says_where() {
    let place = Place::trained();
    let server = Server::start(&place);
    let (code, message) = place.fails(&["stats"]);
    assert_eq!(code, 1);
    assert!(message.contains("in use") && message.contains(&server.url) && message.contains("--url"), "{message}");
    assert_eq!(server.stop("-TERM"), 0);
    assert_eq!(place.json(&["stats"])["users"], 40);
}

#[test]
fn a_server_takes_the_same_commands() {
    let place = Place::trained();
    let here = place.json(&["recommend", "u1"])["items"].clone();
    let server = Server::start(&place);
    let there = |args: &[&str]| place.json(&[args, &["--url", &server.url]].concat());
    assert_eq!(there(&["recommend", "u1"])["items"], here);
    assert_eq!(there(&["similar", "f1"])["items"].as_array().unwrap().len(), 10);
    assert_eq!(there(&["list", "latest", "--category", "Drama", "-n", "2"])["items"].as_array().unwrap().len(), 2);
    assert!(there(&["explain", "u1"])["items"][0]["because"].is_array());
    place.file("more.jsonl", "{\"user\":\"new/one\",\"item\":\"f1\",\"type\":\"view\",\"time\":1700000000000}\n");
    assert_eq!(there(&["import", "events", "more.jsonl"])["stored"], 1);
    assert_eq!(there(&["import", "events", "more.jsonl"])["known"], 1);
    assert_eq!(there(&["user", "show", "new/one"])["events"].as_array().unwrap().len(), 1);
    assert_eq!(there(&["user", "delete", "new/one"])["deleted"], true);
    assert_eq!(there(&["train", "--activate", "always"])["state"], "active");
    assert_eq!(there(&["snapshot", "list"]).as_array().unwrap().len(), 2);
    assert_eq!(there(&["snapshot", "rollback"])["active"], 1);
    assert_eq!(there(&["snapshot", "activate", "2"])["active"], 2);
    assert_eq!(there(&["stats"])["events"], 400);
    let columns = there(&["features", "list"]).as_array().unwrap().len();
    let values = there(&["features", "show", "--user", "u1", "--item", "f5"]);
    assert_eq!(values["values"].as_array().unwrap().len(), columns);
    assert!(there(&["features", "show", "--user", "u1"])["values"].as_array().unwrap().len() < columns);
    assert_eq!(there(&["features", "show", "--item", "f5"])["item"], "f5");
    assert!(Path::new(there(&["backup", "monday"])["path"].as_str().unwrap()).is_dir());
    let titles = place.ok(&["recommend", "u1", "--url", &server.url]);
    assert!(titles.contains("Comedy 5"), "{titles}");
    let (code, message) = place.fails(&["snapshot", "show", "99", "--url", &server.url]);
    assert_eq!((code, message.trim()), (1, "savor: no snapshot \"99\""));
    let (code, message) = place.fails(&["train", "--epochs", "3", "--url", &server.url]);
    assert_eq!(code, 2, "{message}");
    assert_eq!(server.stop("-INT"), 0);
    let (code, message) = place.fails(&["stats", "--url", "http://127.0.0.1:1"]);
    assert!(code == 1 && message.contains("savor serve"), "{message}");
}

#[test]
fn an_experiment_goes_from_its_plan_to_its_report_through_a_server_and_here() {
    let place = Place::trained();
    place.file("plan.json", r#"{"variants":[{"name":"A"},{"name":"B","query":{"limit":2}}]}"#);
    let server = Server::start(&place);
    let there = |args: &[&str]| place.json(&[args, &["--url", &server.url]].concat());
    assert_eq!(there(&["experiment", "put", "x", "plan.json"])["state"], "draft");
    assert_eq!(there(&["experiment", "start", "x"])["state"], "running");
    assert_eq!(there(&["recommend", "u1"])["experiment"]["id"], "x");
    there(&["recommend", "u2"]);
    assert_eq!(there(&["experiment", "replay", "--query", r#"{"limit": 1}"#])["answers"], 2);
    let undrawn = place.run(&["experiment", "replay", "--url", &server.url]);
    assert!(undrawn.status.success() && stderr(&undrawn).contains("recommend.explore"), "{undrawn:?}");
    let words = place.ok(&["experiment", "report", "x", "--url", &server.url]);
    assert!(words.contains("Too early") && words.contains("promised share"), "{words}");
    assert_eq!(server.stop("-TERM"), 0);
    // What was shown is there after the server has gone.
    let report = place.json(&["experiment", "report", "x"]);
    let users: u64 = report["variants"].as_array().unwrap().iter().map(|of| of["users"].as_u64().unwrap()).sum();
    assert_eq!(users, 2);
    assert_eq!(place.json(&["experiment", "stop", "x"])["state"], "stopped");
    assert!(place.ok(&["experiment", "list"]).contains("stopped"));
    let (code, message) = place.fails(&["experiment", "put", "x", "plan.json"]);
    assert!(code == 1 && message.contains("is over"), "{message}");
}

/// One request to a server, and all that it answers.
fn asked(server: &Server, method: &str, path: &str, body: &str) -> (u16, serde_json::Value) {
    let mut stream = TcpStream::connect(server.url.strip_prefix("http://").unwrap()).unwrap();
    let length = body.len();
    let head =
        format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n");
    write!(stream, "{head}content-length: {length}\r\n\r\n{body}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.get(9..12).unwrap().parse().unwrap(), serde_json::from_str(body).unwrap())
}

#[test]
fn a_training_that_a_stop_interrupts_is_begun_again_at_the_next_start() {
    let place = Place::trained();
    let server = Server::start(&place);
    let long = r#"{"train":{"model":"ials","dimension":64,"epochs":10000},"measure":false,"activate":"never"}"#;
    let (status, job) = asked(&server, "POST", "/v1/train", long);
    assert_eq!((status, &job["state"]), (202, &"running".into()), "{job}");
    let event = r#"{"user":"late","item":"f1","type":"view"}"#;
    assert_eq!(asked(&server, "POST", "/v1/events?durability=async", event).1["accepted"], 1);
    assert_eq!(server.stop("-TERM"), 0);
    let jobs = |server: &Server| asked(server, "GET", "/v1/jobs", "").1["jobs"].as_array().unwrap().clone();
    let server = Server::start(&place);
    let of = jobs(&server);
    assert_eq!((&of[0]["state"], &of[0]["options"]), (&"running".into(), &job["options"]), "{of:?}");
    assert_eq!((&of[1]["id"], &of[1]["state"]), (&job["id"], &"failed".into()), "{of:?}");
    assert!(of[1]["message"].as_str().unwrap().contains(&format!("begun again as job {}", of[0]["id"])), "{of:?}");
    // What somebody has cancelled is not begun again.
    asked(&server, "DELETE", &format!("/v1/jobs/{}", of[0]["id"]), "");
    assert_eq!(server.stop("-TERM"), 0);
    let server = Server::start(&place);
    assert_eq!(jobs(&server).len(), of.len());
    assert_eq!(jobs(&server)[0]["state"], "cancelled");
    assert_eq!(asked(&server, "GET", "/v1/users/late/events", "").1["events"].as_array().unwrap().len(), 1);
    assert_eq!(server.stop("-TERM"), 0);
}
