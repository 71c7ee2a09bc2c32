//! Configuration: one TOML file, every default in one table.
