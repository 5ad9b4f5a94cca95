//! Links the binary so that one function of the bundled Kafka client, which writes outside its memory, is not called:
//! `native/leader_updates.c` says which and why.

fn main() {
    println!("cargo:rerun-if-changed=native/leader_updates.c");
    println!("cargo:rerun-if-changed=build.rs");
    // Linkers of other systems cannot wrap; there the client is as it is.
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        println!(
            "cargo:warning=the Kafka client is linked as it is; run services that must survive a broker's crash on Linux"
        );
        return;
    }
    for object in cc::Build::new().file("native/leader_updates.c").compile_intermediates() {
        println!("cargo:rustc-link-arg-bins={}", object.display());
    }
    println!("cargo:rustc-link-arg-bins=-Wl,--wrap=rd_kafka_metadata_update_op");
}
