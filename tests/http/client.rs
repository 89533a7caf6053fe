//! A small HTTP/1.1 client that sends exactly what a test says and nothing more.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

/// What a connection is made of: TCP, or TLS over it.
pub trait Stream: Read + Write {}

impl<S: Read + Write> Stream for S {}

/// A keep-alive connection.
pub struct Client(BufReader<Box<dyn Stream>>);

/// What came back.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).unwrap())
    }

    pub fn over(stream: impl Stream + 'static) -> Self {
        Self(BufReader::new(Box::new(stream)))
    }

    /// Sends a JSON body, or none when it is empty, with an API key.
    pub fn keyed(&mut self, token: &str, method: &str, path: &str, body: &str) -> Response {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        self.send(method, path, if body.is_empty() { &headers[..1] } else { &headers }, body.as_bytes())
    }

    pub fn get(&mut self, path: &str) -> Response {
        self.send("GET", path, &[], b"")
    }

    /// Sends a JSON body, or none when it is empty.
    pub fn json(&mut self, method: &str, path: &str, body: &str) -> Response {
        let headers: &[(&str, &str)] = if body.is_empty() { &[] } else { &[("content-type", "application/json")] };
        self.send(method, path, headers, body.as_bytes())
    }

    pub fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        let length = body.len().to_string();
        let with_length = [headers, &[("content-length", length.as_str())]].concat();
        self.write(method, path, if body.is_empty() { headers } else { &with_length }, body);
        self.receive(method == "HEAD")
    }

    /// Writes a request as it is given.
    pub fn write(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: savor\r\n");
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        let request = [head.as_bytes(), b"\r\n", body].concat();
        self.0.get_mut().write_all(&request).unwrap();
    }

    /// Writes the body of a request whose head has been written.
    pub fn send_rest(&mut self, body: &str) {
        self.0.get_mut().write_all(body.as_bytes()).unwrap();
    }

    /// Reads one answer; `head` ones have a length but no body.
    pub fn receive(&mut self, head: bool) -> Response {
        let status_line = self.line();
        let status = status_line.split(' ').nth(1).unwrap_or_default().parse().unwrap_or_default();
        let mut headers = Vec::new();
        loop {
            let line = self.line();
            let Some((name, value)) = line.split_once(": ") else { break };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let mut response = Response { status, headers, body: Vec::new() };
        let length: usize = response.header("content-length").map_or(0, |length| length.parse().unwrap());
        if !head {
            response.body.resize(length, 0);
            self.0.read_exact(&mut response.body).unwrap();
        }
        response
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    #[track_caller]
    pub fn value(&self) -> Value {
        assert!(self.header("content-type").is_some_and(|media_type| media_type.ends_with("json")), "{self:?}");
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The JSON body of an answer with this status.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        self.value()
    }

    /// A problem with this status and code; gives its field.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.text());
        let problem = self.expect(status);
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status);
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
        problem["field"].as_str().unwrap_or_default().to_owned()
    }
}
