//! One request from headers to answer: find the route, read the body within limits, wait for a place among the requests in
//! work ([`super::admission`]), run the handler where it belongs, count and log. Warp takes requests apart and sends answers;
//! this decides what happens between. Whatever a client sends, it gets an answer, and a handler that fails fails alone.

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
use super::admission::{Class, DEFAULT, Place};
use super::body::{self, Bodies};
use super::call::{Call, parse_query};
use super::connections::{Asking, Peer};
use super::context::Context;
use super::gate::Refusal;
use super::problem::Problem;
use super::reply::Reply;
use super::route::{About, BodyKind, Handler, Lane, Route};
use super::table::{Found, PathParameters, Table};
use super::tenancy::{self, Claim, Desks, Whose};
use super::wait;
use crate::config::ServerConfig;
use crate::error::Error;
use crate::record::{Effort, Scope, TenantName};

/// The header by which a client says how many milliseconds it waits. More than `server.request_timeout` is that.
const TIMEOUT_HEADER: &str = "x-timeout-ms";

/// The whole application, shared by all connections.
pub struct App {
    /// What handlers see that are about the data directory itself.
    pub context: Arc<Context>,
    access: Access,
    desks: Desks,
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
        let context = Arc::new(context);
        Arc::new(Self {
            access: Access::new(Arc::clone(&context), config),
            context,
            desks: Desks::default(),
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
        let mut tenant = None;
        let (label, reply) = match self.table.find(&method, path.as_str()) {
            Found::Route(route, parameters) => {
                let mut visit = self.access.visit(route, parameters.as_ref(), &headers, asked.from()).await;
                let found = visit.caller().and_then(|caller| {
                    let context = self.context_of(route, &caller, &headers, &mut tenant);
                    visit.is_about(tenant.as_ref());
                    Ok((caller, context?))
                });
                let reply = match found {
                    Ok((caller, context)) => {
                        let tenant = tenant.as_ref();
                        let request = Request { route, query, headers: &headers, started, caller, context, tenant };
                        self.answer_at(request, parameters, body, asked).await
                    }
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
        let mut reply = reply.unwrap_or_else(Problem::into_reply).header(header::VARY, tenancy::HEADER);
        if self.context.is_stopping() {
            // Whoever asks again shall do so elsewhere.
            reply = reply.header(header::CONNECTION, "close");
        }
        let reply = self.access.dress(&method, &headers, reply);
        let (status, elapsed) = (reply.status().as_u16(), started.elapsed());
        let method = known(&method);
        self.context.metrics.answered(method, label, status, elapsed.as_secs_f64());
        if let Some(tenant) = &tenant {
            self.context.metrics.answered_tenant(tenant, status);
        }
        let tenant = tenant.as_ref().map(TenantName::as_str);
        let duration_us = elapsed.as_micros() as u64;
        // A line for each answer is a good part of the work for it: metrics count them, and whoever wants the lines asks for them.
        tracing::debug!(target: "savor::access", method, route = label, status, tenant, duration_us);
        reply.into_response()
    }

    async fn answer_at<B: Buf, E>(
        self: &Arc<Self>,
        Request { route, query, headers, started, caller, context, tenant }: Request<'_>,
        parameters: Result<PathParameters, Problem>,
        body: impl Stream<Item = Result<B, E>>,
        asked: &Asking,
    ) -> Answered {
        let timeout = self.timeout(headers)?;
        let key = caller.key.clone();
        // A tenant is one party, however many keys it has; without tenants each key is one.
        let party: Option<Arc<str>> = match (tenant, &key) {
            (Some(tenant), _) => Some(Arc::from(tenant.as_str())),
            (None, key) => key.as_ref().map(|key| Arc::from(key.id.as_str())),
        };
        let sender = || party.clone().unwrap_or_else(|| Arc::from(asked.from().to_string()));
        let call = Call::new(parameters?, parse_query(query, route.query)?).by(caller);
        let call = match route.body {
            BodyKind::Nothing => call,
            BodyKind::Optional(_) if is_empty(headers) => call,
            BodyKind::One(_) | BodyKind::Optional(_) => self.with_body(call, false, &sender(), headers, body).await?,
            BodyKind::Many(_) => self.with_body(call, true, &sender(), headers, body).await?,
        };
        asked.is_read();
        let Some(class) = route.admitted() else { return run(&context, &*route.handler, &call) };
        if self.context.is_closed() {
            let detail = "the server is stopping; ask another, or again when it is back";
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", detail).retry_after(5));
        }
        let class = if call.body_bytes() >= self.bulk_body_bytes && class != Class::Long { Class::Bulk } else { class };
        let deadline = started + timeout;
        let turn = self.turn(&context, tenant, class).await?;
        let who = party.unwrap_or_else(|| Arc::clone(&self.who));
        let place = self.context.admission.enter(&who, class, route.path, deadline).await;
        let place = place.map_err(|refusal| self.refused(class, refusal, timeout))?;
        self.context.metrics.load.admitted(class, place.waited());
        // A body may have come slowly, and a place late.
        self.access.check_again(call.caller())?;
        let call = call.at(place.effort());
        if call.effort() != Effort::Full {
            self.context.metrics.load.hurried(call.effort());
        }
        // Where all workers but one have something to do, another thread has to.
        if route.lane == Lane::Quick
            && let Ok(_worker) = self.workers.try_acquire()
        {
            let answered = run(&context, &*route.handler, &call);
            drop((place, turn));
            return answered;
        }
        self.run_aside(route, context, call, (place, turn), deadline, timeout).await
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

    /// What a request is answered with: whose data it is about decides. `tenant` is told whose, once it is known that there is one;
    /// where it is about the directory, on behalf of which tenant: its quotas hold there, too.
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
        let asked = if route.about == About::Caller { None } else { tenancy::asked(headers)? };
        let whose = tenancy::decide(claim, asked);
        match whose.ok_or_else(tenancy::unknown)? {
            // Bound to `default` a key is for that data, and not for all that the server has.
            Whose::Home if route.about == About::Server && caller.tenant().is_some() => Err(tenancy::home_only()),
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
                if route.about == About::Caller {
                    return Ok(Arc::clone(&self.context));
                }
                Ok(Arc::new(self.context.of(engine, &self.desks.of(&name, tenants))))
            }
        }
    }

    /// Waits until it is this request's turn among those of its tenant, all and those of its class.
    async fn turn(&self, context: &Context, tenant: Option<&TenantName>, class: Class) -> Result<Turn, Problem> {
        let Some(name) = tenant else { return Ok([None, None]) };
        let desk = self.desks.of(name, &self.context.tenants);
        let quotas = match context.engine.tenant() {
            Some(_) => context.engine.quotas(),
            None => self.context.tenants.opened(name)?.quotas(),
        };
        let turn = match quotas.concurrent_requests {
            Some(most) => Some(desk.turn(most).await?),
            None => None,
        };
        let share = match self.context.admission.share(class) {
            Some(most) => Some(desk.share(class, most).await?),
            None => None,
        };
        Ok([turn, share])
    }

    async fn with_body<B: Buf, E>(
        &self,
        call: Call,
        many: bool,
        sender: &Arc<str>,
        headers: &HeaderMap,
        body: impl Stream<Item = Result<B, E>>,
    ) -> Result<Call, Problem> {
        let format = body::format(headers, many)?;
        Ok(call.with_body(self.bodies.read(sender, headers, body).await?, format))
    }

    /// Runs the handler on a blocking thread, unless nobody waits for it any more by the time that it could begin. When it takes
    /// too long the client is told so; the places stay taken until the work has really ended, so that work which nobody
    /// waits for any more still counts.
    async fn run_aside(
        &self,
        route: &Route,
        context: Arc<Context>,
        call: Call,
        places: Places,
        deadline: Instant,
        timeout: Duration,
    ) -> Answered {
        let handler = Arc::clone(&route.handler);
        let (client, client_is_here) = tokio::sync::oneshot::channel::<()>();
        let work = tokio::task::spawn_blocking(move || {
            let is_wanted = !client.is_closed() && Instant::now() < deadline;
            let answered = if is_wanted { run(&context, &*handler, &call) } else { Err(too_late(timeout)) };
            drop((context, call, places));
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
/// A place among all requests of a tenant, and one among those of a class.
type Turn = [Option<OwnedSemaphorePermit>; 2];
/// A place among all requests, and those among the tenant's.
type Places = (Place, Turn);

/// The word for refusals for want of places, memory or time.
pub const OVERLOADED: &str = "overloaded";

/// A request before its body is read.
struct Request<'a> {
    route: &'a Route,
    query: &'a str,
    headers: &'a HeaderMap,
    started: Instant,
    caller: Caller,
    /// What it is answered with.
    context: Arc<Context>,
    /// Whose it is.
    tenant: Option<&'a TenantName>,
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
