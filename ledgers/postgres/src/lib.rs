//! Jitney's ledger on PostgreSQL: several brokers, one book.
