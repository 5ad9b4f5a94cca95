//! What serves: everything in one process, a service by itself, the demo traffic, and the question whether one is well.
use super::{Dump, Place};
use clap::Args;
use kit::config::Layers;

#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Create the public demo programs and play the sample traffic; never on a machine that others can reach
    #[arg(long)]
    pub(crate) demo: bool,
    /// Work off what the log holds, print the balances, end
    #[arg(long)]
    pub(crate) once: bool,
    /// With --once: print the balances as JSON
    #[arg(long, requires = "once")]
    pub(crate) json: bool,
    /// Address of the gateway; port 0 takes a free one [default: 127.0.0.1:8080; with --once a free port]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<String>,
    /// Address of /metrics [default: a free port on 127.0.0.1, printed]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) metrics_listen: Option<String>,
    #[command(flatten)]
    pub(crate) dump: Dump,
    #[command(flatten)]
    pub(crate) place: Place,
}

impl Up {
    pub(crate) fn layers(&self) -> Layers {
        self.place.layers(&[("listen", &self.listen), ("metrics_listen", &self.metrics_listen)])
    }
}

#[derive(Debug, Args)]
pub(crate) struct Gateway {
    /// Address of the gateway; port 0 takes a free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<String>,
    /// Address of /metrics [default: a free port on 127.0.0.1, printed]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) metrics_listen: Option<String>,
    #[command(flatten)]
    pub(crate) dump: Dump,
    #[command(flatten)]
    pub(crate) place: Place,
}

impl Gateway {
    pub(crate) fn layers(&self) -> Layers {
        self.place.layers(&[("listen", &self.listen), ("metrics_listen", &self.metrics_listen)])
    }
}

/// `health`.
#[derive(Debug, Args)]
pub(crate) struct Health {
    /// Ask /livez instead: whether the process answers at all
    #[arg(long)]
    pub(crate) live: bool,
    /// Where the process serves its metrics [default: as configured]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) metrics_listen: Option<String>,
    #[command(flatten)]
    pub(crate) place: Place,
}

impl Health {
    pub(crate) fn layers(&self) -> Layers {
        self.place.layers(&[("metrics_listen", &self.metrics_listen)])
    }
}

/// `demo`.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Base URL of a running gateway
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub(crate) gateway: String,
    #[command(flatten)]
    pub(crate) place: Place,
}

/// One service of the chain in a process of its own.
#[derive(Debug, Args)]
pub(crate) struct Stage {
    /// Address of /metrics [default: a free port on 127.0.0.1, printed]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) metrics_listen: Option<String>,
    #[command(flatten)]
    pub(crate) dump: Dump,
    #[command(flatten)]
    pub(crate) place: Place,
}

impl Stage {
    pub(crate) fn layers(&self) -> Layers {
        self.place.layers(&[("metrics_listen", &self.metrics_listen)])
    }
}
