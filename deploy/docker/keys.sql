-- The key store's own database, beside that of the read models: one is backed up, the other can be dropped and projected again.
create database tributary_keys;
