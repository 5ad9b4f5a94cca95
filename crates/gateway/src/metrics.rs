//! The gateway's metrics: names with units, bounded labels, and handles kept ready for the hot path.
use crate::routes::Route;
use axum::http::StatusCode;
use metrics::{Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram};
use metrics::{Unit, gauge, histogram};
use std::time::Instant;

/// Requests by route and status.
pub const REQUESTS: &str = "tributary_gateway_requests_total";
/// From head to answer, in seconds, by route.
pub const REQUEST_SECONDS: &str = "tributary_gateway_request_seconds";
/// Requests being served.
pub const IN_FLIGHT: &str = "tributary_gateway_in_flight_requests";
/// From append to acknowledgement, in seconds.
pub const APPEND_SECONDS: &str = "tributary_gateway_append_seconds";
/// Refusals by code.
pub const REFUSALS: &str = "tributary_gateway_refusals_total";
/// Appenders given up after an indefinite error or a timeout.
pub const APPENDERS_REPLACED: &str = "tributary_gateway_appenders_replaced_total";
/// Configuration records by result: applied, outdated, undecodable.
pub const CONFIG_RECORDS: &str = "tributary_gateway_config_records_total";
/// Requests whose client left before the answer, by route.
pub const ABANDONED: &str = "tributary_gateway_abandoned_requests_total";
/// Outcomes that nobody waited for any more.
pub const LATE_OUTCOMES: &str = "tributary_gateway_late_outcomes_total";

/// Connections closed at once because their address had as many as it may.
pub const CONNECTIONS_REFUSED: &str = "tributary_gateway_connections_refused_total";

/// The statuses that the gateway answers; others are counted too, more slowly.
const STATUSES: [StatusCode; 14] = [
    StatusCode::OK,
    StatusCode::ACCEPTED,
    StatusCode::BAD_REQUEST,
    StatusCode::UNAUTHORIZED,
    StatusCode::FORBIDDEN,
    StatusCode::NOT_FOUND,
    StatusCode::METHOD_NOT_ALLOWED,
    StatusCode::REQUEST_TIMEOUT,
    StatusCode::CONFLICT,
    StatusCode::PAYLOAD_TOO_LARGE,
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    StatusCode::TOO_MANY_REQUESTS,
    StatusCode::INTERNAL_SERVER_ERROR,
    StatusCode::SERVICE_UNAVAILABLE,
];

/// Describes every metric to the recorder.
pub(crate) fn describe() {
    describe_counter!(REQUESTS, "requests by route and status");
    describe_histogram!(REQUEST_SECONDS, Unit::Seconds, "from head to answer, by route");
    describe_gauge!(IN_FLIGHT, "requests being served");
    describe_histogram!(APPEND_SECONDS, Unit::Seconds, "from append to acknowledgement");
    describe_counter!(REFUSALS, "refusals by code");
    describe_counter!(APPENDERS_REPLACED, "appenders given up after an indefinite error or a timeout");
    describe_counter!(CONFIG_RECORDS, "configuration records by result");
    describe_counter!(ABANDONED, "requests whose client left before the answer, by route");
    describe_counter!(CONNECTIONS_REFUSED, "connections closed because their address had as many as it may");
    describe_counter!(LATE_OUTCOMES, "outcomes that nobody waited for any more");
}

/// Handles for the hot path: looking a metric up by labels costs more than the rest of a request's bookkeeping.
pub(crate) struct Meters {
    routes: Vec<RouteMeters>,
    in_flight: Gauge,
    pub(crate) append_seconds: Histogram,
}

struct RouteMeters {
    by_status: Vec<Counter>,
    seconds: Histogram,
}

impl Meters {
    pub(crate) fn new() -> Self {
        describe();
        // What stands for trouble shows from the start, as 0: an alarm needs something to compare with.
        for name in [APPENDERS_REPLACED, LATE_OUTCOMES, CONNECTIONS_REFUSED] {
            counter!(name).absolute(0);
        }
        for route in Route::all() {
            counter!(ABANDONED, "route" => route.name()).absolute(0);
        }
        let routes = Route::all().map(|route| RouteMeters {
            by_status: STATUSES
                .iter()
                .map(|status| counter!(REQUESTS, "route" => route.name(), "status" => status.as_str().to_owned()))
                .collect(),
            seconds: histogram!(REQUEST_SECONDS, "route" => route.name()),
        });
        Self {
            routes: routes.collect(),
            in_flight: gauge!(IN_FLIGHT),
            append_seconds: histogram!(APPEND_SECONDS),
        }
    }

    /// Counts a request from here to [`Measured::answered`], or to its end without an answer.
    pub(crate) fn begin(&self, route: Route) -> Measured<'_> {
        self.in_flight.increment(1.0);
        Measured { meters: self, route, since: Instant::now(), answered: false }
    }
}

/// A request being counted.
pub(crate) struct Measured<'meters> {
    meters: &'meters Meters,
    route: Route,
    since: Instant,
    answered: bool,
}

impl Measured<'_> {
    pub(crate) fn answered(mut self, status: StatusCode) {
        self.answered = true;
        let route = &self.meters.routes[self.route.place()];
        match STATUSES.iter().position(|known| *known == status) {
            Some(at) => route.by_status[at].increment(1),
            None => {
                let status = status.as_str().to_owned();
                counter!(REQUESTS, "route" => self.route.name(), "status" => status).increment(1);
            }
        }
        route.seconds.record(self.since.elapsed());
    }
}

impl Drop for Measured<'_> {
    fn drop(&mut self) {
        self.meters.in_flight.decrement(1.0);
        if !self.answered {
            counter!(ABANDONED, "route" => self.route.name()).increment(1);
        }
    }
}
