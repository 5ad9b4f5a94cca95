//! Everything is restarted, one process after the other, under load, and no caller notices.
use crate::clients::Clients;
use crate::crew::{Crew, SHARING};
use anyhow::Result;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_of_everything_refuses_no_request() -> Result<()> {
    let mut crew = Crew::new("rolling").await?;
    crew.start_each(&["gateway"], 2).await?;
    crew.start_each(&SHARING, 2).await?;
    crew.all_shared().await?;
    let clients = Clients::start(crew.doors().await?, Duration::from_millis(10)).await?;
    clients.all_go_on().await?;
    for service in ["projector", "commission", "attribution", "normalizer", "gateway"] {
        for old in crew.labels(service) {
            let ended = crew.terminate(&old).await?;
            crew.start(service)?;
            crew.ready().await?;
            // The client's list of gateways has the new one; it never had to know that the old one would go.
            clients.use_doors(crew.doors().await?);
            clients.all_go_on().await?;
            println!("{old} restarted, it ended after {ended:?}");
        }
    }
    let seen = clients.finish().await?;
    seen.print();
    assert!(seen.refused.is_empty(), "{} refused, the first: {:?}", seen.refused.len(), seen.refused.first());
    crew.is_whole(&seen.orders()).await?;
    crew.end().await
}
