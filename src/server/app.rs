//! One request from headers to answer: find the route, read the body within limits, wait for a place among the requests in
//! work ([`super::admission`]), run the handler where it belongs, count and log. Warp takes requests apart and sends answers;
//! this decides what happens between. Whatever a client sends, it gets an answer, and a handler that fails fails alone.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::Stream;
use http::{HeaderMap, Method, Response, StatusCode, header};
use tokio::sync::Semaphore;
use warp::filters::BoxedFilter;
use warp::path::FullPath;
use warp::{Buf, Filter};

use super::admission::{Class, DEFAULT, Place};
use super::body::{self, Bodies};
use super::call::{Call, parse_query};
use super::connections::{Asking, Peer};
use super::context::Context;
use super::gate::Refusal;
use super::problem::Problem;
use super::reply::Reply;
use super::route::{BodyKind, Handler, Lane, Route};
use super::table::{Found, PathParameters, Table};
use super::wait;
use crate::config::ServerConfig;
use crate::record::Effort;

/// The header by which a client says how many milliseconds it waits. More than `server.request_timeout` is that.
const TIMEOUT_HEADER: &str = "x-timeout-ms";

/// The whole application, shared by all connections.
pub struct App {
    /// What handlers see.
    pub context: Arc<Context>,
    table: Table,
    bodies: Bodies,
    /// One async worker is always left to look after connections: the others may run quick handlers.
    workers: Arc<Semaphore>,
    request_timeout: Duration,
    bulk_body_bytes: usize,
    /// Whose requests these are: nobody in particular.
    who: Arc<str>,
}

impl App {
    /// Serves these routes. To be called in the runtime that will run it.
    pub fn new(context: Context, routes: Vec<Route>, config: &ServerConfig) -> Arc<Self> {
        let workers = tokio::runtime::Handle::current().metrics().num_workers();
        Arc::new(Self {
            context: Arc::new(context),
            table: Table::new(routes),
            bodies: Bodies::new(config.max_body_bytes, wait(config.read_timeout)),
            workers: Arc::new(Semaphore::new(workers.saturating_sub(1).max(1))),
            request_timeout: wait(config.request_timeout),
            bulk_body_bytes: config.overload.bulk_body_bytes,
            who: Arc::from(DEFAULT),
        })
    }

    /// The application as a warp filter, for one connection.
    pub fn filter(self: &Arc<Self>, peer: &Arc<Peer>) -> BoxedFilter<(Response<Vec<u8>>,)> {
        let (app, peer) = (Arc::clone(self), Arc::clone(peer));
        let query = warp::query::raw().or(warp::any().map(String::new)).unify();
        warp::method()
            .and(warp::path::full())
            .and(query)
            .and(warp::header::headers_cloned())
            .and(warp::body::stream())
            .then(move |method, path, query: String, headers, body| {
                let (app, peer) = (Arc::clone(&app), Arc::clone(&peer));
                async move {
                    let asked = peer.asks();
                    app.answer(method, path, &query, headers, body, &asked).await
                }
            })
            .boxed()
    }

    async fn answer<B: Buf, E>(
        self: Arc<Self>,
        method: Method,
        path: FullPath,
        query: &str,
        headers: HeaderMap,
        body: impl Stream<Item = Result<B, E>>,
        asked: &Asking,
    ) -> Response<Vec<u8>> {
        let started = Instant::now();
        let _held = self.context.metrics.in_flight();
        let (label, reply) = match self.table.find(&method, path.as_str()) {
            Found::Route(route, Ok(parameters)) => {
                let request = Request { route, query, headers: &headers, started };
                (route.path, self.answer_at(request, parameters, body, asked).await)
            }
            Found::Route(route, Err(problem)) => (route.path, Err(problem)),
            Found::Options(allow) => ("options", Ok(Reply::nothing().header(header::ALLOW, &allow))),
            Found::WrongMethod(allow) => ("unmatched", Err(Problem::method_not_allowed(allow))),
            Found::Nothing => {
                let detail = "there is no such route; /openapi.json lists them";
                ("unmatched", Err(Problem::new(StatusCode::NOT_FOUND, "no_route", detail)))
            }
        };
        let is_refused = reply.as_ref().is_err_and(|problem| problem.code == OVERLOADED);
        let mut reply = reply.unwrap_or_else(Problem::into_reply);
        if self.context.is_stopping() {
            // Whoever asks again shall do so elsewhere.
            reply = reply.header(header::CONNECTION, "close");
        }
        let (status, elapsed) = (reply.status().as_u16(), started.elapsed());
        let method = known(&method);
        self.context.metrics.answered(method, label, status, elapsed.as_secs_f64());
        let duration_us = elapsed.as_micros() as u64;
        // A line for each would be one more load: the steward tells how many were refused.
        if is_refused {
            tracing::debug!(target: "savor::access", method, route = label, status, duration_us);
        } else {
            tracing::info!(target: "savor::access", method, route = label, status, duration_us);
        }
        reply.into_response()
    }

    async fn answer_at<B: Buf, E>(
        self: &Arc<Self>,
        Request { route, query, headers, started }: Request<'_>,
        parameters: PathParameters,
        body: impl Stream<Item = Result<B, E>>,
        asked: &Asking,
    ) -> Answered {
        let timeout = self.timeout(headers)?;
        let call = Call::new(parameters, parse_query(query, route.query)?);
        let call = match route.body {
            BodyKind::Nothing => call,
            BodyKind::Optional(_) if is_empty(headers) => call,
            BodyKind::One(_) | BodyKind::Optional(_) => self.with_body(call, false, headers, body).await?,
            BodyKind::Many(_) => self.with_body(call, true, headers, body).await?,
        };
        asked.is_read();
        let Some(class) = route.admitted() else { return run(&self.context, &*route.handler, &call) };
        if self.context.is_closed() {
            let detail = "the server is stopping; ask another, or again when it is back";
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", detail).retry_after(5));
        }
        let class = if call.body_bytes() >= self.bulk_body_bytes && class != Class::Long { Class::Bulk } else { class };
        let deadline = started + timeout;
        let place = self.context.admission.enter(&self.who, class, route.path, deadline).await;
        let place = place.map_err(|refusal| self.refused(class, refusal, timeout))?;
        self.context.metrics.load.admitted(class, place.waited());
        let call = call.at(place.effort());
        if call.effort() != Effort::Full {
            self.context.metrics.load.hurried(call.effort());
        }
        // Where all workers but one have something to do, another thread has to.
        if route.lane == Lane::Quick
            && let Ok(_worker) = self.workers.try_acquire()
        {
            let answered = run(&self.context, &*route.handler, &call);
            drop(place);
            return answered;
        }
        self.run_aside(route, call, place, deadline, timeout).await
    }

    /// How long the client waits.
    fn timeout(&self, headers: &HeaderMap) -> Result<Duration, Problem> {
        let Some(value) = headers.get(TIMEOUT_HEADER) else { return Ok(self.request_timeout) };
        let millis = value.to_str().ok().and_then(|text| text.parse().ok()).filter(|millis| *millis > 0);
        let millis =
            millis.ok_or_else(|| Problem::invalid(TIMEOUT_HEADER, "expected a whole number of milliseconds"))?;
        Ok(self.request_timeout.min(Duration::from_millis(millis)))
    }

    fn refused(&self, class: Class, refusal: Refusal, timeout: Duration) -> Problem {
        self.context.metrics.load.refused(class, refusal);
        let (status, detail) = match refusal {
            Refusal::Full | Refusal::Waited => (StatusCode::SERVICE_UNAVAILABLE, "more is asked than can be answered"),
            Refusal::Share => (StatusCode::TOO_MANY_REQUESTS, "you ask more than your share while others ask, too"),
            Refusal::Late => return too_late(timeout),
        };
        Problem::new(status, OVERLOADED, detail).retry_after(self.context.metrics.load.retry_after())
    }

    async fn with_body<B: Buf, E>(
        &self,
        call: Call,
        many: bool,
        headers: &HeaderMap,
        body: impl Stream<Item = Result<B, E>>,
    ) -> Result<Call, Problem> {
        let format = body::format(headers, many)?;
        Ok(call.with_body(self.bodies.read(headers, body).await?, format))
    }

    /// Runs the handler on a blocking thread, unless nobody waits for it any more by the time that it could begin. When it takes
    /// too long the client is told so; the place stays taken until the work has really ended, so that work which nobody
    /// waits for any more still counts.
    async fn run_aside(
        self: &Arc<Self>,
        route: &Route,
        call: Call,
        place: Place,
        deadline: Instant,
        timeout: Duration,
    ) -> Answered {
        let handler = Arc::clone(&route.handler);
        let context = Arc::clone(&self.context);
        let (client, client_is_here) = tokio::sync::oneshot::channel::<()>();
        let work = tokio::task::spawn_blocking(move || {
            let is_wanted = !client.is_closed() && Instant::now() < deadline;
            let answered = if is_wanted { run(&context, &*handler, &call) } else { Err(too_late(timeout)) };
            drop((call, place));
            answered
        });
        let answered = tokio::time::timeout_at(deadline.into(), work).await;
        drop(client_is_here);
        match answered {
            Ok(Ok(answered)) => answered,
            Ok(Err(error)) => Err(Problem::internal(&error)),
            Err(_) => Err(too_late(timeout)),
        }
    }
}

type Answered = Result<Reply, Problem>;

/// The word for refusals for want of places, memory or time.
pub const OVERLOADED: &str = "overloaded";

/// A request before its body is read.
struct Request<'a> {
    route: &'a Route,
    query: &'a str,
    headers: &'a HeaderMap,
    started: Instant,
}

fn too_late(timeout: Duration) -> Problem {
    let detail = format!("the answer took longer than {} ms", timeout.as_millis());
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", detail).retry_after(5)
}

/// Runs a handler; a panic in it becomes a 500 and a line in the log instead of a cut connection.
fn run(context: &Context, handler: &Handler, call: &Call) -> Answered {
    catch_unwind(AssertUnwindSafe(|| handler(context, call)))
        .unwrap_or_else(|_| Err(Problem::internal(&"the handler panicked")))
}

/// Whether the headers announce no body.
fn is_empty(headers: &HeaderMap) -> bool {
    let length = headers.get(header::CONTENT_LENGTH).map(|value| value.as_bytes());
    length.is_none_or(|length| length == b"0") && !headers.contains_key(header::TRANSFER_ENCODING)
}

/// The method as a label: a client must not be able to invent series.
fn known(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}
