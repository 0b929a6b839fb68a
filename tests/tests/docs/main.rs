//! The README and the Grafana dashboard agree with the code.

mod dashboard;
mod metric_table;
mod readme;
