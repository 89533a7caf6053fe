//! One request from headers to answer: find the route, read the body within limits, wait for a place among the requests in
//! work, run the handler where it belongs, count and log. Warp takes requests apart and sends answers; this decides what
//! happens between. Whatever a client sends, it gets an answer, and a handler that fails fails alone.

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::Stream;
use http::{HeaderMap, Method, Response, StatusCode, header};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use warp::filters::BoxedFilter;
use warp::path::FullPath;
use warp::{Buf, Filter};

use super::access::{Access, Caller};
use super::body::{self, Bodies};
use super::call::{Call, parse_query};
use super::context::Context;
use super::problem::Problem;
use super::reply::Reply;
use super::route::{About, BodyKind, Handler, Route};
use super::table::{Found, PathParameters, Table};
use super::tenancy::{self, Claim, Desks, Whose};
use super::wait;
use crate::config::ServerConfig;
use crate::error::Error;
use crate::record::{Scope, TenantName};

/// A request waits so long for a place before it is turned away: long enough for a burst, too short to pile up.
const QUEUE_WAIT: Duration = Duration::from_millis(100);

/// The whole application, shared by all connections.
pub struct App {
    /// What handlers see that are about the data directory itself.
    pub context: Arc<Context>,
    access: Access,
    desks: Desks,
    table: Table,
    bodies: Bodies,
    places: Arc<Semaphore>,
    request_timeout: Duration,
}

impl App {
    /// Serves these routes.
    pub fn new(context: Context, routes: Vec<Route>, config: &ServerConfig) -> Arc<Self> {
        let context = Arc::new(context);
        Arc::new(Self {
            access: Access::new(Arc::clone(&context), config),
            context,
            desks: Desks::default(),
            table: Table::new(routes),
            bodies: Bodies::new(config.max_body_bytes, wait(config.read_timeout)),
            places: Arc::new(Semaphore::new(config.max_concurrent_requests)),
            request_timeout: wait(config.request_timeout),
        })
    }

    /// The application as a warp filter, for a connection from this address.
    pub fn filter(self: &Arc<Self>, from: IpAddr) -> BoxedFilter<(Response<Vec<u8>>,)> {
        let app = Arc::clone(self);
        let query = warp::query::raw().or(warp::any().map(String::new)).unify();
        warp::method()
            .and(warp::path::full())
            .and(query)
            .and(warp::header::headers_cloned())
            .and(warp::body::stream())
            .then(move |method, path, query: String, headers, body| {
                let app = Arc::clone(&app);
                async move { app.answer(from, method, path, &query, headers, body).await }
            })
            .boxed()
    }

    async fn answer<B: Buf, E>(
        self: Arc<Self>,
        from: IpAddr,
        method: Method,
        path: FullPath,
        query: &str,
        headers: HeaderMap,
        body: impl Stream<Item = Result<B, E>>,
    ) -> Response<Vec<u8>> {
        let started = Instant::now();
        let _held = self.context.metrics.in_flight();
        let mut tenant = None;
        let (label, reply) = match self.table.find(&method, path.as_str()) {
            Found::Route(route, parameters) => {
                let visit = self.access.visit(route, parameters.as_ref(), &headers, from).await;
                let reply = match visit.caller() {
                    Ok(caller) => self.answer_at(route, caller, parameters, query, &headers, body, &mut tenant).await,
                    Err(problem) => Err(problem),
                };
                visit.end(&reply).await;
                (route.path, reply)
            }
            Found::Options(allow) => ("options", Ok(Reply::nothing().header(header::ALLOW, &allow))),
            Found::WrongMethod(allow) => ("unmatched", Err(Problem::method_not_allowed(allow))),
            Found::Nothing => {
                let detail = "there is no such route; /openapi.json lists them";
                ("unmatched", Err(Problem::new(StatusCode::NOT_FOUND, "no_route", detail)))
            }
        };
        // Who shares a cache must not get what another's header has asked for.
        let reply = reply.unwrap_or_else(Problem::into_reply).header(header::VARY, tenancy::HEADER);
        let reply = self.access.dress(&method, &headers, reply);
        let (status, elapsed) = (reply.status().as_u16(), started.elapsed());
        let method = known(&method);
        self.context.metrics.answered(method, label, status, elapsed.as_secs_f64());
        if let Some(tenant) = &tenant {
            self.context.metrics.answered_tenant(tenant, status);
        }
        let tenant = tenant.as_ref().map(TenantName::as_str);
        let duration_us = elapsed.as_micros() as u64;
        tracing::info!(target: "savor::access", method, route = label, status, tenant, duration_us);
        reply.into_response()
    }

    async fn answer_at<B: Buf, E>(
        self: &Arc<Self>,
        route: &Route,
        caller: Caller,
        parameters: Result<PathParameters, Problem>,
        query: &str,
        headers: &HeaderMap,
        body: impl Stream<Item = Result<B, E>>,
        tenant: &mut Option<TenantName>,
    ) -> Answered {
        let context = self.context_of(route, &caller, headers, tenant)?;
        let call = Call::new(parameters?, parse_query(query, route.query)?).by(caller);
        let call = match route.body {
            BodyKind::Nothing => call,
            BodyKind::Optional(_) if is_empty(headers) => call,
            BodyKind::One(_) | BodyKind::Optional(_) => self.with_body(call, false, headers, body).await?,
            BodyKind::Many(_) => self.with_body(call, true, headers, body).await?,
        };
        let turn = self.turn(&context, route).await?;
        let place = if route.lane.is_admitted() { Some(self.admit().await?) } else { None };
        if route.lane.is_blocking() {
            self.run_aside(route, context, call, (place, turn)).await
        } else {
            run(&context, &*route.handler, &call)
        }
    }

    /// What a request is answered with: whose data it is about decides.
    /// `tenant` is told whose, once it is known that there is one.
    fn context_of(
        &self,
        route: &Route,
        caller: &Caller,
        headers: &HeaderMap,
        tenant: &mut Option<TenantName>,
    ) -> Result<Arc<Context>, Problem> {
        if route.about == About::Nobody {
            return Ok(Arc::clone(&self.context));
        }
        let claim = Claim { bound: caller.tenant(), any: caller.may(Scope::Operate) };
        let whose = tenancy::decide(claim, tenancy::asked(headers)?);
        match whose.ok_or_else(tenancy::unknown)? {
            Whose::Home => Ok(Arc::clone(&self.context)),
            Whose::Tenant(_) if route.about == About::Server => Err(tenancy::home_only()),
            Whose::Tenant(name) => {
                let tenants = &self.context.tenants;
                let engine = match tenants.opened(&name) {
                    Err(Error::NotFound { .. }) => return Err(tenancy::unknown()),
                    opened => opened,
                };
                *tenant = Some(name.clone());
                let engine = engine?;
                engine.take_request()?;
                Ok(Arc::new(self.context.of(engine, &self.desks.of(&name, tenants))))
            }
        }
    }

    /// Waits until it is this request's turn among those of its tenant.
    async fn turn(&self, context: &Context, route: &Route) -> Result<Option<OwnedSemaphorePermit>, Problem> {
        let name = context.engine.tenant().filter(|_| route.lane.is_admitted());
        let Some((name, most)) = name.zip(context.engine.quotas().concurrent_requests) else { return Ok(None) };
        self.desks.of(name, &context.tenants).turn(most).await.map(Some)
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

    /// Waits briefly for a place among the requests in work.
    async fn admit(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let place = Arc::clone(&self.places);
        match tokio::time::timeout(QUEUE_WAIT, place.acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            _ => {
                let detail = "too many requests are in work";
                Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "overloaded", detail).retry_after(1))
            }
        }
    }

    /// Runs the handler on a blocking thread. When it takes too long the client is told so; the place stays taken until
    /// the work has really ended, so that work which nobody waits for any more still counts.
    async fn run_aside(&self, route: &Route, context: Arc<Context>, call: Call, places: Places) -> Answered {
        let handler = Arc::clone(&route.handler);
        let work = tokio::task::spawn_blocking(move || {
            let answered = run(&context, &*handler, &call);
            drop((context, places));
            answered
        });
        match tokio::time::timeout(self.request_timeout, work).await {
            Ok(Ok(answered)) => answered,
            Ok(Err(error)) => Err(Problem::internal(&error)),
            Err(_) => {
                let detail = format!("the answer took longer than {} ms", self.request_timeout.as_millis());
                Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "timeout", detail).retry_after(5))
            }
        }
    }
}

type Answered = Result<Reply, Problem>;
/// A place among all requests, and one among those of the tenant.
type Places = (Option<OwnedSemaphorePermit>, Option<OwnedSemaphorePermit>);

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
