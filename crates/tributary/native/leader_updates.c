/*
 * Takes the place of librdkafka's rd_kafka_metadata_update_op (build.rs wraps it when the binary is linked).
 *
 * After a broker's crash a fetch answer may tag partitions whose leader nobody knows yet (id -1). librdkafka 2.12.1 counts
 * these and leaves their entries in the update unwritten (rd_kafka_handle_Fetch_metadata_update); the original then reads
 * whatever lay there, and where the leader in it happens to be a broker's id it reads and writes at partitions[whatever]. The core of
 * a service that died of SIGSEGV after a broker's crash shows just that. The updates are an optimization (KIP-951): a client
 * that ignores them asks for metadata, as it does for the same error anyway (rd_kafka_toppar_leader_unavailable).
 * docs/reference/kafka.md, traps.
 *
 * The caller frees the update. 1 is RD_KAFKA_OP_RES_HANDLED.
 */
int __wrap_rd_kafka_metadata_update_op(void *client, void *update)
{
    (void)client;
    (void)update;
    return 1;
}
