//! Compiles `proto/` without an installed protoc.
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = "../../proto";
    let files =
        ["common", "ingest", "config", "frame", "terms", "facts", "attributed", "commissions", "outcomes"]
            .map(|name| format!("tributary/v1/{name}.proto"));
    println!("cargo::rerun-if-changed={root}");
    let descriptors = protox::compile(files, [root])?;
    let mut config = prost_build::Config::new();
    config.bytes(["."]);
    config.compile_fds(descriptors)?;
    Ok(())
}
