//! The README, the Grafana dashboard and the alert rules agree with the code.

mod alerts;
mod dashboard;
mod metric_table;
mod readme;
